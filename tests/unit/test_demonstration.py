"""What the demonstration says of what it saw."""

from __future__ import annotations

import copy
import datetime as dt
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scripts_fakes import FakeClock

from scripts import blast, demo
from scripts.demonstration import delivery, environments, repository, summary
from scripts.demonstration.control import Control, Refused
from scripts.demonstration.delivery import Deployment, Outcome
from scripts.demonstration.repository import Repository
from scripts.demonstration.traffic import Answer, counts

GOOD, BAD = "a" * 40, "b" * 40
PLACES = ("gamma/us-east-1/fleet", "gamma/us-west-2/fleet", "prod/us-east-1/onebox", "prod/us-east-1/fleet", "prod/us-west-2/fleet", "prod/eu-west-1/fleet")


def deployment(where: str, deployment_id: str, creator: str, status: str, created: float, completed: float, description: str = "") -> Deployment:
    environment, region, scope = where.split("/")
    return Deployment(environment, region, scope, f"group-{scope}", deployment_id, status, creator, created, completed, None, description)


GOOD_OUTCOME = Outcome(GOOD, "execution-1", "Succeeded", "sha256:good", 90.0, None, tuple(
    deployment(where, f"d-good-{number}", "user", "Succeeded", 10.0 + number, 20.0 + number) for number, where in enumerate(PLACES)))
BAD_OUTCOME = Outcome(BAD, "execution-2", "Failed", "sha256:bad", 60.0, "Gamma", (
    deployment(PLACES[0], "d-1", "user", "Failed", 100.0, 120.0), deployment(PLACES[1], "d-2", "user", "Stopped", 100.0, 121.0),
    deployment(PLACES[0], "d-3", "codeDeployRollback", "Succeeded", 120.0, 140.0),
    deployment(PLACES[1], "d-4", "user", "Succeeded", 121.0, 145.0, "handsoff rollback 7 third")))
ANSWERS = [Answer(50.0, "gamma/us-east-1", 200, GOOD), Answer(105.0, "gamma/us-east-1", 200, BAD), Answer(106.0, "gamma/us-east-1", 500, BAD),
           Answer(107.0, "gamma/us-east-1", 200, GOOD), Answer(118.0, "gamma/us-east-1", 200, BAD), Answer(107.0, "prod/us-east-1", 200, GOOD),
           Answer(150.0, "gamma/us-east-1", 200, GOOD)]
ALARMS = [{"alarm": "old", "region": "us-east-1", "time": 20.0}, {"alarm": "faults", "region": "us-east-1", "time": 112.0},
          {"alarm": "later", "region": "us-east-1", "time": 115.0}]
ENDPOINTS = {place.rpartition("/")[0]: "http://127.0.0.1:1/" for place in PLACES}


def promised() -> dict[str, Any]:
    found = summary.detection(ALARMS, BAD_OUTCOME, ANSWERS)
    releases = [summary.release(GOOD_OUTCOME, "good", None, None), summary.release(BAD_OUTCOME, "bad", found, summary.rollback(BAD_OUTCOME, 112.0))]
    return summary.whole(releases, ANSWERS, BAD, 140.0, dict.fromkeys(PLACES, "sha256:good"), ENDPOINTS)


def test_detection_and_rollback_are_measured_from_what_customers_and_alarms_saw() -> None:
    bad = promised()["releases"][1]
    assert bad["detection"] == {"alarm": "faults", "seconds_from_first_bad_response": 6.0}
    assert bad["rollback"] == {"by": "reconciler", "deployment_ids": ["d-3", "d-4"], "seconds_from_alarm": 33.0}
    assert [one["creator"] for one in bad["deployments"]] == ["user", "user", "codeDeployRollback", "reconciler"]


def test_what_codedeploy_alone_took_back_is_said_so() -> None:
    alone = Outcome(BAD, "execution-2", "Failed", None, 60.0, "Gamma", BAD_OUTCOME.deployments[:3])
    assert summary.rollback(alone, None) == {"by": "codedeploy", "deployment_ids": ["d-3"], "seconds_from_alarm": None}
    assert summary.rollback(GOOD_OUTCOME, None) is None


