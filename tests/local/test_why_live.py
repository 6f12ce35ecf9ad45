"""`why` on a whole environment: faults made to happen with AWS's own calls, each named first within its budget of calls."""

from __future__ import annotations

import io
import json
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import disturb
import pytest
import shipping

from scripts import demo, why
from scripts.core import world
from scripts.core.clock import RealClock
from scripts.core.console import Console
from scripts.core.session import open_session
from scripts.demonstration.environments import Place
from scripts.diagnosis import answer, builds, collect
from scripts.diagnosis.calls import Calls
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import judge

pytestmark = pytest.mark.every
WEST = "us-west-2"
MOST_CALLS = 40
"""For what is named; without an id there may be more to look into than one failure, and collect.MOST_CALLS bounds that."""


def ask(delivery: demo.Demonstration, environment: str, *options: str) -> dict[str, Any]:
    """`make why ENV=<environment> JSON=1 …`, with what it cost."""
    out, err = io.StringIO(), io.StringIO()
    here = world.World(delivery.here.root, delivery.here.environ, Console(out, err, live=False), RealClock(), open_session)
    began = time.monotonic()
    code = why.main(["--env", environment, "--local", "--json", *options], here)
    seconds = time.monotonic() - began
    told: dict[str, Any] = json.loads(out.getvalue())
    print(f"why {' '.join((environment, *options))}: {told['cause']} in {seconds:.1f} s with {told['calls']} calls: {told['title']}")
    assert told["calls"] <= (MOST_CALLS if options else collect.MOST_CALLS)
    assert code == (1 if told["failing"] else 0), err.getvalue()
    assert told["unreadable"] == []
    return told


def _named(told: dict[str, Any]) -> list[str]:
    """The causes that an answer names: what a case before this one did in the last half hour may come first."""
    return [told["cause"], *(one["cause"] for one in told["others"])]


def test_nothing_is_failing(delivery: demo.Demonstration) -> None:
    if ask(delivery, "gamma")["failing"]:  # by what a case before this one shipped: a good release makes it good
        outcome = delivery.ship("Nothing is wrong with this one")
        assert outcome.status == "Succeeded", outcome
    for environment in ("gamma", "prod", "pipeline"):
        told = ask(delivery, environment)
        assert (told["failing"], told["cause"]) == (False, None), told


# --- deployments ----------------------------------------------------------------------------------------------------------


class Fleet:
    """Gamma's fleet in one Region, to which bundles are deployed that its pipeline never made."""

    def __init__(self, place: Place) -> None:
        self.place, self.codedeploy = place, place.client("codedeploy", place.region)
        self.names = {"applicationName": place.application, "deploymentGroupName": place.groups["fleet"]}
        group = self.codedeploy.get_deployment_group(**self.names)["deploymentGroupInfo"]
        last = self.codedeploy.get_deployment(deploymentId=group["lastSuccessfulDeployment"]["deploymentId"])["deploymentInfo"]
        self.good: dict[str, Any] = last["revision"]["s3Location"]
        data = place.client("s3", place.region).get_object(Bucket=self.good["bucket"], Key=self.good["key"])["Body"].read()
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            self.files = {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}

    def put(self, files: dict[str, bytes]) -> dict[str, Any]:
        """Put a bundle beside the pipeline's; hooks are executable, as git has them."""
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for name, data in files.items():
                info = zipfile.ZipInfo(name)
                info.external_attr = (0o100755 if name.startswith("hooks/") else 0o100644) << 16
                archive.writestr(info, data)
        key = f"why/Release/{uuid.uuid4().hex}"
        self.place.client("s3", self.place.region).put_object(Bucket=self.good["bucket"], Key=key, Body=out.getvalue())
        return {"bucket": self.good["bucket"], "key": key, "bundleType": "zip"}

    def deploy(self, location: dict[str, Any], **more: Any) -> tuple[str, str]:
        """(deployment id, status at its end). Neither alarms nor CodeDeploy's own way back have a say."""
        made = self.codedeploy.create_deployment(
            **self.names, revision={"revisionType": "S3", "s3Location": {key: location[key] for key in ("bucket", "key", "bundleType")}},
            autoRollbackConfiguration={"enabled": False}, overrideAlarmConfiguration={"enabled": False}, description="a test of why", **more)["deploymentId"]

        def ended() -> str:
            status = self.codedeploy.get_deployment(deploymentId=made)["deploymentInfo"]["status"]
            return status if status in ("Succeeded", "Failed", "Stopped") else ""

        return made, shipping.until(f"the end of {made}", ended, 240)


