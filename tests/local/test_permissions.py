"""One action taken away from one role at a time: the release fails where AWS would refuse it, and says which role lacks what."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import disturb
import pytest
import shipping

from scripts import demo
from scripts.demonstration import environments

_SECONDS = 150.0
_EVERY = pytest.mark.every


def _stack_of(delivery: demo.Demonstration, environment: str, *path: str, region: str | None = None) -> str:
    """Return the physical id of a resource of a nested stack, by logical ids from the root down."""
    cloudformation = delivery.aws.client("cloudformation", region or delivery.region)
    identity = delivery.settings[environment].stack_name
    for logical in path:
        identity = cloudformation.describe_stack_resource(StackName=identity, LogicalResourceId=logical)["StackResourceDetail"]["PhysicalResourceId"]
    return str(identity)


@dataclass(frozen=True)
class Role:
    """A deployed role and its one inline policy."""

    iam: Any
    name: str

    @contextlib.contextmanager
    def without(self, *actions: str) -> Iterator[None]:
        """Take actions out of the inline policy, and put the policy back as it was."""
        (policy,) = self.iam.list_role_policies(RoleName=self.name)["PolicyNames"]
        before = self.iam.get_role_policy(RoleName=self.name, PolicyName=policy)["PolicyDocument"]
        after = json.loads(json.dumps(before))
        taken = set()
        for statement in after["Statement"]:
            given = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            if statement["Effect"] == "Allow":
                taken |= set(given) & set(actions)
                # A statement needs an action: this one does nothing here.
                statement["Action"] = [one for one in given if one not in actions] or ["iam:ListAccountAliases"]
        assert taken == set(actions), f"the policy of {self.name} does not give {set(actions) - taken}"
        self.iam.put_role_policy(RoleName=self.name, PolicyName=policy, PolicyDocument=json.dumps(after))
        try:
            yield
        finally:
            self.iam.put_role_policy(RoleName=self.name, PolicyName=policy, PolicyDocument=json.dumps(before))


def _role(delivery: demo.Demonstration, environment: str, *path: str, region: str | None = None) -> Role:
    return Role(delivery.aws.client("iam", delivery.region), _stack_of(delivery, environment, *path, region=region))


def _says(message: str, role: Role, action: str) -> None:
    """The message an operator sees names the role and the action, and says that it was refused."""
    assert f"assumed-role/{role.name}/" in message, message
    assert f"is not authorized to perform: {action}" in message, message


# --- the pipeline's role ----------------------------------------------------------------------------------------------


def _wait_action(delivery: demo.Demonstration, execution: str, stage: str, status: str, after: int = 0) -> dict[str, Any]:
    """Return the newest run of the stage's first action in an execution once it has `status` and is at least the `after`+1st attempt."""
    client = delivery.aws.client("codepipeline", delivery.region)
    end = time.monotonic() + _SECONDS
    found: list[dict[str, Any]] = []
    while time.monotonic() < end:
        found = [one for one in client.list_action_executions(
            pipelineName=delivery.pipeline.name, filter={"pipelineExecutionId": execution})["actionExecutionDetails"]
            if one["stageName"] == stage and one["actionName"] in (stage, "Deploy1")]
        if len(found) > after and found[0]["status"] == status:
            return found[0]
        assert not found or len(found) <= after or found[0]["status"] in ("InProgress", status), found[0]
        time.sleep(0.3)
    raise AssertionError(f"{stage} of {execution} did not become {status} within {_SECONDS:g} s: {found}")


def _reason(action: dict[str, Any]) -> str:
    error = action["output"]["executionResult"]["errorDetails"]
    return f"{error['code']}: {error['message']}"


def _start(delivery: demo.Demonstration) -> str:
    return str(delivery.aws.client("codepipeline", delivery.region).start_pipeline_execution(name=delivery.pipeline.name)["pipelineExecutionId"])


@pytest.fixture(scope="module")
def pipeline_role(delivery: demo.Demonstration) -> Role:
    """What CodePipeline works as."""
    return _role(delivery, "pipeline", "Access", "PipelineRole")