def test_traffic_counts_only_the_environments_that_the_bad_release_reached() -> None:
    assert counts(ANSWERS, BAD, 140.0) == {"requests": 7, "failed": 1, "failed_after_rollback": 0, "requests_while_bad": 4, "failed_while_bad": 1}


def test_what_was_promised_has_no_faults() -> None:
    assert summary.faults(promised()) == []


def test_a_bad_release_that_the_reconciler_stopped_before_its_stage_failed_is_no_fault() -> None:
    result = promised()
    result["releases"][1]["status"] = "Stopped"
    assert summary.faults(result) == []


def test_a_rollback_that_failed_and_was_tried_again_is_no_fault() -> None:
    again = deployment(PLACES[0], "d-2b", "user", "Failed", 119.0, 120.0, "handsoff rollback 7 third")
    bad = Outcome(BAD, "execution-2", "Failed", None, 60.0, "Gamma", (BAD_OUTCOME.deployments[0], again, *BAD_OUTCOME.deployments[1:]))
    result = promised()
    result["releases"][1] = summary.release(bad, "bad", result["releases"][1]["detection"], summary.rollback(bad, 112.0))
    assert summary.faults(result) == []


@pytest.mark.parametrize(("path", "value", "complaint"), [
    (("releases", 0, "status"), "Failed", "good release"),
    (("releases", 0, "deployments", 5, "status"), "Failed", "was not deployed to prod/eu-west-1/fleet"),
    (("releases", 1, "status"), "Succeeded", "bad release"),
    (("releases", 1, "detection"), None, "no alarm"),
    (("releases", 1, "rollback"), None, "took the bad release"),
    (("releases", 1, "deployments", 2, "status"), "Failed", "rollback deployment d-3 of gamma/us-east-1/fleet"),
    (("running", "gamma/us-east-1/fleet"), "sha256:bad", "runs sha256:bad"),
    (("running",), {}, "no host"),
    (("endpoints", "prod/ap-northeast-1"), "http://127.0.0.1:2/", "no host of prod/ap-northeast-1"),
    (("traffic", "failed_after_rollback"), 3, "3 requests failed after"),
])
def test_each_broken_promise_is_named(path: tuple[Any, ...], value: Any, complaint: str) -> None:
    broken = copy.deepcopy(promised())
    at = broken
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    assert any(complaint in fault for fault in summary.faults(broken))


def test_the_story_names_every_place_and_what_happened_there() -> None:
    told = "\n".join(demo.story(promised()))
    assert all(place in told for place in PLACES)
    assert "gamma/us-west-2/fleet: Stopped (user), then Succeeded (reconciler)" in told
    assert "taken back by reconciler, 33.0 s after the alarm" in told


# --- the repository -------------------------------------------------------------------------------------------------------


def test_a_repository_keeps_the_remote_history_when_it_begins_again(tmp_path: Path) -> None:
    remote, source = tmp_path / "remote.git", tmp_path / "source"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch", "main", str(remote)], check=True)
    for name in ("app", "appspecs", "buildspecs"):
        (source / name).mkdir(parents=True)
        (source / name / "file").write_text(name)
    (source / "app" / "behaviour.json").write_text(json.dumps({"fault_percent": 0, "crash_on_start": False, "fault_only_if_env": None}))
    one = Repository(tmp_path / "work", str(remote))
    one.begin(source)
    first = one.push("one")
    one.begin(source)
    one.behave(fault_percent=5)
    second = one.push("two")
    log = subprocess.run(["git", "-C", str(remote), "log", "--format=%H", "main"], check=True, capture_output=True, text=True).stdout.split()
    assert log == [second, first]
    assert json.loads((one.folder / "app" / "behaviour.json").read_text())["fault_percent"] == 5
    one.behave(crash_on_start=True)
    assert json.loads((one.folder / "app" / "behaviour.json").read_text()) == {"fault_percent": 0, "crash_on_start": True, "fault_only_if_env": None}
    with pytest.raises(KeyError, match="no_such_switch"):
        one.behave(no_such_switch=1)


