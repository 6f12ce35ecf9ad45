"""Coming back: whatever fails wherever, every group of every Region ends on the last good release, and nothing is blessed or blocked that should not be."""

from __future__ import annotations

import datetime as dt
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import disturb
import pytest
import shipping

from scripts import demo
from scripts.demonstration import environments
from scripts.demonstration.delivery import Deployment

pytestmark = [pytest.mark.every, pytest.mark.usefixtures("calm")]


def later(delivery: demo.Demonstration) -> dict[str, int]:
    """Bad, but only once CodeDeploy has called gamma's deployments successful: the gate's to catch, and the reconciler's to take back.

    How long they take is this machine's; the gate's bake time begins after them and is longer than what is added here.
    """
    begun, ended = _stages(delivery)
    return {"fault_percent": 60, "fault_after_seconds": int((ended["Gamma"] - begun["Gamma"]).total_seconds()) + 10}


class Beside:
    """Runs `do` on a thread of its own while a release is followed; what it raises is raised at the end."""

    def __init__(self, do: Callable[[], None]) -> None:
        self._do, self._error = do, None
        self._thread = threading.Thread(target=self._run, name="beside", daemon=True)

    def _run(self) -> None:
        try:
            self._do()
        except BaseException as error:
            self._error = error

    def __enter__(self) -> Beside:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(timeout=120)
        if self._error:
            raise self._error
        assert not self._thread.is_alive(), "what was to happen beside never did"


def first_rollback(delivery: demo.Demonstration, since: float, seconds: float = 600, environment: str = "gamma") -> Deployment:
    """Wait for the reconciler's first deployment."""
    def look() -> Deployment | None:
        return next((one for one in delivery.pipeline.deployments(since) if one.by == "reconciler" and one.environment == environment), None)

    found: Deployment = shipping.until("a deployment of the reconciler's", look, seconds, 0.5)
    return found


# --- in gamma, where a case takes two minutes -----------------------------------------------------------------------------


def test_with_every_event_lost_the_schedule_alone_takes_it_back(delivery: demo.Demonstration) -> None:
    with disturb.rules_off(delivery):
        shipped = shipping.ship(delivery, "Its events are lost", **later(delivery))
    shipping.came_back(delivery, shipped, "Gamma", "Faults", "reconciler")


def test_a_reconciler_that_is_cut_off_half_way_goes_on_where_it_was(delivery: demo.Demonstration) -> None:
    """It may do nothing any more from its first deployment on, for a minute and a half: as dead as a process that was killed."""
    (role,) = [name for name in disturb.resources(delivery, "pipeline", "AWS::IAM::Role") if "RollbackRole" in name]
    iam = delivery.aws.client("iam", delivery.region)
    since = time.time()

    def cut() -> None:
        first_rollback(delivery, since)
        with disturb.denied(iam, role):
            time.sleep(90)

    with Beside(cut):
        shipped = shipping.ship(delivery, "Its reconciler is cut off", **later(delivery))
    shipping.came_back(delivery, shipped, "Gamma", "Faults", "reconciler")


def test_codedeploys_own_rollback_in_one_region_and_the_reconcilers_in_the_other_end_on_the_same(delivery: demo.Demonstration) -> None:
    """Bad in one Region only: its deployment fails and CodeDeploy takes it back, while the other Region's has succeeded or goes on."""
    west = disturb.place_of(delivery, "gamma", "us-west-2")
    with disturb.setting([west], delivery.settings["gamma"].service, "app", "SHOW_FAULTS"):
        shipped = shipping.ship(delivery, "Bad in one Region", crash_on_start=True, fault_only_if_env="SHOW_FAULTS")
    shipping.came_back(delivery, shipped, "Gamma")
    by = {one.region: {back.by for back in shipped.outcome.rollbacks if back.region == one.region} for one in shipped.outcome.deployments}
    assert "reconciler" in by["us-east-1"], "nothing failed there: only the reconciler could"
    assert by["us-west-2"] & {"codeDeployRollback", "reconciler"}


