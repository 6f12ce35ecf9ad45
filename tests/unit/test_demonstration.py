"""What the demonstration says of what it saw."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from scripts.demonstration import environments, summary
from scripts.demonstration.delivery import Deployment, Outcome
from scripts.demonstration.repository import Repository
from scripts.demonstration.traffic import Answer, counts

GOOD, BAD = "a" * 40, "b" * 40


def deployment(deployment_id: str, creator: str, status: str, created: float, completed: float) -> Deployment:
    return Deployment("us-east-1", "fleet", deployment_id, status, creator, created, completed, None, None)


BAD_OUTCOME = Outcome(BAD, "execution-2", "Failed", "sha256:bad", 60.0, "Gamma", (
    deployment("d-1", "user", "Failed", 100.0, 120.0), deployment("d-2", "codeDeployRollback", "Succeeded", 120.0, 140.0)))
GOOD_OUTCOME = Outcome(GOOD, "execution-1", "Succeeded", "sha256:good", 90.0, None, (deployment("d-0", "user", "Succeeded", 10.0, 90.0),))
ANSWERS = [Answer(50.0, "gamma/us-east-1", 200, GOOD), Answer(105.0, "gamma/us-east-1", 200, BAD), Answer(106.0, "gamma/us-east-1", 500, BAD),
           Answer(107.0, "gamma/us-east-1", 200, GOOD), Answer(118.0, "gamma/us-east-1", 200, BAD), Answer(107.0, "prod/us-east-1", 200, GOOD),
           Answer(150.0, "gamma/us-east-1", 200, GOOD)]
ALARMS = [{"alarm": "old", "time": 20.0}, {"alarm": "faults", "time": 112.0}, {"alarm": "later", "time": 115.0}]


def promised() -> dict[str, Any]:
    found = summary.detection(ALARMS, BAD_OUTCOME, ANSWERS)
    releases = [summary.release(GOOD_OUTCOME, "good", None, None), summary.release(BAD_OUTCOME, "bad", found, summary.rollback(BAD_OUTCOME, 112.0))]
    return summary.whole(releases, ANSWERS, BAD, 140.0, {"gamma/us-east-1/fleet": "sha256:good"}, {"gamma/us-east-1": "http://127.0.0.1:1/"})


def test_detection_and_rollback_are_measured_from_what_customers_and_alarms_saw() -> None:
    bad = promised()["releases"][1]
    assert bad["detection"] == {"alarm": "faults", "seconds_from_first_bad_response": 6.0}
    assert bad["rollback"] == {"by": "codedeploy", "deployment_ids": ["d-2"], "seconds_from_alarm": 28.0}


def test_traffic_counts_only_the_environments_that_the_bad_release_reached() -> None:
    assert counts(ANSWERS, BAD, 140.0) == {"requests": 7, "failed": 1, "failed_after_rollback": 0, "requests_while_bad": 4, "failed_while_bad": 1}


def test_what_was_promised_has_no_faults() -> None:
    assert summary.faults(promised()) == []


@pytest.mark.parametrize(("path", "value", "complaint"), [
    (("releases", 0, "status"), "Failed", "good release"),
    (("releases", 1, "status"), "Succeeded", "bad release"),
    (("releases", 1, "detection"), None, "no alarm"),
    (("releases", 1, "rollback"), None, "took the bad release"),
    (("releases", 1, "deployments", 1, "status"), "Failed", "rollback deployment d-2"),
    (("running", "gamma/us-east-1/fleet"), "sha256:bad", "runs sha256:bad"),
    (("running",), {}, "no host"),
    (("traffic", "failed_after_rollback"), 3, "3 requests failed after"),
])
def test_each_broken_promise_is_named(path: tuple[Any, ...], value: Any, complaint: str) -> None:
    broken = copy.deepcopy(promised())
    at = broken
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    assert any(complaint in fault for fault in summary.faults(broken))


def test_a_repository_keeps_the_remote_history_when_it_begins_again(tmp_path: Any) -> None:
    import subprocess

    remote, source = tmp_path / "remote.git", tmp_path / "source"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch", "main", str(remote)], check=True)
    for name in ("app", "appspecs", "buildspecs"):
        (source / name).mkdir(parents=True)
        (source / name / "file").write_text(name)
    repository = Repository(tmp_path / "work", str(remote))
    repository.begin(source)
    first = repository.push("one")
    repository.begin(source)
    repository.behave(fault_percent=5)
    second = repository.push("two")
    log = subprocess.run(["git", "-C", str(remote), "log", "--format=%H", "main"], check=True, capture_output=True, text=True).stdout.split()
    assert log == [second, first]


def test_a_balancer_is_asked_where_its_dns_name_answers() -> None:
    of = {"EndpointUrl": "http://sample-envi-LoadBalance-A1-1.us-east-1.elb.amazonaws.com/", "ApplicationName": "a", "FleetDeploymentGroupName": "g"}
    addresses = {"sample-envi-LoadBalance-A1-1.us-east-1.elb.amazonaws.com": "http://127.0.0.1:8800"}
    assert environments.place("gamma", "us-east-1", of, addresses).url == "http://127.0.0.1:8800/"
    assert environments.place("gamma", "us-east-1", of, {}).url == of["EndpointUrl"]
