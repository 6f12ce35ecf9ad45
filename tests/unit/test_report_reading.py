"""The report: what it reads from the services in this process, and what it makes of that."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from inprocess import InProcess
from localaws_fakes import REGION
from report_page import Reader, read
from report_values import BAD, GOOD
from scripts_fakes import FakeClock, Recorder
from test_why_alarms import BALANCER, OF_TARGETS, TARGETS
from test_why_alarms import Place as Simulated
from why_world import deployed_stack

from localaws.service import ServiceError
from scripts import report as command
from scripts.core.clock import RealClock
from scripts.core.world import World
from scripts.diagnosis.calls import Calls
from scripts.diagnosis.collect import Place as Where
from scripts.diagnosis.collect import Scene
from scripts.reporting import gather, hosts, summary
from scripts.reporting.values import Report

ROOT = Path(__file__).resolve().parents[2]


class Account:
    """Gamma in one Region: CodeDeploy over simulated hosts, the templates' alarms and the metrics in CloudWatch; a good release, then one that alarms."""

    def __init__(self) -> None:
        self.gamma = Simulated()
        self.aws, self.calls = self.gamma.aws, self.gamma.calls
        self.gamma.measure("TargetResponseTime ", [0.01] * 5, {"LoadBalancer": BALANCER})
        self.gamma.simulation.run(60)
        self.began = self.gamma.clock.now()
        self.good = self.gamma.simulation.deploy("one")
        self.gamma.simulation.finish(self.good)
        self.gamma.simulation.run(120)
        self.bad = self.gamma.ship(60, "HTTPCode_Target_5XX_Count", [1.0] * 2).id
        self.gamma.good()
        self.gamma.simulation.run(900)
        self.now = self.gamma.clock.now()
        for key, commit in (("one", GOOD), ("two", BAD)):
            self.aws.buckets.put("bucket", key, bundle(commit))
        names = self.gamma.names
        of_fleet = [names[name] for name in ("Faults", "LatencyP50", "LatencyP99", "Cpu", "UnhealthyHosts")]
        document = {"alarms": [names["BalancerFaults"]], "scopes": {"fleet": {"alarms": of_fleet, "loadBalancer": BALANCER, "targetGroup": TARGETS}}}
        self.aws.record("ssm", "GetParameter", lambda params: {"Parameter": {"Name": params["Name"], "Value": json.dumps(document)}})
        self.aws.record(
            "codepipeline", "GetPipelineState", {"pipelineName": "sample", "stageStates": [{"stageName": name} for name in ("Source", "Gamma", "OneBox")]}
        )
        self.aws.record(
            "codepipeline",
            "ListPipelineExecutions",
            {
                "pipelineExecutionSummaries": [
                    self.execution("e-2", BAD, "Failed", self.info(self.bad)),
                    self.execution("e-1", GOOD, "Succeeded", self.info(self.good)),
                ]
            },
        )
        self.aws.record(
            "codepipeline",
            "ListActionExecutions",
            {
                "actionExecutionDetails": [
                    self.action("e-2", self.bad, "Failed", "Deployment stopped, password=hunter2hunter2"),
                    self.action("e-1", self.good, "Succeeded"),
                ]
            },
        )
        self.aws.record("dynamodb", "GetItem", {"Item": {"id": {"S": "environment#gamma"}, "last_good": {"S": GOOD}, "desired": {"S": GOOD}}})
        self.aws.record("dynamodb", "Query", {"Items": []})
        self.aws.record(
            "dynamodb", "BatchGetItem", {"Responses": {"ledger": [{"commit": {"S": BAD}, "bad": {"M": {"where": {"S": "gamma"}, "reason": {"S": "alarm"}}}}]}}
        )

    def info(self, identity: str) -> dict[str, Any]:
        return self.gamma.simulation.info(identity)

    def execution(self, identity: str, commit: str, status: str, info: dict[str, Any]) -> dict[str, Any]:
        return {
            "pipelineExecutionId": identity,
            "status": status,
            "startTime": info["createTime"] - 60,
            "lastUpdateTime": info["completeTime"],
            "sourceRevisions": [
                {"actionName": "Source", "revisionId": commit, "revisionSummary": json.dumps({"ProviderType": "GitHub", "CommitMessage": f"m {identity}"})}
            ],
        }

    def action(self, execution: str, deployment: str, status: str, message: str = "") -> dict[str, Any]:
        info = self.info(deployment)
        result = {"externalExecutionId": deployment, **({"errorDetails": {"code": "JobFailed", "message": message}} if message else {})}
        return {
            "pipelineExecutionId": execution,
            "actionExecutionId": f"a-{execution}",
            "stageName": "Gamma",
            "actionName": "Deploy1",
            "status": status,
            "startTime": info["createTime"],
            "lastUpdateTime": info["completeTime"],
            "output": {"executionResult": result},
            "input": {"actionTypeId": {"category": "Deploy", "owner": "AWS", "provider": "CodeDeploy", "version": "1"}},
        }

    def scene(self) -> Scene:
        stack = deployed_stack("sample-environment-gamma", {"ApplicationName": "app", "FleetDeploymentGroupName": "fleet"})
        home = deployed_stack("sample-pipeline", {"PipelineName": "sample", "LedgerTableName": "ledger"})
        return Scene(
            "gamma", "sample", ("gamma",), (Where("gamma", REGION, self.calls, stack.name, stack),), Where("pipeline", REGION, self.calls, home.name, home)
        )

    def report(self, since: float | None = None, crop: bool = False) -> Report:
        return gather.report(self.scene(), "test", self.began - 60 if since is None else since, self.now, RealClock(), crop, "make report")


