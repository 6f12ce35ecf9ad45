"""The world of the templates is the one that AWS would have: everything in it, nothing made up but names, and decided as AWS does."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from localaws.cloudformation import template
from scripts.core import settings
from tests.iam import evaluate, roles
from tests.iam.roles import Role, World

KEYS = {"kms:ViaService": "s3.us-east-1.amazonaws.com"}


@pytest.mark.parametrize("variation", roles.VARIATIONS)
def test_every_role_of_the_templates_is_there(variation: str) -> None:
    """Also those behind a condition: each declared role comes to be somewhere."""
    declared = {f"{path.relative_to(roles.ROOT / 'templates').as_posix()} {name}" for path in (roles.ROOT / "templates").rglob("*.yaml")
                for name, body in template.parse(path.read_text())["Resources"].items() if body["Type"] == "AWS::IAM::Role"}
    assert {role.declared for role in roles.resolve(variation).roles} == declared


def test_every_statement_of_the_templates_is_there() -> None:
    """Every Sid that stands in a template stands in some world: a condition that is false everywhere would hide what it holds."""
    found = {statement.get("Sid") for variation in roles.VARIATIONS for role in roles.resolve(variation).roles
             for _, _, statement in role.statements()}
    found |= {statement.get("Sid") for variation in roles.VARIATIONS for one in roles.resolve(variation).resource_policies
              for statement in one.document["Statement"]}
    written = {sid for path in (roles.ROOT / "templates").rglob("*.yaml") for sid in re.findall(r"- Sid: (\w+)", path.read_text())}
    assert written - found == set()


def test_each_region_of_each_environment_has_its_roles(world: World) -> None:
    environments = [settings.load(roles.ROOT, name, local=False) for name in settings.names(roles.ROOT)]
    wanted = {(one.stack_name, region) for one in environments for region in one.regions}
    assert wanted <= {(role.stack, role.region) for role in world.roles}


def test_names_differ_and_are_names_that_aws_takes(world: World) -> None:
    names = [role.arn for role in world.roles]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w+=,.@-]{1,64}", role.name) for role in world.roles)
    assert all(re.fullmatch(r"arn:aws:s3:::[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", arn) for arn in world.owners)


def test_nothing_is_left_unresolved(world: World) -> None:
    for role in world.roles:
        text = f"{role.trust}{role.policies}"
        assert "Fn::" not in text and "'Ref'" not in text and "${" not in text, role.place


def test_a_role_may_do_what_its_policy_says_where_it_says(world: World) -> None:
    role = world.role("sample-pipeline", "Build/BuildRole", "us-east-1")
    bucket, key = "arn:aws:s3:::sample-release-store-artifactbucket-us-east-1", world.physical["sample-release-store", "us-east-1", "ArtifactKey"]["Arn"]
    assert evaluate.allowed(world, role, "s3:PutObject", f"{bucket}/sample/Release/x.zip").allowed
    assert not evaluate.allowed(world, role, "s3:DeleteObject", f"{bucket}/sample/Release/x.zip").allowed
    # The key's own policy asks for the way through S3 as well.
    assert evaluate.allowed(world, role, "kms:Decrypt", key, KEYS).allowed
    assert not evaluate.allowed(world, role, "kms:Decrypt", key).allowed
    # The bucket's denies what comes in the clear.
    assert evaluate.allowed(world, role, "s3:GetObject", f"{bucket}/x", {"aws:SecureTransport": "false"}).outcome == "Deny"


def test_a_role_is_taken_where_both_its_trust_and_the_callers_policy_allow(world: World) -> None:
    gate, control = world.role("sample-pipeline", "Control/GateRole", "us-east-1"), world.role("sample-environment-prod", "Control/ControlRole", "eu-west-1")
    assert evaluate.allowed(world, gate, "sts:AssumeRole", control.arn).allowed
    assert not evaluate.allowed(world, world.role("sample-pipeline", "Build/BuildRole", "us-east-1"), "sts:AssumeRole", control.arn).allowed
    distrustful = dataclasses.replace(control, trust={"Version": "2012-10-17", "Statement": []})
    assert not evaluate.allowed(evaluate.with_changes(world, [distrustful]), gate, "sts:AssumeRole", control.arn).allowed


def test_across_accounts_both_sides_have_to_allow(accounts: World) -> None:
    host = accounts.role("sample-environment-prod", "Fleet/HostRole", "eu-west-1")
    bundle = "arn:aws:s3:::sample-release-store-artifactbucket-eu-west-1/sample/Release/x.zip"
    assert host.account != evaluate.account_of(accounts, bundle)
    assert evaluate.allowed(accounts, host, "s3:GetObject", bundle).allowed
    shut = [dataclasses.replace(one, document={"Version": "2012-10-17", "Statement": []}) for one in accounts.resource_policies if one.kind == "bucket"]
    assert not evaluate.allowed(evaluate.with_changes(accounts, resource_policies=shut), host, "s3:GetObject", bundle).allowed


def test_a_boundary_and_a_session_policy_limit(world: World) -> None:
    role = world.role("sample-pipeline", "Build/BuildRole", "us-east-1")
    narrow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "logs:*", "Resource": "*"}]}
    bundle = "arn:aws:s3:::sample-release-store-artifactbucket-us-east-1/x"
    assert not evaluate.allowed(world, dataclasses.replace(role, boundary=narrow), "s3:GetObject", bundle).allowed
    assert not evaluate.allowed(world, role, "s3:GetObject", bundle, session=narrow).allowed


def test_a_service_is_let_in_by_the_resource_alone(world: World) -> None:
    function = world.physical["sample-pipeline", "us-east-1", "Control/RollbackFunction"]["Arn"]
    rule = world.physical["sample-pipeline", "us-east-1", "Control/EachMinute"]["Arn"]
    assert evaluate.service_allowed(world, "events.amazonaws.com", "lambda:InvokeFunction", function, {"aws:SourceArn": rule}).allowed
    other = "arn:aws:events:us-east-1:999999999999:rule/theirs"
    assert not evaluate.service_allowed(world, "events.amazonaws.com", "lambda:InvokeFunction", function, {"aws:SourceArn": other}).allowed


def test_managed_policies_are_known(world: World) -> None:
    """Each of AWS's that a template attaches has its document in managed/: an unknown one would count for nothing."""
    def unknown(role: Role) -> bool:
        return len(role.managed) != len(role.attached)

    assert [role.place for role in world.roles if unknown(role)] == []
    host = world.role("sample-environment-prod", "Fleet/HostRole", "us-east-1")
    assert evaluate.allowed(world, host, "ssm:UpdateInstanceInformation", "*").allowed
    assert unknown(dataclasses.replace(host, managed=(*host.managed, "arn:aws:iam::aws:policy/AdministratorAccess")))