@pytest.mark.timeout(2700)
def test_with_a_dead_host_the_way_back_goes_on_to_half_and_then_to_all(delivery: demo.Demonstration, local_aws: Any) -> None:
    """Each deployment waits for an agent that does not answer, for three events, since a way back ignores failures of the first two.

    On AWS it waits five minutes for each, here one; Auto Scaling may not replace the host for as long.
    """
    place = disturb.place_of(delivery, "gamma", delivery.region)
    autoscaling = place.client("autoscaling", place.region)
    group = place.client("codedeploy", place.region).get_deployment_group(
        applicationName=place.application, deploymentGroupName=place.groups["fleet"])["deploymentGroupInfo"]
    (name,) = [one["name"] for one in group["autoScalingGroups"]]
    victim = environments.hosts(place, "fleet")[0]["InstanceId"]
    since = time.time()

    def ours() -> list[Deployment]:
        return [one for one in delivery.pipeline.deployments(since) if one.by == "reconciler" and (one.environment, one.region) == ("gamma", place.region)]

    def kill() -> None:
        shipping.until("a way back that begins", lambda: delivery.control.record("gamma").get("rollback"), 600, 0.2)
        subprocess.run(["docker", "kill", f"localaws-{victim}"], check=True, capture_output=True)
        shipping.until("a way back without it", lambda: any(one.status == "Succeeded" for one in ours()), 1200, 1)
        autoscaling.resume_processes(AutoScalingGroupName=name)

    delivery.pipeline.settle_seconds, usual = 1200.0, delivery.pipeline.settle_seconds
    local_aws.asked("codedeploy/absent-after/60")
    autoscaling.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=["HealthCheck", "ReplaceUnhealthy", "Launch", "Terminate"])
    try:
        with Beside(kill):
            shipped = shipping.ship(delivery, "A host dies on the way back", **later(delivery))
    finally:
        local_aws.asked("codedeploy/absent-after/300")
        delivery.pipeline.settle_seconds = usual
        autoscaling.resume_processes(AutoScalingGroupName=name)
    tries = [one for one in shipped.outcome.rollbacks if one.region == place.region]
    assert [one.description.rpartition(" ")[2] for one in tries if one.by == "reconciler"][-1] == "all", shipped.report()
    assert all((one.error or "").startswith("HEALTH_CONSTRAINTS") for one in tries if one.status == "Failed"), shipped.report()
    shipping.until("a new host with the last good release", lambda: delivery.running() == shipped.before, 300, 2)


# --- in prod -----------------------------------------------------------------------------------------------------------------


def _lift(delivery: demo.Demonstration) -> None:
    assert delivery.control.record("prod")["blocked"], "a rollback blocks prod"
    delivery.control.ask("unblock", "prod", reason="mended", by="a test")


def test_wave2_failing_in_one_region_takes_every_region_and_the_one_box_back(delivery: demo.Demonstration) -> None:
    west = disturb.place_of(delivery, "prod", "us-west-2")
    with disturb.setting([west], delivery.settings["prod"].service, "app", "SHOW_FAULTS"):
        shipped = shipping.ship(delivery, "Bad in one Region of the second wave", crash_on_start=True, fault_only_if_env="SHOW_FAULTS")
    shipping.came_back(delivery, shipped, "Wave2", by="reconciler")
    ours = {(one.region, one.scope): one.status for one in shipped.outcome.in_environment("prod") if not one.is_rollback}
    assert ours["us-east-1", "onebox"] == ours["us-east-1", "fleet"] == "Succeeded"
    assert ours["us-west-2", "fleet"] == "Failed"
    _lift(delivery)


def test_an_execution_stopped_by_hand_in_wave2_leaves_nothing_half_done(delivery: demo.Demonstration) -> None:
    codepipeline = delivery.aws.client("codepipeline", delivery.region)
    commit, execution, since, before = shipping.begin(delivery, "Stopped by hand")
    stopped = False

    def stop(stage: str, action: str, status: str) -> None:
        nonlocal stopped
        if stage == "Wave2" and action.startswith("Deploy") and status == "InProgress" and not stopped:
            stopped = True
            codepipeline.stop_pipeline_execution(pipelineName=delivery.pipeline.name, pipelineExecutionId=execution, abandon=True, reason="by hand")

    shipped = shipping.finish(delivery, commit, execution, since, before, stop)
    assert stopped
    shipping.came_back(delivery, shipped, "Wave2", by="reconciler", status="Stopped")
    _lift(delivery)


def test_an_alarm_of_an_earlier_wave_stops_the_later_one_and_takes_all_back(delivery: demo.Demonstration) -> None:
    """No deployment of Wave2 watches prod's home Region, and its gate is not there yet: the reconciler does."""
    home = disturb.place_of(delivery, "prod", delivery.region)
    with disturb.At(disturb.firing(home), "Wave2", "Enter", "Succeeded") as burning:
        shipped = shipping.ship(delivery, "Home burns while the other Regions deploy", at_action=burning)
    assert burning.entered
    shipping.came_back(delivery, shipped, "Wave2", "-Faults-", "reconciler", status=None)
    _lift(delivery)


