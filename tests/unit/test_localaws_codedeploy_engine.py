"""CodeDeploy's decisions, in virtual time on simulated hosts: health arithmetic, zones, alarms, rollback, time-outs."""

from __future__ import annotations

import json

import pytest

from localaws.codedeploy import engine
from localaws.codedeploy.simulator import Simulation, failing, well
from localaws.service import ServiceError

ZONAL = {"firstZoneMonitorDurationInSeconds": 300, "monitorDurationInSeconds": 60}
ALL_EVENTS = ["BeforeBlockTraffic", "BlockTraffic", "AfterBlockTraffic", "ApplicationStop", "DownloadBundle", "BeforeInstall", "Install",
              "AfterInstall", "ApplicationStart", "ValidateService", "BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic"]


def watch(simulation: Simulation) -> list[set[str]]:
    """Collect, second by second, the zones with a target in progress and the number of hosts out of service."""
    seen: list[set[str]] = []

    def look(sim: Simulation) -> None:
        for name in sim.call("ListDeployments")["deployments"]:
            targets = sim.api._stores[sim.ctx]["deployments"][name].get("targets") or {}
            busy = {target["zone"] for target in targets.values() if target["status"] == "InProgress"}
            if busy:
                seen.append(busy)
    simulation.watchers.append(look)
    return seen


@pytest.mark.parametrize(("kind", "value", "hosts", "minimum"), [
    ("FLEET_PERCENT", 66, 3, 2), ("FLEET_PERCENT", 67, 3, 3), ("FLEET_PERCENT", 95, 10, 10), ("FLEET_PERCENT", 50, 3, 2),
    ("FLEET_PERCENT", 0, 7, 0), ("HOST_COUNT", 1, 2, 1), ("MOST_CONCURRENCY", 1, 1, 0), ("MOST_CONCURRENCY", 1, 4, 3)])
def test_percentages_round_up(kind: str, value: int, hosts: int, minimum: int) -> None:
    assert engine.required({"type": kind, "value": value}, hosts) == minimum


def test_a_good_release_goes_zone_by_zone_and_is_watched_between_zones() -> None:
    sim = Simulation("aabbcc", zonal=ZONAL)
    zones = watch(sim)
    first = sim.ship("r1")
    second = sim.ship("r2")
    assert (first["status"], second["status"]) == ("Succeeded", "Succeeded")
    assert set(sim.installed()) == {"r2"}
    assert all(len(busy) == 1 for busy in zones), "two zones at once"
    order = [zone for index, (zone,) in enumerate(zones) if index == 0 or zones[index - 1] != {zone}]
    assert order == ["a", "b", "c", "a", "b", "c"]
    # 300 s after the first zone, 60 s after the second, nothing after the last.
    ends = {zone: max(float(event["endTime"]) for host in sim.world.hosts.values() if host.zone == zone
                      for event in sim.events_of(second["deploymentId"], host.id).values()) for zone in "abc"}
    starts = {zone: min(float(event["startTime"]) for host in sim.world.hosts.values() if host.zone == zone
                        for event in sim.events_of(second["deploymentId"], host.id).values()) for zone in "abc"}
    assert 300 <= starts["b"] - ends["a"] <= 302
    assert 60 <= starts["c"] - ends["b"] <= 62
    assert second["completeTime"] - ends["c"] <= 1
    assert second["deploymentOverview"] == {"Pending": 0, "InProgress": 0, "Succeeded": 6, "Failed": 0, "Skipped": 0, "Ready": 0}


def test_every_event_comes_in_order_and_the_balancer_has_no_draining_host_while_it_installs() -> None:
    sim = Simulation("a", minimum={"type": "HOST_COUNT", "value": 0})
    in_balancer: dict[str, bool] = {}

    def behave(event: str, bundle: str) -> tuple[float, bool, dict[str, object]]:
        in_balancer[event] = "i-0000" in sim.world.target_groups["targets"]
        return well(event, bundle)
    sim.world.hosts["i-0000"].behave = behave
    done = sim.ship("r1")
    events = sim.events_of(done["deploymentId"], "i-0000")
    assert list(events) == ALL_EVENTS
    assert {event["status"] for event in events.values()} == {"Succeeded"}
    assert [name for name, _ in sim.world.hosts["i-0000"].ran] == [name for name in ALL_EVENTS if name not in engine.OWN_EVENTS]
    assert in_balancer == {"BeforeBlockTraffic": True, "AfterAllowTraffic": True} | {
        name: False for name in ALL_EVENTS[2:11] if name != "BlockTraffic"}
    assert sim.world.target_groups["targets"]["i-0000"][0] == "healthy"


