"""The policies of the templates against the authorization reference, and each check against a policy that it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.iam import policy_checks, reference, roles
from tests.iam.policy_checks import Finding, Wide

REVIEWED = yaml.safe_load((Path(__file__).parent / "reviewed.yaml").read_text())
WIDE = [Wide(one["role"], one["statement"], tuple(one["actions"]), one["reason"]) for one in REVIEWED["wide"]]
TRUST = {(one["role"], one["service"]): one["reason"] for one in REVIEWED["trust"]}
OTHER = {Finding(one["rule"], one["where"], one["what"]): one["reason"] for one in REVIEWED["other"]}
BUCKET = "arn:aws:s3:::a-bucket"


def _found() -> set[Finding]:
    """Everything that the checks say of the statements, in every variation."""
    found: dict[tuple[str, bool, str], dict[str, Any]] = {}
    for variation in roles.VARIATIONS:
        world = roles.resolve(variation)
        for declared, of_resource, body in [*((role.declared, False, body) for role in world.roles for _, _, body in role.statements()),
                                            *((one.declared, True, body) for one in world.resource_policies for body in one.document["Statement"])]:
            found[declared, of_resource, re.sub(r"\d{12}", "", json.dumps(body))] = body
    return {finding for (declared, of_resource, _), body in found.items() for finding in policy_checks.statement(declared, body, of_resource)}


def test_no_statement_is_wrong() -> None:
    found = _found()
    assert found - OTHER.keys() == set()
    assert OTHER.keys() - found == set(), "reviewed.yaml has more than is needed"


@pytest.mark.parametrize("value", ["services", "false"])
def test_no_statement_of_the_deployer_is_wrong_whichever_way_it_reaches_what_stacks_hold(value: str) -> None:
    (role,) = [role for role in roles.with_deployer(roles.resolve(), ThroughCloudFormationOnly=value).roles if role.root == "deployer"]
    statements = [body for _, _, body in role.statements()]
    assert {finding for body in statements for finding in policy_checks.statement(role.declared, body, False)} - OTHER.keys() == set()
    assert any("aws:ViaAWSService" in str(body) for body in statements) is (value == "services")


def test_what_is_wide_was_looked_at() -> None:
    found = {entry for variation in roles.VARIATIONS for role in roles.resolve(variation).roles for _, _, body in role.statements()
             for entry in policy_checks.wide(role.declared, body)}
    assert list(policy_checks.unreviewed(found, WIDE)) == []


def test_services_are_let_in_for_this_account_only() -> None:
    found = {finding for variation in roles.VARIATIONS for role in roles.resolve(variation).roles
             for finding in policy_checks.trust(role.declared, role.trust, REVIEWED["documented"], TRUST)}
    assert found == set()
    bare = {(finding.where, finding.what) for variation in roles.VARIATIONS for role in roles.resolve(variation).roles
            for finding in policy_checks.trust(role.declared, role.trust, REVIEWED["documented"], {})}
    assert bare == TRUST.keys(), "reviewed.yaml excepts what needs no exception"


def test_everything_reviewed_has_a_reason_and_a_source() -> None:
    entries = [*REVIEWED["wide"], *REVIEWED["trust"], *REVIEWED["other"]]
    assert all(one["reason"].strip() and one["source"].startswith("https://") for one in entries)


def _statement(action: Any, resource: Any = "*", condition: Any = None, **more: Any) -> dict[str, Any]:
    return {"Sid": "S", "Effect": "Allow", "Action": action, "Resource": resource, **({"Condition": condition} if condition else {}), **more}


BAD: dict[str, tuple[str, dict[str, Any], bool]] = {
    "an action that there is not": ("unknown-action", _statement("s3:GetObjects", f"{BUCKET}/*"), False),
    "a service that there is not": ("unknown-action", _statement("s4:GetObject", f"{BUCKET}/*"), False),
    "an action with the wrong service's name": ("unknown-action", _statement("elbv2:RegisterTargets"), False),
    "a wildcard for nothing": ("action-matches-nothing", _statement("codedeploy:Fetch*"), False),
    "objects of a bucket that is named without them": ("action-takes-other-resources", _statement("s3:GetObject", BUCKET), False),
    "a bucket's action on its objects": ("action-takes-other-resources", _statement("s3:ListBucket", f"{BUCKET}/*"), False),
    "a role's ARN for a key": ("action-takes-other-resources", _statement("kms:Decrypt", "arn:aws:iam::111122223333:role/r"), False),
    "a deployment group where the application is asked": (
        "action-takes-other-resources", _statement("codedeploy:GetApplication", "arn:aws:codedeploy:us-east-1:111122223333:deploymentgroup:a/b"), False),
    "a resource for an action that takes none": ("action-takes-no-resource", _statement("ecr:GetAuthorizationToken",
                                                 "arn:aws:ecr:us-east-1:111122223333:repository/r"), False),
    "a resource that no action of the statement takes": ("resource-of-no-action", _statement("s3:GetObject", [f"{BUCKET}/*", BUCKET]), False),
    "a condition that the action never meets": ("condition-key-not-taken", _statement("s3:GetObject", f"{BUCKET}/*", {
        "StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}), False),
    "a condition that only some actions meet": ("condition-key-not-taken", _statement(["ec2:CreateTags", "ec2:RunInstances"], "*", {
        "StringEquals": {"ec2:CreateAction": "RunInstances"}}), False),
    "a global condition key that there is not": ("unknown-condition-key", _statement("s3:GetObject", f"{BUCKET}/*", {
        "StringEquals": {"aws:SourceAcount": "111122223333"}}), False),
    "all but some actions": ("allows-all-but", {"Sid": "S", "Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}, False),
    "all but some resources": ("allows-all-but", {"Sid": "S", "Effect": "Allow", "Action": "s3:GetObject", "NotResource": f"{BUCKET}/*"}, False),
    "a role passed to whichever service": ("passes-to-any-service", _statement("iam:PassRole", "arn:aws:iam::111122223333:role/r"), False),
    "a role passed by way of a wildcard": ("passes-to-any-service", _statement("iam:Pass*", "arn:aws:iam::111122223333:role/r"), False),
    "everybody": ("allows-everybody", _statement("s3:GetObject", f"{BUCKET}/*", Principal="*"), True),
    "everybody, the long way": ("allows-everybody", _statement("s3:GetObject", f"{BUCKET}/*", Principal={"AWS": "*"}), True),
    "no Sid": ("statement-without-sid", {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{BUCKET}/*"}, False),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_statement_is_refused(name: str) -> None:
    rule, body, of_resource = BAD[name]
    assert rule in {finding.rule for finding in policy_checks.statement("role", body, of_resource)}


GOOD: dict[str, tuple[dict[str, Any], bool]] = {
    "a bucket and its objects, each for its action": (_statement(["s3:ListBucket", "s3:GetObject"], [BUCKET, f"{BUCKET}/*"]), False),
    "a log group as GetAtt gives it": (_statement(["logs:CreateLogStream", "logs:PutLogEvents"],
                                                  "arn:aws:logs:us-east-1:111122223333:log-group:/aws/lambda/f:*"), False),
    "a role passed to one service": (_statement("iam:PassRole", "arn:aws:iam::111122223333:role/r", {
        "StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}), False),
    "a tag of the resource": (_statement("ec2:TerminateInstances", "arn:aws:ec2:us-east-1:111122223333:instance/*", {
        "StringEquals": {"aws:ResourceTag/service": "sample", "ec2:ResourceTag/service": "sample"}}), False),
    "an action in another case": (_statement("S3:getobject", f"{BUCKET}/*"), False),
    "a key policy": (_statement("kms:*", Principal={"AWS": "arn:aws:iam::111122223333:root"}), True),
    "a repository policy, which has no Resource": ({"Sid": "S", "Effect": "Allow", "Action": "ecr:BatchGetImage", "Principal": {"AWS": "1"}}, True),
    "everybody, with a condition": (_statement("s3:GetObject", f"{BUCKET}/*", {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}, Principal="*"), True),
    "a denial of all but one": ({"Sid": "S", "Effect": "Deny", "Action": "ssm:GetParameter",
                                 "NotResource": "arn:aws:ssm:us-east-1:111122223333:parameter/a/*"}, False),
    "a stage of a pipeline": (_statement("codepipeline:EnableStageTransition", "arn:aws:codepipeline:us-east-1:111122223333:sample/Gamma"), False),
    "many buckets by a wildcard": (_statement("s3:GetObject", "arn:aws:s3:::sample-*"), False),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_statement_is_let_be(name: str) -> None:
    assert list(policy_checks.statement("role", *GOOD[name])) == []


def test_wide_entries_are_found_exactly() -> None:
    body = _statement(["dynamodb:PutItem", "ecr:GetAuthorizationToken"])
    assert list(policy_checks.wide("role", body)) == [("role", "S", "dynamodb:PutItem")]
    assert list(policy_checks.wide("role", {**body, "Effect": "Deny"})) == []
    reviewed = Wide("role", "S", ("dynamodb:PutItem",), "because")
    assert list(policy_checks.unreviewed([("role", "S", "dynamodb:PutItem")], [reviewed])) == []
    assert [one.rule for one in policy_checks.unreviewed([("role", "S", "dynamodb:PutItem")], [])] == ["wide-resource"]
    assert [one.rule for one in policy_checks.unreviewed([], [reviewed])] == ["reviewed-for-nothing"]
    assert [one.rule for one in policy_checks.unreviewed([("r", "S", "a")], [Wide("r", "S", ("a",), " ")])] == ["no-reason"]


def _trust(principal: Any, condition: Any = None) -> list[str]:
    body = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **({"Condition": condition} if condition else {})}
    return [one.rule for one in policy_checks.trust("role", {"Statement": [body]}, REVIEWED["documented"], {})]


def test_trust_policies_that_are_refused() -> None:
    assert _trust({"Service": "codebuild.amazonaws.com"}) == ["confused-deputy"]
    assert _trust({"Service": ["ec2.amazonaws.com", "codedeploy.amazonaws.com"]}) == ["confused-deputy"]
    assert _trust({"Service": "codebuild.amazonaws.com"}, {"StringEqualsIfExists": {"aws:SourceAccount": "1"}}) == ["confused-deputy"]
    assert _trust("*") == ["trusts-everybody"]
    assert _trust({"AWS": "*"}) == ["trusts-everybody"]
    assert _trust({"AWS": "arn:aws:iam::111122223333:root"}) == ["trusts-a-whole-account"]


def test_trust_policies_that_are_good() -> None:
    assert _trust({"Service": "codebuild.amazonaws.com"}, {"StringEquals": {"aws:SourceAccount": "111122223333"}}) == []
    assert _trust({"Service": "codepipeline.amazonaws.com"}, {"ArnLike": {"AWS:SourceArn": "arn:aws:codepipeline:*:111122223333:*"}}) == []
    assert _trust({"Service": "ec2.amazonaws.com"}) == []
    assert _trust({"AWS": "arn:aws:iam::111122223333:root"}, {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/r*"}}) == []


def test_patterns_overlap() -> None:
    assert reference.overlap("a*c", "ab*") and reference.overlap("*", "x") and reference.overlap("a?", "ab")
    assert not reference.overlap("a*c", "b*") and not reference.overlap("a?", "abc") and not reference.overlap("ab", "ac")
