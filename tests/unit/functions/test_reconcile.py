"""The reconciler and the commands in chosen situations, over the model of world.py: real decisions, real ledger."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from world import GROUPS, SETTINGS, World

from commands import Commands
from configuration import Window
from model import Transition
from rollback import Rollback

OLD, GOOD, BAD = "000000000000", "aaaaaaaaaaaa", "bbbbbbbbbbbb"
PROD = tuple(name for name in GROUPS if name.startswith("prod/"))


@pytest.fixture
def world() -> World:
    """Every group runs GOOD, and ran OLD before."""
    world = World(1)
    for commit in (OLD, GOOD):
        world.time += 60
        for name in GROUPS:
            run(world, name, commit)
        for environment, stage in (("gamma", "Gamma"), ("prod", "Wave2")):
            world.ledger.passed(commit, stage, world.time)
            world.ledger.set_last_good(environment, commit, {}, world.time)
        minutes(world, 1)
    world.pages.clear()
    return world


def run(world: World, name: str, commit: str, status: str = "Succeeded") -> None:
    world.deploy(name, commit, "user", False)
    world.end(world.fleets[name], status, None if status == "Succeeded" else "HEALTH_CONSTRAINTS")


def minutes(world: World, count: int) -> None:
    for _ in range(count):
        world.time += 60
        world.deployments_go_on(0.0)
        world.look_after()


def running(world: World) -> set[str | None]:
    return {fleet.last_attempted.commit for name, fleet in world.fleets.items() if name in PROD and fleet.last_attempted}


def subjects(world: World) -> list[str]:
    return [page.subject for page in world.pages]


def commands(world: World) -> Commands:
    return Commands(SETTINGS, world.ledger, world.reconciler, lambda: world.time)


def ask(world: World, command: str, **given: Any) -> dict[str, Any]:
    return commands(world).answer({"command": command, "environment": "prod", "by": "me", **given})


def test_a_bad_release_comes_back_from_everywhere_with_two_pages(world: World) -> None:
    for name in PROD[:3]:
        run(world, name, BAD)
    world.ledger.mark_bad(BAD, "faults", "prod: Wave2/Gate", world.time)
    minutes(world, 20)
    record = world.ledger.environment("prod")
    assert running(world) == {GOOD} and record.rollback is None and record.blocked is not None and record.blocked.rollback is not None
    began, done = subjects(world)
    assert began == "demo prod: rolling back to aaaaaaaaaaaa" and done.startswith("demo prod: back on aaaaaaaaaaaa after ")
    assert {name for name, _ in world.created} == set(PROD[:3]), "what was not touched is not deployed again"


def test_a_silent_region_keeps_the_rollback_open_and_the_others_go_on(world: World) -> None:
    for name in PROD:
        run(world, name, BAD)
    world.ledger.mark_bad(BAD, "faults", "prod", world.time)
    world.silent.add("eu-west-1")
    minutes(world, 30)
    assert world.ledger.environment("prod").rollback is not None
    assert subjects(world).count("demo prod/eu-west-1: does not answer") >= 1 and not any("back on" in s for s in subjects(world))
    assert {name for name, _ in world.created} == set(PROD) - {"prod/eu-west-1/fleet"}
    world.silent.clear()
    minutes(world, 20)
    assert running(world) == {GOOD} and world.ledger.environment("prod").rollback is None


def test_with_nothing_to_go_back_to_prod_is_blocked_and_paged_once() -> None:
    world = World(2)
    world.reconciler.run("prod")
    for name in PROD:
        run(world, name, BAD)
    world.push()
    world.runs[0].commit, world.runs[0].status, world.runs[0].updated, world.runs[0].stage = BAD, "Failed", world.time, 1
    world._act(world.runs[0], "OneBox", "Gate", "Failed", "Lambda", "an alarm fired")
    minutes(world, 10)
    record = world.ledger.environment("prod")
    assert record.blocked is not None and record.rollback is None and not world.created
    assert subjects(world) == ["demo prod: bbbbbbbbbbbb failed, nothing to go back to"]


def test_with_nothing_to_go_back_to_the_next_release_is_let_through_once_the_block_is_lifted() -> None:
    world = World(2)
    world.reconciler.run("prod")
    for name in PROD:
        run(world, name, BAD)
    world.ledger.mark_bad(BAD, "faults", "prod", world.time)
    minutes(world, 2)
    world.push()
    world.runs[-1].commit, world.runs[-1].stage = "cccccccccccc", 1
    world._act(world.runs[-1], "OneBox", "Deploy", "InProgress", "CodeDeploy", external="d-1")
    minutes(world, 3)
    assert world.runs[-1].status == "InProgress" and not world.created


def test_a_group_without_a_bundle_is_paged_and_the_others_go_on(world: World) -> None:
    fleet = world.fleets["prod/eu-west-1/fleet"]
    fleet.deployments.clear()
    for commit in (OLD, GOOD):
        release = world.ledger.release(commit)
        kept = {place: location for place, location in release.revisions.items() if "eu-west-1" not in place}
        world.table.put({**world.table.items[(f"release#{commit}", "-")], "revisions": kept}, None)
    for name in PROD:
        run(world, name, BAD)
    world.ledger.mark_bad(BAD, "faults", "prod", world.time)
    minutes(world, 20)
    assert subjects(world).count("demo prod/eu-west-1/fleet: cannot go back by itself") == 1
    assert world.ledger.environment("prod").rollback is not None and {name for name, _ in world.created} == set(PROD) - {"prod/eu-west-1/fleet"}


def test_a_person_rolls_back_and_opens_again(world: World) -> None:
    for name in PROD[:2]:
        run(world, name, BAD)
    answer = ask(world, "rollback", to=None, reason="customers complain")
    assert answer["ok"] and answer["record"]["rollback"]["to"] == GOOD and answer["record"]["desired"] == GOOD
    assert world.ledger.release(BAD).bad and "customers complain" in world.ledger.release(BAD).bad.reason  # type: ignore[union-attr]
    assert "going on" in ask(world, "unblock", reason="done")["error"]
    minutes(world, 10)
    assert running(world) == {GOOD}
    assert "already" in ask(world, "rollback", to=None, reason="again")["error"]
    assert ask(world, "unblock", reason="found the cause")["record"]["blocked"] is None
    kinds = [entry["kind"] for entry in world.ledger.newest_log("prod")]
    assert kinds[0] == "unblock" and {"rollback", "deployment", "done"} <= set(kinds)


def test_a_person_goes_behind_the_last_good_release(world: World) -> None:
    assert ask(world, "rollback", to=None, reason="a time bomb")["ok"]
    minutes(world, 10)
    assert running(world) == {OLD} and world.ledger.environment("prod").last_good == OLD and world.ledger.release(GOOD).bad


@pytest.mark.parametrize(("given", "error"), [
    ({"command": "rollback", "environment": "delta", "reason": "x", "by": "me"}, "unknown environment 'delta'; the pipeline has gamma, prod"),
    ({"command": "rollback", "environment": "prod", "reason": " ", "by": "me"}, "needs 'reason'"),
    ({"command": "rollback", "environment": "prod", "reason": "x"}, "needs 'by'"),
    ({"command": "rollback", "environment": "prod", "reason": "x", "by": "me", "to": "dddddddddddd"}, "not in the ledger"),
    ({"command": "rollback", "environment": "prod", "reason": "x", "by": "me", "to": "cccccccccccc"}, "never baked in prod"),
    ({"command": "rollback", "environment": "prod", "reason": "x", "by": "me", "to": BAD, "force": True}, "marked bad"),
    ({"command": "unblock", "environment": "prod", "reason": "x", "by": "me"}, "is not blocked"),
    ({"command": "block", "environment": "gamma", "reason": "x", "by": "me"}, "no door to shut"),
    ({"command": "override", "environment": "prod", "reason": "x", "by": "me"}, "needs 'commit'"),
    ({"command": "override", "environment": "prod", "reason": "x", "by": "me", "commit": BAD}, "marked bad"),
    ({"command": "drop", "environment": "prod"}, "unknown command 'drop'"),
])
def test_what_cannot_be_done_is_said(world: World, given: dict[str, Any], error: str) -> None:
    world.ledger.mark_bad(BAD, "faults", "prod", world.time)
    world.ledger.passed("cccccccccccc", "Gamma", world.time)
    answer = commands(world).answer(given)
    assert not answer["ok"] and error in answer["error"]


def test_break_glass_goes_forward_and_is_written_down(world: World) -> None:
    world.ledger.passed("cccccccccccc", "Gamma", world.time)
    for region in ("us-east-1", "us-west-2", "eu-west-1"):
        world.ledger.learn("cccccccccccc", {f"gamma/{region}/fleet": {"bucket": region, "key": "cccccccccccc", "bundleType": "zip"}})
    assert ask(world, "rollback", to="cccccccccccc", reason="prod burns", force=True)["ok"]
    minutes(world, 10)
    assert running(world) == {"cccccccccccc"}
    assert any(entry.get("forced") and entry["by"] == "me" and entry["reason"] == "prod burns" for entry in world.ledger.newest_log("prod"))


def test_a_description_names_groups_regions_and_what_is_in_flight(world: World) -> None:
    world.deploy(PROD[0], BAD, "user", False)
    world.silent.add("eu-west-1")
    answer = ask(world, "describe")
    first = next(g for g in answer["groups"] if g["scope"] == "onebox")
    assert first["running"] == GOOD and first["desired"] and first["in_flight"]["commit"] == BAD
    assert "does not answer" in next(g for g in answer["groups"] if g["region"] == "eu-west-1")["note"]
    assert [release["commit"] for release in answer["releases"]] == [GOOD, OLD]


def test_a_plan_says_what_a_rollback_would_do_and_does_nothing(world: World) -> None:
    before = dict(world.table.items)
    answer = ask(world, "plan")
    plan = answer["plan"]
    assert answer["ok"] and (plan["to"], plan["wrong"], plan["final"], plan["blocks"], plan["known"]) == (OLD, None, "Wave2", True, True)
    first = next(choice for choice in plan["choices"] if choice["commit"] == OLD)
    assert first["good"] and first["passed"] == world.ledger.release(OLD).passed
    assert set(first["bundles"]) == {name.removeprefix("prod/") for name in PROD} and all(first["bundles"].values())
    assert all(group["since"] for group in answer["groups"])
    assert dict(world.table.items) == before and world.created == []
    refused = ask(world, "plan", to="dddddddddddd")["plan"]
    assert refused["to"] is None and not refused["known"] and "not in the ledger" in refused["wrong"] and len(refused["choices"]) == 2
    assert ask(world, "plan", environment="delta")["ok"] is False


def test_a_plan_finds_a_bundle_in_a_groups_own_deployments_and_says_where_none_is(world: World) -> None:
    release = world.ledger.release(OLD)
    kept = {place: location for place, location in release.revisions.items() if "eu-west-1" not in place}
    world.table.put({**world.table.items[(f"release#{OLD}", "-")], "revisions": kept}, None)
    found = next(choice for choice in ask(world, "plan")["plan"]["choices"] if choice["commit"] == OLD)["bundles"]
    assert found["eu-west-1/fleet"] is not None, "from its history"
    world.fleets["prod/eu-west-1/fleet"].deployments[:] = world.fleets["prod/eu-west-1/fleet"].deployments[-1:]
    found = next(choice for choice in ask(world, "plan")["plan"]["choices"] if choice["commit"] == OLD)["bundles"]
    assert found["eu-west-1/fleet"] is None and found["us-west-2/fleet"] is not None


class Door:
    """The pipeline's transition, and the metrics."""

    def __init__(self, transition: Transition) -> None:
        self.now, self.armed = transition, {}
        self.inside: dict[str, str] = {}

    def under_way(self, stages: Any) -> dict[str, str]:
        return {stage: execution for stage, execution in self.inside.items() if stage in stages}

    def transition(self, stage: str) -> Transition:
        return self.now

    def close(self, stage: str, reason: str) -> None:
        self.now = Transition(False, reason)

    def open(self, stage: str) -> None:
        self.now = Transition(True)

    def arm(self, place: Any, armed: bool) -> None:
        self.armed[f"{place.environment}/{place.region}"] = armed


