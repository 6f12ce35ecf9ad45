"""A plain AWS CLI with the local AWS's `export` lines answers as it does on AWS, after a first release."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import demo

AWS = Path(__file__).resolve().parents[2] / "build" / "venv" / "bin" / "aws"
_UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def is_time(value: Any) -> bool:
    """Whether it is a time as version 1 of the CLI prints it: as it came, ISO 8601 or seconds since the epoch."""
    return bool(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", value)) if isinstance(value, str) else 1_600_000_000 < value < 4_000_000_000


@pytest.fixture
def shell(local_aws: Any, delivery: demo.Demonstration) -> Any:
    """Runs `aws …` in a shell that evaluated the export lines in a user's environment, and gives the answer as JSON."""
    where = f"--state build/test-local-{local_aws.port} --port {local_aws.port} --name {local_aws.name}"
    exports = f'eval "$({sys.executable} -m localaws env {where})"'

    def run(command: str, refused: bool = False) -> Any:
        environ = {"PATH": f"{AWS.parent}:{os.environ['PATH']}", "HOME": os.environ.get("HOME", "/"), "AWS_PROFILE": "not-there",
                   "AWS_SESSION_TOKEN": "foreign", "AWS_ENDPOINT_URL_ECR": "http://255.255.255.255"}
        done = subprocess.run(["sh", "-ec", f"{exports}\naws --output json {command}"], env=environ, cwd=AWS.parents[3], capture_output=True,
                              text=True, timeout=60, check=False)
        assert done.returncode == (255 if refused else 0), done.stderr
        return done.stderr if refused else json.loads(done.stdout)

    return run


def test_describe_stacks(shell: Any) -> None:
    stack, = shell("cloudformation describe-stacks --stack-name sample-environment-gamma")["Stacks"]
    assert re.fullmatch(rf"arn:aws:cloudformation:us-east-1:000000000000:stack/sample-environment-gamma/{_UUID}", stack["StackId"])
    assert stack["StackName"] == "sample-environment-gamma"
    assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
    assert is_time(stack["CreationTime"])
    assert {"CAPABILITY_IAM"} <= set(stack["Capabilities"])
    assert {"ParameterKey": "EnvironmentName", "ParameterValue": "gamma"} in stack["Parameters"]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}
    assert outputs["FleetCompositeAlarmName"] == "sample-gamma-fleet-high-severity"
    assert "ParentId" not in stack
    children = [one for one in shell("cloudformation describe-stacks")["Stacks"] if one.get("RootId") == stack["StackId"]]
    assert {one["ParentId"] for one in children} == {stack["StackId"]}
    assert {one["StackName"].removeprefix("sample-environment-gamma-").rpartition("-")[0] for one in children} >= {"Network", "Fleet", "Control", "Canary"}
    refused = shell("cloudformation describe-stacks --stack-name nobody", refused=True)
    assert refused.strip().endswith(
        "An error occurred (ValidationError) when calling the DescribeStacks operation: Stack with id nobody does not exist")


def test_get_pipeline_state(shell: Any, delivery: demo.Demonstration) -> None:
    state = shell(f"codepipeline get-pipeline-state --name {delivery.pipeline.name}")
    assert state["pipelineName"] == delivery.pipeline.name
    assert state["pipelineVersion"] >= 1
    assert [stage["stageName"] for stage in state["stageStates"]] == ["Source", "Build", "Gamma", "OneBox", "Wave1", "Wave2"]
    source, build, gamma, *_ = state["stageStates"]
    assert source["actionStates"][0]["latestExecution"]["status"] == "Succeeded"
    assert re.fullmatch(r"[0-9a-f]{40}", source["actionStates"][0]["currentRevision"]["revisionId"])
    assert re.fullmatch(_UUID, build["latestExecution"]["pipelineExecutionId"])
    ran = build["actionStates"][0]["latestExecution"]
    assert re.fullmatch(rf"[\w-]+:{_UUID}", ran["externalExecutionId"])
    assert ran["externalExecutionUrl"].startswith("https://")
    deployed = [action["latestExecution"]["externalExecutionId"] for action in gamma["actionStates"]
                if action["actionName"].startswith("Deploy") and "externalExecutionId" in action["latestExecution"]]
    assert deployed and all(re.fullmatch(r"d-[0-9A-Z]{9}", one) for one in deployed)
    assert all(is_time(action["latestExecution"]["lastStatusChange"]) for stage in state["stageStates"] for action in stage["actionStates"])
    inbound = {stage["stageName"]: stage["inboundTransitionState"] for stage in state["stageStates"][1:]}
    # The door of prod opens within a minute after the release that was behind it is through.
    door = inbound.pop("OneBox")
    assert door["enabled"] or door["disabledReason"].startswith("Handsoff - One release at a time")
    assert all(transition == {"enabled": True} for transition in inbound.values())
    assert "PipelineNotFoundException" in shell("codepipeline get-pipeline-state --name nobody", refused=True)