@pytest.fixture(scope="class")
def fleet(delivery: demo.Demonstration) -> Iterator[Fleet]:
    """The fleet, and after all bundles the good release on it again."""
    one = Fleet(disturb.place_of(delivery, "gamma", WEST))
    try:
        yield one
    finally:
        _, status = one.deploy(one.good, ignoreApplicationStopFailures=True, fileExistsBehavior="OVERWRITE")
        assert status == "Succeeded"


def _spec(hooks: str = "", files: str = "", top: str = "version: 0.0\nos: linux\n") -> bytes:
    return f"{top}{files}hooks:\n{hooks}".encode() if hooks else f"{top}{files}".encode()


def _hook(event: str = "BeforeInstall", location: str = "hooks/own.sh", timeout: int = 30) -> str:
    return f"  {event}:\n    - location: {location}\n      timeout: {timeout}\n"


NO_IMAGE = "sha256:" + "0" * 64
DEPLOYMENTS: dict[str, Callable[[dict[str, bytes]], dict[str, bytes]]] = {
    "deployment-appspec-missing": lambda good: {"release.json": good["release.json"]},
    "deployment-appspec-malformed": lambda good: {"appspec.yml": b"version: 0.0\nos: linux\nhooks: [\n"},
    "deployment-hook-missing": lambda good: {"appspec.yml": _spec(_hook(location="hooks/none.sh"))},
    "deployment-hook-failed": lambda good: {"appspec.yml": _spec(_hook()), "hooks/own.sh": b"#!/bin/sh\necho the disk is upside down >&2\nexit 7\n"},
    "deployment-hook-timed-out": lambda good: {"appspec.yml": _spec(_hook(timeout=5)), "hooks/own.sh": b"#!/bin/sh\nsleep 60\n"},
    "deployment-file-exists": lambda good: {
        "appspec.yml": _spec(files="files:\n  - source: hostname\n    destination: /etc\n"), "hostname": b"another\n"},
    "deployment-image-missing": lambda good: {**good, "release.json": json.dumps(_without_image(json.loads(good["release.json"]))).encode()},
}


def _without_image(release: dict[str, Any]) -> dict[str, Any]:
    old = release["digest"]
    return {**release, "digest": NO_IMAGE, "images": {region: image.replace(old, NO_IMAGE) for region, image in release["images"].items()}}


class TestBundles:
    """One fixture for all of them, which ends before the cases that ask for the newest failure of another kind."""

    @pytest.mark.parametrize("cause", [pytest.param(cause, marks=pytest.mark.cause(cause, "made")) for cause in DEPLOYMENTS])
    def test_a_bundle_that_does_not_work(self, delivery: demo.Demonstration, fleet: Fleet, cause: str) -> None:
        deployment, status = fleet.deploy(fleet.put(DEPLOYMENTS[cause](fleet.files)))
        assert status == "Failed"
        told = ask(delivery, "gamma", "--deployment", deployment)
        assert (told["cause"], told["failing"], told["about"]) == (cause, True, "deployment"), told
        assert told["fix"]
        assert cause in _named(ask(delivery, "gamma")), "it is found without its id, too"


# --- builds ---------------------------------------------------------------------------------------------------------------