def test_without_a_balancer_only_the_install_events_run() -> None:
    sim = Simulation("a", minimum={"type": "HOST_COUNT", "value": 0}, traffic=False)
    done = sim.ship("r1")
    assert list(sim.events_of(done["deploymentId"], "i-0000")) == ALL_EVENTS[3:10]


def test_a_failing_first_host_stops_everything_and_comes_back_as_a_new_deployment() -> None:
    sim = Simulation("abc")
    good = sim.ship("good", fileExistsBehavior="RETAIN")
    out: list[int] = []
    sim.watchers.append(lambda s: out.append(3 - sum(1 for state, _ in s.world.target_groups["targets"].values() if state == "healthy")))
    for host in sim.world.hosts.values():
        host.behave = failing("bad", "ValidateService")
    bad = sim.ship("bad")
    assert bad["status"] == "Failed"
    assert bad["errorInformation"] == {"code": "HEALTH_CONSTRAINTS", "message": engine.HEALTH_MESSAGE}
    assert bad["deploymentOverview"] | {"Failed": 1, "Skipped": 2} == bad["deploymentOverview"]
    failed = [name for name in sim.world.hosts if "ValidateService" in sim.events_of(bad["deploymentId"], name)
              and sim.events_of(bad["deploymentId"], name)["ValidateService"]["status"] == "Failed"]
    event = sim.events_of(bad["deploymentId"], failed[0])
    assert event["ValidateService"]["diagnostics"] == {
        "errorCode": "ScriptFailed", "scriptName": "hooks/ValidateService.sh", "message": "Script at specified location failed",
        "logTail": "LifecycleEvent - ValidateService\n[stderr]it broke"}, "the second Complete must not replace the first"
    assert event["AllowTraffic"]["status"] == "Skipped"
    name = bad["rollbackInfo"]["rollbackDeploymentId"]
    assert bad["rollbackInfo"]["rollbackMessage"] == (
        f"Deployment {bad['deploymentId']} terminated. Automatic rollback is triggered with a DeploymentId {name}.")
    back = sim.finish(name)
    assert (back["status"], back["creator"], back["revision"]) == ("Succeeded", "codeDeployRollback", good["revision"])
    assert back["rollbackInfo"]["rollbackTriggeringDeploymentId"] == bad["deploymentId"]
    assert (bad["fileExistsBehavior"], back["fileExistsBehavior"]) == ("DISALLOW", "RETAIN"), "that of the last success applies"
    assert sim.installed() == ["good"] * 3
    assert max(out) == 1, "more than the one host was out of service"
    assert [entry[0] for entry in sim.world.hosts[failed[0]].ran].count("Install") == 3


def test_the_failed_host_goes_first_in_the_rollback() -> None:
    sim = Simulation("abc")
    sim.ship("good")
    sim.world.hosts["i-0002"].behave = failing("bad", "Install")
    bad = sim.ship("bad", deploymentConfigName="CodeDeployDefault.AllAtOnce")
    assert bad["status"] == "Succeeded"
    assert bad["deploymentOverview"]["Failed"] == 1
    sim.world.hosts["i-0000"].behave = failing("worse", "Install")
    order: list[str] = []
    sim.watchers.append(lambda s: order.extend(host.id for host in s.world.hosts.values() if host.busy and host.id not in order))
    sim.ship("worse")
    assert order[0] == "i-0002"