def no_s3(region: str) -> Any:
    raise AssertionError("nothing is to be tagged here")


@pytest.mark.parametrize(("was", "blocked", "enabled", "reason"), [
    (Transition(True), True, False, "Handsoff - prod is frozen by me - holidays - (all of them)"),
    (Transition(False, "Handsoff - something"), False, True, ""),
    (Transition(False, "Handsoff - something"), True, False, "Handsoff - prod is frozen by me - holidays - (all of them)"),
    (Transition(False, "a person's"), False, False, "a person's"),
    (Transition(True), False, True, ""),
])
def test_the_door_follows_the_ledger(world: World, was: Transition, blocked: bool, enabled: bool, reason: str) -> None:
    door = Door(was)
    function: Any = Rollback(dataclasses.replace(SETTINGS, window=Window()), world.ledger, door, door, world.reconciler, lambda: world.time, no_s3)  # type: ignore[arg-type]
    if blocked:
        assert ask(world, "block", reason="holidays: (all of them)")["ok"]
    function.handle({"source": "aws.events"})
    assert (door.now.enabled, door.now.reason) == (enabled, reason)
    assert door.armed["prod/eu-west-1"] is True and len(door.armed) == 5


def test_gammas_door_is_shut_while_it_goes_back(world: World) -> None:
    doors = {"Gamma": Door(Transition(True)), "OneBox": Door(Transition(True))}

    class Both(Door):
        def transition(self, stage: str) -> Transition:
            return doors[stage].now

        def close(self, stage: str, reason: str) -> None:
            doors[stage].close(stage, reason)

        def open(self, stage: str) -> None:
            doors[stage].open(stage)

    both: Any = Both(Transition(True))
    function: Any = Rollback(dataclasses.replace(SETTINGS, window=Window()), world.ledger, both, both, world.reconciler, lambda: world.time, no_s3)  # type: ignore[arg-type]
    assert ask(world, "rollback", environment="gamma", to=OLD, reason="by hand")["ok"]
    function.handle({"source": "aws.codedeploy"})
    assert doors["Gamma"].now == Transition(False, "Handsoff - A rollback of gamma is going on - by hand")
    minutes(world, 10)
    function.handle({"source": "aws.codedeploy"})
    assert doors["Gamma"].now.enabled


