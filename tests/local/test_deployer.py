"""The deployer end to end: what it lacks is said and taken back, what it was not given it cannot do, and with a boundary every role has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import projects
import pytest
from botocore.exceptions import ClientError
from projects import Project

from scripts.core.session import open_session

ROLE = "sample-deployer"
BOUNDARY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}]}


@pytest.fixture
def project(local_aws: Any, tmp_path: Path) -> Iterator[Project]:
    """A copy of the project and an empty account; what it deployed is destroyed afterwards."""
    account = projects.new_account()
    one = projects.copy(tmp_path / account, local_aws.environ, account)
    projects.in_one_region(one.root)
    projects.overlay(one.root, "gamma", {"CanaryRateMinutes": "0"})
    yield one
    assert one.run("destroy", "all").code == 0


def _policy_with(one: Project, action: str) -> tuple[str, dict[str, Any]]:
    """(ARN, document) of the deployer's managed policy that gives an action."""
    iam = one.client("iam")
    for attached in iam.list_attached_role_policies(RoleName=ROLE)["AttachedPolicies"]:
        version = iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=version)["PolicyVersion"]["Document"]
        if any(action in statement["Action"] for statement in document["Statement"]):
            return str(attached["PolicyArn"]), dict(document)
    raise AssertionError(f"{ROLE} has no {action}")


@pytest.mark.every
def test_an_action_that_it_lacks_is_named_and_everything_goes_back(project: Project) -> None:
    lacking = "codedeploy:CreateDeploymentGroup"
    assert project.run("destroy", "gamma").code == 0
    assert project.client("cloudformation").describe_stacks()["Stacks"] == [], "there was nothing to remove, and something was made for it"
    assert project.run("deployer", "gamma").code == 0
    iam = project.client("iam")
    arn, document = _policy_with(project, lacking)
    less = json.loads(json.dumps(document))
    for statement in less["Statement"]:
        statement["Action"] = [action for action in statement["Action"] if action != lacking]
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(less), SetAsDefault=True)

    failed = project.run("deploy", "gamma")

    assert failed.code == 1, failed.text
    assert f"caller arn:aws:sts::{project.account}:assumed-role/{ROLE}/" in failed.out
    assert "Deployment/FleetDeploymentGroup (AWS::CodeDeploy::DeploymentGroup) CREATE_FAILED" in failed.err
    assert f"assumed-role/{ROLE}/handsoff is not authorized to perform: {lacking}" in failed.err
    assert f"allow {lacking}" in failed.err
    assert project.stacks()["sample-environment-gamma"]["StackStatus"] == "ROLLBACK_COMPLETE"
    vpcs = project.client("ec2").describe_vpcs(Filters=[{"Name": "is-default", "Values": ["false"]}])["Vpcs"]
    assert vpcs == [], "what it had made was not taken back"

    iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(document), SetAsDefault=True)
    assert project.run("deploy", "gamma").code == 0


@pytest.mark.every
def test_what_cloudformation_may_do_for_it_it_may_not_do_itself(project: Project) -> None:
    assert project.run("deploy", "gamma").code == 0
    deployer = open_session(True, project.environ).assume(f"arn:aws:iam::{project.account}:role/{ROLE}", "us-east-1")
    stack = project.child("Deployment")
    group = next(one["PhysicalResourceId"] for one in project.client("cloudformation").list_stack_resources(StackName=stack["StackId"])[
        "StackResourceSummaries"] if one["LogicalResourceId"] == "FleetDeploymentGroup")
    application = project.stacks()["sample-environment-gamma"]["Outputs"]
    name = next(one["OutputValue"] for one in application if one["OutputKey"] == "ApplicationName")
    (bucket,) = (one["Name"] for one in project.client("s3").list_buckets()["Buckets"])
    for denied in (
        lambda: deployer.client("codedeploy", "us-east-1").delete_deployment_group(applicationName=name, deploymentGroupName=group),
        lambda: deployer.client("codedeploy", "us-east-1").create_deployment(applicationName=name, deploymentGroupName=group),
        lambda: deployer.client("s3", "us-east-1").delete_bucket(Bucket=bucket),
        lambda: deployer.client("iam", "us-east-1").put_role_policy(RoleName=ROLE, PolicyName="More", PolicyDocument=json.dumps(BOUNDARY)),
        lambda: deployer.client("ec2", "us-east-1").create_vpc(CidrBlock="10.99.0.0/16"),
    ):
        with pytest.raises(ClientError) as caught:
            denied()
        assert "is not authorized to perform" in str(caught.value)


@pytest.mark.every
def test_with_a_boundary_roles_without_it_are_refused_and_those_with_it_are_made(project: Project) -> None:
    boundary = project.client("iam").create_policy(PolicyName="workload", PolicyDocument=json.dumps(BOUNDARY))["Policy"]["Arn"]
    assert project.run("deployer", "gamma", "--boundary", boundary).code == 0
    refused = project.run("deploy", "gamma")
    assert refused.code == 1, refused.text
    assert "is not authorized to perform: iam:CreateRole" in refused.err
    projects.overlay(project.root, "gamma", {"PermissionsBoundaryArn": boundary})
    assert project.run("deploy", "gamma").code == 0
    roles = [one["RoleName"] for one in project.client("iam").list_roles()["Roles"] if one["RoleName"].startswith("sample-environment-")]
    assert len(roles) >= 4, roles
    for role in roles:
        assert project.client("iam").get_role(RoleName=role)["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary, role