def test_one_failure_too_many_among_ten() -> None:
    sim = Simulation("aaaaabbbbb", minimum={"type": "HOST_COUNT", "value": 8}, autoRollbackConfiguration={"enabled": False})
    sim.ship("r1")
    busy: list[int] = []
    sim.watchers.append(lambda s: busy.append(sum(1 for host in s.world.hosts.values() if host.busy)))
    sim.world.hosts["i-0000"].behave = failing("r2", "Install")
    one = sim.ship("r2")
    assert (one["status"], one["deploymentOverview"]["Failed"], one["deploymentOverview"]["Succeeded"]) == ("Succeeded", 1, 9)
    assert max(busy) == 2
    for name in ("i-0000", "i-0001"):
        sim.world.hosts[name].behave = failing("r3", "Install")
    two = sim.ship("r3")
    assert (two["status"], two["deploymentOverview"]["Failed"]) == ("Failed", 2)
    assert two["errorInformation"]["code"] == "HEALTH_CONSTRAINTS"
    assert "rollbackInfo" not in two


def test_the_last_host_may_fail() -> None:
    sim = Simulation("ab", minimum={"type": "HOST_COUNT", "value": 1})
    sim.ship("r1")
    sim.world.hosts["i-0001"].behave = failing("r2", "Install")
    assert sim.ship("r2")["status"] == "Succeeded"


def test_one_must_succeed_even_at_a_minimum_of_none() -> None:
    sim = Simulation("ab", minimum={"type": "HOST_COUNT", "value": 0})
    for host in sim.world.hosts.values():
        host.behave = failing("r1", "Install")
    done = sim.ship("r1")
    assert (done["status"], done["errorInformation"]["code"]) == ("Failed", "HEALTH_CONSTRAINTS")


@pytest.mark.parametrize(("zones", "minimum", "code"), [
    ("abc", {"type": "FLEET_PERCENT", "value": 67}, "HEALTH_CONSTRAINTS"),
    ("a", {"type": "FLEET_PERCENT", "value": 66}, "HEALTH_CONSTRAINTS"),
    ("ab", {"type": "HOST_COUNT", "value": 3}, "HEALTH_CONSTRAINTS_INVALID"), ("", None, "NO_INSTANCES")])
def test_too_few_hosts_fail_at_once_without_touching_one(zones: str, minimum: dict[str, object] | None, code: str) -> None:
    sim = Simulation(zones, minimum=minimum)
    done = sim.ship("r1")
    assert (done["status"], done["errorInformation"]["code"]) == ("Failed", code)
    assert not any(host.ran for host in sim.world.hosts.values())


def test_a_first_release_goes_out_to_hosts_that_never_had_one_and_a_bad_first_release_stops_at_the_first() -> None:
    assert Simulation("abc", zonal=ZONAL).ship("r1")["status"] == "Succeeded"
    sim = Simulation("abc")
    for host in sim.world.hosts.values():
        host.behave = failing("bad", "ApplicationStart")
    bad = sim.ship("bad")
    assert bad["deploymentOverview"]["Failed"] == 1
    assert bad["deploymentOverview"]["Skipped"] == 2
    assert "rollbackDeploymentId" not in bad["rollbackInfo"]
    assert "no earlier successful deployment" in bad["rollbackInfo"]["rollbackMessage"]
    assert sim.call("ListDeployments")["deployments"] == [bad["deploymentId"]]


def test_a_three_host_fleet_with_a_dead_host_cannot_be_deployed_to_at_66_percent() -> None:
    sim = Simulation("abc")
    sim.ship("r1")
    sim.world.hosts["i-0001"].alive = False
    one = sim.ship("r2")
    assert one["status"] == "Failed"
    back = sim.finish(one["rollbackInfo"]["rollbackDeploymentId"])
    assert (back["status"], back["errorInformation"]["code"]) == ("Failed", "HEALTH_CONSTRAINTS")
    assert "rollbackDeploymentId" not in back["rollbackInfo"], "a rollback is not rolled back"
    assert sim.events_of(back["deploymentId"], "i-0001")["BeforeBlockTraffic"]["status"] == "Failed", "unhealthy goes first"
    assert back["deploymentOverview"]["Skipped"] == 2


