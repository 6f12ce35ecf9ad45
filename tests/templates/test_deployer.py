"""The deployer's policies: within IAM's sizes, no wider than they say, and enough for what CloudFormation does with the resources of the templates."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from deployer_needs import NOT_NEEDED, handler_permissions, needed
from template_files import ROOT

from localaws import policies
from localaws.cloudformation import intrinsics
from localaws.cloudformation import template as engine

ACCOUNT, BOUNDARY = "111122223333", "arn:aws:iam::111122223333:policy/workload"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/sample-deployer"
VIA = {"aws:CalledVia": ["cloudformation.amazonaws.com"], "aws:CalledViaFirst": "cloudformation.amazonaws.com"}
# Source: IAM User Guide, "IAM and AWS STS quotas": characters without white space.
INLINE, MANAGED, TRUST = 10_240, 6_144, 2_048


@functools.cache
def _resolved(**given: str) -> dict[str, dict[str, Any]]:
    """Every resource's properties, by logical id."""
    data = engine.parse((ROOT / "templates" / "deployer.yaml").read_text(encoding="utf-8"))
    pseudo = {"AWS::AccountId": ACCOUNT, "AWS::Partition": "aws", "AWS::Region": "us-east-1", "AWS::NoValue": engine.NO_VALUE} | {
        name: given[name] for name in given if name.startswith("AWS::")}
    values = {"ServiceName": "sample"} | {name: value for name, value in given.items() if not name.startswith("AWS::")}
    scope = intrinsics.Scope(data, engine.bind(data, values), pseudo)
    scope.ref = lambda name: name
    return {name: intrinsics.resolve(body["Properties"], scope) for name, body in intrinsics.effective(scope).resources.items()}


def _documents(**given: str) -> list[dict[str, Any]]:
    found = _resolved(**given)
    managed = [found[name]["PolicyDocument"] for name in found["Deployer"]["ManagedPolicyArns"]]
    return [*managed, *(one["PolicyDocument"] for one in found["Deployer"]["Policies"])]


def _statements(**given: str) -> Iterator[dict[str, Any]]:
    for document in _documents(**given):
        yield from document["Statement"]


def _may(action: str, resource: str, keys: dict[str, Any] | None = None, **given: str) -> bool:
    request = policies.Request(ROLE, ACCOUNT, action, resource, "us-east-1", {"aws:ResourceAccount": ACCOUNT, **(keys or {})})
    return policies.identity(request, _documents(**given)).allowed


def _list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("through", ["true", "services", "false"])
def test_they_fit_with_the_longest_values(through: str) -> None:
    longest = {"ServiceName": "a" * 16, "AWS::Partition": "aws-us-gov", "PermissionsBoundaryArn": f"arn:aws-us-gov:iam::{ACCOUNT}:policy/{'x' * 128}",
               "ThroughCloudFormationOnly": through}
    found = _resolved(**longest)

    def size(document: Any) -> int:
        return len(json.dumps(document, separators=(",", ":")))

    managed = {name: size(found[name]["PolicyDocument"]) for name in found["Deployer"]["ManagedPolicyArns"]}
    assert max(managed.values()) <= MANAGED, managed
    assert sum(size(one["PolicyDocument"]) for one in found["Deployer"]["Policies"]) <= INLINE
    trust = size({**found["Deployer"]["AssumeRolePolicyDocument"]})
    assert trust <= TRUST


def test_no_statement_gives_all_of_a_service_or_everything_on_everything() -> None:
    for statement in _statements():
        if statement["Effect"] == "Allow":
            assert not [action for action in _list(statement["Action"]) if re.fullmatch(r"\*|[\w-]+:\*", action)], statement["Sid"]
            assert "NotAction" not in statement and "NotResource" not in statement, statement["Sid"]


DIRECT = {"WorkOnTheStacks", "ReadPackages", "WritePackages", "EncryptPackages", "LookBeforehand", "SeeWhetherSomethingDeploys", "SeeTheConnection",
          "StartTheFirstRelease", "GoOnIntoTheOtherAccounts"}
# Whatever passes them to a service is asked for itself, and is only to be had through CloudFormation.
HANDED_ON = {"LetServicesHaveThem", "LetThePipelineHaveTheConnection", "MakeServiceLinkedRoles"}


def test_what_the_stacks_hold_is_reached_through_cloudformation_alone() -> None:
    for statement in _statements():
        if statement["Effect"] == "Allow" and statement["Sid"] not in DIRECT | HANDED_ON:
            assert statement["Condition"]["StringEquals"]["aws:CalledViaFirst"] == "cloudformation.amazonaws.com", statement["Sid"]


