"""Canaries: their schedule and states, how a run's end is read, and the operations."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import botocore.session
import botocore.validate
import pytest
from botocore.exceptions import ClientError
from localaws_fakes import ACCOUNT, CALLER, REGION, FakeAws

from localaws.hosts.driver import TIMED_OUT
from localaws.service import ServiceError
from localaws.synthetics import driver, engine
from localaws.synthetics.api import Api

MODEL = botocore.session.get_session().get_service_model("synthetics")
ROLE = f"arn:aws:iam::{ACCOUNT}:role/canary"
NEW = {"Name": "shop", "Code": {"S3Bucket": "code", "S3Key": "c.zip", "Handler": "canary.handler"}, "ArtifactS3Location": "s3://art/gamma",
       "ExecutionRoleArn": ROLE, "Schedule": {"Expression": "rate(5 minutes)"}, "RuntimeVersion": "syn-python-selenium-7.0",
       "RunConfig": {"TimeoutInSeconds": 50, "EnvironmentVariables": {"URL": "http://shop/"}}}
PASSED, FAILED = engine.Outcome("", "", 1.5, "fine\n"), engine.Outcome("CANARY_FAILURE", "RuntimeError: status 500", 0.5, "Traceback\n")


# --- engine ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("expression", "seconds"), [("rate(1 minute)", 60), ("rate(5 minutes)", 300), ("rate(1 hour)", 3600), ("rate(0 minutes)", 0)])
def test_rates(expression: str, seconds: int) -> None:
    assert engine.seconds_of(expression) == seconds


@pytest.mark.parametrize("expression", ["rate(1 minutes)", "rate(2 hour)", "rate(90 minutes)", "cron(0 * * * ? *)", "rate(5 seconds)", ""])
def test_schedules_that_are_refused(expression: str) -> None:
    with pytest.raises(engine.ScheduleError):
        engine.seconds_of(expression)


def canary(**more: Any) -> engine.Canary:
    return {"state": "READY", "seconds": 60, "next_at": None, "busy": False, "started_at": None, "stopped_at": None, "runs": [], **more}


def test_a_canary_runs_at_once_and_then_on_its_beat() -> None:
    one = canary()
    assert not engine.due(one, 100)
    engine.start(one, 100)
    assert engine.due(one, 100)
    engine.begin(one, "a", 100.4)
    assert not engine.due(one, 170), "one run at a time"
    engine.end(one, "a", PASSED, "art/1", 103)
    assert [engine.due(one, at) for at in (159.9, 160)] == [False, True]
    engine.begin(one, "b", 345)
    assert one["next_at"] == 400, "what was missed is not made up for"
    assert [(run["id"], run["state"]) for run in one["runs"]] == [("b", "RUNNING"), ("a", "PASSED")]


def test_a_stop_waits_for_the_run_that_goes_on() -> None:
    one = canary()
    engine.start(one, 0)
    engine.begin(one, "a", 0)
    engine.stop(one, 1)
    assert one["state"] == "STOPPING"
    with pytest.raises(engine.StateError, match="can't be deleted"):
        engine.check_deletable(one)
    engine.end(one, "a", FAILED, "", 2)
    assert (one["state"], one["runs"][0]["reason"], one["runs"][0]["code"]) == ("STOPPED", "RuntimeError: status 500", "CANARY_FAILURE")
    engine.check_deletable(one)
    engine.start(one, 3)
    with pytest.raises(engine.StateError, match="can't be started"):
        engine.start(one, 4)


def test_a_single_run_stops_by_itself() -> None:
    one = canary(seconds=0)
    engine.start(one, 0)
    engine.begin(one, "a", 0)
    engine.end(one, "a", PASSED, "", 1)
    assert (one["state"], engine.due(one, 1e9)) == ("STOPPED", False)


def test_a_run_that_was_cut_off_is_forgotten() -> None:
    one = canary()
    engine.start(one, 0)
    engine.begin(one, "a", 0)
    engine.cut_off(one, 30)
    assert (one["runs"], engine.due(one, 60)) == ([], True)


def test_what_a_run_publishes() -> None:
    assert engine.metrics(PASSED) == [("SuccessPercent", 100.0, "Percent"), ("Failed", 0.0, "Count"), ("Duration", 1500, "Milliseconds")]
    assert engine.metrics(FAILED)[:2] == [("SuccessPercent", 0.0, "Percent"), ("Failed", 1.0, "Count")]


# --- driver ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "status", "code", "reason"), [
    ('hello\n\nm:{"passed": true}\n', 0, "", ""),
    ('hello\n\nm:{"passed": false, "reason": "ValueError: x"}\nlate words', 0, "CANARY_FAILURE", "ValueError: x"),
    ("killed", 137, "CANARY_FAILURE", "the process ended with status 137"),
    ("ended itself", 0, "CANARY_FAILURE", "the process ended with status 0"),
    ("the end is lo", driver.PASSED, "", ""),
    ("the end is lo", driver.FAILED, "CANARY_FAILURE", "the run failed; the end of its output was lost"),
    ("hello", TIMED_OUT, "CANARY_FAILURE", "the run took longer than 50 s"),
])
def test_how_a_run_ended(text: str, status: int, code: str, reason: str) -> None:
    found = driver.outcome(text, "m:", status, 2.0, 50.0)
    assert (found.code, found.reason, found.seconds) == (code, reason, 2.0)
    assert "passed" not in found.log


@pytest.mark.parametrize(("source", "handler", "code", "reason"), [
    ("import os\ndef handler(event, context):\n    return os.environ['URL']", "canary.handler", "", ""),
    ("def handler(event, context):\n    raise RuntimeError('status 500')", "canary.handler", "CANARY_FAILURE", "RuntimeError: status 500"),
    ("import sys\ndef handler(event, context):\n    sys.exit(3)", "canary.handler", "CANARY_FAILURE", "SystemExit: 3"),
    ("def other(event, context):\n    return 1", "canary.handler", "CANARY_FAILURE", "AttributeError: module 'canary' has no attribute 'handler'"),
    ("syntax error", "canary.handler", "CANARY_FAILURE", "SyntaxError: invalid syntax (canary.py, line 1)"),
])
def test_the_process_that_runs_a_canary(tmp_path: Path, source: str, handler: str, code: str, reason: str) -> None:
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "canary.py").write_text(source)
    ended = subprocess.run([sys.executable, "-B", "-c", driver.RUNNER, "m:", str(tmp_path), handler], capture_output=True, text=True,
                           env={"URL": "http://shop/"}, check=False)
    found = driver.outcome(ended.stdout, "m:", ended.returncode, 1.0, 50.0)
    assert (found.code, found.reason, ended.stderr) == (code, reason, "")
    assert ("Traceback" in found.log) == bool(code)
    assert code or found.log.startswith("http://shop/")


# --- api ------------------------------------------------------------------------------------------------------------------


class Clients:
    """S3, CloudWatch and Logs of the trial: `denied` holds what the role may not."""

    def __init__(self) -> None:
        self.denied: set[str] = set()
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(**arguments: Any) -> dict[str, Any]:
            self.calls.append((name, arguments))
            if name in self.denied:
                raise ClientError({"Error": {"Code": "AccessDenied", "Message": f"not {name}"}}, name)
            return {"Body": io.BytesIO(zipped())} if name == "get_object" else {}

        return call


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("python/canary.py", "def handler(event, context): pass")
    return out.getvalue()


class Trial:
    """The service over fakes; `outcomes` are what the next runs come to."""

    def __init__(self, folder: Path) -> None:
        self.clients = Clients()
        self.aws: Any = FakeAws(folder, dict.fromkeys(("s3", "cloudwatch", "logs"), self.clients))
        self.aws.as_caller = lambda ctx: self.aws.clients
        self.api = Api(self.aws)
        self.ran: list[dict[str, Any]] = []
        self.outcomes: list[engine.Outcome] = []
        self.api.runner.run = self._run  # type: ignore[method-assign]

    def _run(self, code_id: str, code: bytes, handler: str, environment: dict[str, str], timeout: float) -> engine.Outcome:
        self.ran.append({"code": code_id, "handler": handler, "environment": environment, "timeout": timeout})
        assert code == zipped()
        return self.outcomes.pop(0) if self.outcomes else PASSED

    def call(self, operation: str, **params: Any) -> dict[str, Any]:
        """Call the operation, and check request and response against AWS's model."""
        model = MODEL.operation_model(operation)
        botocore.validate.validate_parameters(params, model.input_shape)
        result = getattr(self.api, re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower())(CALLER, params) or {}
        if model.output_shape is not None:
            botocore.validate.validate_parameters(result, model.output_shape)
        return dict(result)

    def tick(self, seconds: float = 0) -> None:
        self.aws.clock.advance(seconds)
        self.api.tick()
        self.aws.run_spawned()

    def state(self) -> str:
        return str(self.call("GetCanary", Name="shop")["Canary"]["Status"]["State"])


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def test_a_canary_from_creation_to_deletion(trial: Trial) -> None:
    created = trial.call("CreateCanary", **NEW)["Canary"]
    assert (created["Status"]["State"], created["ArtifactS3Location"]) == ("READY", "art/gamma")
    assert "EnvironmentVariables" not in created["RunConfig"]
    trial.tick()
    assert trial.ran == [], "not started"
    trial.call("StartCanary", Name="shop")
    trial.outcomes = [PASSED, FAILED]
    trial.tick()
    trial.tick(300)
    runs = trial.call("GetCanaryRuns", Name="shop")["CanaryRuns"]
    assert [run["Status"]["State"] for run in runs] == ["FAILED", "PASSED"]
    assert runs[0]["Status"]["StateReason"] == "RuntimeError: status 500"
    assert runs[0]["ArtifactS3Location"].startswith(f"art/gamma/canary/{REGION}/shop/")
    assert trial.call("DescribeCanariesLastRun")["CanariesLastRun"][0]["LastRun"]["Status"]["State"] == "FAILED"
    assert (trial.ran[0]["environment"]["URL"], trial.ran[0]["timeout"]) == ("http://shop/", 50.0)
    with pytest.raises(ServiceError, match=r"ConflictException.*RUNNING"):
        trial.call("DeleteCanary", Name="shop")
    trial.call("StopCanary", Name="shop")
    trial.call("DeleteCanary", Name="shop")
    assert trial.call("DescribeCanaries") == {"Canaries": []}
    assert list((trial.aws.state_dir / "canaries").iterdir()) == []