PUSH = """
      - export IMAGE="${{IMAGE_REPOSITORIES%% *}}" && export IMAGE="${{IMAGE#*=}}"
      - aws ecr get-login-password | docker login --username AWS --password-stdin "${{IMAGE%%/*}}"
      - printf 'FROM localaws/python:bookworm\\nLABEL it={label}\\n' > Dockerfile && docker build --tag it .
      - docker tag it "{name}" && docker push "{name}"
"""
BUILDS: dict[str, tuple[str, dict[str, Any]]] = {
    "build-buildspec-invalid": ("phases: {builds: {commands: [a]}}", {}),
    "build-command-not-found": ("phases: {build: {commands: [no-such-command]}}", {}),
    "build-command-failed": ("phases: {build: {commands: ['echo FAILED: the moon; exit 3']}}", {}),
    "build-compile-failed": ("phases: {build: {commands: [\"printf 'def it(:' > it.py\", python3 it.py]}}", {}),
    "build-docker-build-failed": (
        "phases: {build: {commands: [\"printf 'FROM localaws/python:bookworm\\\\nRUN exit 3\\\\n' > Dockerfile\", docker build .]}}", {}),
    "build-base-image-not-pulled": ("phases: {build: {commands: [\"printf 'FROM nowhere.invalid/none:1\\\\n' > Dockerfile\", docker build .]}}", {}),
    "build-docker-not-running": ("phases: {build: {commands: [docker info]}}", {"privilegedModeOverride": False}),
    "build-role-denied": ("phases: {build: {commands: [aws sns list-topics]}}", {}),
    "build-push-denied": (f"phases:\n  build:\n    commands:{PUSH.format(label='a', name='${IMAGE%%/*}/there-is-none:1')}", {}),
    "build-tag-immutable": (
        f"phases:\n  build:\n    commands:{PUSH.format(label='a', name='$IMAGE:why')}{PUSH.format(label='b', name='$IMAGE:why').lstrip(chr(10))}", {}),
    "build-registry-login-denied": (
        "phases:\n  build:\n    commands:\n"
        "      - export IMAGE=\"${IMAGE_REPOSITORIES%% *}\" && export IMAGE=\"${IMAGE#*=}:nobody\"\n"
        "      - docker tag localaws/python:bookworm \"$IMAGE\" && docker push \"$IMAGE\"\n", {}),
}


@pytest.fixture(scope="module")
def project(delivery: demo.Demonstration) -> str:
    """The name of the project that builds releases."""
    codebuild = delivery.aws.client("codebuild", delivery.region)
    found = codebuild.batch_get_projects(names=codebuild.list_projects()["projects"])["projects"]
    return next(str(one["name"]) for one in found if one["source"].get("buildspec") == "buildspecs/image.yaml")


def _build(delivery: demo.Demonstration, project: str, spec: str, at_phase: Callable[[str], None] = lambda phase: None, **more: Any) -> str:
    """Run a build of the project without source and with another buildspec to its end; its id."""
    codebuild = delivery.aws.client("codebuild", delivery.region)
    build = codebuild.start_build(projectName=project, sourceTypeOverride="NO_SOURCE", artifactsOverride={"type": "NO_ARTIFACTS"},
                                  buildspecOverride=f"version: 0.2\n{spec}", **more)["build"]["id"]

    def ended() -> bool:
        found = codebuild.batch_get_builds(ids=[build])["builds"][0]
        at_phase(found["currentPhase"])
        return bool(found["buildComplete"])

    shipping.until(f"the end of {build}", ended, 120)
    return str(build)


def _why_build(delivery: demo.Demonstration, build: str) -> dict[str, Any]:
    """What `why` makes of a build that no execution of the pipeline began."""
    calls = Calls(delivery.aws)
    found = builds.read(calls, delivery.region, build)
    case = Case("pipeline", delivery.settings["pipeline"].service, "execution", time.time(), subject=build, region=delivery.region, builds=(found,))
    told = answer.document(case, judge(case), calls.count)
    print(f"{build}: {told['cause']}: {told['title']}", *told["evidence"], sep="\n  ")
    assert (told["calls"], calls.unreadable) == (2, ())
    return told


@pytest.mark.parametrize("cause", [pytest.param(cause, marks=pytest.mark.cause(cause, "made")) for cause in BUILDS])
def test_a_build_that_fails(delivery: demo.Demonstration, project: str, cause: str) -> None:
    spec, more = BUILDS[cause]
    told = _why_build(delivery, _build(delivery, project, spec, **more))
    assert told["cause"] == cause, told


@pytest.mark.cause("build-stopped", "made")
def test_a_build_that_somebody_stops(delivery: demo.Demonstration, project: str) -> None:
    codebuild = delivery.aws.client("codebuild", delivery.region)
    build = codebuild.start_build(projectName=project, sourceTypeOverride="NO_SOURCE", artifactsOverride={"type": "NO_ARTIFACTS"},
                                  buildspecOverride="version: 0.2\nphases: {build: {commands: [sleep 300]}}")["build"]["id"]
    shipping.until("its command", lambda: codebuild.batch_get_builds(ids=[build])["builds"][0]["currentPhase"] == "BUILD", 60)
    codebuild.stop_build(id=build)
    shipping.until("its end", lambda: codebuild.batch_get_builds(ids=[build])["builds"][0]["buildComplete"], 60)
    assert _why_build(delivery, build)["cause"] == "build-stopped"