@pytest.mark.parametrize(("through", "condition"), [("services", {"Bool": {"aws:ViaAWSService": "true"}}), ("false", None)])
def test_if_aws_refuses_all_but_roles_can_be_reached_otherwise(through: str, condition: Any) -> None:
    before, after = list(_statements()), list(_statements(ThroughCloudFormationOnly=through))
    changed = {now["Sid"] for was, now in zip(before, after, strict=True) if was != now}
    assert changed == {"WorkOnWhatIsNamedAfterTheService", "WorkOnWhatHasNoName", "WorkOnWhatAwsLetsNobodyName"}
    assert all(statement.get("Condition") == condition for statement in after if statement["Sid"] in changed)


def _arn(service: str, rest: str) -> str:
    return f"arn:aws:{service}:us-east-1:{ACCOUNT}:{rest}"


@pytest.mark.parametrize(("action", "resource", "keys"), [
    ("cloudformation:CreateChangeSet", _arn("cloudformation", "stack/sample-environment-gamma/1"), {}),
    ("cloudformation:UpdateStack", _arn("cloudformation", "stack/sample-pipeline-Access-1ABC/1"), VIA),
    ("cloudformation:UpdateTerminationProtection", _arn("cloudformation", "stack/sample-environment-prod/1"), {}),
    # With tags: in parameters/. CloudFormation asks for it beside the call that sets them, of nested stacks too.
    ("cloudformation:TagResource", _arn("cloudformation", "stack/sample-environment-gamma/1"), {"cloudformation:CreateAction": "CreateChangeSet"}),
    ("cloudformation:UntagResource", _arn("cloudformation", "stack/sample-pipeline-Access-1ABC/1"), {**VIA, "cloudformation:CreateAction": "UpdateStack"}),
    ("s3:PutObject", "arn:aws:s3:::sample-release-store-artifactbucket-1/templates/1/a.yaml", {}),
    ("kms:GenerateDataKey", _arn("kms", "key/1"), {"kms:ViaService": "s3.us-east-1.amazonaws.com"}),
    ("codedeploy:CreateDeploymentGroup", _arn("codedeploy", "deploymentgroup:sample-environment-gamma-D/sample-environment-gamma-F"), VIA),
    ("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/sample-environment-gamma-Fleet-HostRole-1", VIA),
    ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/sample-environment-gamma-Fleet-HostRole-1", {"iam:PassedToService": "ec2.amazonaws.com"}),
    ("sts:AssumeRole", "arn:aws:iam::444455556666:role/sample-deployer", {}),
    ("codeconnections:GetConnection", _arn("codeconnections", "connection/1"), {}),
    # Of before July 2024.
    ("codestar-connections:GetConnection", _arn("codestar-connections", "connection/1"), {}),
    # Once the connection is completed, by the command itself: with its role and its connection.
    ("codepipeline:UpdatePipeline", _arn("codepipeline", "sample"), {}),
    ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/sample-pipeline-Access-1-PipelineRole-1", {"iam:PassedToService": "codepipeline.amazonaws.com"}),
    ("codestar-connections:PassConnection", _arn("codestar-connections", "connection/1"), {}),
    # The handlers of the pipeline's type.
    ("codepipeline:DisableStageTransition", _arn("codepipeline", "sample/OneBox"), VIA),
])
def test_it_may(action: str, resource: str, keys: dict[str, Any]) -> None:
    assert _may(action, resource, keys)