_USE = ("codeconnections:UseConnection", "codestar-connections:UseConnection")


@pytest.mark.parametrize(("taken", "stage"), [
    pytest.param(_USE, "Source", id="codeconnections:UseConnection"),
    pytest.param(("s3:PutObject",), "Source", id="s3:PutObject", marks=_EVERY),
    pytest.param(("s3:PutObjectAcl",), "Source", id="s3:PutObjectAcl", marks=_EVERY),
    pytest.param(("kms:GenerateDataKey",), "Source", id="kms:GenerateDataKey", marks=_EVERY),
    pytest.param(("codebuild:StartBuild",), "Build", id="codebuild:StartBuild", marks=_EVERY),
    pytest.param(("codebuild:BatchGetBuilds",), "Build", id="codebuild:BatchGetBuilds", marks=_EVERY),
])
def test_without_it_the_pipeline_stops_before_a_release_is_built(
        delivery: demo.Demonstration, pipeline_role: Role, taken: tuple[str, ...], stage: str) -> None:
    with pipeline_role.without(*taken):
        failed = _wait_action(delivery, _start(delivery), stage, "Failed")
    _says(_reason(failed), pipeline_role, taken[0])


@pytest.fixture(scope="module")
def deploy_roles(delivery: demo.Demonstration) -> list[Role]:
    """What the pipeline's deploy actions work as, in each Region of gamma."""
    return [_role(delivery, "gamma", "Control", "DeployRole", region=place.region) for place in delivery.places_of("gamma")]


@contextlib.contextmanager
def _all_without(roles: list[Role], action: str) -> Iterator[None]:
    with contextlib.ExitStack() as taken:
        for role in roles:
            taken.enter_context(role.without(action))
        yield


@dataclass(frozen=True)
class Undeployed:
    """A release that was built and then refused by Gamma: no host has seen it."""

    execution: str
    commit: str
    revision: dict[str, Any]


@pytest.fixture(scope="module")
def undeployed(delivery: demo.Demonstration, deploy_roles: list[Role]) -> Undeployed:
    """A new release that stops at Gamma for want of a permission."""
    delivery.repository.write("app/release-note.txt", f"not deployed by its pipeline {time.time()}\n")
    with _all_without(deploy_roles, "codedeploy:CreateDeployment"):
        commit = delivery.repository.push("Built, and not allowed to deploy")
        execution = delivery.pipeline.execution_of(commit, 60)
        failed = _wait_action(delivery, execution, "Gamma", "Failed")
    _says(_reason(failed), deploy_roles[0], "codedeploy:CreateDeployment")
    (bundle,) = failed["input"]["inputArtifacts"]
    bucket, key = bundle["s3location"]["bucket"], bundle["s3location"]["key"]
    found = delivery.aws.client("s3", delivery.region).head_object(Bucket=bucket, Key=key)
    # With its version, as CodePipeline deploys it.
    return Undeployed(execution, commit, {"revisionType": "S3", "s3Location": {
        "bucket": bucket, "key": key, "bundleType": "zip", "eTag": found["ETag"].strip('"'), "version": found["VersionId"]}})


@_EVERY
@pytest.mark.parametrize("taken", ["s3:GetObject*", "codedeploy:CreateDeployment", "codedeploy:GetDeploymentConfig",
                                   "codedeploy:RegisterApplicationRevision"])
def test_without_it_the_pipeline_cannot_deploy(delivery: demo.Demonstration, deploy_roles: list[Role], undeployed: Undeployed, taken: str) -> None:
    client = delivery.aws.client("codepipeline", delivery.region)
    before = len([one for one in client.list_action_executions(
        pipelineName=delivery.pipeline.name, filter={"pipelineExecutionId": undeployed.execution})["actionExecutionDetails"]
        if (one["stageName"], one["actionName"]) == ("Gamma", "Deploy1")])
    with _all_without(deploy_roles, taken):
        client.retry_stage_execution(pipelineName=delivery.pipeline.name, stageName="Gamma",
                                     pipelineExecutionId=undeployed.execution, retryMode="FAILED_ACTIONS")
        failed = _wait_action(delivery, undeployed.execution, "Gamma", "Failed", after=before)
    _says(_reason(failed), deploy_roles[0], taken.rstrip("*"))