def test_an_alarm_in_the_first_zones_monitor_time_stops_and_takes_back() -> None:
    sim = Simulation("abc", zonal=ZONAL, alarms=("faults", "latency"))
    sim.ship("good")
    name = sim.deploy("bad")
    sim.run(120)
    assert sim.info(name)["status"] == "InProgress"
    assert sim.installed() == ["bad", "good", "good"]
    sim.world.alarm_states["faults"] = "ALARM"
    fired = sim.clock.now()
    bad = sim.finish(name, 30)
    assert bad["status"] == "Stopped"
    assert bad["completeTime"] - fired <= 11
    assert bad["errorInformation"] == {"code": "ALARM_ACTIVE", "message": (
        "One or more alarms have been activated according to the Amazon CloudWatch metrics you selected, and the affected "
        "deployments have been stopped. Activated alarms: <faults>")}
    back = sim.finish(bad["rollbackInfo"]["rollbackDeploymentId"])
    assert back["status"] == "Succeeded", "the alarm that still fires must not stop the rollback"
    assert sim.installed() == ["good"] * 3
    states = [detail["state"] for kind, detail, _ in sim.aws.events if kind.startswith("CodeDeploy Deployment")]
    assert states == ["START", "SUCCESS", "START", "STOP", "START", "SUCCESS"]


def test_no_alarm_no_stop() -> None:
    sim = Simulation("abc", zonal=ZONAL, alarms=("faults",))
    sim.ship("good")
    sim.world.alarm_states["faults"] = "INSUFFICIENT_DATA"
    assert sim.ship("better")["status"] == "Succeeded"


def test_an_alarm_that_fires_at_the_start_stops_before_any_host() -> None:
    sim = Simulation("abc", alarms=("faults",))
    sim.ship("good")
    sim.world.alarm_states["faults"] = "ALARM"
    ran = len(sim.world.hosts["i-0000"].ran)
    name = sim.deploy("next")
    sim.run(1)
    stopped = sim.info(name)
    assert (stopped["status"], stopped["errorInformation"]["code"]) == ("Stopped", "ALARM_ACTIVE")
    assert len(sim.world.hosts["i-0000"].ran) == ran
    assert "startTime" not in stopped
    with pytest.raises(ServiceError, match="DeploymentNotStartedException"):
        sim.call("ListDeploymentTargets", deploymentId=name)
    overridden = Simulation("abc", alarms=("faults",))
    overridden.world.alarm_states["faults"] = "ALARM"
    assert overridden.ship("next", overrideAlarmConfiguration={"enabled": False})["status"] == "Succeeded"


def test_alarms_that_cannot_be_read_fail_the_deployment_unless_told_otherwise() -> None:
    sim = Simulation("abc", alarms=("faults",))
    sim.world.alarm_states = {}
    assert sim.ship("r1")["errorInformation"]["code"] == "CODEDEPLOY_RESOURCE_CANNOT_BE_FOUND"
    sim.world.denied["alarms"] = "IAM_ROLE_PERMISSIONS"
    assert sim.ship("r2")["errorInformation"]["code"] == "IAM_ROLE_PERMISSIONS"
    lenient = Simulation("abc", alarmConfiguration={"enabled": True, "ignorePollAlarmFailure": True, "alarms": [{"name": "gone"}]})
    assert lenient.ship("r1")["status"] == "Succeeded"


@pytest.mark.parametrize(("asked", "events", "rolls_back"), [
    (True, ["DEPLOYMENT_FAILURE"], True), (False, ["DEPLOYMENT_STOP_ON_REQUEST"], False),
    (None, ["DEPLOYMENT_STOP_ON_REQUEST"], True), (None, ["DEPLOYMENT_FAILURE"], False)])
def test_a_stop_on_request(asked: bool | None, events: list[str], rolls_back: bool) -> None:
    sim = Simulation("abc", autoRollbackConfiguration={"enabled": True, "events": events})
    sim.ship("good")
    name = sim.deploy("next")
    sim.run(15)
    sim.call("StopDeployment", deploymentId=name, autoRollbackEnabled=asked)
    stopped = sim.info(name)
    assert (stopped["status"], stopped["errorInformation"]["code"]) == ("Stopped", "MANUAL_STOP")
    assert ("rollbackInfo" in stopped) is rolls_back
    with pytest.raises(ServiceError, match="DeploymentAlreadyCompletedException"):
        sim.call("StopDeployment", deploymentId=name)
    if rolls_back:
        assert sim.finish(stopped["rollbackInfo"]["rollbackDeploymentId"])["status"] == "Succeeded"
        assert sim.installed() == ["good"] * 3