def test_a_condition_on_the_resources_account_is_asked_of_the_request(world: World) -> None:
    role = world.role("sample-pipeline", "Build/BuildRole", "us-east-1")
    mine = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", "Condition": {
        "StringEquals": {"aws:ResourceAccount": role.account}}}]}
    only = dataclasses.replace(role, policies={"Mine": mine})
    assert evaluate.allowed(world, only, "s3:GetObject", "arn:aws:s3:::sample-release-store-artifactbucket-us-east-1/x").allowed
    assert not evaluate.allowed(world, only, "s3:GetObject", "arn:aws:s3:::theirs/x", {"aws:ResourceAccount": "444444444444"}).allowed
    assert not evaluate.allowed(world, only, "s3:GetObject", "arn:aws:s3:::nobody-knows-whose/x").allowed


def test_a_template_that_does_not_resolve_is_refused(tmp_path: Path) -> None:
    """The values are checked as AWS checks them."""
    (tmp_path / "parameters").symlink_to(roles.ROOT / "parameters")
    for path in (roles.ROOT / "templates").rglob("*.yaml"):
        target = tmp_path / "templates" / path.relative_to(roles.ROOT / "templates")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text().replace("GetAtt DeployRole.Arn", "GetAtt DeployRole.Name"))
    with pytest.raises(KeyError):
        roles.resolve("aws", tmp_path, switched_on=False)