def test_a_run_leaves_metrics_log_and_artifacts(trial: Trial) -> None:
    trial.call("CreateCanary", **NEW)
    trial.call("StartCanary", Name="shop")
    trial.tick()
    left = dict(trial.clients.calls)
    assert left["put_metric_data"]["Namespace"] == "CloudWatchSynthetics"
    told = left["put_metric_data"]["MetricData"][0]
    assert (told["MetricName"], told["Value"], told["Dimensions"]) == ("SuccessPercent", 100.0, [{"Name": "CanaryName", "Value": "shop"}])
    assert left["create_log_group"]["logGroupName"].startswith("/aws/lambda/cwsyn-shop-")
    assert left["put_object"]["Body"] == b"fine\n"


def test_the_log_of_a_long_name_goes_by_its_first_21_characters(trial: Trial) -> None:
    trial.call("CreateCanary", **{**NEW, "Name": "abcdefghijklmnop-gamma"})
    trial.call("StartCanary", Name="abcdefghijklmnop-gamma")
    trial.tick()
    assert dict(trial.clients.calls)["create_log_group"]["logGroupName"].startswith("/aws/lambda/cwsyn-abcdefghijklmnop-gamm-")


def test_what_the_role_may_not_is_left_out(trial: Trial) -> None:
    trial.clients.denied = {"put_metric_data", "create_log_group", "put_object"}
    trial.call("CreateCanary", **NEW)
    trial.call("StartCanary", Name="shop")
    trial.tick()
    assert trial.call("GetCanaryRuns", Name="shop")["CanaryRuns"][0]["Status"]["State"] == "PASSED"