def test_the_late_word_of_an_interrupted_host_changes_nothing() -> None:
    sim = Simulation("abc", autoRollbackConfiguration={"enabled": False})
    sim.ship("good")
    for host in sim.world.hosts.values():
        host.behave = lambda event, bundle: (60.0 if event == "ApplicationStart" else 1.0, True, well(event, bundle)[2])
    name = sim.deploy("next")
    sim.run(30)
    assert sim.events_of(name, "i-0000")["ApplicationStart"]["status"] == "InProgress"
    sim.call("StopDeployment", deploymentId=name)
    sim.run(120)
    events = sim.events_of(name, "i-0000")
    assert events["ApplicationStart"]["status"] == "Failed"
    assert events["ValidateService"]["status"] == "Skipped"
    assert not sim.world.hosts["i-0000"].busy


def test_one_deployment_at_a_time() -> None:
    sim = Simulation("abc")
    name = sim.deploy("r1")
    with pytest.raises(ServiceError, match=f"DeploymentLimitExceededException.*'fleet' is already deploying deployment '{name}'"):
        sim.deploy("r2")
    sim.finish(name)
    assert sim.ship("r2")["status"] == "Succeeded"


def test_a_dead_host_is_given_up_after_five_minutes_at_its_first_event() -> None:
    sim = Simulation("ab", minimum={"type": "HOST_COUNT", "value": 0})
    sim.ship("r1")
    sim.world.hosts["i-0001"].alive = False
    done = sim.ship("r2")
    assert done["status"] == "Succeeded"
    assert done["deploymentOverview"]["Failed"] == 1
    assert 300 <= done["completeTime"] - done["startTime"] <= 302
    events = sim.events_of(done["deploymentId"], "i-0001")
    assert events["BeforeBlockTraffic"]["diagnostics"]["message"].startswith("CodeDeploy agent was not able to receive")
    assert {event["status"] for name, event in events.items() if name != "BeforeBlockTraffic"} == {"Skipped"}


def test_a_terminated_host_fails_as_soon_as_it_is_seen() -> None:
    sim = Simulation("ab", minimum={"type": "HOST_COUNT", "value": 0})
    sim.ship("r1")
    sim.world.hosts["i-0000"].behave = lambda event, bundle: (1e9 if event == "ApplicationStart" else 1.0, True, {})
    name = sim.deploy("r2")
    sim.run(30)
    assert sim.events_of(name, "i-0000")["ApplicationStart"]["status"] == "InProgress"
    sim.world.hosts["i-0000"].alive, sim.world.hosts["i-0000"].lifecycle = False, "Terminated"
    began = sim.clock.now()
    done = sim.finish(name)
    assert done["completeTime"] - began < 60
    event = sim.events_of(name, "i-0000")["ApplicationStart"]
    assert (event["status"], event["diagnostics"]["message"]) == ("Failed", "The instance i-0000 was terminated during the deployment.")


def test_an_event_that_never_starts_and_one_that_never_ends() -> None:
    sim = Simulation("a", minimum={"type": "HOST_COUNT", "value": 0}, traffic=False)
    sim.world.hosts["i-0000"].deaf_to = {"AfterInstall"}
    deaf = sim.ship("r1")
    assert sim.events_of(deaf["deploymentId"], "i-0000")["AfterInstall"]["status"] == "Failed"
    assert 300 <= deaf["completeTime"] - deaf["startTime"] <= 320
    sim.world.hosts["i-0000"].deaf_to = set()
    sim.world.hosts["i-0000"].behave = lambda event, bundle: (1e9 if event == "ApplicationStart" else 1.0, True, {})
    hung = sim.ship("r2")
    assert hung["status"] == "Failed"
    assert 3600 <= hung["completeTime"] - hung["startTime"] <= 3630


def test_application_stop_failures_can_be_forgiven() -> None:
    for forgiven, status in ((True, "Succeeded"), (False, "Failed")):
        sim = Simulation("a", minimum={"type": "HOST_COUNT", "value": 0})
        sim.world.hosts["i-0000"].behave = failing("r1", "ApplicationStop")
        assert sim.ship("r1", ignoreApplicationStopFailures=forgiven)["status"] == status


