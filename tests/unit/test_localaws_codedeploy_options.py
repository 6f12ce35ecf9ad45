"""What a deployment that takes a release back asks for: its own options, a group with a dead host, and what is told afterwards."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localaws import wire
from localaws.codedeploy.simulator import Simulation, failing
from localaws.service import ServiceError

WAY_BACK: dict[str, Any] = {
    "autoRollbackConfiguration": {"enabled": False}, "overrideAlarmConfiguration": {"enabled": False}, "ignoreApplicationStopFailures": True,
    "fileExistsBehavior": "OVERWRITE", "description": "rollback to good"}


def answer(simulation: Simulation, operation: str, **params: Any) -> dict[str, Any]:
    """Call an operation; its answer has the shape of AWS's."""
    request = wire.parse("codedeploy", {"x-amz-target": f"CodeDeploy_20141006.{operation}"}, "/", json.dumps(params).encode(), {})
    found = simulation.call(operation, **params)
    wire.respond(request, found, "id")
    return found


def group(simulation: Simulation) -> dict[str, Any]:
    return dict(answer(simulation, "GetDeploymentGroup", applicationName="app", deploymentGroupName="fleet")["deploymentGroupInfo"])


def config(simulation: Simulation, name: str, kind: str, value: int) -> str:
    simulation.call("CreateDeploymentConfig", deploymentConfigName=name, minimumHealthyHosts={"type": kind, "value": value})
    return name


def test_the_way_back_goes_on_while_alarms_fire_and_says_how_it_was_asked_for() -> None:
    simulation = Simulation(alarms=("faults",))
    simulation.ship("good")
    simulation.ship("bad")
    simulation.world.alarm_states["faults"] = "ALARM"
    stopped = simulation.ship("good")
    assert stopped["status"] == "Stopped"
    simulation.finish(stopped["rollbackInfo"]["rollbackDeploymentId"])
    info = simulation.ship("good", deploymentConfigName=config(simulation, "half", "FLEET_PERCENT", 50), **WAY_BACK)
    assert info["status"] == "Succeeded"
    assert info["creator"] == "user"
    assert {key: info[key] for key in (*WAY_BACK, "deploymentConfigName")} == {**WAY_BACK, "deploymentConfigName": "half"}
    assert simulation.installed() == ["good"] * 3


def test_alarms_given_with_the_deployment_replace_the_groups() -> None:
    simulation = Simulation(alarms=("faults", "other"))
    simulation.ship("good")
    simulation.world.alarm_states["faults"] = "ALARM"
    assert simulation.ship("new", overrideAlarmConfiguration={"enabled": True, "alarms": [{"name": "other"}]})["status"] == "Succeeded"
    simulation.world.alarm_states.update(faults="OK", other="ALARM")
    assert simulation.ship("newer", overrideAlarmConfiguration={"enabled": True, "alarms": [{"name": "other"}]})["status"] == "Stopped"


def test_without_automatic_rollback_a_failed_way_back_stays_as_it_is() -> None:
    simulation = Simulation()
    simulation.ship("good")
    simulation.ship("bad")
    for host in simulation.world.hosts.values():
        host.behave = failing("good", "ValidateService")
    info = simulation.ship("good", **WAY_BACK)
    assert (info["status"], info["errorInformation"]["code"]) == ("Failed", "HEALTH_CONSTRAINTS")
    assert "rollbackInfo" not in info
    assert group(simulation)["lastAttemptedDeployment"]["deploymentId"] == info["deploymentId"]