def test_a_role_that_lambda_may_not_assume_any_more_fails_the_run(trial: Trial) -> None:
    trial.call("CreateCanary", **NEW)
    trial.call("StartCanary", Name="shop")
    trial.aws.untrusted.add(ROLE)
    trial.tick()
    assert trial.call("GetCanaryRuns", Name="shop")["CanaryRuns"][0]["Status"]["StateReasonCode"] == "EXECUTION_FAILURE"


def test_a_change_counts_from_the_next_run(trial: Trial) -> None:
    trial.call("CreateCanary", **NEW)
    trial.call("StartCanary", Name="shop")
    trial.tick()
    trial.call("UpdateCanary", Name="shop", Schedule={"Expression": "rate(1 minute)"}, RunConfig={"EnvironmentVariables": {"URL": "http://other/"}})
    assert trial.state() == "RUNNING"
    trial.tick(1)
    trial.tick(60)
    assert [run["environment"]["URL"] for run in trial.ran] == ["http://shop/", "http://other/", "http://other/"]


@pytest.mark.parametrize(("change", "told"), [
    ({"Name": "Shop"}, "regular expression"),
    ({"Schedule": {"Expression": "cron(0 * * * ? *)"}}, "rate"),
    ({"Schedule": {"Expression": "rate(1 minute)", "RetryConfig": {"MaxRetries": 1}}}, "not served"),
    ({"RuntimeVersion": "syn-nodejs-puppeteer-9.0"}, "Python only"),
    ({"Code": {"Handler": "a.handler"}}, "from S3"),
    ({"Schedule": {"Expression": "rate(1 minute)"}, "RunConfig": {"TimeoutInSeconds": 70}}, "timeout"),
    ({"BrowserConfigs": [{"BrowserType": "CHROME"}]}, "BrowserConfigs is not served"),
])
def test_canaries_that_are_refused(trial: Trial, change: dict[str, Any], told: str) -> None:
    with pytest.raises(ServiceError, match=told):
        trial.call("CreateCanary", **{**NEW, **change})
    assert trial.call("DescribeCanaries") == {"Canaries": []}