def test_zone_minimum_holds_within_each_zone() -> None:
    zonal = ZONAL | {"minimumHealthyHostsPerZone": {"type": "HOST_COUNT", "value": 1}}
    sim = Simulation("aabb", minimum={"type": "HOST_COUNT", "value": 0}, zonal=zonal)
    sim.ship("r1")
    busy: list[int] = []
    sim.watchers.append(lambda s: busy.append(sum(1 for host in s.world.hosts.values() if host.busy)))
    assert sim.ship("r2")["status"] == "Succeeded"
    assert max(busy) == 1
    without = Simulation("aabb", minimum={"type": "HOST_COUNT", "value": 0}, zonal=ZONAL)
    without.ship("r1")
    without.watchers.append(lambda s: busy.append(sum(1 for host in s.world.hosts.values() if host.busy)))
    without.ship("r2")
    assert max(busy) == 2


def test_a_launch_in_mid_deployment_gets_the_old_revision_and_then_the_new_one() -> None:
    sim = Simulation("abc")
    sim.ship("old")
    name = sim.deploy("new")
    sim.run(20)
    host = sim.launch("b")
    done = sim.finish(name)
    assert [bundle for event, bundle in host.ran if event == "Install"][:1] == ["old"]
    sim.run(120)
    assert sim.world.answers == [(host.id, "CONTINUE")]
    assert sim.installed() == ["new"] * 4
    related = sim.info(name)["relatedDeployments"]["autoUpdateOutdatedInstancesDeploymentIds"]
    follow_on = sim.info(related[0])
    assert done["status"] == "Succeeded"
    assert len(related) == 1
    assert (follow_on["creator"], follow_on["status"], follow_on["deploymentOverview"]["Succeeded"]) == ("CodeDeployAutoUpdate", "Succeeded", 1)
    creators = [sim.info(one)["creator"] for one in sim.call("ListDeployments")["deployments"]]
    assert creators == ["CodeDeployAutoUpdate", "autoscaling", "user", "user"]


def test_a_launch_that_outlives_the_deployment_is_brought_up_to_date_afterwards() -> None:
    sim = Simulation("abc")
    sim.ship("old")
    name = sim.deploy("new")
    sim.run(20)
    host = sim.launch("b")
    host.behave = lambda event, bundle: (200.0 if (event, bundle) == ("ApplicationStart", "old") else 1.0, True, {"error_code": 0})
    sim.finish(name)
    assert host.installed == "old"
    assert not sim.world.answers
    sim.run(400)
    assert sim.world.answers == [(host.id, "CONTINUE")]
    assert sim.installed() == ["new"] * 4
    launched = next(one for one in sim.call("ListDeployments")["deployments"] if sim.info(one)["creator"] == "autoscaling")
    assert list(sim.events_of(launched, host.id)) == ALL_EVENTS[3:10], "Auto Scaling registers a launched instance itself"


def test_a_launch_that_ends_just_before_the_deployment_is_not_forgotten() -> None:
    sim = Simulation("abc")
    sim.ship("old")
    sim.world.service_seconds = 60.0
    name = sim.deploy("new")
    sim.run(40)
    host = sim.launch("b")
    sim.finish(name)
    assert (host.lifecycle, host.installed) == ("Pending:Proceed", "old"), "the case that this test is about"
    sim.run(300)
    assert sim.installed() == ["new"] * 4


def test_outdated_instances_can_be_left_alone() -> None:
    sim = Simulation("abc", outdatedInstancesStrategy="IGNORE")
    sim.ship("old")
    name = sim.deploy("new")
    sim.run(20)
    sim.launch("b")
    sim.finish(name)
    sim.run(120)
    assert sorted(map(str, sim.installed())) == ["new", "new", "new", "old"]