def test_a_running_deployment_is_named_in_the_refusal_and_stopped_without_rollback_makes_room() -> None:
    simulation = Simulation()
    simulation.ship("good")
    bad = simulation.deploy("bad")
    simulation.run(2)
    with pytest.raises(ServiceError) as refused:
        simulation.deploy("good", **WAY_BACK)
    assert refused.value.code == "DeploymentLimitExceededException"
    assert bad in refused.value.message
    simulation.call("StopDeployment", deploymentId=bad, autoRollbackEnabled=False)
    assert simulation.info(bad)["status"] == "Stopped"
    assert "rollbackInfo" not in simulation.info(bad)
    assert simulation.ship("good", **WAY_BACK)["status"] == "Succeeded"
    assert simulation.installed() == ["good"] * 3
    with pytest.raises(ServiceError) as again:
        simulation.call("StopDeployment", deploymentId=bad, autoRollbackEnabled=False)
    assert again.value.code == "DeploymentAlreadyCompletedException"


def test_codedeploys_own_rollback_can_be_stopped_too_and_starts_no_other() -> None:
    simulation = Simulation()
    simulation.ship("good")
    for host in simulation.world.hosts.values():
        host.behave = failing("bad", "ValidateService")
    bad = simulation.deploy("bad")
    while "rollbackInfo" not in simulation.info(bad):
        simulation.run(1)
    own = simulation.info(bad)["rollbackInfo"]["rollbackDeploymentId"]
    with pytest.raises(ServiceError) as refused:
        simulation.deploy("good", **WAY_BACK)
    assert own in refused.value.message
    simulation.call("StopDeployment", deploymentId=own, autoRollbackEnabled=False)
    assert simulation.ship("good", **WAY_BACK)["status"] == "Succeeded"


def test_the_group_names_last_attempt_and_last_success_with_their_times_through_a_rollback() -> None:
    simulation = Simulation()
    assert {"lastSuccessfulDeployment", "lastAttemptedDeployment"} & set(group(simulation)) == set()
    good = simulation.ship("good")
    for host in simulation.world.hosts.values():
        host.behave = failing("bad", "ValidateService")
    running = simulation.deploy("bad")
    simulation.run(3)
    seen = group(simulation)
    assert seen["lastAttemptedDeployment"]["deploymentId"] == running
    assert seen["lastAttemptedDeployment"]["status"] == "InProgress"
    assert seen["lastAttemptedDeployment"].get("endTime") is None
    assert seen["lastSuccessfulDeployment"] == {"deploymentId": good["deploymentId"], "status": "Succeeded", "createTime": good["createTime"],
                                                "endTime": good["completeTime"]}
    bad = simulation.finish(running)
    back = simulation.finish(bad["rollbackInfo"]["rollbackDeploymentId"])
    assert back["creator"] == "codeDeployRollback"
    for kind in ("lastAttemptedDeployment", "lastSuccessfulDeployment"):
        assert group(simulation)[kind]["deploymentId"] == back["deploymentId"]
        assert group(simulation)[kind]["endTime"] == back["completeTime"]
    assert group(simulation)["targetRevision"]["s3Location"]["key"] == "good"


def test_the_same_revision_again_is_a_deployment_like_any_other() -> None:
    simulation = Simulation()
    one, two = simulation.ship("good"), simulation.ship("good")
    assert one["deploymentId"] != two["deploymentId"]
    assert two["status"] == "Succeeded"
    assert two["deploymentOverview"]["Succeeded"] == 3
    assert simulation.call("ListApplicationRevisions", applicationName="app")["revisions"] == [one["revision"]]
    assert all(host.ran.count(("Install", "good")) == 2 for host in simulation.world.hosts.values())


def test_each_change_of_state_is_an_event() -> None:
    simulation = Simulation()
    simulation.ship("good")
    for host in simulation.world.hosts.values():
        host.behave = failing("bad", "ValidateService")
    bad = simulation.ship("bad")
    back = simulation.finish(bad["rollbackInfo"]["rollbackDeploymentId"])
    stopped = simulation.deploy("third")
    simulation.run(2)
    simulation.call("StopDeployment", deploymentId=stopped, autoRollbackEnabled=False)
    simulation.run(2)

    def states(deployment: str) -> list[str]:
        return [detail["state"] for kind, detail, _ in simulation.aws.events if kind == "CodeDeploy Deployment State-change Notification"
                and detail["deploymentId"] == deployment]

    assert states(bad["deploymentId"]) == ["START", "FAILURE"]
    assert states(back["deploymentId"]) == ["START", "SUCCESS"]
    assert states(stopped) == ["START", "STOP"]