@pytest.mark.parametrize(("action", "resource", "keys"), [
    pytest.param("cloudformation:DeleteStack", _arn("cloudformation", "stack/other-environment-prod/1"), {}, id="another service's stack"),
    pytest.param("cloudformation:UpdateStack", _arn("cloudformation", "stack/sample-deployer/1"), {}, id="its own stack"),
    pytest.param("cloudformation:TagResource", _arn("cloudformation", "stack/other-environment-prod/1"), {}, id="another service's tags"),
    pytest.param("cloudformation:UpdateTerminationProtection", _arn("cloudformation", "stack/other-environment-prod/1"), {},
                 id="another service's protection"),
    pytest.param("cloudformation:CreateChangeSet", _arn("cloudformation", "stack/sample-pipeline/1"),
                 {"cloudformation:ImportResourceTypes": ["AWS::S3::Bucket"]}, id="adopting a bucket"),
    pytest.param("s3:PutObject", "arn:aws:s3:::sample-release-store-artifactbucket-1/sample/BuildOutpu/x", {}, id="an artifact of the pipeline"),
    pytest.param("s3:PutObject", "arn:aws:s3:::sample-release-store-artifactbucket-1/templates/1/a.yaml", {"aws:ResourceAccount": "444455556666"},
                 id="templates of another account"),
    pytest.param("s3:DeleteBucket", "arn:aws:s3:::sample-release-store-artifactbucket-1", {}, id="a bucket, by hand"),
    pytest.param("s3:DeleteBucket", "arn:aws:s3:::other-release-store-artifactbucket-1", VIA, id="another service's bucket"),
    pytest.param("kms:Decrypt", _arn("kms", "key/1"), {}, id="decrypting by hand"),
    pytest.param("kms:ScheduleKeyDeletion", _arn("kms", "key/1"), {}, id="the key, by hand"),
    pytest.param("ec2:RunInstances", _arn("ec2", "instance/*"), {}, id="a host of its own"),
    pytest.param("ec2:TerminateInstances", _arn("ec2", "instance/i-0123456789abcdef0"), VIA, id="ending a host"),
    pytest.param("dynamodb:DeleteTable", _arn("dynamodb", "table/sample-pipeline-Ledger-1"), {}, id="the ledger, by hand"),
    pytest.param("dynamodb:PutItem", _arn("dynamodb", "table/sample-pipeline-Ledger-1"), VIA, id="what the ledger says"),
    pytest.param("codedeploy:CreateDeployment", _arn("codedeploy", "deploymentgroup:sample-environment-prod-D/sample-F"), {}, id="releasing to prod"),
    pytest.param("lambda:InvokeFunction", _arn("lambda", "function:sample-pipeline-Control-RollbackFunction-1"), {}, id="the rollback function"),
    pytest.param("lambda:UpdateFunctionCode", _arn("lambda", "function:sample-pipeline-Control-RollbackFunction-1"), {}, id="code, by hand"),
    pytest.param("codepipeline:UpdatePipeline", _arn("codepipeline", "other"), {}, id="another service's pipeline"),
    pytest.param("codepipeline:EnableStageTransition", _arn("codepipeline", "sample/OneBox"), {}, id="the door of prod, by hand"),
    pytest.param("codepipeline:EnableStageTransition", _arn("codepipeline", "other/OneBox"), VIA, id="another service's door"),
    pytest.param("secretsmanager:GetSecretValue", _arn("secretsmanager", "secret:sample-x"), VIA, id="a secret"),
    pytest.param("ssm:GetParameters", _arn("ssm", "parameter/other/gamma/app/X"), VIA, id="another service's configuration"),
    pytest.param("ssm:CreateAssociation", _arn("ssm", "document/AWS-RunShellScript"), VIA, id="a command on hosts"),
    pytest.param("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/sample-environment-gamma-R", {}, id="a role, by hand"),
    pytest.param("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/admin", VIA, id="a role of another name"),
    pytest.param("iam:PutRolePolicy", ROLE, VIA, id="giving itself more"),
    pytest.param("iam:CreatePolicyVersion", f"arn:aws:iam::{ACCOUNT}:policy/sample-deployer-NamedResources-1", VIA, id="changing its policies"),
    pytest.param("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/sample-x", VIA, id="a user"),
    pytest.param("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/admin", {"iam:PassedToService": "lambda.amazonaws.com"}, id="passing an administrator"),
    pytest.param("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/sample-environment-gamma-R", {"iam:PassedToService": "cloudformation.amazonaws.com"},
                 id="a service role for CloudFormation"),
    pytest.param("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/admin", {}, id="becoming an administrator"),
])
def test_it_may_not(action: str, resource: str, keys: dict[str, Any]) -> None:
    assert not _may(action, resource, keys)