def test_a_launch_before_any_success_goes_on_at_once_and_a_failing_one_is_abandoned() -> None:
    sim = Simulation("abc")
    early = sim.launch("a")
    sim.run(2)
    assert sim.world.answers == [(early.id, "CONTINUE")]
    assert not early.ran
    sim.ship("r1")
    late = sim.launch("b")
    late.behave = failing("r1", "ApplicationStart", seconds=700.0)
    sim.run(1000)
    assert sim.world.answers[1:] == [(late.id, "ABANDON")]
    assert sim.world.heartbeats == [late.id, late.id], "a heartbeat every five minutes"
    newest = sim.info(sim.call("ListDeployments")["deployments"][0])
    assert (newest["creator"], newest["status"]) == ("autoscaling", "Failed")
    assert "rollbackInfo" not in newest


def test_a_termination_hook_stops_the_application_and_lets_go() -> None:
    sim = Simulation("ab", minimum={"type": "HOST_COUNT", "value": 0}, terminationHookEnabled=True)
    sim.ship("r1")
    hook = next(name for name, (_, transition) in sim.world.hooks.items() if transition.endswith("TERMINATING"))
    host = sim.world.hosts["i-0001"]
    host.lifecycle = "Terminating:Wait"
    host.ran.clear()
    sim.api.on_instance_terminating("111122223333", "us-east-1", "asg", host.id, hook, "token")
    sim.run(30)
    assert [event for event, _ in host.ran] == ["BeforeBlockTraffic", "AfterBlockTraffic", "ApplicationStop"]
    assert sim.world.answers == [(host.id, "CONTINUE")]
    assert host.id not in sim.world.target_groups["targets"]


@pytest.mark.parametrize(("method", "code"), [
    ("instances", "AUTO_SCALING_IAM_ROLE_PERMISSIONS"), ("block", "IAM_ROLE_PERMISSIONS"), ("allow", "IAM_ROLE_PERMISSIONS"),
    ("assume", "IAM_ROLE_MISSING")])
def test_what_the_service_role_may_not_do_fails_the_deployment(method: str, code: str) -> None:
    sim = Simulation("abc")
    sim.world.denied[method] = code
    name = sim.deploy("r1")
    sim.run(60)
    done = sim.info(name)
    assert (done["status"], done["errorInformation"]["code"]) == ("Failed", code)
    assert method in done["errorInformation"]["message"]


def test_a_passing_fault_is_borne_and_a_lasting_one_is_not() -> None:
    sim = Simulation("abc")
    sim.world.denied["block"] = "THROTTLED"
    name = sim.deploy("r1")
    sim.run(100)
    del sim.world.denied["block"]
    assert sim.finish(name)["status"] == "Succeeded"
    sim.world.denied["instances"] = "INTERNAL_ERROR"
    done = sim.ship("r2")
    assert done["errorInformation"]["code"] == "INTERNAL_ERROR"
    assert 300 <= done["completeTime"] - done["createTime"] <= 302


def test_state_survives_a_restart_in_mid_deployment() -> None:
    sim = Simulation("abc", zonal=ZONAL)
    sim.ship("r1")
    name = sim.deploy("r2")
    sim.run(25)
    state = json.loads(json.dumps(sim.api.dump()))
    other = Simulation("")
    other.clock, other.aws, other.world = sim.clock, sim.aws, sim.world
    other.api = type(sim.api)(sim.aws, sim.world, None, sim.api._commands._signer)  # type: ignore[arg-type]
    other.api.load(state)
    assert other.info(name)["status"] == "InProgress"
    assert other.finish(name)["status"] == "Succeeded"
    assert other.installed() == ["r2"] * 3


# The engine alone.

def plain(minimum: int, zonal: dict[str, object] | None = None) -> engine.Deployment:
    return {"status": "Created", "minimumHealthyHosts": {"type": "HOST_COUNT", "value": minimum}, "zonalConfig": zonal,
            "eventNames": ["Install"], "creator": "user"}


def busy_hosts(deployment: engine.Deployment) -> list[str]:
    return [name for name, target in deployment["targets"].items() if target["status"] == "InProgress"]


def finish_host(deployment: engine.Deployment, name: str, succeeded: bool, now: float) -> None:
    assert engine.deliver(deployment, name, now) == "Install"
    assert engine.complete(deployment, name, "Install", succeeded, engine.diagnosis(0 if succeeded else 4), now)


