"""What IAM is asked about requests that a service makes in its caller's name, and about those that deploys make."""

from __future__ import annotations

from typing import Any

import pytest

from localaws import forwarding

REGION, ACCOUNT = "us-east-1", "000000000000"
EC2 = f"arn:aws:ec2:{REGION}:{ACCOUNT}:"


def test_the_ends_of_the_chain_and_nothing_without_one() -> None:
    found = forwarding.keys(("cloudformation.amazonaws.com", "lambda.amazonaws.com"))
    assert found["aws:calledvia"] == ["cloudformation.amazonaws.com", "lambda.amazonaws.com"]
    assert (found["aws:calledviafirst"], found["aws:calledvialast"]) == ("cloudformation.amazonaws.com", "lambda.amazonaws.com")
    assert forwarding.keys(()) == {}


@pytest.mark.parametrize(("action", "given", "boundary", "keys"), [
    ("CreateRole", {"PermissionsBoundary": ["b"]}, None, {"iam:permissionsboundary": "b"}),
    ("PutRolePolicy", {}, "its own", {"iam:permissionsboundary": "its own"}),
    ("PutRolePermissionsBoundary", {"PermissionsBoundary": ["new"]}, "old", {"iam:permissionsboundary": "new"}),
    ("AttachRolePolicy", {"PolicyArn": ["p"]}, None, {"iam:policyarn": "p"}),
    ("CreateServiceLinkedRole", {"AWSServiceName": ["autoscaling.amazonaws.com"]}, None, {"iam:awsservicename": "autoscaling.amazonaws.com"}),
    ("GetRole", {}, "b", {}),
    ("CreateRole", {}, None, {}),
])
def test_iams_own_keys(action: str, given: dict[str, Any], boundary: str | None, keys: dict[str, str]) -> None:
    assert forwarding.iam_keys(action, given, boundary) == keys


@pytest.mark.parametrize(("service", "action", "given", "found", "expected"), [
    ("iam", "AddRoleToInstanceProfile", {"InstanceProfileName": ["p"], "RoleName": ["r"]}, "arn:role", f"arn:aws:iam::{ACCOUNT}:instance-profile/p"),
    ("iam", "CreateRole", {"RoleName": ["r"]}, "arn:role", "arn:role"),
    ("iam", "ListInstanceProfilesForRole", {"RoleName": ["r"]}, "arn:role", "arn:role"),
    ("ec2", "CreateVpc", {"CidrBlock": ["10.0.0.0/16"]}, "*", f"{EC2}vpc/*"),
    ("ec2", "DeleteNatGateway", {"NatGatewayId": ["nat-0123456789abcdef0"]}, "*", f"{EC2}natgateway/nat-0123456789abcdef0"),
    ("ec2", "DescribeVpcs", {"VpcId.1": ["vpc-0123456789abcdef0"]}, "*", "*"),
    ("ec2", "CreateSubnet", {}, f"{EC2}vpc/vpc-1", f"{EC2}vpc/vpc-1"),
    ("sns", "TagResource", {"ResourceArn": ["arn:aws:sns:us-east-1:0:topic"]}, "*", "arn:aws:sns:us-east-1:0:topic"),
    ("sns", "Unsubscribe", {"SubscriptionArn": ["arn:aws:sns:us-east-1:0:topic:1"]}, "*", "arn:aws:sns:us-east-1:0:topic"),
    ("sns", "ListTopics", {}, "*", "*"),
])
def test_arns_of_query_services(service: str, action: str, given: dict[str, Any], found: str, expected: str) -> None:
    assert forwarding.arn(service, action, given, found, REGION, ACCOUNT) == expected


@pytest.mark.parametrize(("operation", "given", "expected"), [
    ("PutTargets", {"Rule": "r", "EventBusName": "default"}, "rule/r"),
    ("PutRule", {"Name": "r"}, "rule/r"),
    ("PutRule", {"Name": "r", "EventBusName": "own"}, "rule/own/r"),
    ("DescribeEventBus", {}, "event-bus/default"),
])
def test_arns_of_eventbridge(operation: str, given: dict[str, Any], expected: str) -> None:
    assert forwarding.rule(operation, given, "*", REGION, ACCOUNT) == f"arn:aws:events:{REGION}:{ACCOUNT}:{expected}"


def test_eventbridge_without_a_rule_and_by_arn() -> None:
    assert forwarding.rule("ListRules", {}, "*", REGION, ACCOUNT) == "*"
    assert forwarding.rule("TagResource", {"ResourceARN": "arn:x"}, "*", REGION, ACCOUNT) == "arn:x"


def test_associations_are_asked_about_by_id_or_by_their_document() -> None:
    assert forwarding.association({"AssociationId": "1"}, REGION, ACCOUNT).endswith(f":{ACCOUNT}:association/1")
    assert forwarding.association({"Name": "AWS-ConfigureAWSPackage"}, REGION, ACCOUNT) == f"arn:aws:ssm:{REGION}::document/AWS-ConfigureAWSPackage"
    assert forwarding.association({"Name": "own"}, REGION, ACCOUNT) == f"arn:aws:ssm:{REGION}:{ACCOUNT}:document/own"


def test_tags() -> None:
    assert forwarding.tagged({"resourceArn": "arn:x", "tags": []}, "*") == "arn:x"
    assert forwarding.tagged({}, "*") == "*"
    assert forwarding.tagged_by_id({"ResourceType": "Parameter", "ResourceId": "/a/b"}, "*", REGION, ACCOUNT).endswith(":parameter/a/b")
    assert forwarding.tagged_by_id({"ResourceType": "Document", "ResourceId": "d"}, "*", REGION, ACCOUNT) == "*"