def bundle(commit: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("release.json", json.dumps({"commit": commit, "digest": "sha256:1"}))
    return held.getvalue()


@pytest.fixture(scope="module")
def account() -> Account:
    return Account()


@pytest.fixture
def open_account(account: Account) -> Account:
    """The same, with nothing denied and nothing counted."""
    account.aws.denied, account.calls = set(), Calls(account.aws)
    account.aws.called.clear()
    return account


def test_deployments_alarms_traffic_and_hosts_are_read_from_the_services(open_account: Account) -> None:
    found = open_account.report()
    (gamma,) = found.environments
    (place,) = gamma.places
    (fleet,) = place.scopes
    assert [(one.status, one.by, one.commit) for one in fleet.deployments] == [
        ("Succeeded", "user", GOOD),
        ("Stopped", "user", BAD),
        ("Succeeded", "codeDeployRollback", GOOD),
    ]
    assert fleet.deployments[1].code == "ALARM_ACTIVE" and fleet.before is None
    faults = next(alarm for alarm in place.alarms if alarm.label == "Faults")
    (span,) = faults.spans
    assert (
        faults.scope == "fleet" and faults.threshold == 5 and span.begin is not None and fleet.deployments[1].created < span.begin < fleet.deployments[1].ended
    )
    assert span.end is not None and span.end > span.begin
    assert [alarm.scope for alarm in place.alarms if alarm.label == "BalancerFaults"] == [""]
    traffic = place.traffic
    assert traffic is not None and 5 < max(value for _, value in traffic.faults["fleet"]) <= 40 and traffic.p99[0][1] == pytest.approx(0.01)
    assert all(value == pytest.approx(300) for _, value in traffic.requests[1:-1]) and traffic.total > 5000 and traffic.faulty > 10
    steps = hosts.of_environment(gamma, found.since)
    assert dict(steps[-1].counts) == {GOOD: 3} and any(BAD in step.counts for step in steps) and dict(steps[0].counts) == {GOOD: 1}
    assert [(release.commit, release.summary, release.status, release.bad) for release in found.releases] == [
        (GOOD, "m e-1", "Succeeded", ""),
        (BAD, "m e-2", "Failed", "gamma: alarm"),
    ]
    assert found.releases[1].failed_stage is not None and "hunter2" not in found.releases[1].failed_stage.message
    assert found.unreadable == () and gamma.last_good == GOOD and found.stages == ("Source", "Gamma", "OneBox")
    assert summary.verdict(found).text.startswith("Release f4370d9bd541 failed in Gamma and was taken back in ")
    # The commits of the pipeline's own deployments are known from it: no bundle is read, not even for the rollback, which had the same.
    assert not [call for call in open_account.aws.called if call[0] == "s3"] and open_account.calls.count <= 25
    read(found)


def test_a_period_that_begins_later_knows_what_ran_before(open_account: Account) -> None:
    (gamma,) = open_account.report(since=open_account.now - 30).environments
    (fleet,) = gamma.places[0].scopes
    assert fleet.deployments == () and fleet.before is not None and fleet.before.by == "codeDeployRollback"
    assert dict(hosts.of_environment(gamma, open_account.now - 30)[0].counts) == {GOOD: 3}


def test_an_environment_that_is_not_used_is_left_out(open_account: Account) -> None:
    scene = open_account.scene()
    beta, elsewhere = Where("beta", REGION, open_account.calls, "b", None), Where("gamma", "us-west-2", open_account.calls, "g", None)
    scene = dataclasses.replace(scene, places=(beta, *scene.places, elsewhere))
    found = gather.report(scene, "test", open_account.began, open_account.now, RealClock(), False, "")
    assert [one.name for one in found.environments] == ["gamma"] and found.notes == ("gamma is not deployed in us-west-2, or could not be found.",)


def test_without_the_pipeline_the_bundles_say_which_release_it_is(open_account: Account) -> None:
    open_account.aws.denied = {"codepipeline:*"}
    found = open_account.report()
    assert [one.commit for one in found.environments[0].places[0].scopes[0].deployments] == [GOOD, BAD, GOOD]
    assert {one.permission for one in found.unreadable} == {"codepipeline:GetPipelineState", "codepipeline:ListPipelineExecutions"}


@pytest.mark.parametrize(
    ("denied", "what"),
    [
        ("ssm:GetParameter", "the document of gamma in us-east-1"),
        ("cloudwatch:DescribeAlarms", "alarms of gamma in us-east-1"),
        ("cloudwatch:DescribeAlarmHistory", "history of the alarm"),
        ("cloudwatch:GetMetricData", "metrics of gamma in us-east-1"),
        ("codedeploy:ListDeployments", "deployments to fleet of gamma in us-east-1"),
        ("dynamodb:GetItem", "gamma in the ledger"),
        ("codepipeline:ListActionExecutions", "actions of the pipeline sample"),
    ],
)
def test_what_may_not_be_read_is_named_and_the_rest_is_shown(open_account: Account, denied: str, what: str) -> None:
    open_account.aws.denied = {denied}
    found = open_account.report()
    assert {one.permission for one in found.unreadable} == {denied} and all(one.what.startswith(what) for one in found.unreadable)
    assert f"Missing permission: {denied} ." in read(found).text


# -- the command ------------------------------------------------------------------------------------------------------------


class Nothing:
    """An account with nothing in it, in the place of the project's local one."""

    def __init__(self, *denied: str) -> None:
        self.aws = InProcess(account="000000000000")
        self.aws.endpoint = "http://127.0.0.1:1"
        self.aws.denied = set(denied)
        self.aws.record(
            "cloudformation", "DescribeStacks", lambda params: ServiceError("ValidationError", f"Stack with id {params.get('StackName')} does not exist")
        )
        self.recorder = Recorder()
        self.world = World(ROOT, {}, self.recorder.console, FakeClock(), lambda local, environ: self.aws)


def test_an_empty_account_makes_a_report(tmp_path: Path) -> None:
    nothing = Nothing()
    target = tmp_path / "new" / "report.html"
    assert command.main(["--local", "--since", "2h", "--out", str(target)], nothing.world) == 0, nothing.recorder.errors
    assert nothing.recorder.text.splitlines()[0].startswith("Target: local AWS")
    reader = Reader(target.read_text(encoding="utf-8"))
    assert "No release in this period; no alarm fires." in reader.text and "make report SINCE=2h LOCAL=1" in reader.text
    assert "The pipeline is not deployed" in reader.text and "prod is not deployed in eu-west-1" in reader.text


def test_without_any_permission_it_says_so(tmp_path: Path) -> None:
    nothing = Nothing("cloudformation:*")
    assert command.main(["--env", "prod", "--local", "--out", str(tmp_path / "r.html")], nothing.world) == 0, nothing.recorder.errors
    assert "cloudformation:DescribeStacks" in nothing.recorder.text
    assert "Missing permission: cloudformation:DescribeStacks ." in Reader((tmp_path / "r.html").read_text(encoding="utf-8")).text


def test_the_report_has_the_cause_that_why_names(open_account: Account, tmp_path: Path) -> None:
    outputs = {
        "sample-environment-gamma": {"ApplicationName": "app", "FleetDeploymentGroupName": "fleet"},
        "sample-pipeline": {"PipelineName": "sample", "LedgerTableName": "ledger"},
    }

    def stacks(params: dict[str, Any]) -> dict[str, Any] | ServiceError:
        name = params.get("StackName", "")
        if name not in outputs:
            return ServiceError("ValidationError", f"Stack with id {name} does not exist")
        told = [{"OutputKey": key, "OutputValue": value} for key, value in outputs[name].items()]
        return {"Stacks": [{"StackId": name, "StackName": name, "StackStatus": "UPDATE_COMPLETE", "CreationTime": 1.6e9, "Outputs": told}]}

    aws, recorder, clock = open_account.aws, Recorder(), FakeClock()
    clock.sleep(open_account.now - clock.now().timestamp())
    aws.record("cloudformation", "DescribeStacks", stacks)
    aws.record(
        "codepipeline",
        "GetPipeline",
        {
            "pipeline": {
                "name": "sample",
                "roleArn": "r",
                "stages": [
                    {
                        "name": "Gamma",
                        "actions": [
                            {
                                "name": "Deploy1",
                                "actionTypeId": {"category": "Deploy", "owner": "AWS", "provider": "CodeDeploy", "version": "1"},
                                "configuration": {"ApplicationName": "app", "DeploymentGroupName": "fleet"},
                            }
                        ],
                    }
                ],
            }
        },
    )
    world = World(ROOT, {}, recorder.console, clock, lambda local, environ: aws)
    assert command.main(["--env", "gamma", "--since", "1h", "--out", str(tmp_path / "r.html")], world) == 0, recorder.errors
    reader = Reader((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "Release f4370d9bd541 failed in Gamma and was taken back in " in recorder.text
    assert "Why: " in reader.text and "Evidence" in reader.text and "hunter2" not in reader.text, recorder.text


def test_wrong_use() -> None:
    assert command.main(["--help"]) == 0 and command.main(["--nonsense"]) == 2
    nothing = Nothing()
    assert command.main(["--local", "--since", "soon"], nothing.world) == 2 and "SINCE=90m" in nothing.recorder.errors
    assert command.main(["--local", "--env", "nowhere"], nothing.world) == 2


def test_traffic_is_asked_for_by_the_environments_own_dimensions(open_account: Account) -> None:
    assert OF_TARGETS == {"LoadBalancer": BALANCER, "TargetGroup": TARGETS}
    open_account.report()
    assert open_account.aws.called.count(("cloudwatch", "GetMetricData")) == 1