@pytest.mark.timeout(2700)
def test_a_time_bomb_after_wave1_takes_all_back_at_once_and_shuts_prod_until_somebody_says_why(
        delivery: demo.Demonstration, deployed_with: Callable[..., None]) -> None:
    deployed_with("pipeline", Wave2BakeSeconds="120")  # long enough for the bomb, on a machine that is busier or less busy than it was
    home = disturb.place_of(delivery, "prod", delivery.region)
    with disturb.setting([home], delivery.settings["prod"].service, "app", "TIME_BOMB"):
        shipped = shipping.ship(delivery, "A time bomb", fault_percent=60, fault_after_seconds=_until_wave2(delivery), fault_only_if_env="TIME_BOMB")
    shipping.came_back(delivery, shipped, "Wave2", "Faults", "reconciler", status=None)
    passed = {action["stageName"] for action in delivery.pipeline.actions(shipped.outcome.execution_id)
              if action["actionName"] == "Gate" and action["status"] == "Succeeded"}
    assert {"Gamma", "OneBox", "Wave1"} <= passed, "it had baked"
    back = [one for one in shipped.outcome.in_environment("prod") if one.by == "reconciler"]
    assert len({one.description.split()[2] for one in back}) == 1, f"one rollback for all: {[one.description for one in back]}"
    # The next push stops before prod.
    commit, execution, since, before = shipping.begin(delivery, "Comes before the door is opened")
    shipping.until("gamma's gate", lambda: _passed(delivery, execution, "Gamma"), 600, 2)
    time.sleep(20)
    assert delivery.pipeline.status(execution) == "InProgress"
    assert not [action for action in delivery.pipeline.actions(execution) if action["stageName"] == "OneBox"], "it waits before the one-box"
    (stage,) = [one for one in delivery.aws.client("codepipeline", delivery.region).get_pipeline_state(name=delivery.pipeline.name)["stageStates"]
                if one["stageName"] == "OneBox"]
    assert not stage["inboundTransitionState"]["enabled"]
    assert "rollback" in stage["inboundTransitionState"]["disabledReason"]
    _lift(delivery)
    after = shipping.finish(delivery, commit, execution, since, before)
    assert (after.outcome.status, after.outcome.unsettled) == ("Succeeded", ())
    assert set(delivery.running().values()) == {commit}
    # The bad release itself stays refused, with prod open.
    refused = _start_again(delivery, shipped.outcome.commit)
    assert refused.status in ("Failed", "Stopped")
    assert not [one for one in refused.in_environment("prod") if not one.is_rollback]
    assert set(delivery.running().values()) == {commit}


def _until_wave2(delivery: demo.Demonstration) -> int:
    """Seconds from the start of a container in the one-box until a release is in Wave2, by the newest release that got there; and a minute."""
    begun, _ = _stages(delivery)
    return int((begun["Wave2"] - begun["OneBox"]).total_seconds()) + 60


def _stages(delivery: demo.Demonstration) -> tuple[dict[str, dt.datetime], dict[str, dt.datetime]]:
    """When each stage's deployments began and ended in the newest release that went through."""
    listed = delivery.aws.client("codepipeline", delivery.region).list_pipeline_executions(pipelineName=delivery.pipeline.name)["pipelineExecutionSummaries"]
    execution = next(one["pipelineExecutionId"] for one in listed if one["status"] == "Succeeded")
    begun: dict[str, dt.datetime] = {}
    ended: dict[str, dt.datetime] = {}
    for action in delivery.pipeline.actions(execution):
        if action["actionName"].startswith("Deploy"):
            stage = action["stageName"]
            begun[stage] = min(begun.get(stage, action["startTime"]), action["startTime"])
            ended[stage] = max(ended.get(stage, action["lastUpdateTime"]), action["lastUpdateTime"])
    return begun, ended


def _passed(delivery: demo.Demonstration, execution: str, stage: str) -> bool:
    return any((action["stageName"], action["actionName"], action["status"]) == (stage, "Gate", "Succeeded") for action in delivery.pipeline.actions(execution))


def _start_again(delivery: demo.Demonstration, commit: str) -> Any:
    """Start an execution of a commit that is not the newest: the branch goes back to it, as after a force push."""
    assert delivery.quiet() == []
    execution = delivery.aws.client("codepipeline", delivery.region).start_pipeline_execution(
        name=delivery.pipeline.name, sourceRevisions=[{"actionName": "Source", "revisionType": "COMMIT_ID", "revisionValue": commit}])["pipelineExecutionId"]
    return delivery.follow(commit, execution)
