"""Auto Scaling's engine in virtual time, against a small simulated EC2."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from localaws.autoscaling import engine
from localaws.clock import VirtualClock


class Simulation:
    """One group and the world around it: instances run one second after their launch, targets drain for `drain` seconds."""

    def __init__(self, **settings: Any) -> None:
        self.clock = VirtualClock(1_000.0)
        self.drain = 3.0
        self.refuse = ""
        self.states: dict[str, str] = {}
        self.targets: dict[str, str] = {}
        self.draining: dict[str, float] = {}
        self.starting: dict[str, float] = {}
        self.effects: list[engine.Effect] = []
        self._ids = (f"{number:04d}" for number in itertools.count())
        self._instances = (f"i-{number:04d}" for number in itertools.count())
        self.group: engine.Group = {
            "Name": "g", "Arn": "arn:g", "Min": 0, "Max": 10, "Desired": 2, "Zones": [["a", "subnet-a"], ["b", "subnet-b"]],
            "LaunchTemplate": {"LaunchTemplateId": "lt-1", "LaunchTemplateName": "lt", "Version": "1", "Number": 1}, "TargetGroups": [],
            "HealthCheckType": "EC2", "GracePeriod": 0, "Protect": False, "Suspended": {}, "Created": 0.0, "Tags": [], "Hooks": {},
            "Members": {}, "Activities": [], "RetryAt": 0.0, "Failures": 0, "Deleting": False, **settings}

    def new_id(self) -> str:
        return next(self._ids)

    def tick(self, seconds: float = 1.0) -> None:
        """Let time pass second by second, and the engine and the world act in each."""
        for _ in range(int(seconds)):
            self.clock.advance(1.0)
            now = self.clock.now()
            for instance, at in list(self.starting.items()):
                if now >= at and self.states.get(instance) == "pending":
                    self.states[instance] = "running"
            for instance, at in list(self.draining.items()):
                if now >= at:
                    self.targets.pop(instance, None)
                    del self.draining[instance]
            targets = dict(self.targets) if engine.needs_targets(self.group) else None
            self.apply(engine.step(self.group, engine.World(dict(self.states), targets), now, self.new_id))

    def apply(self, effects: list[engine.Effect]) -> None:
        for effect in effects:
            self.effects.append(effect)
            if effect.kind == "launch":
                if self.refuse:
                    self.effects += engine.launch_failed(self.group, effect.member, self.refuse, self.clock.now())
                    continue
                instance = next(self._instances)
                self.states[instance], self.starting[instance] = "pending", self.clock.now() + 1
                engine.launched(self.group, effect.member, {"InstanceId": instance, "InstanceType": "t3.small", "ImageId": "ami-1"},
                                effect.data["LaunchTemplate"]["Number"])
            elif effect.kind == "register":
                self.targets[effect.member] = "initial"
                engine.registered(self.group, effect.member, True)
            elif effect.kind == "deregister" and effect.member in self.targets:
                self.targets[effect.member], self.draining[effect.member] = "draining", self.clock.now() + self.drain
            elif effect.kind == "terminate":
                self.states[effect.member] = "terminated"

    def complete(self, instance: str, hook: str, result: str) -> None:
        self.apply(engine.complete(self.group, instance, hook, result, self.clock.now(), self.new_id))

    def in_service(self) -> list[str]:
        return sorted(known for known, member in self.group["Members"].items() if member["State"] == "InService")

    def states_of_members(self) -> list[str]:
        return sorted(member["State"] for member in self.group["Members"].values())

    def kinds(self, kind: str) -> list[str]:
        return [effect.member for effect in self.effects if effect.kind == kind]


def hook(transition: str, heartbeat: int = 60, default: str = "ABANDON") -> dict[str, Any]:
    return {"Transition": transition, "Heartbeat": heartbeat, "Default": default, "Metadata": "", "Target": "", "Role": ""}


def settled(**settings: Any) -> Simulation:
    """Return a simulation whose group has reached its desired capacity."""
    simulation = Simulation(**settings)
    simulation.tick(5)
    assert len(simulation.in_service()) == simulation.group["Desired"]
    return simulation


def test_a_group_reaches_its_count_evenly_over_zones() -> None:
    simulation = settled(Desired=5)
    zones = sorted(member["Zone"] for member in simulation.group["Members"].values())
    assert zones == ["a", "a", "a", "b", "b"]
    assert {activity["StatusCode"] for activity in simulation.group["Activities"]} == {"Successful"}


def test_a_stopped_instance_is_replaced_in_its_zone() -> None:
    simulation = settled()
    simulation.states["i-0000"] = "stopped"
    simulation.tick(4)
    assert simulation.in_service() == ["i-0001", "i-0002"]
    assert simulation.group["Members"]["i-0002"]["Zone"] == "a"
    causes = [activity["Cause"] for activity in simulation.group["Activities"]]
    assert any("in response to an EC2 health check indicating it has been terminated or stopped" in cause for cause in causes)


def test_an_instance_that_ec2_forgot_is_replaced() -> None:
    simulation = settled()
    del simulation.states["i-0001"]
    simulation.tick(4)
    assert simulation.in_service() == ["i-0000", "i-0002"]


@pytest.mark.parametrize("process", ["HealthCheck", "ReplaceUnhealthy", "Terminate"])
def test_suspended_processes_keep_an_unhealthy_instance(process: str) -> None:
    simulation = settled(Suspended={process: "why"})
    simulation.states["i-0000"] = "stopped"
    simulation.tick(5)
    assert simulation.in_service() == ["i-0000", "i-0001"]
    simulation.group["Suspended"].clear()
    simulation.tick(5)
    assert simulation.in_service() == ["i-0001", "i-0002"]


def test_without_the_launch_process_nothing_comes() -> None:
    simulation = Simulation(Suspended={"Launch": "why"})
    simulation.tick(5)
    assert simulation.group["Members"] == {}


def test_scaling_in_takes_from_the_fullest_zone_the_oldest_template_first() -> None:
    simulation = settled(Desired=3)
    simulation.group["Members"]["i-0002"]["LaunchTemplate"]["Number"] = 0
    simulation.group["Desired"] = 2
    simulation.tick(3)
    assert simulation.in_service() == ["i-0000", "i-0001"]


def test_protected_instances_do_not_leave_by_scaling_in() -> None:
    simulation = settled(Desired=2, Protect=True)
    simulation.group["Desired"] = 0
    simulation.tick(5)
    assert len(simulation.in_service()) == 2


def test_registered_before_service_and_drained_before_the_end() -> None:
    simulation = settled(TargetGroups=["tg"])
    assert sorted(simulation.targets) == ["i-0000", "i-0001"]
    simulation.group["Desired"] = 1
    simulation.tick(1)
    gone = simulation.kinds("deregister")[0]
    simulation.tick(2)
    assert simulation.group["Members"][gone]["State"] == "Terminating"
    assert simulation.kinds("terminate") == []
    simulation.tick(4)
    assert simulation.kinds("terminate") == [gone]
    assert gone not in simulation.group["Members"]


def test_a_dead_instance_is_not_drained() -> None:
    simulation = settled(TargetGroups=["tg"])
    simulation.drain = 1000.0
    simulation.states["i-0000"] = "stopped"
    simulation.tick(5)
    assert simulation.in_service() == ["i-0001", "i-0002"]
    assert "i-0000" not in simulation.group["Members"]


def test_without_add_to_load_balancer_nobody_is_registered() -> None:
    simulation = settled(TargetGroups=["tg"], Suspended={"AddToLoadBalancer": "why"})
    assert simulation.targets == {}


def test_elb_health_counts_only_where_asked_and_after_the_grace_period() -> None:
    watched = settled(TargetGroups=["tg"], HealthCheckType="ELB", GracePeriod=30)
    plain = settled(TargetGroups=["tg"], GracePeriod=30)
    for simulation in (watched, plain):
        simulation.targets["i-0000"] = "unhealthy"
        simulation.tick(10)
        assert "i-0000" in simulation.in_service()
        simulation.tick(30)
    assert "i-0000" not in watched.in_service()
    assert "i-0000" in plain.in_service()


def test_a_launch_hook_holds_an_instance_until_it_continues() -> None:
    simulation = Simulation(Desired=1, Hooks={"L": hook(engine.LAUNCHING)}, TargetGroups=["tg"])
    simulation.tick(4)
    assert simulation.states_of_members() == ["Pending:Wait"]
    assert simulation.targets == {}
    assert simulation.group["Activities"][0]["StatusCode"] == "MidLifecycleAction"
    simulation.complete("i-0000", "L", "CONTINUE")
    simulation.tick(2)
    assert simulation.in_service() == ["i-0000"]


def test_an_abandoned_launch_ends_the_instance_and_another_comes() -> None:
    simulation = Simulation(Desired=1, Hooks={"L": hook(engine.LAUNCHING)})
    simulation.tick(4)
    simulation.complete("i-0000", "L", "ABANDON")
    simulation.tick(4)
    assert simulation.states["i-0000"] == "terminated"
    assert list(simulation.group["Members"]) == ["i-0001"]
    failed = [effect.data["DetailType"] for effect in simulation.effects if effect.kind == "event"]
    assert "EC2 Instance Launch Unsuccessful" in failed


@pytest.mark.parametrize(("default", "expected"), [("ABANDON", []), ("CONTINUE", ["i-0000"])])
def test_a_hook_that_nobody_answers_ends_with_its_default(default: str, expected: list[str]) -> None:
    simulation = Simulation(Desired=1, Hooks={"L": hook(engine.LAUNCHING, 30, default)})
    simulation.tick(35)
    assert simulation.in_service() == expected


def test_heartbeats_prolong_a_wait_up_to_its_global_end() -> None:
    simulation = Simulation(Desired=1, Hooks={"L": hook(engine.LAUNCHING, 30)})
    simulation.tick(3)
    for _ in range(20):
        simulation.tick(20)
        engine.heartbeat(simulation.group, "i-0000", "L", simulation.clock.now())
    assert simulation.states_of_members() == ["Pending:Wait"]
    for _ in range(140):
        if "i-0000" not in simulation.group["Members"]:
            break
        simulation.tick(20)
        if "i-0000" in simulation.group["Members"] and simulation.group["Members"]["i-0000"]["Waits"]:
            engine.heartbeat(simulation.group, "i-0000", "L", simulation.clock.now())
    assert simulation.states["i-0000"] == "terminated"
    assert 2_900 <= simulation.clock.now() - 1_000 <= 3_100


def test_all_hooks_of_a_transition_must_continue() -> None:
    simulation = Simulation(Desired=1, Hooks={"L": hook(engine.LAUNCHING), "M": hook(engine.LAUNCHING)})
    simulation.tick(4)
    simulation.complete("i-0000", "L", "CONTINUE")
    simulation.tick(2)
    assert simulation.in_service() == []
    simulation.complete("i-0000", "M", "CONTINUE")
    simulation.tick(2)
    assert simulation.in_service() == ["i-0000"]


def test_a_termination_hook_holds_after_draining() -> None:
    simulation = settled(TargetGroups=["tg"], Hooks={"T": hook(engine.TERMINATING)})
    simulation.group["Desired"] = 1
    simulation.tick(2)
    assert "Terminating" in simulation.states_of_members()
    simulation.tick(4)
    assert "Terminating:Wait" in simulation.states_of_members()
    simulation.complete(simulation.kinds("hook")[-1], "T", "ABANDON")  # at the end of a life both results let it end
    simulation.tick(2)
    assert simulation.states_of_members() == ["InService"]


def test_an_instance_that_never_served_asks_no_termination_hook() -> None:
    simulation = Simulation(Desired=1, Hooks={"L": hook(engine.LAUNCHING), "T": hook(engine.TERMINATING)})
    simulation.tick(4)
    simulation.complete("i-0000", "L", "ABANDON")
    simulation.tick(3)
    assert simulation.states["i-0000"] == "terminated"


def test_refused_launches_are_told_and_tried_again_ever_slower() -> None:
    simulation = Simulation(Desired=1)
    simulation.refuse = "You are not authorized."
    simulation.tick(40)
    tries = [effect for effect in simulation.effects if effect.kind == "launch"]
    assert 3 <= len(tries) <= 5
    assert simulation.group["Activities"][0]["StatusCode"] == "Failed"
    assert simulation.group["Activities"][0]["StatusMessage"].startswith("You are not authorized.")
    simulation.refuse = ""
    simulation.tick(70)
    assert simulation.in_service() == ["i-0000"]


def test_a_deleted_group_ends_everything_without_asking() -> None:
    simulation = settled(Hooks={"T": hook(engine.TERMINATING)}, Protect=True)
    simulation.group["Deleting"] = True
    simulation.tick(3)
    assert simulation.group["Members"] == {}
    assert simulation.kinds("hook") == []


def test_an_instance_whose_group_no_longer_waits_is_not_taken_in() -> None:
    simulation = Simulation(Desired=0)
    assert not engine.launched(simulation.group, "launch-x", {"InstanceId": "i-9", "InstanceType": "t", "ImageId": "a"}, 1)


def test_launches_under_way_begin_anew_after_a_restart() -> None:
    simulation = Simulation(Desired=2)
    engine.step(simulation.group, engine.World({}, None), simulation.clock.now(), simulation.new_id)
    assert len(simulation.group["Members"]) == 2
    engine.drop_unanswered(simulation.group)
    simulation.tick(5)
    assert len(simulation.in_service()) == 2


def test_a_termination_interrupted_by_a_restart_is_asked_for_again() -> None:
    simulation = settled(Desired=1)
    simulation.group["Desired"] = 0
    engine.step(simulation.group, engine.World(dict(simulation.states), None), simulation.clock.now(), simulation.new_id)
    engine.step(simulation.group, engine.World(dict(simulation.states), None), simulation.clock.now(), simulation.new_id)
    engine.drop_unanswered(simulation.group)
    simulation.tick(3)
    assert simulation.group["Members"] == {}
    assert simulation.states["i-0000"] == "terminated"