def test_the_switches_of_this_project_are_off() -> None:
    there = json.loads((Path(__file__).parents[2] / "app" / "behaviour.json").read_text())
    assert there == {name: repository.off(value) for name, value in there.items()}


# --- where things are ------------------------------------------------------------------------------------------------------


def no_client(service: str, region: str) -> Any:
    raise AssertionError(f"nobody asked {service} in {region}")


def test_a_balancer_is_asked_where_its_dns_name_answers() -> None:
    of = {"EndpointUrl": "http://sample-envi-LoadBalance-A1-1.us-east-1.elb.amazonaws.com/", "ApplicationName": "a", "FleetDeploymentGroupName": "g"}
    addresses = {"sample-envi-LoadBalance-A1-1.us-east-1.elb.amazonaws.com": "http://127.0.0.1:8800"}
    assert environments.place("gamma", "us-east-1", of, addresses, no_client).url == "http://127.0.0.1:8800/"
    assert environments.place("gamma", "us-east-1", of, {}, no_client).url == of["EndpointUrl"]


@pytest.mark.parametrize(("stage", "environment"), [("Beta", "beta"), ("Gamma", "gamma"), ("OneBox", "prod"), ("Wave1", "prod"), ("Wave2", "prod"),
                                                     ("Build", None), ("Source", None), (None, None)])
def test_a_stage_belongs_to_an_environment(stage: str | None, environment: str | None) -> None:
    assert demo.environment_of(stage) == environment


# --- following a release -----------------------------------------------------------------------------------------------------


def action(stage: str, name: str, status: str, provider: str = "CodeDeploy", **variables: str) -> dict[str, Any]:
    return {"actionExecutionId": f"{stage}-{name}-{status}", "stageName": stage, "actionName": name, "status": status,
            "input": {"actionTypeId": {"provider": provider}}, "output": {"outputVariables": variables}}


@pytest.mark.parametrize(("status", "actions", "stage"), [
    ("Succeeded", [action("Gamma", "Deploy1", "Failed"), action("Gamma", "Deploy1", "Succeeded")], None),
    ("Failed", [action("Gamma", "Deploy1", "Failed"), action("Gamma", "Deploy2", "Succeeded")], "Gamma"),
    ("Failed", [action("Gamma", "Deploy1", "Failed"), action("Gamma", "Deploy1", "Succeeded"), action("OneBox", "Gate", "Failed")], "OneBox"),
    ("Stopped", [action("Wave1", "Deploy1", "Succeeded"), action("Wave2", "Deploy2", "Abandoned")], "Wave2"),
])
def test_the_stage_that_caught_a_release(status: str, actions: list[dict[str, Any]], stage: str | None) -> None:
    assert delivery.caught(status, actions) == stage


class Answers:
    """A paginator of one page."""

    def __init__(self, page: dict[str, Any]) -> None:
        self.page = page

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [self.page]


