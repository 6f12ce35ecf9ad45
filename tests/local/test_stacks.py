"""Stacks end to end: they come up quiet, change child by child, go back as a whole, and begin again from any end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import projects
import pytest
from projects import Project

GAMMA, PROD, STORE = "sample-environment-gamma", "sample-environment-prod", "sample-release-store"
QUIET_SECONDS = float(os.environ.get("QUIET_SECONDS", "60"))
"""How long environments without a release are watched."""
ALARMS, DEPLOYMENT = "templates/environment/alarms.yaml", "templates/environment/deployment.yaml"
RULE, BROKEN_RULE = 'OR ALARM("${UnhealthyHosts}")', 'OR ALARM("no-such-alarm")'


@pytest.fixture
def project(local_aws: Any, tmp_path: Path) -> Iterator[Callable[[], Project]]:
    """Makes a copy of the project and an empty account; what it deployed is destroyed afterwards."""
    made: list[Project] = []

    def make() -> Project:
        account = projects.new_account()
        made.append(projects.copy(tmp_path / account, local_aws.environ, account))
        return made[-1]

    yield make
    for one in made:
        one.run("destroy", "all")


def statuses(project: Project) -> dict[str, str]:
    """The status of each stack, nested ones by their logical id below the root."""
    return {name if name in (GAMMA, PROD, STORE) else name.removeprefix(f"{GAMMA}-").rpartition("-")[0]: stack["StackStatus"]
            for name, stack in project.stacks().items()}


def newest_event(project: Project, stack: str) -> str:
    """The id of the newest event of a stack."""
    return str(project.client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"][0]["EventId"])


def events_since(project: Project, stack: str, last: str) -> list[tuple[str, str, str]]:
    """(logical id, status, reason) of each event of a stack after `last`, oldest first."""
    found = []
    for event in project.client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]:
        if event["EventId"] == last:
            return found[::-1]
        found.append((event["LogicalResourceId"], event["ResourceStatus"], event.get("ResourceStatusReason", "")))
    raise AssertionError(f"{stack} has no event {last}")


def settled(project: Project, names: set[str]) -> dict[str, str]:
    """The composites' states once none of `names` is new and unevaluated (AWS's word: INSUFFICIENT_DATA), after 60 s at the latest."""
    deadline = time.monotonic() + 60
    while True:
        states = project.composites()
        if time.monotonic() > deadline or (names <= states.keys() and "INSUFFICIENT_DATA" not in states.values()):
            return states
        time.sleep(0.5)


def alarm(project: Project, part: str) -> dict[str, Any]:
    """The metric alarm whose name has `part` in it."""
    found = project.client("cloudwatch").describe_alarms(AlarmTypes=["MetricAlarm"])["MetricAlarms"]
    one, = (alarm for alarm in found if part in alarm["AlarmName"])
    return dict(one)


@pytest.mark.every
def test_gamma_and_prod_come_up_quiet_on_an_empty_account_and_stay_quiet_without_a_release(project: Callable[[], Project]) -> None:
    one = project()
    assert [one.run("deploy", name).code for name in ("gamma", "prod")] == [0, 0]
    expected = {"sample-gamma-fleet-high-severity", "sample-prod-fleet-high-severity", "sample-prod-onebox-high-severity",
                "sample-gamma-high-severity", "sample-prod-high-severity"}
    states = [settled(one, expected)]
    begun = time.monotonic()
    while time.monotonic() - begun < QUIET_SECONDS:
        time.sleep(min(5.0, QUIET_SECONDS))
        states.append(one.composites())
    assert [state for state in states if state != dict.fromkeys(expected, "OK")] == []
    # Between two looks an alarm might have come and gone: the history would show it.
    history = one.client("cloudwatch").describe_alarm_history(HistoryItemType="StateUpdate")["AlarmHistoryItems"]
    assert [item["HistorySummary"] for item in history if item["HistorySummary"].endswith("to ALARM")] == []
    assert set(statuses(one).values()) == {"CREATE_COMPLETE"}
    assert one.client("codedeploy").list_deployments()["deployments"] == [], "no release, no deployment"


@pytest.mark.every
def test_a_changed_nested_template_updates_just_that_child(project: Callable[[], Project]) -> None:
    one = project()
    assert one.run("deploy", "gamma").code == 0
    before, last = one.stacks(), newest_event(one, GAMMA)
    one.edit(ALARMS, "Protects callers of ${ServiceName} ${EnvironmentName} from what any alarm", "Looks after callers from what any alarm")
    done = one.run("deploy", "gamma")
    assert done.code == 0, done.text
    touched = [event[:2] for event in events_since(one, GAMMA, last) if event[0] != GAMMA]
    assert touched == [("FleetAlarms", "UPDATE_IN_PROGRESS"), ("FleetAlarms", "UPDATE_COMPLETE")]
    changed = {name for name, stack in one.stacks().items() if stack.get("LastUpdatedTime") != before[name].get("LastUpdatedTime")}
    assert changed == {GAMMA, one.child("FleetAlarms")["StackName"]}
    composites = one.client("cloudwatch").describe_alarms(AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    assert [found["AlarmDescription"].startswith("Looks after callers") for found in composites].count(True) == 1
    again = one.run("deploy", "gamma")
    assert (again.code, "no change" in again.out) == (0, True)


@pytest.mark.every
def test_a_change_that_breaks_a_child_takes_the_whole_tree_back(project: Callable[[], Project]) -> None:
    one = project()
    assert one.run("deploy", "gamma").code == 0
    group = one.child("Fleet")
    threshold = alarm(one, "LatencyP99")["Threshold"]
    # The new latency threshold and the new port arrive before the composite fails, and must go back with it.
    one.edit(ALARMS, RULE, BROKEN_RULE)
    one.edit("parameters/gamma.yaml", "LatencyP99Seconds: 2", "LatencyP99Seconds: 3")
    one.edit("parameters/gamma.yaml", "HealthPath: /health", "HealthPath: /healthy")
    done = one.run("deploy", "gamma")
    assert done.code == 1, done.text
    assert f"{GAMMA} (us-east-1) ended in UPDATE_ROLLBACK_COMPLETE" in done.err
    assert "the first cause was FleetAlarms/HighSeverity (AWS::CloudWatch::CompositeAlarm) UPDATE_FAILED" in done.err
    assert "no-such-alarm" in done.err
    assert "next:" in done.err
    after = statuses(one)
    assert after[GAMMA] == after["FleetAlarms"] == "UPDATE_ROLLBACK_COMPLETE"
    assert set(after.values()) <= {"CREATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}
    assert alarm(one, "LatencyP99")["Threshold"] == threshold
    assert one.client("ssm").get_parameter(Name="/sample/gamma/app/HEALTH_PATH")["Parameter"]["Value"] == "/health"
    assert one.child("Fleet")["Outputs"] == group["Outputs"], "no Auto Scaling group was replaced"
    one.edit(ALARMS, BROKEN_RULE, RULE)
    done = one.run("deploy", "gamma")
    assert done.code == 0, done.text
    assert statuses(one)[GAMMA] == "UPDATE_COMPLETE"
    assert alarm(one, "LatencyP99")["Threshold"] == 3.0


@pytest.mark.every
def test_a_failed_first_create_leaves_nothing_and_is_retried_cleanly(project: Callable[[], Project]) -> None:
    one = project()
    one.edit(ALARMS, RULE, BROKEN_RULE)
    done = one.run("deploy", "gamma")
    assert done.code == 1, done.text
    assert "ended in ROLLBACK_COMPLETE; the first cause was FleetAlarms/HighSeverity (AWS::CloudWatch::CompositeAlarm) CREATE_FAILED" in done.err
    assert statuses(one) == {GAMMA: "ROLLBACK_COMPLETE", STORE: "CREATE_COMPLETE"}, "no nested stack is left"
    assert one.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"] == []
    assert one.client("elbv2").describe_load_balancers()["LoadBalancers"] == []
    one.edit(ALARMS, BROKEN_RULE, RULE)
    done = one.run("deploy", "gamma")
    assert done.code == 0, done.text
    assert "its first create failed and was rolled back" in done.out
    assert set(statuses(one).values()) == {"CREATE_COMPLETE"}


@pytest.mark.every
def test_destroy_of_everything_and_deploy_again(project: Callable[[], Project]) -> None:
    one = project()
    assert one.run("deploy", "gamma").code == 0
    first = one.child("Fleet")["StackId"]
    buckets = one.client("s3").list_buckets()["Buckets"]
    gone = one.run("destroy", "all")
    assert gone.code == 0, gone.text
    assert one.stacks() == {}
    assert one.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"] == []
    assert one.client("ec2").describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["running", "pending"]}])["Reservations"] == []
    assert one.client("s3").list_buckets()["Buckets"] == buckets, "what a rollback may need is kept"
    for kept in ("ArtifactBucket", "ArtifactKey", "ImageRepository", "HostLogGroup"):
        assert kept in gone.out, "what is kept is listed"
    again = one.run("destroy", "all")
    assert (again.code, "Nothing to do" in again.out) == (0, True)
    done = one.run("deploy", "gamma")
    assert done.code == 0, done.text
    assert one.child("Fleet")["StackId"] != first
    composites = {"sample-gamma-fleet-high-severity", "sample-gamma-high-severity"}
    assert settled(one, composites) == dict.fromkeys(composites, "OK")


# -- Bad input: a message with the name, the reason and the next step, exit code 2, and nothing begun --------------------------------------

def _unknown(one: Project) -> str:
    return "gama"


def _misspelt(one: Project) -> str:
    one.edit("parameters/gamma.yaml", "  FleetMaxSize: 4", "  FleetMaximumSize: 4")
    return "gamma"


def _missing(one: Project) -> str:
    one.edit("parameters/gamma.yaml", "  EnvironmentName: gamma\n", "")
    return "gamma"


def _outside(one: Project) -> str:
    one.edit("parameters/gamma.yaml", "  HealthCheckIntervalSeconds: 5", "  HealthCheckIntervalSeconds: 1")
    return "gamma"


def _broken_root(one: Project) -> str:
    one.edit("templates/environment.yaml", "Resources:\n", "Resources: [\n")
    return "gamma"


def _broken_child(one: Project) -> str:
    one.edit(DEPLOYMENT, "Resources:\n", "Resources: [\n")
    return "gamma"


def _missing_child(one: Project) -> str:
    (one.root / DEPLOYMENT).unlink()
    return "gamma"


@pytest.mark.parametrize(("spoil", "name", "reason"), [
    pytest.param(_unknown, "there is no environment 'gama'", "did you mean gamma?", id="unknown ENV"),
    pytest.param(_misspelt, "FleetMaximumSize", "did you mean FleetMaxSize?", id="misspelt parameter"),
    pytest.param(_missing, "EnvironmentName", "requires it", id="missing parameter"),
    pytest.param(_outside, "HealthCheckIntervalSeconds", "less than 5", id="value outside its constraint"),
    pytest.param(_broken_root, "templates/environment.yaml (line ", "", id="root template that is not YAML"),
    pytest.param(_broken_child, "templates/environment/deployment.yaml (line ", "", id="child template that is not YAML"),
    pytest.param(_missing_child, "templates/environment/deployment.yaml", "", id="child template that is not there"),
])
def test_bad_input_is_refused_before_anything_is_begun(project: Callable[[], Project], spoil: Callable[[Project], str], name: str,
                                                       reason: str) -> None:
    one = project()
    done = one.run("deploy", spoil(one))
    assert done.code == 2, done.text
    assert name in done.err
    assert reason in done.err
    assert "reason:" in done.err
    assert "next:" in done.err
    assert "Traceback" not in done.err
    assert one.leftovers() == {}


def test_values_that_do_not_go_together_leave_no_half_made_stack(project: Callable[[], Project]) -> None:
    one = project()
    one.edit("parameters/gamma.yaml", "  FleetMaxSize: 4", "  FleetMaxSize: 1")
    done = one.run("deploy", "gamma")
    assert done.code in (1, 2), done.text
    assert "FleetMaxSize" in done.err
    assert GAMMA not in one.stacks()