@pytest.mark.parametrize("action", ["iam:PassRole", "lambda:CreateFunction", "lambda:PublishLayerVersion"])
def test_who_makes_a_canary_needs_more_than_synthetics(trial: Trial, action: str) -> None:
    trial.aws.denied.add(action)
    with pytest.raises(ServiceError, match=action):
        trial.call("CreateCanary", **NEW)


def test_a_name_is_taken_once_and_an_unknown_one_not_found(trial: Trial) -> None:
    trial.call("CreateCanary", **NEW)
    with pytest.raises(ServiceError, match="already exists"):
        trial.call("CreateCanary", **NEW)
    with pytest.raises(ServiceError, match="ResourceNotFoundException"):
        trial.call("GetCanary", Name="other")


def test_tags(trial: Trial) -> None:
    arn = f"arn:aws:synthetics:{REGION}:{ACCOUNT}:canary:shop"
    trial.call("CreateCanary", **NEW, Tags={"a": "b"})
    trial.call("TagResource", ResourceArn=arn, Tags={"c": "d"})
    trial.call("UntagResource", ResourceArn=arn, TagKeys=["a"])
    assert trial.call("ListTagsForResource", ResourceArn=arn)["Tags"] == {"c": "d"}
    with pytest.raises(ServiceError, match="NotFoundException"):
        trial.call("ListTagsForResource", ResourceArn=arn + "s")


def test_state_survives_a_restart(trial: Trial, tmp_path: Path) -> None:
    trial.call("CreateCanary", **NEW)
    trial.call("StartCanary", Name="shop")
    trial.tick()
    again = Trial(tmp_path)
    again.aws.clock.advance(trial.aws.clock.now() - again.aws.clock.now())
    again.api.load(trial.api.dump())
    again.tick(300)
    assert len(again.call("GetCanaryRuns", Name="shop")["CanaryRuns"]) == 2


def test_permissions(trial: Trial) -> None:
    arn = f"arn:aws:synthetics:{REGION}:{ACCOUNT}:canary:shop"
    assert list(trial.api.permissions("CreateCanary", {"Name": "shop", "Tags": {"a": "b"}}, CALLER)) == [
        ("synthetics:CreateCanary", "*"), ("synthetics:TagResource", arn)]
    assert list(trial.api.permissions("StopCanary", {"Name": "shop"}, CALLER)) == [("synthetics:StopCanary", arn)]
    assert list(trial.api.permissions("DescribeCanaries", {}, CALLER)) == [("synthetics:DescribeCanaries", "*")]