class Aws:
    """CodePipeline with one execution that failed at its gate, and CodeDeploy whose rollback begins two readings later."""

    def __init__(self) -> None:
        self.readings = 0

    def client(self, service: str, region: str) -> Any:
        return self

    def get_pipeline_execution(self, **_: Any) -> dict[str, Any]:
        return {"pipelineExecution": {"status": "Failed"}}

    def list_pipeline_executions(self, **_: Any) -> dict[str, Any]:
        return {"pipelineExecutionSummaries": [{"pipelineExecutionId": "e-1", "startTime": dt.datetime.fromtimestamp(90, dt.UTC),
                                                "sourceRevisions": [{"revisionId": BAD}]}]}

    def get_paginator(self, operation: str) -> Answers:
        if operation == "list_action_executions":
            return Answers({"actionExecutionDetails": [  # newest first, as CodePipeline answers
                action("OneBox", "Gate", "Failed", "Lambda"), action("OneBox", "Deploy1", "Succeeded"),
                action("Build", "Image", "Succeeded", "CodeBuild", IMAGE_DIGEST="sha256:bad")]})
        assert operation == "list_deployments"
        self.readings += 1
        return Answers({"deployments": ["d-2", "d-1"] if self.readings > 2 else ["d-1"]})

    def get_deployment(self, deploymentId: str) -> dict[str, Any]:
        back = deploymentId == "d-2"
        status = "InProgress" if back and self.readings < 6 else "Succeeded"
        return {"deploymentInfo": {"deploymentId": deploymentId, "deploymentGroupName": "g", "status": status, "creator": "user",
                                   "createTime": dt.datetime.fromtimestamp(130 if back else 100, dt.UTC),
                                   "completeTime": dt.datetime.fromtimestamp(150 if back else 120, dt.UTC),
                                   **({"description": "handsoff rollback 1 third"} if back else {})}}


def pipeline(aws: Aws, clock: Any) -> delivery.Pipeline:
    place = environments.Place("prod", "us-east-1", "http://127.0.0.1:1/", "app", {"onebox": "g"}, aws.client)
    return delivery.Pipeline("sample", "us-east-1", aws.client, clock, lambda line: None, [place])


def test_a_release_is_followed_until_it_was_taken_back() -> None:
    aws = Aws()
    wanted: Callable[[str | None], list[str]] = lambda stage: [] if aws.readings > 7 else [f"{stage} is not over"]  # noqa: E731
    one = pipeline(aws, FakeClock())
    outcome = one.follow(BAD, one.execution_of(BAD, 10), 60, wanting=wanted)
    assert (outcome.status, outcome.caught_in, outcome.digest, outcome.unsettled) == ("Failed", "OneBox", "sha256:bad", ())
    assert [(d.deployment_id, d.by, d.status) for d in outcome.deployments] == [("d-1", "user", "Succeeded"), ("d-2", "reconciler", "Succeeded")]
    assert [d.deployment_id for d in outcome.rollbacks] == ["d-2"]


def test_what_never_comes_to_rest_is_told() -> None:
    one = pipeline(Aws(), FakeClock())
    outcome = one.follow(BAD, "e-1", 60, wanting=lambda stage: ["prod is blocked by nobody"])
    assert outcome.unsettled == ("prod is blocked by nobody",)


def test_an_execution_that_does_not_end_says_where_it_stands() -> None:
    aws = Aws()
    aws.get_pipeline_execution = lambda **_: {"pipelineExecution": {"status": "InProgress"}}  # type: ignore[method-assign]
    with pytest.raises(delivery.DeliveryError, match="OneBox Gate Failed"):
        pipeline(aws, FakeClock()).follow(BAD, "e-1", 5)


# --- commands ----------------------------------------------------------------------------------------------------------------


class Function:
    """A Lambda client that answers what it is given."""

    def __init__(self, answer: dict[str, Any], error: str | None = None) -> None:
        self.answer, self.error, self.asked = answer, error, {}

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:
        self.asked = {"function": FunctionName, **json.loads(Payload)}
        return {"Payload": io.BytesIO(json.dumps(self.answer).encode()), **({"FunctionError": self.error} if self.error else {})}


def test_a_command_is_given_as_the_scripts_give_it() -> None:
    function = Function({"ok": True, "error": None, "record": {"last_good": GOOD}})
    assert Control(function, "rollback").record("prod") == {"last_good": GOOD}
    assert function.asked == {"function": "rollback", "command": "describe", "environment": "prod"}


@pytest.mark.parametrize(("answer", "error"), [({"ok": False, "error": "there is nothing to go back to"}, None),
                                               ({"errorMessage": "there is nothing to go back to"}, "Unhandled")])