def test_the_door_is_shut_while_a_release_is_behind_it(world: World) -> None:
    door = Door(Transition(True))
    function: Any = Rollback(dataclasses.replace(SETTINGS, window=Window()), world.ledger, door, door, world.reconciler, lambda: world.time, no_s3)  # type: ignore[arg-type]
    door.inside = {"Gamma": "e-2", "Wave1": "e-1"}
    function.handle({"source": "aws.events"})
    assert (door.now.enabled, door.now.reason) == (False, "Handsoff - One release at a time - another is in Wave1")
    door.inside = {"Gamma": "e-2"}
    function.handle({"source": "aws.events"})
    assert door.now.enabled


def test_one_environments_failure_does_not_keep_the_other(world: World) -> None:
    door: Any = Door(Transition(True))
    seen: list[str] = []

    class Broken:
        def run(self, environment: str) -> None:
            seen.append(environment)
            raise ValueError(environment)

    function = Rollback(SETTINGS, world.ledger, door, door, Broken(), lambda: world.time, no_s3)  # type: ignore[arg-type]
    with pytest.raises(ExceptionGroup):
        function.handle({"source": "aws.codedeploy"})
    assert seen == ["gamma", "prod"] and not door.armed


def test_a_rollback_ends_only_after_it_was_told(world: World) -> None:
    def broken(message: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://sns.us-east-1.amazonaws.com")

    run(world, PROD[0], BAD)
    world.ledger.mark_bad(BAD, "faults", "prod", world.time)
    told, world.reconciler._tell = world.reconciler._tell, broken
    minutes(world, 10)
    assert running(world) == {GOOD}, "hosts do not wait for pages"
    assert world.ledger.environment("prod").rollback is not None and not world.pages
    world.reconciler._tell = told
    minutes(world, 5)
    assert world.ledger.environment("prod").rollback is None and len(world.pages) == 2


def test_a_run_that_comes_to_the_end_beside_another_does_not_page_it_again(world: World) -> None:
    run(world, PROD[0], BAD)
    world.ledger.mark_bad(BAD, "faults", "prod", world.time)
    told = world.reconciler._tell
    seen: list[str] = []

    def noting(message: Any) -> None:
        rollback = world.ledger.environment("prod").rollback
        seen.append(rollback.id if rollback is not None else "")
        told(message)

    world.reconciler._tell = noting
    minutes(world, 10)
    assert world.ledger.environment("prod").rollback is None and len(world.pages) == 2
    assert world.ledger.claim("prod", f"{seen[0]}/done") == "sent"


def test_a_silent_region_is_paged_at_once_while_going_back(world: World) -> None:
    run(world, PROD[0], BAD)
    world.ledger.mark_bad(BAD, "faults", "prod", world.time)
    world.silent.add("eu-west-1")
    minutes(world, 1)
    assert "demo prod/eu-west-1: does not answer" in subjects(world)


def test_executions_behind_a_rollback_are_stopped_and_not_blamed(world: World) -> None:
    for commit, stage in ((BAD, "Wave1"), ("cccccccccccc", "OneBox")):
        world.push()
        world.runs[-1].commit, world.runs[-1].stage = commit, ("Gamma", "OneBox", "Wave1").index(stage)
        world._act(world.runs[-1], stage, "Deploy", "Succeeded", "CodeDeploy", external="d-1")
        world._act(world.runs[-1], stage, "Gate", "InProgress", "Lambda")
    run(world, PROD[1], BAD)
    run(world, PROD[0], "cccccccccccc")
    world.ledger.mark_bad(BAD, "faults", "prod", world.time)
    minutes(world, 10)
    assert [r.status for r in world.runs] == ["Stopped", "Stopped"] and running(world) == {GOOD}
    assert not world.ledger.release("cccccccccccc").bad and len(world.pages) == 2


def test_a_release_marked_bad_in_the_middle_is_not_deployed(world: World) -> None:
    def firing(place: Any) -> tuple[Any, ...]:
        world.ledger.mark_bad(GOOD, "found meanwhile", "prod", world.time)
        return ()

    run(world, PROD[0], BAD)
    world.ledger.mark_bad(BAD, "faults", "prod", world.time)
    world.firing = firing  # type: ignore[method-assign]
    minutes(world, 20)  # World.create refuses what is marked bad
    assert running(world) == {OLD} and world.ledger.environment("prod").last_good == OLD