@pytest.mark.cause("build-tests-failed", "made")
def test_a_release_whose_unit_tests_fail_is_told_as_the_newest_failure(delivery: demo.Demonstration) -> None:
    """The whole way: pipeline, action, build, phase, log."""
    test = "app/tests/test_of_why.py"
    delivery.repository.write(test, "import unittest\n\n\nclass Why(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(2 + 2, 5)\n")
    try:
        commit = delivery.repository.push("A unit test that fails")
        execution = delivery.pipeline.execution_of(commit, 60)
        shipping.until("its end", lambda: delivery.pipeline.status(execution) == "Failed", 180, 1)
        told = ask(delivery, "gamma", "--execution", execution)
        assert (told["cause"], told["about"]) == ("build-tests-failed", "execution"), told
        assert "test_sum" in told["title"]
        for environment in ("gamma", "pipeline"):
            assert "build-tests-failed" in _named(ask(delivery, environment))
    finally:
        (delivery.repository.folder / test).unlink()  # the next release is without it


# --- stacks ---------------------------------------------------------------------------------------------------------------


class Stacks:
    """Small stacks of gamma's account, gone afterwards."""

    def __init__(self, place: Place) -> None:
        self.place, self.client, self.names = place, place.client("cloudformation", place.region), list[str]()

    def end(self, name: str) -> str:
        """The status in which what goes on in a stack ends."""
        def settled() -> str:
            status = str(self.client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])
            return "" if status.endswith("_IN_PROGRESS") else status

        return str(shipping.until(f"an end of {name}", settled, 120))

    def create(self, resources: dict[str, Any], **more: Any) -> str:
        """Create a stack and wait for its end; its name."""
        name = f"why-{uuid.uuid4().hex[:8]}"
        self.names.append(name)
        self.client.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}), **more)
        self.end(name)
        return name

    def remove(self) -> None:
        for name in self.names:
            self.client.delete_stack(StackName=name)


@pytest.fixture
def small(delivery: demo.Demonstration) -> Iterator[Stacks]:
    one = Stacks(disturb.place_of(delivery, "gamma", WEST))
    yield one
    one.remove()


TOPIC = {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "why-pages"}}


@pytest.mark.cause("stack-resource-exists", "made")
def test_a_name_that_is_taken(delivery: demo.Demonstration, small: Stacks) -> None:
    small.create({"Topic": TOPIC})
    name = small.create({"Topic": TOPIC})
    told = ask(delivery, "gamma", "--stack", name)
    assert (told["cause"], told["title"]) == ("stack-resource-exists", "Topic: why-pages exists already")
    assert [one["cause"] for one in told["others"]] == ["stack-rollback-complete"]


@pytest.mark.parametrize(("cause", "resources"), [
    pytest.param("stack-property-invalid", {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"not": "text"}}}},
                 marks=pytest.mark.cause("stack-property-invalid", "made")),
    pytest.param("stack-template-unreadable", {"Fleet": {"Type": "AWS::CloudFormation::Stack", "Properties": {
        "TemplateURL": "https://why-there-is-no-such-bucket.s3.us-west-2.amazonaws.com/fleet.yaml"}}},
        marks=pytest.mark.cause("stack-template-unreadable", "made")),
    pytest.param("stack-export-missing", {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Fn::ImportValue": "why-none"}}}},
                 marks=pytest.mark.cause("stack-export-missing", "made")),
])
def test_a_stack_that_cannot_be_made(delivery: demo.Demonstration, small: Stacks, cause: str, resources: dict[str, Any]) -> None:
    told = ask(delivery, "gamma", "--stack", small.create(resources))
    assert told["cause"] == cause, told


