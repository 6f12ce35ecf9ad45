"""How many API calls it takes to read a failed deployment: fifty instances, and no more for five hundred."""

from __future__ import annotations

import pytest
from deployment_scene import Scene

from localaws.codedeploy.simulator import failing
from scripts.diagnosis import deployments
from scripts.diagnosis.case import Deployment

REGION = "us-east-1"


def failed(scene: Scene, bundle: str = "two") -> Deployment:
    """Deploy `one` well to all, then `two`, which fails on each host that gets it."""
    scene.sim.ship("one", deploymentConfigName="CodeDeployDefault.AllAtOnce")
    for host in scene.hosts:
        host.behave = failing("two", "ApplicationStart")
    identity = str(scene.sim.ship(bundle)["deploymentId"])
    scene.calls.client("codedeploy", REGION)
    scene.aws.called.clear()
    return deployments.read(scene.calls, REGION, identity)


def test_fifty_instances_take_at_most_twenty_calls() -> None:
    scene = Scene("abcde" * 10, minimum={"type": "FLEET_PERCENT", "value": 50}, alarms=("p99-high",))
    found = failed(scene)
    assert (found.status, found.code, found.targets_total) == ("Failed", "HEALTH_CONSTRAINTS", 50)
    assert len(found.targets) == 50 and found.overview["Failed"] >= 25
    assert all(target.instance and target.instance.state == "running" for target in found.targets if target.status == "Failed")
    assert scene.calls.unreadable == ()
    assert len(scene.aws.called) <= 20, scene.aws.called
    assert scene.calls.count == len(scene.aws.called)


@pytest.mark.parametrize(("cause", "trouble"), [("traffic", "allow"), ("silence", "dead"), ("stop", "stop")])
def test_the_costliest_failures_stay_within_the_budget(cause: str, trouble: str) -> None:
    scene = Scene("abcde" * 10, minimum={"type": "FLEET_PERCENT", "value": 0})
    scene.sim.ship("one")
    for host in scene.hosts:
        if trouble == "dead":
            host.alive = False
        if trouble == "stop":
            host.behave = failing("two", "ApplicationStop")
    if trouble == "allow":
        scene.world.health_seconds = 1e6
    identity = str(scene.sim.ship("two")["deploymentId"])
    scene.aws.called.clear()
    found = deployments.read(scene.calls, REGION, identity)
    assert found.overview == {"Failed": 50}
    assert scene.calls.unreadable == ()
    assert len(scene.aws.called) <= 20, (len(scene.aws.called), scene.aws.called)


def test_of_many_instances_those_that_failed_are_read_first() -> None:
    scene = Scene("a" * 150, minimum={"type": "HOST_COUNT", "value": 100})
    found = failed(scene)
    assert found.targets_total == 150 and len(found.targets) == 50
    assert {target.status for target in found.targets[: found.overview["Failed"]]} == {"Failed"}
    assert len(scene.aws.called) <= 22, scene.aws.called


def test_throttling_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    scene = Scene("abc")
    scene.aws.throttled.update({"codedeploy:GetDeployment": 2, "ec2:DescribeInstances": 2, "elbv2:DescribeTargetGroups": 1})
    found = failed(scene)
    assert scene.calls.unreadable == ()
    assert found.targets[0].instance
