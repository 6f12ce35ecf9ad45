"""The commands whole, over stand-ins: what they print, what they refuse, their exit codes."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from scripts_fakes import PROJECT, FakeAws, FakeClock, FakeCloudFormation, FakeS3, Recorder, a_world, refusal

from scripts import deploy, destroy, package, status, validate
from scripts.core import connection, prerequisites, removal, settings
from scripts.core.errors import CommandError, WrongUse
from scripts.core.prerequisites import Need
from scripts.core.stacks import Stack

REPOSITORY = Path(__file__).resolve().parents[2]
BUCKET = {"OutputKey": "ArtifactBucketName", "OutputValue": "the-bucket"}


class FakeQuotas:
    """Plenty of everything."""

    def get_service_quota(self, ServiceCode: str, QuotaCode: str) -> dict[str, Any]:
        return {"Quota": {"Value": 5.0}}


class FakeNetwork:
    """One VPC, and as many addresses as are given."""

    def __init__(self, addresses: int = 0) -> None:
        self.addresses = addresses

    def describe_addresses(self) -> dict[str, Any]:
        return {"Addresses": [{}] * self.addresses}

    def get_paginator(self, name: str) -> FakeNetwork:
        return self

    def paginate(self) -> list[dict[str, Any]]:
        return [{"Vpcs": [{}]}]


class Place:
    """A copy of the small project, and an account with nothing in it."""

    def __init__(self, folder: Path, *answers: str, account: str = "000000000000") -> None:
        self.root = Path(shutil.copytree(PROJECT, folder / "project"))
        self.clock, self.recorder, self.s3 = FakeClock(), Recorder(*answers), FakeS3()
        self.cloudformation = FakeCloudFormation(self.clock)
        clients = {"cloudformation": self.cloudformation, "s3": self.s3, "service-quotas": FakeQuotas(), "ec2": FakeNetwork()}
        self.aws = FakeAws(clients, local=True, endpoint="http://127.0.0.1:4566", account=account)
        self.world = a_world(self.root, self.aws, self.recorder, self.clock)

    def with_store(self) -> None:
        body = (self.root / "templates/release-store.yaml").read_text()
        self.cloudformation.add(
            "sample-release-store",
            "CREATE_COMPLETE",
            _body=body,
            Outputs=[BUCKET],
            Parameters=[{"ParameterKey": "ServiceName", "ParameterValue": "sample"}],
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("command", [deploy, destroy, package, status, validate])
def test_every_command_has_help_and_refuses_wrong_use(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--help"]) == 0
    assert command.__doc__.splitlines()[0] in " ".join(capsys.readouterr().out.split())
    assert command.main(["--no-such-option"]) == 2


def test_deploy_packages_uploads_and_creates(place: Place) -> None:
    place.with_store()
    assert deploy.main(["--env", "gamma", "--local", "--yes"], place.world) == 0
    made = place.cloudformation.requests[-1]
    assert made["StackName"] == "sample-environment-gamma" and made["IncludeNestedStacks"] is True
    assert made["TemplateURL"].startswith("https://the-bucket.s3.us-east-1.amazonaws.com/templates/")
    values = {item["ParameterKey"]: item["ParameterValue"] for item in made["Parameters"]}
    assert values["ArtifactBucketName"] == "the-bucket" and values["FleetSize"] == "2" and values["Egress"] == "public"
    assert len(place.s3.puts) == 2
    assert place.recorder.text.splitlines()[0].startswith("Target: local AWS")
    assert (place.root / "build/packaged/gamma/us-east-1/environment/inner.yaml").exists()
    assert place.recorder.text.splitlines()[-1] == "deploy of gamma done: us-east-1 CREATE_COMPLETE"


def test_deploy_stops_before_anything_when_a_quota_does_not_suffice(place: Place) -> None:
    place.with_store()
    place.aws.clients["ec2"] = FakeNetwork(addresses=5)
    overlay = place.root / "parameters/local/gamma.yaml"
    overlay.write_text(overlay.read_text() + "  Egress: one-nat\n")
    assert deploy.main(["--env", "gamma", "--local", "--yes"], place.world) == 1
    assert "1 needed, 5 of 5 in use" in place.recorder.errors
    assert place.cloudformation.calls == []


def test_deploy_refuses_another_account_even_with_yes(tmp_path: Path) -> None:
    place = Place(tmp_path, account="123456789012")
    assert deploy.main(["--env", "gamma", "--local", "--yes"], place.world) == 2
    assert place.cloudformation.calls == []
    assert "the caller's account is 123456789012, not 000000000000" in place.recorder.errors


def test_deploy_to_aws_refuses_placeholders(place: Place) -> None:
    assert deploy.main(["--env", "gamma", "--yes"], place.world) == 2
    assert place.recorder.text.startswith("Target:")
    assert "aws sts get-caller-identity" in place.recorder.errors and place.cloudformation.calls == []


def test_a_traceback_only_when_asked_for(place: Place) -> None:
    place.aws.clients["cloudformation"] = None
    assert deploy.main(["--env", "gamma", "--local", "--yes"], place.world) == 1
    assert "Traceback" not in place.recorder.errors and "AttributeError" in place.recorder.errors
    assert deploy.main(["--env", "gamma", "--local", "--yes", "--verbose"], place.world) == 1
    assert "Traceback" in place.recorder.errors


def test_an_interruption_says_how_to_go_on(place: Place) -> None:
    def stopped(StackName: str) -> None:
        raise KeyboardInterrupt

    place.cloudformation.describe_stacks = stopped  # type: ignore[method-assign,assignment]
    assert deploy.main(["--env", "gamma", "--local", "--yes"], place.world) == 1
    assert "run the same command again" in place.recorder.errors


def test_a_second_interruption_ends_in_no_traceback(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(place.cloudformation, "describe_stacks", stopped)
    monkeypatch.setattr(place.recorder.console, "error", stopped)
    assert deploy.main(["--env", "gamma", "--local", "--yes"], place.world) == 1


@pytest.mark.parametrize("command", ["plan", "why", "status", "history", "doctor"])
def test_with_local_the_output_is_the_commands_alone(command: str) -> None:
    made = subprocess.run(["make", "-n", command, "ENV=gamma", "LOCAL=1", "JSON=1"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert re.search(r"-m localaws [^&]* start >&2 && ", made), made


def test_package_prints_urls_and_links_and_uploads_once(place: Place) -> None:
    place.with_store()
    assert package.main(["--env", "gamma", "--local"], place.world) == 0
    assert place.recorder.text.count("template: https://the-bucket.s3.us-east-1.amazonaws.com/") == 2
    assert "quickcreate?templateURL=" in place.recorder.text and "param_FleetSize=2" in place.recorder.text
    assert "param_ArtifactBucketName" not in place.recorder.text
    uploaded = list(place.s3.puts)
    assert package.main(["--local"], place.world) == 0
    assert place.s3.puts == uploaded


def test_package_without_a_release_store_says_what_to_run(place: Place) -> None:
    assert package.main(["--env", "gamma", "--local"], place.world) == 1
    assert "make deploy ENV=gamma" in place.recorder.errors


def test_destroy_of_nothing_is_done(place: Place) -> None:
    assert destroy.main(["--env", "gamma", "--local"], place.world) == 0
    assert "Nothing to do" in place.recorder.text


def test_destroy_shows_what_stays_asks_and_keeps_what_others_use(tmp_path: Path) -> None:
    place = Place(tmp_path, "y")
    place.with_store()
    place.cloudformation.add(
        "sample-environment-gamma", "CREATE_COMPLETE", _body="Resources: {Logs: {Type: 'AWS::Logs::LogGroup', DeletionPolicy: Retain}}"
    )
    place.cloudformation.resource_summaries = [
        {
            "LogicalResourceId": "Logs",
            "PhysicalResourceId": "the-logs",
            "ResourceType": "AWS::Logs::LogGroup",
            "ResourceStatus": "CREATE_COMPLETE",
        },
        {
            "LogicalResourceId": "Canary",
            "PhysicalResourceId": "abcdefghijklmnop-gamma",
            "ResourceType": "AWS::Synthetics::Canary",
            "ResourceStatus": "CREATE_COMPLETE",
        },
    ]
    assert destroy.main(["--env", "gamma", "--local"], place.world) == 0
    assert "/aws/lambda/cwsyn-abcdefghijklmnop-gamm-…" in place.recorder.text and "2 resources were kept" in place.recorder.text
    assert "the-logs" in place.recorder.text and "logs outlive" in place.recorder.text
    assert {stack["StackName"]: stack["StackStatus"] for stack in place.cloudformation.stacks.values()} == {
        "sample-release-store": "CREATE_COMPLETE",
        "sample-environment-gamma": "DELETE_COMPLETE",
    }


def test_destroy_refuses_what_others_need(place: Place) -> None:
    place.with_store()
    place.cloudformation.add("sample-environment-gamma", "CREATE_COMPLETE", _body="Resources: {}")
    assert destroy.main(["--env", "release-store", "--local", "--yes"], place.world) == 1
    assert "still needed" in place.recorder.errors and "delete_stack" not in place.cloudformation.calls
    assert destroy.main(["--env", "all", "--local", "--yes"], place.world) == 0
    assert {stack["StackStatus"] for stack in place.cloudformation.stacks.values()} == {"DELETE_COMPLETE"}


def test_the_order_of_removal() -> None:
    def environment(name: str, **parameters: str) -> settings.Environment:
        values = {"ServiceName": "sample", **parameters}
        return settings.from_document(
            name, {"template": name, "account": "000000000000", "regions": ["r"], "needs": ["store"], "parameters": values}, "f"
        )

    environments = {e.name: e for e in (environment("gamma"), environment("pipeline", A="${gamma.X}", B="${prod.Y}"), environment("prod"))}
    assert [environment.name for environment in removal.order(environments.values())] == ["pipeline", "gamma", "prod"]
    steps = removal.plan("all", environments)
    assert [[item.stack_name for item in step] for step in steps] == [
        ["sample-pipeline"],
        ["sample-gamma"],
        ["sample-prod"],
        ["sample-store"],
    ]
    assert removal.plan("gamma", environments) == [[removal.Item("sample-gamma", "r", "gamma")]]
    with pytest.raises(WrongUse, match="did you mean gamma"):
        removal.plan("gama", environments)
    with pytest.raises(WrongUse, match="circle"):
        removal.order([environment("a", X="${b.Y}"), environment("b", X="${a.Y}")])


def a_stack(**outputs: str) -> Stack:
    return Stack("id", "sample-environment-gamma", "CREATE_COMPLETE", "", {}, outputs, {}, None)


GROUPS = {"ApplicationName": "app", "FleetDeploymentGroupName": "fleet-group", "OneBoxDeploymentGroupName": "onebox-group"}


class FakeCodeDeploy:
    """One group with a deployment in progress."""

    def __init__(self, running: str = "") -> None:
        self.running, self.asked = running, []  # type: ignore[var-annotated]

    def get_paginator(self, name: str) -> FakeCodeDeploy:
        return self

    def paginate(self, applicationName: str, deploymentGroupName: str, includeOnlyStatuses: list[str]) -> list[dict[str, list[str]]]:
        self.asked.append((deploymentGroupName, includeOnlyStatuses))
        return [{"deployments": ["d-1"] if deploymentGroupName == self.running else []}]


def test_the_environment_is_locked_while_a_group_deploys() -> None:
    with pytest.raises(CommandError, match="d-1 to fleet-group"):
        prerequisites.require_no_deployment(FakeCodeDeploy("fleet-group"), a_stack(**GROUPS), "us-east-1")
    idle = FakeCodeDeploy()
    prerequisites.require_no_deployment(idle, a_stack(**GROUPS), "us-east-1")
    assert [group for group, _ in idle.asked] == ["onebox-group", "fleet-group"]
    assert {"Created", "Queued", "InProgress", "Ready"} <= set(idle.asked[0][1]) and "Succeeded" not in idle.asked[0][1]


class FakeCloudWatch:
    def __init__(self, state: str) -> None:
        self.state = state

    def describe_alarms(self, AlarmNames: list[str], AlarmTypes: list[str]) -> dict[str, Any]:
        assert AlarmTypes == ["CompositeAlarm"]
        return {
            "CompositeAlarms": [
                {"AlarmName": name, "AlarmArn": f"arn:{name}", "StateValue": self.state} for name in AlarmNames if name != "gone"
            ]
        }


def test_triggers_are_the_composites_that_are_there() -> None:
    stack = a_stack(FleetCompositeAlarmName="fleet-alarm", OneBoxCompositeAlarmName="gone", EnvironmentCompositeAlarmName="all-of-it")
    assert prerequisites.composite_triggers(FakeCloudWatch("OK"), stack, "r") == ("arn:all-of-it", "arn:fleet-alarm")
    assert len(prerequisites.COMPOSITES) <= 5  # CloudFormation takes no more
    assert prerequisites.composite_triggers(FakeCloudWatch("OK"), a_stack(), "r") == ()
    with pytest.raises(CommandError, match="IGNORE_ALARMS=1"):
        prerequisites.composite_triggers(FakeCloudWatch("ALARM"), stack, "r")


def test_what_an_own_network_needs() -> None:
    def counts(**values: str) -> dict[str, int]:
        return {need.what: need.count for need in prerequisites.network_needs(values)}

    assert counts(Egress="nat-per-zone", AvailabilityZoneCount="3", ExistingVpcId="") == {"VPCs": 1, "Elastic IP addresses": 3}
    assert counts(Egress="one-nat", AvailabilityZoneCount="2") == {"VPCs": 1, "Elastic IP addresses": 1}
    assert counts(Egress="public") == {"VPCs": 1}
    assert counts(Egress="one-nat", ExistingVpcId="vpc-01234567") == {}
    assert counts() == {}


def test_a_quota_that_does_not_suffice_is_a_problem_and_one_that_cannot_be_read_a_note() -> None:
    need = Need("Elastic IP addresses", 3, "ec2", "L-0263D0A3", "release some")
    assert prerequisites.shortage(need, 2, 5.0, "r") is None
    problem = prerequisites.shortage(need, 3, 5.0, "us-east-1")
    assert problem is not None and (problem.name, problem.reason) == ("Elastic IP addresses in us-east-1", "3 needed, 3 of 5 in use")

    class Denied:
        def get_service_quota(self, **_: str) -> None:
            raise refusal(
                "AccessDeniedException", "User: arn is not authorized to perform: servicequotas:GetServiceQuota", "GetServiceQuota"
            )

    problems, notes = prerequisites.check_quotas(FakeAws({"service-quotas": Denied()}), "r", [need])
    assert problems == [] and "servicequotas:GetServiceQuota" in notes[0]


ARN = "arn:aws:codeconnections:us-east-1:123456789012:connection/abc"


class FakeConnections:
    """PENDING until it has been asked often enough."""

    def __init__(self, asks: int) -> None:
        self.asks = asks

    def get_connection(self, ConnectionArn: str) -> dict[str, Any]:
        self.asks -= 1
        return {"Connection": {"ConnectionStatus": "AVAILABLE" if self.asks < 0 else "PENDING"}}


class FakePipeline:
    def __init__(self, message: str, later: bool = False) -> None:
        self.message, self.later, self.started = message, later, 0

    def get_pipeline_state(self, name: str) -> dict[str, Any]:
        action = {"actionName": "Source", "latestExecution": {"status": "Failed", "errorDetails": {"message": self.message}}}
        build = {"stageName": "Build", **({"latestExecution": {"status": "Succeeded"}} if self.later else {})}
        return {"stageStates": [{"stageName": "Source", "latestExecution": {"status": "Failed"}, "actionStates": [action]}, build]}

    def list_pipeline_executions(self, pipelineName: str, maxResults: int) -> dict[str, Any]:
        return {"pipelineExecutionSummaries": [{"pipelineExecutionId": "e-0", "status": "Failed", "trigger": {"triggerType": "CreatePipeline"}}]}

    def get_pipeline(self, name: str) -> dict[str, Any]:
        return {"pipeline": {"name": name}, "metadata": {}}

    def update_pipeline(self, pipeline: dict[str, Any]) -> dict[str, Any]:
        return {"pipeline": pipeline}

    def start_pipeline_execution(self, name: str) -> dict[str, str]:
        self.started += 1
        return {"pipelineExecutionId": "e-1"}


def complete(connections: FakeConnections, pipeline: FakePipeline, wait_seconds: float) -> Recorder:
    recorder = Recorder()
    aws = FakeAws({"codeconnections": connections, "codepipeline": pipeline})
    connection.complete(aws, "us-east-1", a_stack(ConnectionArn=ARN, PipelineName="p"), recorder.console, FakeClock(), wait_seconds)
    return recorder


def test_a_pending_connection_is_waited_for_and_the_failed_release_started() -> None:
    pipeline = FakePipeline("Unable to use Connection: the connection is not in state AVAILABLE")
    recorder = complete(FakeConnections(3), pipeline, 60)
    assert (
        "https://us-east-1.console.aws.amazon.com/codesuite/settings/123456789012/us-east-1/codeconnections/connections/abc"
        in recorder.text
    )
    assert pipeline.started == 1


def test_the_wait_for_a_connection_is_bounded() -> None:
    with pytest.raises(CommandError, match="run the same command again"):
        complete(FakeConnections(1000), FakePipeline("x"), 60)


def test_without_a_wait_it_only_says_what_to_do() -> None:
    pipeline = FakePipeline("Connection is PENDING")
    assert "Complete it in the console" in complete(FakeConnections(1000), pipeline, 0).text
    assert pipeline.started == 0


@pytest.mark.parametrize("pipeline", [FakePipeline("the branch does not exist"), FakePipeline("Connection is PENDING", later=True)])
def test_an_execution_is_started_only_for_want_of_the_connection(pipeline: FakePipeline) -> None:
    complete(FakeConnections(0), pipeline, 60)
    assert pipeline.started == 0


class FakeReleases:
    """A group whose last deployment failed on one host and left the good release on the other."""

    def get_deployment_group(self, applicationName: str, deploymentGroupName: str) -> dict[str, Any]:
        return {
            "deploymentGroupInfo": {
                "lastSuccessfulDeployment": {"deploymentId": "d-good"},
                "lastAttemptedDeployment": {"deploymentId": "d-bad"},
            }
        }

    def get_deployment(self, deploymentId: str) -> dict[str, Any]:
        where = {"bucket": "b", "key": deploymentId, "version": "1", "bundleType": "zip"}
        return {
            "deploymentInfo": {
                "status": "Failed" if deploymentId == "d-bad" else "Succeeded",
                "creator": "user",
                "revision": {"revisionType": "S3", "s3Location": where},
            }
        }

    def list_deployment_targets(self, deploymentId: str) -> dict[str, Any]:
        return {"targetIds": ["i-2", "i-1"]}

    def batch_get_deployment_targets(self, deploymentId: str, targetIds: list[str]) -> dict[str, Any]:
        return {
            "deploymentTargets": [
                {"instanceTarget": {"targetId": name, "status": "Succeeded" if name == "i-1" else "Failed"}} for name in targetIds
            ]
        }

    get_paginator = FakeCodeDeploy.get_paginator


class FakeBundles:
    def get_object(self, Bucket: str, Key: str, VersionId: str) -> dict[str, Any]:
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as bundle:
            bundle.writestr("release.json", json.dumps({"commit": f"commit-of-{Key}", "digest": "sha256:1"}))
        return {"ContentLength": held.tell(), "Body": io.BytesIO(held.getvalue())}


def test_status_tells_what_runs_where_and_goes_on_past_what_it_may_not_read(place: Place) -> None:
    place.with_store()
    outputs = [
        {"OutputKey": key, "OutputValue": value}
        for key, value in {**GROUPS, "FleetCompositeAlarmName": "fleet-alarm"}.items()
        if key != "OneBoxDeploymentGroupName"
    ]
    place.cloudformation.add("sample-environment-gamma", "UPDATE_COMPLETE", Outputs=outputs)

    class Denied:
        def describe_alarms(self, **_: Any) -> None:
            raise refusal(
                "AccessDenied", "User: arn:x is not authorized to perform: cloudwatch:DescribeAlarms on resource: *", "DescribeAlarms"
            )

    place.aws.clients.update({"codedeploy": FakeReleases(), "s3": FakeBundles(), "cloudwatch": Denied()})
    assert status.main(["--env", "gamma", "--local"], place.world) == 0
    text = place.recorder.text
    assert "fleet (us-east-1): commit-of-d-\n    sha256:1" in text
    assert "last deployment d-bad of commit-of-d-: Failed, created by user" in text
    assert "not readable: alarms (us-east-1): access denied: cloudwatch:DescribeAlarms" in text

    quiet = Recorder()
    assert status.main(["--env", "gamma", "--local", "--json"], a_world(place.root, place.aws, quiet, place.clock)) == 0
    group = json.loads(quiet.text)["environments"][0]["groups"][0]
    assert group["release"]["commit"] == "commit-of-d-good"
    assert [(instance["id"], instance["commit"]) for instance in group["instances"]] == [("i-1", "commit-of-d-bad"), ("i-2", "")]
    assert quiet.errors.startswith("Target:")


def test_validate_finds_what_is_wrong_with_a_template_and_with_parameters(place: Place) -> None:
    lines = (place.root / "templates/environment/inner.yaml").read_text()
    for unwanted in (place.root / "templates").glob("*.yaml"):
        unwanted.unlink()
    (place.root / "templates/environment/inner.yaml").write_text(lines.replace("DisplayName", "DisplayNome"))
    (place.root / "parameters/local/prod.yaml").write_text("account: x\n")
    (place.root / "buildspecs").mkdir()
    (place.root / "buildspecs/image.yaml").write_text("version: 0.2\nversion: 0.2\n")
    assert validate.main([], place.world) == 1
    text = place.recorder.text
    assert "DisplayNome" in text
    assert "parameters/local/prod.yaml: error parameters-overlay: parameters/local/prod.yaml lies over nothing" in text
    assert 'buildspecs/image.yaml:2:1: error key-duplicates: duplication of key "version" in mapping' in text
    assert "there is no templates/environment.yaml" in text
    assert "validate: " in text.splitlines()[-1]


def test_validate_is_content_with_good_ones(tmp_path: Path) -> None:
    place = Place(tmp_path)
    shutil.rmtree(place.root / "parameters")
    for unwanted in (place.root / "templates").rglob("*.yaml"):
        unwanted.unlink()
    (place.root / "templates/small.yaml").write_text(
        "AWSTemplateFormatVersion: '2010-09-09'\nParameters:\n  ServiceName:\n    Type: String\n"
        "Resources:\n  Port:\n    Type: AWS::SSM::Parameter\n    Properties:\n      Type: String\n      Value: !Sub 8080 of ${ServiceName}\n"
    )
    assert validate.main([], place.world) == 0, place.recorder.text + place.recorder.errors
    assert "are good" in place.recorder.text

    # A name that AWS may have made after our table was written is said, and not refused.
    (place.root / "templates/small.yaml").write_text(
        "AWSTemplateFormatVersion: '2010-09-09'\nResources:\n  Band:\n    Type: AWS::CloudWatch::AnomalyDetector\n"
        "    Properties:\n      Namespace: AWS/SQS\n      MetricName: NumberOfQuietGroups\n      Stat: Sum\n"
    )
    assert validate.main([], place.world) == 0, place.recorder.text + place.recorder.errors
    assert "note W9060: NumberOfQuietGroups is not in the table of" in place.recorder.text