@pytest.mark.cause("stack-access-denied", "made")
def test_a_service_role_that_may_not_make_the_resource(delivery: demo.Demonstration, small: Stacks) -> None:
    iam = small.place.client("iam", small.place.region)
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "cloudformation.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    role = iam.create_role(RoleName=f"why-{uuid.uuid4().hex[:8]}", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    try:
        told = ask(delivery, "gamma", "--stack", small.create({"Topic": TOPIC}, RoleARN=role["Arn"]))
        assert told["cause"] == "stack-access-denied", told
        assert "sns:" in told["title"] and role["Arn"] in told["fix"][0]
    finally:
        small.remove()
        iam.delete_role(RoleName=role["RoleName"])


@pytest.mark.cause("stack-bucket-not-empty", "made")
def test_a_bucket_with_objects(delivery: demo.Demonstration, small: Stacks) -> None:
    name = small.create({"Bucket": {"Type": "AWS::S3::Bucket"}})
    bucket = small.client.describe_stack_resource(StackName=name, LogicalResourceId="Bucket")["StackResourceDetail"]["PhysicalResourceId"]
    s3 = small.place.client("s3", small.place.region)
    s3.put_object(Bucket=bucket, Key="it", Body=b"is here")
    small.client.delete_stack(StackName=name)
    assert small.end(name) == "DELETE_FAILED"
    told = ask(delivery, "gamma", "--stack", name)
    assert (told["cause"], [one["cause"] for one in told["others"]]) == ("stack-bucket-not-empty", ["stack-delete-failed"])
    s3.delete_object(Bucket=bucket, Key="it")


@pytest.mark.cause("stack-rolled-back-by-alarm", "made")
def test_an_alarm_that_rolls_a_stack_back(delivery: demo.Demonstration, small: Stacks) -> None:
    cloudwatch = small.place.client("cloudwatch", small.place.region)
    alarm = f"why-{uuid.uuid4().hex[:8]}"
    cloudwatch.put_metric_alarm(AlarmName=alarm, Namespace="Why", MetricName="None", Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=1,
                                ComparisonOperator="GreaterThanThreshold", TreatMissingData="ignore")
    try:
        cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a test")
        arn = cloudwatch.describe_alarms(AlarmNames=[alarm])["MetricAlarms"][0]["AlarmArn"]
        name = small.create({"Topic": {"Type": "AWS::SNS::Topic"}}, RollbackConfiguration={
            "RollbackTriggers": [{"Arn": arn, "Type": "AWS::CloudWatch::Alarm"}], "MonitoringTimeInMinutes": 0})
        told = ask(delivery, "gamma", "--stack", name)
        assert (told["cause"], alarm in told["title"]) == ("stack-rolled-back-by-alarm", True), told
    finally:
        cloudwatch.delete_alarms(AlarmNames=[alarm])


@pytest.mark.cause("stack-signals-missing", "made")
def test_hosts_that_never_signal(delivery: demo.Demonstration, small: Stacks) -> None:
    place = small.place
    group = place.client("codedeploy", place.region).get_deployment_group(
        applicationName=place.application, deploymentGroupName=place.groups["fleet"])["deploymentGroupInfo"]["autoScalingGroups"][0]["name"]
    found = place.client("autoscaling", place.region).describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"][0]
    identity = found["LaunchTemplate"]["LaunchTemplateId"]
    data = place.client("ec2", place.region).describe_launch_template_versions(
        LaunchTemplateId=identity, Versions=["$Latest"])["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    name = small.create({
        "Template": {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"LaunchTemplateData": {key: data[key] for key in ("ImageId", "InstanceType")}}},
        "Group": {"Type": "AWS::AutoScaling::AutoScalingGroup", "CreationPolicy": {"ResourceSignal": {"Count": 1, "Timeout": "PT10S"}}, "Properties": {
            "MinSize": "1", "MaxSize": "1", "VPCZoneIdentifier": found["VPCZoneIdentifier"].split(",")[:1],
            "LaunchTemplate": {"LaunchTemplateId": {"Ref": "Template"}, "Version": {"Fn::GetAtt": ["Template", "LatestVersionNumber"]}}}}})
    told = ask(delivery, "gamma", "--stack", name)
    assert told["cause"] == "stack-signals-missing", told


def test_a_stack_that_did_not_fail_is_not_made_out_to_have(delivery: demo.Demonstration, small: Stacks) -> None:
    told = ask(delivery, "gamma", "--stack", small.create({"Topic": {"Type": "AWS::SNS::Topic"}}))
    assert (told["failing"], told["cause"]) == (False, None)