@pytest.mark.parametrize("action", ["iam:AttachRolePolicy", "iam:CreateRole", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy"])
def test_with_a_boundary_no_role_is_given_anything_without_it(action: str) -> None:
    role, other = f"arn:aws:iam::{ACCOUNT}:role/sample-environment-gamma-R", f"arn:aws:iam::{ACCOUNT}:policy/other"
    assert _may(action, role, VIA)
    assert not _may(action, role, VIA, PermissionsBoundaryArn=BOUNDARY)
    assert not _may(action, role, {**VIA, "iam:PermissionsBoundary": other}, PermissionsBoundaryArn=BOUNDARY)
    assert _may(action, role, {**VIA, "iam:PermissionsBoundary": BOUNDARY}, PermissionsBoundaryArn=BOUNDARY)
    assert not _may("iam:DeleteRolePermissionsBoundary", role, VIA, PermissionsBoundaryArn=BOUNDARY)


def test_the_roots_hand_the_boundary_to_every_role() -> None:
    for path in (ROOT / "templates").glob("*/*.yaml"):
        for name, body in engine.parse(path.read_text(encoding="utf-8"))["Resources"].items():
            if body["Type"] == "AWS::IAM::Role":
                assert body["Properties"]["PermissionsBoundary"] == {
                    "Fn::If": ["HasPermissionsBoundary", {"Ref": "PermissionsBoundaryArn"}, {"Ref": "AWS::NoValue"}]}, f"{path.name}: {name}"


def test_who_may_assume_it() -> None:
    (statement,) = _resolved()["Deployer"]["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    assert "Bool" not in statement["Condition"]
    (statement,) = _resolved(TrustedPrincipalArns=SSO, TrustedAccountId="444455556666", RequireMfa="true")["Deployer"]["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"AWS": "arn:aws:iam::444455556666:root"}
    assert statement["Condition"] == {"ArnLike": {"aws:PrincipalArn": [SSO]}, "Bool": {"aws:MultiFactorAuthPresent": "true"}}


SSO = "arn:aws:iam::444455556666:role/aws-reserved/sso.amazonaws.com*/AWSReservedSSO_Deployers_*"


# Where Identity Center is in us-east-1 the path has no Region: https://docs.aws.amazon.com/singlesignon/latest/userguide/referencingpermissionsets.html
@pytest.mark.parametrize(("path", "name", "allowed"), [
    ("sso.amazonaws.com/eu-west-2", "Deployers", True),
    ("sso.amazonaws.com", "Deployers", True),
    ("sso.amazonaws.com", "Readers", False),
    ("sso.amazonaws.com/eu-west-2", "Readers", False),
])
def test_one_arn_is_the_identity_center_role_wherever_identity_center_is(path: str, name: str, allowed: bool) -> None:
    role = f"arn:aws:iam::444455556666:role/aws-reserved/{path}/AWSReservedSSO_{name}_0123456789abcdef"
    document = _resolved(TrustedPrincipalArns=SSO, TrustedAccountId="444455556666")["Deployer"]["AssumeRolePolicyDocument"]
    request = policies.Request(role, "444455556666", "sts:AssumeRole", ROLE, "us-east-1")
    assert policies.of_resource(request, document).allowed is allowed


@pytest.mark.parametrize("arn", ["*", SSO, "arn:aws:iam::444455556666:user/someone", "arn:aws-us-gov:iam::444455556666:role/Ops", "arn:aws:iam::*:role/Ops",
                                 "arn:aws:iam::444455556666:*", "arn:aws:iam::444455556666:r*", "arn:aws:iam::444455556666:user/*"])
def test_whom_it_can_trust(arn: str) -> None:
    assert _resolved(TrustedPrincipalArns=f"{SSO},{arn}")


@pytest.mark.parametrize("arn", ["arn:aws:sts::444455556666:assumed-role/Ops/me", "arn:aws:sts::444455556666:federated-user/me", "arn:aws:sts::*:*",
                                 "arn:aws:iam::444455556666:root", "arn:aws:iam::444455556666:group/Ops", "arn:aws:iam::444455556666:role/", "Ops", ""])
def test_whom_trusting_lets_nobody_in(arn: str) -> None:
    with pytest.raises(engine.TemplateError, match="TrustedPrincipalArns"):
        _resolved(TrustedPrincipalArns=f"{SSO},{arn}")


def _given() -> list[re.Pattern[str]]:
    actions = [action for statement in _statements() if statement["Effect"] == "Allow" for action in _list(statement["Action"])]
    return [re.compile(re.escape(action).replace(r"\*", ".*"), re.IGNORECASE) for action in actions]


def test_it_has_what_the_handlers_of_every_resource_type_ask_for() -> None:
    """AWS publishes with each resource type what its handlers call; what is left out has its reason in deployer_needs.py."""
    given, called = _given(), handler_permissions(ROOT / "templates")
    missing = [f"{action} for {', '.join(sorted(types))}" for action, types in sorted(needed(ROOT / "templates").items())
               if not any(pattern.fullmatch(action) for pattern in given)]
    used = {pattern for pattern in NOT_NEEDED for action in called if re.fullmatch(pattern, action)}
    assert not missing, "\n".join(missing)
    assert used == set(NOT_NEEDED), f"reasons for nothing: {set(NOT_NEEDED) - used}"