def test_zones_and_hosts_that_are_worst_off_go_first() -> None:
    zonal = plain(1, ZONAL)
    engine.begin(zonal, [engine.Host("1", "a", True, 2), engine.Host("2", "b", True, 1), engine.Host("3", "c", False, 2)], 0)
    assert zonal["zones"] == ["c", "b", "a"]
    alone = plain(1)
    engine.begin(alone, [engine.Host("1", "a", True, 2), engine.Host("2", "a", False), engine.Host("3", "a", True, 2)], 0)
    assert busy_hosts(alone) == ["2"], "healthy ones wait for the unhealthy"
    ranks = plain(2)
    engine.begin(ranks, [engine.Host("1", "a", True, 2), engine.Host("2", "a", True, 1), engine.Host("3", "a", True, 0)], 0)
    assert busy_hosts(ranks) == ["3"]


def test_after_a_failure_fewer_go_at_a_time() -> None:
    deployment = plain(2)
    engine.begin(deployment, [engine.Host(name, "a", True, 2) for name in "12345"], 0)
    assert busy_hosts(deployment) == ["1", "2", "3"]
    finish_host(deployment, "1", False, 1)
    assert busy_hosts(deployment) == ["2", "3"], "a third would leave one healthy host"
    finish_host(deployment, "2", True, 2)
    assert busy_hosts(deployment) == ["3", "4"]


def test_a_zone_that_ends_below_its_own_minimum_is_the_last() -> None:
    deployment = plain(0, {"minimumHealthyHostsPerZone": {"type": "FLEET_PERCENT", "value": 51}})
    engine.begin(deployment, [engine.Host(name, zone) for name, zone in zip("1234", "aabb", strict=False)], 0)
    assert busy_hosts(deployment) == ["1", "2"]
    finish_host(deployment, "1", False, 1)
    finish_host(deployment, "2", True, 1)
    assert deployment["status"] == "Failed"
    assert deployment["targets"]["3"]["status"] == "Skipped"


def test_a_word_on_an_event_that_was_never_handed_out_is_ignored() -> None:
    deployment = plain(0)
    engine.begin(deployment, [engine.Host("1", "a")], 0)
    assert not engine.complete(deployment, "1", "Install", True, {}, 1)
    assert not engine.complete(deployment, "2", "Install", True, {}, 1)
    assert engine.acknowledge(deployment, "1", "Install", 2) == "InProgress"
    assert engine.complete(deployment, "1", "Install", True, {}, 3)
    assert engine.acknowledge(deployment, "1", "Install", 4) == "Succeeded"


def test_twelve_hours_are_the_end() -> None:
    sim = Simulation("ab", minimum={"type": "HOST_COUNT", "value": 1}, zonal={"monitorDurationInSeconds": 13 * 3600})
    name = sim.deploy("r1")
    sim.run(13 * 3600, step=10)
    assert sim.info(name)["errorInformation"]["code"] == "TIMEOUT"


def test_many_releases_in_virtual_time() -> None:
    """Good and bad releases at random: whatever happens, every host ends on the last release that succeeded."""
    import random
    chance = random.Random(7)
    sim = Simulation("abc", zonal=ZONAL, alarms=("faults",))
    sim.ship("r0")
    zones = watch(sim)
    last, outcomes = "r0", set()
    for number in range(1, 40):
        name, event = f"r{number}", chance.choice(["ApplicationStart", "ValidateService", "none", "alarm"])
        for host in sim.world.hosts.values():
            host.behave = failing(name, event)
        deployment = sim.deploy(name)
        if event == "alarm":
            sim.run(chance.randrange(1, 200))
            sim.world.alarm_states["faults"] = "ALARM"
        info = sim.finish(deployment)
        outcomes.add(info["status"])
        if info["status"] == "Succeeded":
            last = name
        else:
            assert sim.finish(info["rollbackInfo"]["rollbackDeploymentId"])["status"] == "Succeeded"
        sim.world.alarm_states["faults"] = "OK"
        assert sim.installed() == [last] * 3
        assert {state for state, _ in sim.world.target_groups["targets"].values()} == {"healthy"}
    assert outcomes == {"Succeeded", "Failed", "Stopped"}
    assert all(len(busy) == 1 for busy in zones)