@pytest.mark.parametrize(("hosts", "kind", "value", "status"), [
    ("abc", "FLEET_PERCENT", 66, "Failed"), ("abc", "FLEET_PERCENT", 50, "Failed"), ("abc", "HOST_COUNT", 0, "Succeeded"),
    ("abca", "FLEET_PERCENT", 66, "Failed"), ("abca", "FLEET_PERCENT", 50, "Succeeded"), ("abcabc", "FLEET_PERCENT", 66, "Succeeded"),
    ("ab", "FLEET_PERCENT", 66, "Failed"), ("ab", "FLEET_PERCENT", 50, "Failed"), ("ab", "HOST_COUNT", 0, "Succeeded"),
    ("a", "HOST_COUNT", 0, "Failed"),
])
def test_a_group_with_a_dead_host(hosts: str, kind: str, value: int, status: str) -> None:
    """Percentages round up, and the healthy ones must stay above the minimum while any is left to do."""
    simulation = Simulation(hosts)
    simulation.ship("good")
    simulation.ship("bad")
    dead = simulation.world.hosts["i-0000"]
    dead.alive = False
    info = simulation.ship("good", deploymentConfigName=config(simulation, "try", kind, value), **WAY_BACK)
    assert info["status"] == status
    if status == "Failed":
        assert info["errorInformation"]["code"] == "HEALTH_CONSTRAINTS"
    else:
        assert simulation.installed() == ["good"] * (len(hosts) - 1)
        assert info["deploymentOverview"]["Failed"] == 1


def test_third_then_half_then_all_ends_with_every_living_host_on_the_release() -> None:
    simulation = Simulation("abc")
    simulation.ship("good")
    simulation.ship("bad")
    simulation.world.hosts["i-0001"].alive = False
    outcomes = [simulation.ship("good", deploymentConfigName=config(simulation, f"c{value}{kind}", kind, value), **WAY_BACK)["status"]
                for kind, value in (("FLEET_PERCENT", 66), ("FLEET_PERCENT", 50), ("HOST_COUNT", 0))]
    assert outcomes == ["Failed", "Failed", "Succeeded"]
    assert simulation.installed() == ["good", "good"]


@pytest.mark.parametrize(("options", "code"), [
    ({"fileExistsBehavior": "REPLACE"}, "InvalidFileExistsBehaviorException"),
    ({"deploymentMode": "RESTART"}, "InvalidInputException"),
    ({"autoRollbackConfiguration": {"enabled": True}}, "InvalidAutoRollbackConfigException"),
    ({"autoRollbackConfiguration": {"enabled": True, "events": ["DEPLOYMENT_BORED"]}}, "InvalidAutoRollbackConfigException"),
    ({"overrideAlarmConfiguration": {"enabled": True}}, "InvalidAlarmConfigException"),
    ({"deploymentConfigName": "none"}, "DeploymentConfigDoesNotExistException"),
])
def test_options_that_aws_refuses(options: dict[str, Any], code: str) -> None:
    simulation = Simulation()
    with pytest.raises(ServiceError) as refused:
        simulation.deploy("good", **options)
    assert refused.value.code == code
    assert simulation.call("ListDeployments", applicationName="app", deploymentGroupName="fleet")["deployments"] == []


@pytest.mark.parametrize("given", [{}, {"overrideAlarmConfiguration": {"enabled": False}}])
def test_overriding_alarms_asks_for_changing_the_group(given: dict[str, Any]) -> None:
    simulation = Simulation()
    asked = [action for action, *_ in simulation.api.permissions("CreateDeployment", {
        "applicationName": "app", "deploymentGroupName": "fleet", **given}, simulation.ctx)]
    assert ("codedeploy:UpdateDeploymentGroup" in asked) is bool(given)