def test_get_deployment(shell: Any, delivery: demo.Demonstration) -> None:
    place = next(place for place in delivery.places if place.environment == "gamma")
    group = place.groups["fleet"]
    ids = shell(f"deploy list-deployments --application-name {place.application} --deployment-group-name {group} "
                "--include-only-statuses Succeeded")["deployments"]
    info = shell(f"deploy get-deployment --deployment-id {ids[-1]}")["deploymentInfo"]
    assert info["deploymentId"] == ids[-1]
    assert re.fullmatch(r"d-[0-9A-Z]{9}", info["deploymentId"])
    assert (info["applicationName"], info["deploymentGroupName"], info["status"]) == (place.application, group, "Succeeded")
    assert (info["creator"], info["computePlatform"]) == ("user", "Server")
    assert info["revision"]["revisionType"] == "S3"
    assert info["revision"]["s3Location"]["bundleType"] == "zip"
    overview = info["deploymentOverview"]
    assert overview == {"Pending": 0, "InProgress": 0, "Succeeded": overview["Succeeded"], "Failed": 0, "Skipped": 0, "Ready": 0}
    assert overview["Succeeded"] == 2
    assert info["deploymentStyle"] == {"deploymentType": "IN_PLACE", "deploymentOption": "WITH_TRAFFIC_CONTROL"}
    assert all(is_time(info[key]) for key in ("createTime", "startTime", "completeTime"))
    assert "DeploymentDoesNotExistException" in shell("deploy get-deployment --deployment-id d-AAAAAAAAA", refused=True)


def test_describe_alarms(shell: Any) -> None:
    name = "sample-prod-onebox-high-severity"
    composite, = shell(f"cloudwatch describe-alarms --alarm-types CompositeAlarm --alarm-names {name}")["CompositeAlarms"]
    assert composite["AlarmArn"] == f"arn:aws:cloudwatch:us-east-1:000000000000:alarm:{name}"
    assert composite["StateValue"] == "OK"
    assert composite["ActionsEnabled"] is True
    assert is_time(composite["StateUpdatedTimestamp"])
    parts = re.findall(r'ALARM\("?([^")]+)"?\)', composite["AlarmRule"])
    metric = shell("cloudwatch describe-alarms --alarm-names " + " ".join(parts))["MetricAlarms"]
    assert {alarm["AlarmName"] for alarm in metric} == set(parts)
    assert len(parts) == 5
    faults, = (alarm for alarm in metric if "Faults" in alarm["AlarmName"])
    assert faults["TreatMissingData"] == "notBreaching"
    assert [one["Id"] for one in faults["Metrics"] if one.get("ReturnData", True)] != []
    assert shell("cloudwatch describe-alarms --alarm-names nobody") == {"MetricAlarms": [], "CompositeAlarms": []}


def test_describe_images(shell: Any) -> None:
    outputs = {one["OutputKey"]: one["OutputValue"]
               for one in shell("cloudformation describe-stacks --stack-name sample-release-store")["Stacks"][0]["Outputs"]}
    name = outputs["ImageRepositoryName"]
    images = shell(f"ecr describe-images --repository-name {name}")["imageDetails"]
    assert images
    for image in images:
        assert (image["registryId"], image["repositoryName"]) == ("000000000000", name)
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", image["imageDigest"])
        assert image["imageSizeInBytes"] > 1_000_000
        assert all(re.fullmatch(r"[0-9a-f]{40}", tag) for tag in image["imageTags"])
        assert is_time(image["imagePushedAt"])
        assert image["imageManifestMediaType"].startswith("application/vnd.")
    one, = shell(f"ecr describe-images --repository-name {name} --image-ids imageTag={images[0]['imageTags'][0]}")["imageDetails"]
    assert one == images[0]
    assert "ImageNotFoundException" in shell(f"ecr describe-images --repository-name {name} --image-ids imageTag=nobody", refused=True)
    assert "RepositoryNotFoundException" in shell("ecr describe-images --repository-name nobody", refused=True)


def test_filter_log_events(shell: Any, delivery: demo.Demonstration) -> None:
    outputs = demo.environments.outputs(delivery.aws.client, delivery.settings["pipeline"].stack_name, delivery.region)
    found = shell(f"logs filter-log-events --log-group-name {outputs['BuildLogGroupName']} --filter-pattern '\"Phase complete: BUILD\"'")
    assert found["events"]
    for event in found["events"]:
        assert set(event) == {"logStreamName", "timestamp", "message", "ingestionTime", "eventId"}
        assert "Phase complete: BUILD " in event["message"], "a quoted phrase is looked for as it stands"
        assert event["timestamp"] > 1_600_000_000_000, "milliseconds"
    assert shell(f"logs filter-log-events --log-group-name {outputs['BuildLogGroupName']} --filter-pattern nothing-says-this")["events"] == []
    assert "ResourceNotFoundException" in shell("logs filter-log-events --log-group-name nobody", refused=True)
