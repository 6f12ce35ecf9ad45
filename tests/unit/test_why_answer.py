"""`why` as a command: what it prints at which width, what it never prints, how many calls it makes, and its exit codes."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from deployment_scene import Scene
from inprocess import InProcess
from localaws_fakes import CALLER
from scripts_fakes import PROJECT, Recorder
from why_world import Pipe

from localaws.codedeploy.simulator import REGION
from localaws.service import ServiceError
from scripts import demo, why
from scripts.core.errors import CommandError
from scripts.core.world import World
from scripts.demonstration.delivery import Outcome
from scripts.diagnosis import answer, collect, redact
from scripts.diagnosis.case import Action, Case, Deployment, Event, Execution, Hold, Stack, StackEvent, Target, Unreadable
from scripts.diagnosis.judge import Cause, Document, Match, judge

ACCOUNT = "111122223333"


class Clock:
    """The scene's virtual time."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def seconds(self) -> float:
        return float(self.scene.clock.now())

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.scene.clock.now(), UTC)

    def sleep(self, seconds: float) -> None:
        self.scene.clock.advance(seconds)


class Whole:
    """A project with gamma in two Regions and a pipeline, and all that `why` may call: the real services' answers, in this process."""

    def __init__(self, folder: Path, zones: str = "abc", **group: Any) -> None:
        self.root = Path(shutil.copytree(PROJECT, folder / "project"))
        (self.root / "parameters" / "pipeline.yaml").write_text(
            f'template: pipeline\naccount: "{ACCOUNT}"\nregions: [us-east-1]\nneeds: [release-store]\nparameters:\n  ServiceName: sample\n')
        self.scene = Scene(zones, **group)
        self.pipe = Pipe(folder)
        self.pipe.local.clock = self.scene.clock
        self.aws: InProcess = self.scene.aws
        self.statuses: dict[str, str] = {}
        api = self.pipe.api
        for operation, method in (("GetPipeline", api.get_pipeline), ("GetPipelineState", api.get_pipeline_state),
                                  ("GetPipelineExecution", api.get_pipeline_execution), ("ListActionExecutions", api.list_action_executions),
                                  ("ListPipelineExecutions", api.list_pipeline_executions)):
            self.aws.record("codepipeline", operation, lambda params, method=method: method(CALLER, params))  # type: ignore[misc]
        self.aws.record("cloudformation", "DescribeStacks", self.stacks)
        self.aws.record("cloudformation", "DescribeStackEvents", {"StackEvents": []})
        self.aws.record("iam", "ListAccountAliases", {"AccountAliases": []})
        self.aws.record("dynamodb", "GetItem", {})
        self.aws.record("dynamodb", "Query", {"Items": []})
        self.pipe.outside.create_deployment = lambda **_: {"deploymentId": self.scene.sim.deploy("two")}  # type: ignore[method-assign]
        self.pipe.outside.get_deployment = lambda deploymentId: {"deploymentInfo": self.scene.sim.info(deploymentId)}  # type: ignore[method-assign]
        self.recorder = Recorder()

    def stacks(self, params: dict[str, Any]) -> Mapping[str, Any]:
        name = params["StackName"]
        outputs = {"sample-environment-gamma": {"ApplicationName": "app", "FleetDeploymentGroupName": "fleet"},
                   "sample-pipeline": {"PipelineName": "sample", "LedgerTableName": "ledger"}, "sample-release-store": {}}.get(name)
        if outputs is None:
            return ServiceError("ValidationError", f"Stack with id {name} does not exist")  # type: ignore[return-value]
        return {"Stacks": [{"StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{name}/1", "StackName": name, "CreationTime": 1.6e9,
                            "StackStatus": self.statuses.get(name, "UPDATE_COMPLETE"),
                            "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]}]}

    def fails_in_gamma(self) -> Whole:
        """A release whose hook fails on each host comes to gamma by the pipeline."""
        self.scene.sim.ship("one")
        for host in self.scene.hosts:
            host.behave = lambda event, bundle: (1.0, False, {  # type: ignore[method-assign,assignment]
                "error_code": 4, "script_name": "hooks/start.sh", "message": "Script at specified location: hooks/start.sh failed with exit code 3",
                "log": "LifecycleEvent - ApplicationStart\nScript - hooks/start.sh\n[stderr]password=hunter22 is wrong\n"}
            ) if (event, bundle) == ("ApplicationStart", "two") else (1.0, True, {"error_code": 0, "script_name": "", "message": "Succeeded", "log": ""})
        self.pipe.to_gamma()
        action = next(one for one in self.pipe.api.list_action_executions(CALLER, {"pipelineName": "sample"})["actionExecutionDetails"]
                      if one["actionName"] == "Deploy1")
        self.scene.sim.finish(action["output"]["executionResult"]["externalExecutionId"])
        self.pipe.settle()
        assert self.pipe.status() == "Failed"
        self.aws.called.clear()
        return self

    def why(self, *arguments: str, columns: str = "", env: str = "gamma") -> int:
        self.recorder = Recorder()
        environ = {"COLUMNS": columns} if columns else {}
        return why.main(["--env", env, *arguments], World(self.root, environ, self.recorder.console, Clock(self.scene), lambda local, given: self.aws))


def fired(whole: Whole, names: tuple[str, ...]) -> None:
    """CloudWatch has these alarms, and each fired while the release was on its way: the dearest case to read."""
    now = whole.scene.clock.now()

    def described(params: dict[str, Any]) -> dict[str, Any]:
        wanted = [name for name in params.get("AlarmNames", names) if name in names]
        return {"MetricAlarms": [{
            "AlarmName": name, "StateValue": "ALARM", "StateTransitionedTimestamp": now - 60, "StateUpdatedTimestamp": now - 60, "MetricName": "Faults",
            "Namespace": "Handsoff", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 3, "DatapointsToAlarm": 2, "Threshold": 1.0,
            "ComparisonOperator": "GreaterThanThreshold", "Dimensions": []} for name in wanted], "CompositeAlarms": []}

    data = json.dumps({"version": "1.0", "oldState": {"stateValue": "OK"}, "newState": {"stateValue": "ALARM"}})
    whole.aws.record("cloudwatch", "DescribeAlarms", described)
    whole.aws.record("cloudwatch", "DescribeAlarmHistory", lambda params: {"AlarmHistoryItems": [{
        "AlarmName": params["AlarmName"], "AlarmType": "MetricAlarm", "Timestamp": now - 60, "HistoryItemType": "StateUpdate", "HistoryData": data,
        "HistorySummary": "Alarm updated from OK to ALARM"}]})
    whole.aws.record("cloudwatch", "GetMetricData", {"MetricDataResults": []})


# Calls


def test_one_failed_deployment_over_fifty_instances_takes_at_most_forty_calls(tmp_path: Path) -> None:
    alarms = tuple(f"sample-gamma-{number}" for number in range(12))
    whole = Whole(tmp_path, "abc" * 16 + "ab", alarms=alarms).fails_in_gamma()
    fired(whole, alarms)
    assert whole.why("--json") == 1
    document = json.loads(whole.recorder.text)
    made = [f"{service}:{operation}" for service, operation in whole.aws.called]
    assert document["cause"] == "deployment-hook-failed", made
    assert len(whole.scene.hosts) == 50 and "cloudwatch:DescribeAlarmHistory" in made
    assert len(made) <= 40, made
    # What is asked of STS and IAM, to name the target, is not in the answer's own count.
    assert document["calls"] == len([one for one in made if not one.startswith(("sts:", "iam:"))])
    assert document["unreadable"] == []


@pytest.mark.parametrize(("most", "read"), [(45, 2), (60, 3)])
def test_many_failures_at_once_stay_within_what_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, read: int) -> None:
    monkeypatch.setattr(collect, "MOST_CALLS", most)
    alarms = tuple(f"sample-gamma-{number}" for number in range(12))
    whole = Whole(tmp_path, "abc" * 16 + "ab", alarms=alarms).fails_in_gamma()
    whole.scene.sim.run(300)  # CodeDeploy's own way back
    hands = [whole.scene.sim.ship("two", autoRollbackConfiguration={"enabled": False})["deploymentId"] for _ in range(4)]
    fired(whole, alarms)
    at = whole.scene.clock.now()
    gamma = whole.root / "parameters" / "gamma.yaml"
    text = gamma.read_text().replace("regions: [us-east-1, us-west-2]", "regions: [us-east-1]")
    gamma.write_text(re.sub(r"^  us-west-2: .*\n", "", text, flags=re.M))
    whole.aws.record("codedeploy", "BatchGetDeploymentGroups", lambda params: {"deploymentGroupsInfo": [
        {"deploymentGroupName": f"g-{one}", "lastAttemptedDeployment": {"deploymentId": one, "status": "Failed", "endTime": at - len(hands) + hands.index(one)}}
        for one in hands]})
    whole.aws.called.clear()
    assert whole.why("--json") == 1
    document = json.loads(whole.recorder.text)
    made = [f"{service}:{operation}" for service, operation in whole.aws.called]
    assert document["cause"] == "deployment-hook-failed" and document["unreadable"] == []
    assert made.count("codedeploy:GetDeploymentConfig") <= 2, "a group that two deployments share is asked once"
    told = [one for one in hands if not any(one in named for named in document["also"])]
    assert hands[-1] in told and len(told) == read - 1, "the newest is read, and each that is not read is named"
    assert document["calls"] <= most, made


def test_the_answer_as_data(tmp_path: Path) -> None:
    whole = Whole(tmp_path).fails_in_gamma()
    assert whole.why("--json") == 1
    document = json.loads(whole.recorder.text)
    assert set(document) == set(answer.schema())
    assert (document["schema"], document["environment"], document["about"], document["failing"]) == (1, "gamma", "execution", True)
    assert (document["subject"], document["where"], document["certainty"]) == (whole.pipe.execution(), "us-east-1/fleet", "certain")
    assert document["fix"] and document["document"]["url"].startswith("https://docs.aws.amazon.com/")
    assert all(set(one) == {"cause", "why"} for one in document["ruled_out"])
    assert "account 111122223333" in whole.recorder.errors  # the target, beside the data
    assert "hunter22" not in whole.recorder.text


def test_read_only_credentials_that_lack_something_are_told_what_and_the_rest_is_shown(tmp_path: Path) -> None:
    whole = Whole(tmp_path).fails_in_gamma()
    whole.aws.denied |= {"ec2:*", "ssm:*", "dynamodb:*", "autoscaling:*"}
    assert whole.why() == 1
    page = whole.recorder.text
    assert "Cause (certain): hooks/start.sh failed" in page
    for permission in ("ec2:DescribeInstances", "dynamodb:GetItem", "dynamodb:Query"):
        assert f"allow {permission}" in page
    assert not [one for one in whole.aws.called if one[1] in ("Invoke", "PutItem", "StartPipelineExecution")]


def test_what_may_not_be_read_is_not_said_to_be_well(tmp_path: Path) -> None:
    whole = Whole(tmp_path).fails_in_gamma()
    whole.aws.denied |= {"codepipeline:*", "codedeploy:*"}
    # The refusal of a service whose answers are recorded here is the check of its permission all the same.
    assert whole.why() == 0
    assert "gamma: nothing that could be read is failing." in whole.recorder.text
    assert "allow codepipeline:GetPipelineState" in whole.recorder.text and "allow codedeploy:BatchGetDeploymentGroups" in whole.recorder.text
    failed = list(whole.scene.sim.api._stores[whole.scene.sim.ctx]["deployments"])[1]
    assert whole.why("--deployment", failed) == 1
    assert f"deployment {failed} could not be read" in whole.recorder.text and "allow codedeploy:GetDeployment" in whole.recorder.text


def test_exit_codes(tmp_path: Path) -> None:
    whole = Whole(tmp_path).fails_in_gamma()
    assert whole.why("--execution", "no-such") == 2
    assert "has no such execution" in whole.recorder.errors
    assert whole.why("--deployment", "d-NOWHERE00") == 2
    assert "there is no such deployment" in whole.recorder.errors
    assert whole.why("--stack", "sample-nothing") == 2
    assert whole.why("--stack", "sample-environment-gamma") == 0
    assert "the newest operation of sample-environment-gamma did not fail" in whole.recorder.text
    assert whole.why("--stack", "a", "--deployment", "d-1") == 2
    deployment = next(iter(whole.scene.sim.api._stores[whole.scene.sim.ctx]["deployments"]))
    assert whole.why("--deployment", deployment) == 0  # the first release went well
    assert "succeeded" in whole.recorder.text and "It is not failing." in whole.recorder.text
    assert why.main(["--env", "nowhere"], World(whole.root, {}, Recorder().console, Clock(whole.scene), lambda local, given: whole.aws)) == 2
    assert why.main(["--help"]) == 0


def test_a_demonstration_whose_first_release_fails_says_why(tmp_path: Path) -> None:
    whole = Whole(tmp_path).fails_in_gamma()
    execution = whole.pipe.api.list_pipeline_executions(CALLER, {"pipelineName": "sample"})["pipelineExecutionSummaries"][0]["pipelineExecutionId"]
    shutil.rmtree(whole.root / "parameters" / "local")  # here the local AWS's account is this one
    one = demo.Demonstration.__new__(demo.Demonstration)
    one.here = World(whole.root, {}, whole.recorder.console, Clock(whole.scene), lambda local, given: whole.aws)
    one.say = whole.recorder.console.line
    one.control = SimpleNamespace(record=lambda environment: {})  # type: ignore[assignment]
    one.places = []
    one.ship = lambda message: Outcome("a" * 40, execution, "Failed", None, 1.0, "Gamma")  # type: ignore[method-assign,assignment]
    with pytest.raises(CommandError, match="caught in Gamma: Cause"):
        one.first_release()
    assert f"make why ENV=gamma LOCAL=1 EXECUTION={execution}" in whole.recorder.text
    assert "hooks/start.sh failed with exit code 3" in whole.recorder.text


def test_the_pipeline_asked_about_is_everything(tmp_path: Path) -> None:
    whole = Whole(tmp_path).fails_in_gamma()
    assert whole.why("--json", env="pipeline") == 1
    document = json.loads(whole.recorder.text)
    assert (document["environment"], document["about"], document["cause"]) == ("pipeline", "execution", "deployment-hook-failed")
    assert document["where"] == "us-east-1/fleet"


def test_a_deployment_can_be_named(tmp_path: Path) -> None:
    whole = Whole(tmp_path).fails_in_gamma()
    failed = list(whole.scene.sim.api._stores[whole.scene.sim.ctx]["deployments"])[1]
    assert whole.why("--deployment", failed, "--json") == 1
    document = json.loads(whole.recorder.text)
    assert (document["about"], document["subject"], document["cause"]) == ("deployment", failed, "deployment-hook-failed")


@pytest.mark.parametrize("taken_back", [True, False])
def test_a_deployment_by_hand_that_failed(tmp_path: Path, taken_back: bool) -> None:
    whole = Whole(tmp_path, autoRollbackConfiguration={"enabled": taken_back, "events": ["DEPLOYMENT_FAILURE"]})
    whole.scene.sim.ship("one")
    whole.scene.bundle("broken", {"appspec.yml": "version: 0.0\nos: linux\n"})
    for host in whole.scene.hosts:
        host.behave = lambda event, bundle: (1.0, (event, bundle) != ("Install", "broken"), {  # type: ignore[method-assign,assignment]
            "error_code": 5 if event == "Install" else 0, "script_name": "", "message": "No such file or directory", "log": ""})
    failed = whole.scene.sim.ship("broken")
    assert failed["status"] == "Failed"
    if taken_back:
        whole.scene.sim.run(3600)  # CodeDeploy deploys the last successful revision again, and that goes well
    assert whole.why("--json") == 1, whole.recorder.text
    document = json.loads(whole.recorder.text)
    assert (document["about"], document["subject"]) == ("deployment", failed["deploymentId"])


def test_a_stack_that_failed_is_found_without_a_pipeline(tmp_path: Path) -> None:
    whole = Whole(tmp_path)
    whole.statuses["sample-environment-gamma"] = "UPDATE_ROLLBACK_COMPLETE"
    assert whole.why("--json") == 1
    document = json.loads(whole.recorder.text)
    assert (document["about"], document["subject"]) == ("stack", "sample-environment-gamma")


# Pages


def page(case: Case, width: int | None) -> str:
    return answer.text(case, judge(case), 12, width)


def long_case() -> Case:
    """A failure of everything that a page shows."""
    words = "Script at specified location: hooks/start.sh run as user root failed with exit code 1, because the service that it starts did not answer"
    log = "LifecycleEvent - ApplicationStart\n[stderr]" + "tail " * 60
    event = Event("ApplicationStart", "Failed", 1.0, 60.0, "ScriptFailed", "hooks/start.sh", words, log)
    deployment = Deployment("d-ABCDEFGHI", REGION, "app", "fleet", "fleet", "Failed", code="HEALTH_CONSTRAINTS", ended=70.0,
                            message="The overall deployment failed because too many individual instances failed deployment.",
                            targets=(Target("i-0123456789abcdef0", "Failed", events=(event,)),), targets_total=1)
    action = Action("Gamma", "Deploy1", "Failed", "CodeDeploy", REGION, "gamma", "d-ABCDEFGHI", "HEALTH_CONSTRAINTS", deployment.message, 10.0, 80.0)
    second = StackEvent(75.0, ("sample-gamma", "Fleet"), "AutoScalingGroup", "AWS::AutoScaling::AutoScalingGroup", "asg", "UPDATE_FAILED",
                        "Received 0 SUCCESS signal(s) out of 2.  Unable to satisfy 100% MinSuccessfulInstancesPercent requirement")
    return Case("gamma", "sample", "execution", 500.0, "11111111-2222-3333-4444-555555555555", REGION,
                Execution("11111111-2222-3333-4444-555555555555", "Failed", "c" * 40, "Make it faster", 1.0, 80.0), (action,), deployments=(deployment,),
                stacks=(Stack("sample-gamma", REGION, "UPDATE_ROLLBACK_COMPLETE", began=72.0, ended=90.0, operation="update", failures=(second,)),),
                holds=(Hold("block", "prod", "an alarm that fired in the middle of the night and took the release back to where it was", 5.0, "handsoff"),),
                running="execution 2 of abc is under way in Build", also=("deployment d-OLD in us-west-2 ended failed: DEPLOYMENT=d-OLD",),
                unreadable=(Unreadable("the ledger's record of gamma", "access denied", "dynamodb:GetItem"),))


@pytest.mark.parametrize("width", [80, 200])
def test_a_page_fits(width: int) -> None:
    shown = page(long_case(), width)
    for line in shown.splitlines():
        whole = re.match(r"\s*(?:-|\d\.)?\s*(?:aws|make|git) ", line) or "://" in line
        assert whole or len(line) <= min(width, answer.WIDEST), line
    assert "\033" not in shown and "\t" not in shown
    assert "make why ENV=gamma DEPLOYMENT=d-OLD" in shown
    assert "allow dynamodb:GetItem" in shown


def test_two_faults_at_once_the_first_is_named_and_the_other_mentioned() -> None:
    case = long_case()
    verdict = judge(case)
    assert verdict.first is not None and verdict.first.cause.area == "deployment"
    assert any(other.cause.area == "stack" for other in verdict.others)
    assert "\nAlso\n" in page(case, 80)
    # The stack first, and its fault is the one that is named.
    event = replace(case.stacks[0].failures[0], at=20.0)
    swapped = replace(case, stacks=(replace(case.stacks[0], began=15.0, ended=25.0, failures=(event,)),))
    found = judge(swapped)
    assert found.first is not None and found.first.cause.area == "stack"
    assert any(other.cause.area == "deployment" for other in found.others)


def test_into_a_pipe_a_fact_is_a_line() -> None:
    lines = page(long_case(), None).splitlines()
    assert any(line.endswith("did not answer") and "d-ABCDEFGHI" in line for line in lines)
    assert any("make why ENV=gamma DEPLOYMENT=d-OLD" in line and "d-OLD in us-west-2" in line for line in lines)


def test_commands_are_never_wrapped() -> None:
    command = "aws codepipeline retry-stage-execution --pipeline-name sample --stage-name Gamma --pipeline-execution-id 1 --retry-mode FAILED_ACTIONS"
    cause = Cause("a-cause", "pipeline", "It is so", Document("A page", "https://docs.aws.amazon.com/x"),
                  lambda case: Match("certain", "Gamma", ("a fact",), (f"Wait, then retry the stage: {command}",)))
    case = long_case()
    shown = answer.text(case, judge(case, [cause]), 1, 60)
    assert f"     {command}" in shown.splitlines()
    assert "  1. Wait, then retry the stage:" in shown.splitlines()


def test_what_no_cause_explains_is_shown_as_it_was_found() -> None:
    case = replace(long_case(), stacks=())
    shown = answer.text(case, judge(case, []), 1, None)
    assert "No cause of the catalogue matches" in shown
    for words in ("HEALTH_CONSTRAINTS", "i-0123456789abcdef0: ApplicationStart: ScriptFailed", "https://us-east-1.console.aws.amazon.com/"):
        assert words in shown
    document = answer.document(case, judge(case, []), 1)
    assert document["cause"] is None and document["failing"] is True and document["evidence"]


def test_what_is_no_failure_says_so() -> None:
    case = replace(long_case(), execution=Execution("e-1", "Superseded", superseded_by="e-2"), actions=(), deployments=(), stacks=(), holds=())
    shown = page(case, 80)
    assert shown.startswith("gamma: execution e-1 was superseded") and "This is not a failure of the release." in shown
    assert "Reason (certain): A newer execution took its place" in shown
    assert not answer.failing(case, judge(case))


@pytest.mark.parametrize(("environ", "expected"), [({"COLUMNS": "80"}, 80), ({"COLUMNS": "0"}, None), ({"COLUMNS": "wide"}, None), ({}, None)])
def test_width(environ: dict[str, str], expected: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    assert why.width(environ) == expected


# Secrets


@pytest.mark.parametrize(("text", "secret"), [
    ("using AKIAIOSFODNN7EXAMPLE now", "AKIAIOSFODNN7EXAMPLE"),
    ("ASIAIOSFODNN7EXAMPLE", "IOSFODNN7EXAMPLE"),
    ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI"),
    ('{"SecretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "a": 1}', "wJalrXUtnFEMI"),
    ("the key is wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI"),
    ("AWS_SESSION_TOKEN=FwoGZXIvYXdzEBYaD", "FwoGZXIvYXdzEBYaD"),
    ("Authorization: Bearer abc.def.ghi", "abc.def.ghi"),
    ("authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830, Signature=5d672d79c15b13162d9279b0855cfba6", "5d672d79"),
    ("curl -H 'X-Api-Key: 12345abcde' https://x", "12345abcde"),
    ("Cookie: session=8a7b6c5d", "8a7b6c5d"),
    ("DB_PASSWORD=hunter2hunter2", "hunter2"),
    ('DB_PASSWORD="hunter two"', "hunter two"),
    ("password: hunter2!", "hunter2"),
    ('"password": "hunter"', "hunter"),
    ("mysql --password hunter2 -u root", "hunter2"),
    ("docker login -u AWS -p eyJwYXlsb2FkIjoiabc 1.dkr.ecr.us-east-1.amazonaws.com", "eyJwYXlsb2FkIjoiabc"),
    ("postgres://user:hunter2@db.internal:5432/x", "hunter2"),
    ("https://github.com/acme/x?access_token=abcdef123456", "abcdef123456"),
    ("https://bucket.s3.amazonaws.com/k?X-Amz-Credential=A%2F1&X-Amz-Signature=deadbeef00", "deadbeef00"),
    ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "abcdefghij"),
    ("github_pat_11ABCDEFG0123456789_abcdef", "11ABCDEFG"),
    ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.sflKxwRJSMeKKF2QT4", "sflKxwRJSMeKKF2QT4"),
    ('{"Parameter": {"Name": "/sample/db", "Type": "SecureString", "Value": "correct horse", "Version": 1}}', "correct horse"),
    ('{"Value": "correct horse", "Type": "SecureString"}', "correct horse"),
    ('"SecretString": "{\\"user\\":\\"x\\",\\"pin\\":\\"9999\\"}"', "9999"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabc\n-----END RSA PRIVATE KEY-----", "MIIEpAIBAAKCAQEA"),
    ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk", "b3BlbnNzaC1rZXk"),
    ("ciphertext AQICAHh" + "a1B2" * 20, "a1B2a1B2"),
])
def test_a_secret_is_taken_out(text: str, secret: str) -> None:
    assert secret not in redact.redact(text)
    assert redact.HIDDEN in redact.redact(text)


@pytest.mark.parametrize("text", [
    "execution 11111111-2222-3333-4444-555555555555 of c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ff",
    f"arn:aws:iam::{ACCOUNT}:role/sample-gamma-DeployRole-1ABCDEFGHIJKL is not authorized to perform: s3:GetObject",
    "111122223333.dkr.ecr.us-east-1.amazonaws.com/sample@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "https://us-east-1.console.aws.amazon.com/codesuite/codedeploy/deployments/d-ABCDEFGHI?region=us-east-1",
    "Could not access the GitHub repository. The access token might be invalid or has been revoked.",
    "GitHub token: invalid", "KeyError: 'password'", "passed=3 failed=2", "i-0123456789abcdef0: ApplicationStop: exit code 1",
    "aws deploy get-deployment --region us-east-1 --deployment-id d-ABCDEFGHI", "make unblock ENV=prod REASON=\"…\"",
    "The Deployment Group 'gamma-fleet' is already deploying deployment 'd-ABCDEFGHI'.",
    "https://docs.aws.amazon.com/codepipeline/latest/userguide/troubleshooting.html#troubleshooting-gs2",
    "/opt/codedeploy-agent/deployment-root/0123abcd-0123-4567-89ab-0123456789ab/d-ABCDEFGHI/deployment-archive/hooks/start.sh",
])
def test_what_one_needs_stays(text: str) -> None:
    assert redact.redact(text) == text


def test_secrets_over_several_lines_of_a_log() -> None:
    log = ("{", '  "Type": "SecureString",', '  "Value": "correct horse"', "}", "-----BEGIN PRIVATE KEY-----", "MIIE", "-----END PRIVATE KEY-----", "bye")
    shown = redact.redact_lines(log)
    assert "correct horse" not in "\n".join(shown) and "MIIE" not in "\n".join(shown) and shown[-1] == "bye"
    assert "correct horse" not in json.dumps(redact.redact_all({"evidence": list(log)}))


@pytest.mark.parametrize("part", ["a-", "a.", "KEY_", "x-", "token-", "a=", "'a-"])
def test_a_line_that_its_sender_made_up_holds_nobody_up(part: str) -> None:
    began = time.process_time()
    shown = redact.redact(part * (200_000 // len(part)) + "\nbye")
    assert time.process_time() - began < 2.0
    assert shown.endswith("…\nbye") and len(shown) < redact.LINE + 10


@pytest.mark.parametrize("text", [
    "{filler} DB_PASSWORD=\"hunter {long}\"", '{filler} "password": "hunter {long}"', "{filler} password: 'hunter {long}'", '"SecretString": "hunter {long}"',
    '{{"Value": "hunter {long}", "Type": "SecureString"}}', "{long} -----BEGIN PRIVATE KEY-----\nhunter", "{nearly} ghp_hunterhunterhunter",
])
def test_a_secret_over_the_end_of_a_line_that_is_cut_is_taken_out(text: str) -> None:
    assert "hunt" not in redact.redact(text.format(filler="x " * 1000, long="horse " * 1000, nearly="y" * (redact.LINE - 10)))


def test_a_name_of_many_parts_names_a_secret_all_the_same() -> None:
    for text in ("a_" * 50 + "password=hunter", '"' + "a-" * 50 + 'token": "hunter"', "password" + "_a" * 50 + "=hunter"):
        assert "hunter" not in redact.redact(text)


def test_no_secret_of_a_log_is_in_any_form_of_the_answer() -> None:
    event = Event("ApplicationStart", "Failed", 1.0, 2.0, "ScriptFailed", "hooks/start.sh", "exit code 1", "[stdout]API_TOKEN=s3cr3tvalue\n[stdout]go")
    deployment = Deployment("d-ABCDEFGHI", REGION, "app", "fleet", "fleet", "Failed", ended=3.0, targets=(Target("i-1", "Failed", events=(event,)),))
    case = Case("gamma", "sample", "deployment", 5.0, "d-ABCDEFGHI", REGION, deployments=(deployment,))
    for verdict in (judge(case), judge(case, [])):
        shown = [answer.text(case, verdict, 1, width) for width in (40, 80, None)] + [json.dumps(answer.document(case, verdict, 1))]
        assert not [one for one in shown if "s3cr3tvalue" in one]