def test_a_command_that_is_not_done_says_why(answer: dict[str, Any], error: str | None) -> None:
    with pytest.raises(Refused, match="unblock prod: there is nothing to go back to"):
        Control(Function(answer, error), "rollback").ask("unblock", "prod", reason="r", by="me")


# --- the same bad release twice ----------------------------------------------------------------------------------------------


def test_what_a_release_costs_is_counted_in_prod_alone() -> None:
    answers = [Answer(10.0, "prod/us-east-1", 500, BAD), Answer(11.0, "prod/us-west-2", 200, BAD), Answer(12.0, "prod/us-west-2", 503, None),
               Answer(12.0, "gamma/us-east-1", 500, BAD), Answer(30.0, "prod/us-east-1", 500, BAD)]
    found = blast.cost(answers, 9.0, 20.0)
    assert found == blast.Cost(11.0, 3, 2)


def test_the_ratio_of_both_ways_is_told() -> None:
    measured = blast.result(blast.Cost(400.0, 18000, 5400), blast.Cost(300.0, 13500, 12), 300.0, 30)
    assert (measured["ratio"], measured["ours"]["failed_percent"]) == (450.0, 0.09)
    told = "\n".join(blast.story(measured))
    assert "by hand after 300 s: 5400 of 18000" in told and "450.0 to 1" in told
    none = blast.result(blast.Cost(400.0, 18000, 5400), blast.Cost(300.0, 13500, 0), 300.0, 30)
    assert none["ratio"] is None and "5400 to none" in blast.story(none)[-1]


def test_all_hosts_at_once_takes_every_group_of_every_place_there_and_back() -> None:
    made: list[dict[str, Any]] = []

    class CodeDeploy:
        def get_deployment_group(self, **asked: str) -> dict[str, Any]:
            location = {"bucket": "store", "key": asked["deploymentGroupName"], "bundleType": "zip"}
            return {"deploymentGroupInfo": {"targetRevision": {"s3Location": location}}}

        def create_deployment(self, **asked: Any) -> dict[str, str]:
            made.append(asked)
            return {"deploymentId": "d-1"}

        def get_deployment(self, deploymentId: str) -> dict[str, Any]:
            return {"deploymentInfo": {"status": "Succeeded"}}

    class Demonstration:
        region, here, settings = "us-east-1", SimpleNamespace(clock=FakeClock()), {"prod": SimpleNamespace(service="sample")}

        def places_of(self, name: str) -> list[environments.Place]:
            return [environments.Place("prod", "us-east-1", "http://x", "app", {"fleet": "f", "onebox": "o"}, lambda *_: CodeDeploy())]

        def quiet(self) -> list[str]:
            return []

        def say(self, text: str) -> None:
            pass

        def answers(self, since: float) -> list[Answer]:
            return []

    one: Any = Demonstration()
    cost = blast.Blast(one, 0.0, 30)._all_at_once({"bucket": "store", "key": "bad", "bundleType": "zip"})
    assert (cost.requests, cost.failed) == (0, 0)
    assert [one["revision"]["s3Location"]["key"] for one in made] == ["bad", "bad", "f", "o"]


@pytest.mark.parametrize(("answer", "open_"), [
    ({"ok": True, "record": {"rollback": {"id": "r-1"}}}, "gamma is still being taken back"),
    ({"errorMessage": "AccessDeniedException"}, "the rollback function does not tell whether it is done: describe gamma: AccessDeniedException"),
    ({"ok": True, "record": {}}, ""),
])
def test_a_rollback_function_that_does_not_answer_may_have_more_to_do(answer: dict[str, Any], open_: str) -> None:
    class Lambda:
        def invoke(self, **asked: Any) -> dict[str, Any]:
            return {"Payload": io.BytesIO(json.dumps(answer).encode())}

    one = demo.Demonstration.__new__(demo.Demonstration)
    one.control = Control(Lambda(), "f")
    one.places_of = lambda environment: []  # type: ignore[method-assign]
    assert "".join(one.wanting("abc", "Gamma")).startswith(open_) and bool(one.wanting("abc", "Gamma")) is bool(open_)