# --- the build's role -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def build_role(delivery: demo.Demonstration) -> Role:
    """What CodeBuild works as."""
    return _role(delivery, "pipeline", "Build", "BuildRole")


@pytest.mark.parametrize(("taken", "phase", "told_by"), [
    pytest.param("logs:CreateLogStream", "QUEUED", "phase", id="logs:CreateLogStream"),
    pytest.param("s3:GetObject", "DOWNLOAD_SOURCE", "phase", id="s3:GetObject", marks=_EVERY),
    pytest.param("kms:Decrypt", "DOWNLOAD_SOURCE", "phase", id="kms:Decrypt", marks=_EVERY),
    pytest.param("ecr:GetAuthorizationToken", "PRE_BUILD", "log", id="ecr:GetAuthorizationToken", marks=_EVERY),
    pytest.param("ecr:InitiateLayerUpload", "POST_BUILD", "log", id="ecr:InitiateLayerUpload", marks=_EVERY),
    pytest.param("ecr:UploadLayerPart", "POST_BUILD", "log", id="ecr:UploadLayerPart", marks=_EVERY),
    pytest.param("ecr:CompleteLayerUpload", "POST_BUILD", "log", id="ecr:CompleteLayerUpload", marks=_EVERY),
    pytest.param("ecr:PutImage", "POST_BUILD", "log", id="ecr:PutImage", marks=_EVERY),
    pytest.param("ecr:DescribeImages", "BUILD", "log", id="ecr:DescribeImages", marks=_EVERY),
    pytest.param("s3:PutObject", "UPLOAD_ARTIFACTS", "phase", id="s3:PutObject", marks=_EVERY),
    pytest.param("kms:GenerateDataKey", "UPLOAD_ARTIFACTS", "phase", id="kms:GenerateDataKey", marks=_EVERY),
])
def test_without_it_the_build_fails(delivery: demo.Demonstration, build_role: Role, taken: str, phase: str, told_by: str) -> None:
    # Content of its own: layers that the registry has already are not pushed again.
    delivery.repository.write("app/release-note.txt", f"without {taken} {time.time()}\n")
    with build_role.without(taken):
        commit = delivery.repository.push(f"Build without {taken}")
        execution = delivery.pipeline.execution_of(commit, 60)
        failed = _wait_action(delivery, execution, "Build", "Failed")
    reason = _reason(failed)
    assert f"Phase: {phase}," in reason, reason
    if told_by == "phase":
        _says(reason, build_role, taken)
        return
    build = failed["output"]["executionResult"]["externalExecutionId"]
    _says(_log(delivery, build), build_role, taken)


@_EVERY
def test_without_layer_checks_the_push_fails_in_dockers_own_words(delivery: demo.Demonstration, build_role: Role) -> None:
    """Docker asks for layers by HEAD, whose refusal has no body: on AWS, too, it names neither role nor action."""
    delivery.repository.write("app/release-note.txt", f"without layer checks {time.time()}\n")
    with build_role.without("ecr:BatchCheckLayerAvailability"):
        commit = delivery.repository.push("Build without ecr:BatchCheckLayerAvailability")
        failed = _wait_action(delivery, delivery.pipeline.execution_of(commit, 60), "Build", "Failed")
    assert "Phase: POST_BUILD," in _reason(failed)
    assert "error parsing HTTP 403 response body" in _log(delivery, failed["output"]["executionResult"]["externalExecutionId"])


def _log(delivery: demo.Demonstration, build: str) -> str:
    """What a build printed, as an operator reads it in CloudWatch Logs."""
    (one,) = delivery.aws.client("codebuild", delivery.region).batch_get_builds(ids=[build])["builds"]
    pages = delivery.aws.client("logs", delivery.region).get_paginator("filter_log_events").paginate(
        logGroupName=one["logs"]["groupName"], logStreamNames=[one["logs"]["streamName"]])
    return "".join(event["message"] for page in pages for event in page["events"])


# --- CodeDeploy's role and the hosts' ---------------------------------------------------------------------------------


def _gamma(delivery: demo.Demonstration) -> environments.Place:
    return next(place for place in delivery.places if place.environment == "gamma")


def _deploy(delivery: demo.Demonstration, revision: dict[str, Any], **options: Any) -> str:
    """Deploy to gamma's fleet as a person does, without rollback: what a missing permission does is to be seen alone."""
    place = _gamma(delivery)
    return str(delivery.aws.client("codedeploy", place.region).create_deployment(
        applicationName=place.application, deploymentGroupName=place.groups["fleet"], revision=revision,
        autoRollbackConfiguration={"enabled": False}, **options)["deploymentId"])


def _ended(delivery: demo.Demonstration, deployment: str) -> dict[str, Any]:
    client = delivery.aws.client("codedeploy", delivery.region)
    end = time.monotonic() + _SECONDS
    info: dict[str, Any] = {}
    while time.monotonic() < end:
        info = client.get_deployment(deploymentId=deployment)["deploymentInfo"]
        if info["status"] in ("Succeeded", "Failed", "Stopped"):
            return info
        time.sleep(0.3)
    raise AssertionError(f"{deployment} did not end within {_SECONDS:g} s: {info}")


def _failed_event(delivery: demo.Demonstration, deployment: str) -> dict[str, Any]:
    """Return the lifecycle event that failed, of the one host that was touched."""
    client = delivery.aws.client("codedeploy", delivery.region)
    targets = client.batch_get_deployment_targets(deploymentId=deployment, targetIds=client.list_deployment_targets(
        deploymentId=deployment)["targetIds"])["deploymentTargets"]
    failed = [event for target in targets for event in target["instanceTarget"]["lifecycleEvents"] if event["status"] == "Failed"]
    assert len(failed) == 1, targets
    return dict(failed[0])


@pytest.fixture(scope="module")
def calm(delivery: demo.Demonstration) -> Iterator[None]:
    """Afterwards gamma's hosts run, and are served by, the release that they had: one host after the other, or customers and alarms would see it."""
    place = _gamma(delivery)
    group = delivery.aws.client("codedeploy", place.region).get_deployment_group(
        applicationName=place.application, deploymentGroupName=place.groups["fleet"])["deploymentGroupInfo"]
    before = delivery.commits(place, "fleet")
    yield
    _at_rest(delivery)
    info = _ended(delivery, _deploy(delivery, group["targetRevision"], deploymentConfigName="CodeDeployDefault.OneAtATime"))
    assert info["status"] == "Succeeded", info
    assert delivery.commits(place, "fleet") == before


@pytest.fixture
def at_rest(delivery: demo.Demonstration) -> None:
    """Nothing goes on in gamma: a deployment that failed is a reason to go back for the reconciler, which stops what else is deployed meanwhile."""
    _at_rest(delivery)


def _at_rest(delivery: demo.Demonstration) -> None:
    place = _gamma(delivery)
    client = delivery.aws.client("codedeploy", place.region)

    def quiet() -> bool:
        going_on = client.list_deployments(applicationName=place.application, deploymentGroupName=place.groups["fleet"],
                                           includeOnlyStatuses=["Created", "Queued", "InProgress"])["deployments"]
        return not going_on and not delivery.control.record("gamma").get("rollback")

    shipping.until("gamma at rest", quiet, 900, 1)


@pytest.fixture(scope="module")
def deployment_role(delivery: demo.Demonstration) -> Role:
    """What CodeDeploy works as in gamma."""
    return _role(delivery, "gamma", "Deployment", "DeploymentRole")


@pytest.mark.parametrize(("taken", "code"), [
    pytest.param("cloudwatch:DescribeAlarms", "IAM_ROLE_PERMISSIONS", id="cloudwatch:DescribeAlarms"),
    pytest.param("autoscaling:DescribeAutoScalingGroups", "AUTO_SCALING_IAM_ROLE_PERMISSIONS", id="autoscaling:DescribeAutoScalingGroups",
                 marks=_EVERY),
    pytest.param("ec2:DescribeInstances", "IAM_ROLE_PERMISSIONS", id="ec2:DescribeInstances", marks=_EVERY),
    pytest.param("elasticloadbalancing:DescribeTargetGroups", "IAM_ROLE_PERMISSIONS", id="elasticloadbalancing:DescribeTargetGroups",
                 marks=_EVERY),
    pytest.param("elasticloadbalancing:DescribeTargetHealth", "IAM_ROLE_PERMISSIONS", id="elasticloadbalancing:DescribeTargetHealth",
                 marks=_EVERY),
    pytest.param("elasticloadbalancing:DeregisterTargets", "IAM_ROLE_PERMISSIONS", id="elasticloadbalancing:DeregisterTargets", marks=_EVERY),
    pytest.param("elasticloadbalancing:RegisterTargets", "IAM_ROLE_PERMISSIONS", id="elasticloadbalancing:RegisterTargets", marks=_EVERY),
])
@pytest.mark.usefixtures("calm", "at_rest")
def test_without_it_codedeploy_fails_the_deployment(delivery: demo.Demonstration, deployment_role: Role, taken: str, code: str) -> None:
    place = _gamma(delivery)
    last = delivery.aws.client("codedeploy", place.region).get_deployment_group(
        applicationName=place.application, deploymentGroupName=place.groups["fleet"])["deploymentGroupInfo"]["targetRevision"]
    with deployment_role.without(taken):
        info = _ended(delivery, _deploy(delivery, last))
    assert (info["status"], info["errorInformation"]["code"]) == ("Failed", code)
    _says(info["errorInformation"]["message"], deployment_role, taken)


@pytest.fixture(scope="module")
def host_role(delivery: demo.Demonstration) -> Role:
    """What gamma's hosts work as."""
    return _role(delivery, "gamma", "Fleet", "HostRole")


@pytest.mark.parametrize(("taken", "event"), [
    pytest.param("s3:GetObjectVersion", "DownloadBundle", id="s3:GetObjectVersion", marks=_EVERY),
    pytest.param("kms:Decrypt", "DownloadBundle", id="kms:Decrypt", marks=_EVERY),
    pytest.param("ecr:GetAuthorizationToken", "BeforeInstall", id="ecr:GetAuthorizationToken", marks=_EVERY),
    pytest.param("ecr:BatchGetImage", "BeforeInstall", id="ecr:BatchGetImage", marks=_EVERY),
    pytest.param("ecr:GetDownloadUrlForLayer", "BeforeInstall", id="ecr:GetDownloadUrlForLayer", marks=_EVERY),
    pytest.param("ssm:GetParametersByPath", "AfterInstall", id="ssm:GetParametersByPath", marks=_EVERY),
])
@pytest.mark.usefixtures("calm", "at_rest")
def test_without_it_the_first_host_fails(
        delivery: demo.Demonstration, host_role: Role, undeployed: Undeployed, taken: str, event: str) -> None:
    # The reconciler stops whatever else than the good release is deployed: this one's execution failed.
    with disturb.rules_off(delivery, schedule_too=True), host_role.without(taken):
        deployment = _deploy(delivery, undeployed.revision)
        info = _ended(delivery, deployment)
    assert info["status"] == "Failed"
    failed = _failed_event(delivery, deployment)
    assert failed["lifecycleEventName"] == event
    _says(failed["diagnostics"]["message"] + failed["diagnostics"]["logTail"], host_role, taken)
    assert undeployed.commit not in delivery.commits(_gamma(delivery), "fleet")
