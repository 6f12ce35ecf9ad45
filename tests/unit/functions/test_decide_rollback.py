"""The way back, case by case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from configuration import Window
from decide_rollback import (
    Conforms,
    Create,
    Step,
    Stop,
    Stuck,
    View,
    Wait,
    alarmed,
    begun,
    carried,
    chosen,
    cleaned,
    closed,
    closed_meanwhile,
    judge,
    next_try,
    revision,
    step,
    strays,
    target,
    to_stop,
)
from model import Action, Bad, Block, Deployment, Environment, Execution, Firing, Group, Override, Release, Rollback

GOOD, BAD, OTHER = "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"
NOW = 10_000.0
STAGES = ("OneBox", "Wave1", "Wave2")
GOING = Rollback("9000-bbbbbbb", BAD, GOOD, "the gate failed", "handsoff", 9000)
HERE = {"bucket": "store", "key": "good", "bundleType": "zip"}
RELEASE = Release(GOOD, revisions={"prod/us-east-1/fleet": HERE}, version=1)


def deployment(commit: str | None = GOOD, status: str = "Succeeded", **more: Any) -> Deployment:
    return Deployment("d-1", status, commit, created=9100.0, ended=None if status == "InProgress" else 9200.0, **more)


def group(last: Deployment | None = None, *in_flight: Deployment, attempts: tuple[Deployment, ...] = (), region: str = "us-east-1",
          scope: str = "fleet") -> Group:
    return Group("prod", region, scope, "demo", "group", in_flight, last, None, attempts, ("third", "half", "all"))


def tried(name: str, error: str | None = "HEALTH_CONSTRAINTS", status: str = "Failed", at: float = 9200.0) -> Deployment:
    return replace(deployment(GOOD, status, description=f"handsoff rollback {GOING.id} {name}", error=error), ended=at)


# One group's step

@pytest.mark.parametrize(("seen", "expected"), [
    (group(deployment()), Conforms),
    (group(None), Conforms),  # nothing was ever deployed here
    (group(deployment(BAD)), Create),
    (group(deployment(OTHER)), Create),
    (group(deployment(None)), Create),  # a bundle that names no release
    (group(deployment(GOOD, "Failed")), Create),  # the right release, but not everywhere
    (group(deployment(GOOD, "Stopped")), Create),
    (group(deployment(BAD), deployment(GOOD, "InProgress", creator="codeDeployRollback")), Wait),
    (group(deployment(), deployment(BAD, "InProgress")), Stop),  # a retried deploy action
    (group(deployment(), deployment(OTHER, "Queued", creator="codeDeployRollback")), Stop),
    (group(deployment(), deployment(OTHER, "InProgress", creator="autoscaling")), Stop),
    (group(deployment(BAD), deployment(BAD, "InProgress", creator="autoscaling"), deployment(GOOD, "InProgress")), Wait),  # brought up to date after it
    (group(deployment(BAD), deployment(BAD, "InProgress", creator="autoscaling"), deployment(GOOD, "InProgress", creator="autoscaling")), Stop),
    (group(deployment(BAD), deployment(BAD, "InProgress"), deployment(GOOD, "InProgress")), Stop),
    (group(deployment(BAD), deployment(None, "InProgress", description=f"handsoff rollback {GOING.id} half")), Wait),
    (group(deployment(BAD), deployment(None, "InProgress", description="handsoff rollback 1-other third")), Stop),
    (group(deployment(BAD), region="eu-west-1"), Stuck),
])
def test_a_group_takes_one_step(seen: Group, expected: type[Step]) -> None:
    assert isinstance(step(seen, GOING, RELEASE, (), NOW), expected)


@pytest.mark.parametrize(("attempts", "configuration"), [
    ((), "third"),
    ((tried("third"),), "half"),
    ((tried("half"), tried("third")), "all"),
    ((tried("all"), tried("half"), tried("third")), "all"),
    ((tried("third", "INTERNAL_ERROR"),), "third"),
    ((tried("third", "TIMEOUT"),) * 3, "half"),
    ((tried("half", None, "Stopped"), tried("third")), "half"),
    ((tried("third", None, "Succeeded"),), "third"),  # it was undone by another deployment since
    ((tried("half", "HEALTH_CONSTRAINTS_INVALID"),), "all"),
])
def test_the_next_try_is_read_from_codedeploy(attempts: tuple[Deployment, ...], configuration: str) -> None:
    assert next_try(attempts) == configuration
    found = step(group(deployment(BAD), attempts=attempts), GOING, RELEASE, (), NOW)
    assert isinstance(found, Create) and found.configuration == configuration
    assert found.description == f"handsoff rollback 9000-bbbbbbb {configuration}" and found.location == HERE


@pytest.mark.parametrize(("hosts", "first"), [(0, "third"), (1, "all"), (2, "half"), (3, "third"), (12, "third")])
def test_a_try_that_leaves_no_host_to_deploy_to_is_left_out(hosts: int, first: str) -> None:
    """66 percent of two rounds up to two, 50 percent of one to one: CodeDeploy would fail both at once."""
    assert next_try((), hosts) == first


def test_a_bolder_try_comes_at_once_and_the_same_one_after_a_pause() -> None:
    just = NOW - 5
    assert isinstance(step(group(deployment(BAD), attempts=(tried("third", at=just),)), GOING, RELEASE, (), NOW), Create)
    assert isinstance(step(group(deployment(BAD), attempts=(tried("all", at=just), tried("half"))), GOING, RELEASE, (), NOW), Wait)
    assert isinstance(step(group(deployment(BAD), attempts=(tried("third", "TIMEOUT", at=just),)), GOING, RELEASE, (), NOW), Wait)


@pytest.mark.parametrize(("attempts", "loud"), [
    ((tried("all"), tried("half"), tried("third")), False),
    ((tried("all"),) * 2, False),
    ((tried("all"),) * 3, True),
    ((tried("third", "TIMEOUT"),) * 3, True),
])
def test_three_failures_are_loud(attempts: tuple[Deployment, ...], loud: bool) -> None:
    found = step(group(deployment(BAD), attempts=attempts), GOING, RELEASE, (), NOW)
    assert isinstance(found, Create) and found.loud is loud


def test_a_newer_release_on_its_way_is_left_alone_only_where_nothing_blocks() -> None:
    for seen in (group(deployment(BAD), deployment(OTHER, "InProgress")), group(deployment(OTHER))):
        assert isinstance(step(seen, GOING, RELEASE, {OTHER}, NOW), Conforms)
        assert not isinstance(step(seen, GOING, RELEASE, (), NOW), Conforms)


@pytest.mark.parametrize(("known", "region", "scope", "expected"), [
    (("prod/us-east-1/fleet", "prod/us-east-1/onebox"), "us-east-1", "onebox", "prod/us-east-1/onebox"),
    (("gamma/us-east-1/fleet", "prod/us-east-1/fleet"), "us-east-1", "onebox", "prod/us-east-1/fleet"),
    (("gamma/us-west-2/fleet", "prod/us-east-1/fleet"), "us-west-2", "fleet", "gamma/us-west-2/fleet"),
    (("prod/us-east-1/fleet",), "eu-west-1", "fleet", None),
])
def test_a_bundle_is_of_the_groups_own_region(known: tuple[str, ...], region: str, scope: str, expected: str | None) -> None:
    release = Release(GOOD, revisions={place: {"key": place} for place in known})
    assert revision(release, group(region=region, scope=scope)) == ({"key": expected} if expected else None)


# Judging executions

RECORD = Environment("prod", desired=GOOD, last_good=GOOD, last_good_at=1000, goods=(GOOD,), since=500, version=3)


def action(stage: str = "Wave1", name: str = "Gate", status: str = "Failed", started: float = 5000, provider: str = "Lambda", external: str | None = None,
           identity: str = "a-1") -> Action:
    return Action(identity, stage, name, status, provider, external=external, message="an alarm fired", started=started, updated=started + 100)


DEPLOYED = action("OneBox", "Deploy1", "Succeeded", 4000, "CodeDeploy", "d-9", "a-0")


def view(*actions: Action, status: str = "Failed", commit: str | None = BAD, stop_reason: str = "") -> View:
    return View(Execution("e-1", status, commit, 3000, 6000, stop_reason), actions)


BLOCKED = replace(RECORD, blocked=Block("why", "handsoff", 4500, "1-x"))


@pytest.mark.parametrize(("record", "seen", "bad", "expected"), [
    (RECORD, view(action(), DEPLOYED), (), "bad"),
    (RECORD, view(action(status="Abandoned"), DEPLOYED, status="Stopped"), (), "bad"),
    (RECORD, view(action(), DEPLOYED, status="InProgress"), (), "bad"),  # one Region of a wave failed, another goes on
    (RECORD, view(DEPLOYED, status="Stopped"), (), "bad"),  # stopped between two stages
    (RECORD, view(DEPLOYED, status="Cancelled"), (), "bad"),
    (RECORD, view(action("OneBox", "Enter")), (), "told"),  # nothing was deployed
    (RECORD, view(action("OneBox", "Deploy1", provider="CodeDeploy")), (), "told"),  # its deployment was never begun
    (RECORD, view(action(), DEPLOYED), (BAD,), "told"),  # a retried gate after the rollback
    (RECORD, view(action(), DEPLOYED, commit=GOOD), (), "repair"),
    (BLOCKED, view(action(), DEPLOYED), (), "collateral"),
    (replace(RECORD, rollback=replace(GOING, bad=OTHER)), view(action(), DEPLOYED), (), "collateral"),
    (replace(RECORD, rollback=GOING), view(action(), DEPLOYED), (BAD,), "collateral"),
    (RECORD, view(action(status="Abandoned"), DEPLOYED, status="Stopped", stop_reason="Handsoff: prod goes back"), (), "collateral"),
    (RECORD, view(DEPLOYED, status="Superseded"), (), None),
    (RECORD, view(DEPLOYED, status="InProgress"), (), None),
    (RECORD, view(action(), DEPLOYED, status="Succeeded"), (), None),
    (RECORD, view(action("Gamma", "Tests")), (), None),  # another environment's
    (RECORD, view(status="Stopped"), (), None),  # stopped before it came here
    (RECORD, view(action("Wave2", "Gate", "Succeeded"), DEPLOYED, status="Stopped"), (), None),  # it was through
    (RECORD, view(action(status="InProgress", started=5500, identity="a-2"), action(), DEPLOYED, status="InProgress"), (), None),  # retried
    (RECORD, view(action(), DEPLOYED, commit=None), (), None),
    (replace(RECORD, judged=("e-1/a-1",)), view(action(), DEPLOYED), (), None),
    (replace(RECORD, since=6000), view(action(), DEPLOYED), (), None),  # from before there was a ledger
    (replace(RECORD, last_good_at=6000), view(action(), DEPLOYED), (), None),  # a later release has baked since
])
def test_executions_are_judged(record: Environment, seen: View, bad: tuple[str, ...], expected: str | None) -> None:
    found = judge(record, seen, STAGES, (), bad, strict=True)
    assert (found.kind if found else None) == expected


def test_a_retried_failure_is_judged_again() -> None:
    first = judge(RECORD, view(action()), STAGES, (), (), strict=True)
    assert first is not None
    again = judge(replace(RECORD, judged=(first.key,)), view(action(started=5800, identity="a-2"), action()), STAGES, (), (), strict=True)
    assert again is not None and again.key != first.key


def test_what_hosts_run_counts_as_touched() -> None:
    found = judge(RECORD, view(action("OneBox", "Enter")), STAGES, (group(deployment(BAD)),), (), strict=True)
    assert found is not None and found.kind == "bad" and "OneBox/Enter failed: an alarm fired" in found.reason


def test_where_nothing_blocks_each_release_is_judged_on_its_own() -> None:
    record = replace(RECORD, rollback=replace(GOING, bad=OTHER))
    found = judge(record, view(action(), DEPLOYED), STAGES, (), (), strict=False)
    assert found is not None and found.kind == "bad"


FIRING = {"us-east-1": (Firing("demo-prod-high-severity", True, 9300.0),)}


@pytest.mark.parametrize(("record", "seen", "groups", "firing", "expected"), [
    (RECORD, view(DEPLOYED, status="InProgress"), (group(deployment(BAD)),), FIRING, True),
    (RECORD, view(DEPLOYED, status="InProgress"), (group(deployment(BAD), deployment(BAD, "InProgress")),), FIRING, False),  # CodeDeploy watches
    (RECORD, view(action(status="InProgress"), DEPLOYED, status="InProgress"), (group(deployment(BAD)),), FIRING, False),  # the gate watches
    (RECORD, view(DEPLOYED, status="InProgress"), (group(deployment(BAD), region="eu-west-1"),), FIRING, False),
    (RECORD, view(DEPLOYED, status="InProgress"), (group(deployment(BAD)),), {"us-east-1": (Firing("x", True, 9000.0),)}, False),  # since before it
    (RECORD, view(DEPLOYED, status="InProgress"), (group(deployment(BAD)),), {"us-east-1": (Firing("x", False, 9300.0),)}, False),  # no composite
    (replace(RECORD, override=Override("fire", "me", 1, BAD)), view(DEPLOYED, status="InProgress"), (group(deployment(BAD)),), FIRING, False),
    (replace(RECORD, last_good=None), view(DEPLOYED, status="InProgress"), (group(deployment(BAD)),), FIRING, False),
    (BLOCKED, view(DEPLOYED, status="InProgress"), (group(deployment(BAD)),), FIRING, False),
])
def test_an_alarm_between_stages_is_seen(record: Environment, seen: View, groups: tuple[Group, ...], firing: Any, expected: bool) -> None:
    assert (alarmed(record, [seen], STAGES, groups, firing, ()) is not None) is expected


# Strays, targets, the record

@pytest.mark.parametrize(("record", "seen", "bad", "strict", "expected"), [
    (RECORD, group(deployment(OTHER)), (), True, []),  # a candidate
    (RECORD, group(deployment(OTHER)), (OTHER,), True, [True]),
    (RECORD, group(deployment(), deployment(OTHER, "InProgress")), (OTHER,), False, [True]),
    (BLOCKED, group(deployment()), (), True, []),
    (BLOCKED, group(deployment(), deployment(OTHER, "InProgress")), (), True, [False]),
    (BLOCKED, group(deployment(GOOD, "Failed")), (), True, [False]),
    (BLOCKED, group(deployment(), deployment(GOOD, "InProgress", creator="autoscaling")), (), True, []),
    (BLOCKED, group(deployment(OTHER)), (), False, []),
    (replace(RECORD, blocked=Block("freeze", "me", 1)), group(deployment(OTHER)), (), True, []),  # by hand: what is under way goes on
    (BLOCKED, group(None), (), True, []),
])
def test_strays_are_seen(record: Environment, seen: Group, bad: tuple[str, ...], strict: bool, expected: list[bool]) -> None:
    assert [stray.marked for stray in strays(record, (seen,), bad, strict)] == expected


def test_the_target_is_the_newest_good_release_that_is_not_bad() -> None:
    record = replace(RECORD, goods=(GOOD, OTHER))
    assert target(record, ()) == GOOD
    assert target(record, (GOOD,)) == OTHER
    assert target(record, (GOOD, OTHER)) is None


def _begun(record: Environment = RECORD, **changes: Any) -> Environment:
    given: dict[str, Any] = {"bad": BAD, "to": GOOD, "reason": "an alarm", "by": "handsoff", "at": NOW, "blocks": True, "marked": {BAD}, "judged": "e-1/a-1"}
    return begun(record, **{**given, **changes})


def test_a_rollback_begins_with_the_block_and_goes_on_with_a_second_cause() -> None:
    first = _begun()
    assert first.rollback and first.blocked and first.blocked.rollback == first.rollback.id and first.desired == GOOD and first.judged == ("e-1/a-1",)
    second = _begun(first, bad=OTHER, judged="e-2/a-2", at=NOW + 60)
    assert second.rollback == first.rollback and second.judged == ("e-2/a-2", "e-1/a-1")
    elsewhere = _begun(first, to=OTHER, at=NOW)
    assert elsewhere.rollback and elsewhere.rollback.to == OTHER and elsewhere.rollback.id != first.rollback.id


def test_gamma_is_not_blocked_and_a_freeze_is_not_forgotten() -> None:
    assert _begun(blocks=False).blocked is None
    frozen = _begun(replace(RECORD, blocked=Block("holidays", "me", 1)))
    assert frozen.blocked and frozen.blocked.rollback and "holidays" in frozen.blocked.reason


def test_no_bad_release_stays_last_good_desired_or_overridden() -> None:
    record = replace(RECORD, desired=BAD, last_good=BAD, goods=(BAD, GOOD), override=Override("fire", "me", 1, BAD))
    found = cleaned(record, {BAD})
    assert (found.desired, found.last_good, found.goods, found.override) == (GOOD, GOOD, (GOOD,), None)
    assert cleaned(RECORD, {BAD}) == RECORD


# Executions and the door

@pytest.mark.parametrize(("seen", "bad", "strict", "expected"), [
    (view(DEPLOYED, status="InProgress"), (BAD,), False, True),
    (view(DEPLOYED, status="InProgress"), (), True, True),  # another release that was half out
    (view(DEPLOYED, status="InProgress"), (), False, False),
    (view(action("OneBox", "Enter", "InProgress"), status="InProgress"), (), True, False),  # it waits at the door, and stays there
    (view(action("OneBox", "Enter", "InProgress"), status="InProgress"), (BAD,), True, True),
    (view(action("Gamma", "Gate", "InProgress"), status="InProgress"), (BAD,), True, False),
    (view(DEPLOYED, status="InProgress", commit=GOOD), (), True, False),
    (view(DEPLOYED, status="Failed"), (BAD,), True, False),
])
def test_executions_behind_a_rollback_are_stopped(seen: View, bad: tuple[str, ...], strict: bool, expected: bool) -> None:
    assert bool(to_stop([seen], STAGES, bad, GOOD, strict)) is expected


def test_only_what_is_under_way_and_not_bad_is_carried() -> None:
    under_way = view(DEPLOYED, status="InProgress", commit=OTHER)
    assert carried([under_way], STAGES, (), strict=False) == {OTHER}
    assert carried([under_way], STAGES, (OTHER,), strict=False) == set()
    assert carried([under_way], STAGES, (), strict=True) == set()
    assert carried([view(DEPLOYED, commit=OTHER)], STAGES, (), strict=False) == set()


MONDAY_TEN = 1_699_869_600.0 + 0  # 2023-11-13 10:00 UTC


@pytest.mark.parametrize(("record", "now", "word"), [
    (RECORD, MONDAY_TEN, None),
    (RECORD, MONDAY_TEN + 6 * 3600, "window"),
    (replace(RECORD, override=Override("fire", "me", 1, OTHER)), MONDAY_TEN + 6 * 3600, None),
    (replace(RECORD, blocked=Block("holidays", "me", 1)), MONDAY_TEN, "frozen by me"),
    (replace(RECORD, blocked=Block("holidays", "me", 1), override=Override("fire", "me", 1, OTHER)), MONDAY_TEN, None),
    (BLOCKED, MONDAY_TEN, "blocked by a rollback"),
    (replace(BLOCKED, override=Override("fire", "me", 1, OTHER)), MONDAY_TEN, "blocked by a rollback"),
    (replace(RECORD, rollback=GOING), MONDAY_TEN, "going on"),
])
def test_the_door(record: Environment, now: float, word: str | None) -> None:
    found = closed(record, Window(("MON",), (8, 15)), now)
    assert found is None if word is None else found is not None and word in found


def test_where_rollbacks_do_not_block_the_door_is_shut_only_while_one_goes_on() -> None:
    assert closed_meanwhile(RECORD) is None and closed_meanwhile(replace(RECORD, blocked=Block("holidays", "me", 1))) is None
    assert "going on" in str(closed_meanwhile(replace(RECORD, rollback=GOING)))


# A person's choice

KNOWN = Release(OTHER, passed={"Gamma": 1}, version=1)
BAKED = Release(OTHER, passed={"Gamma": 1, "Wave2": 2}, version=1)
RUNS_BAD, RUNS_GOOD = (group(deployment(BAD)), group(deployment())), (group(deployment()),)


@pytest.mark.parametrize(("record", "wanted", "release", "force", "groups", "bad", "expected"), [
    (RECORD, None, None, False, RUNS_BAD, (), GOOD),
    (replace(RECORD, goods=(GOOD, OTHER)), None, None, False, RUNS_GOOD, (), OTHER),  # the last good one itself is to go
    (replace(BLOCKED, goods=(GOOD, OTHER)), None, None, False, RUNS_GOOD, (), "was rolled back to"),
    (RECORD, None, None, False, RUNS_GOOD, (), "no release to go back to"),
    (replace(RECORD, last_good=None, goods=()), None, None, False, RUNS_BAD, (), "no release to go back to"),
    (RECORD, OTHER, BAKED, False, RUNS_BAD, (), OTHER),
    (RECORD, OTHER, KNOWN, False, RUNS_BAD, (), "never baked in prod"),
    (RECORD, OTHER, KNOWN, True, RUNS_BAD, (), OTHER),
    (RECORD, OTHER, replace(KNOWN, passed={}), True, RUNS_BAD, (), "passed no stage"),
    (RECORD, OTHER, Release(OTHER), True, RUNS_BAD, (), "not in the ledger"),
    (RECORD, OTHER, replace(BAKED, bad=Bad("faults", "prod", 1)), True, RUNS_BAD, (), "marked bad (faults)"),
    (RECORD, GOOD, Release(GOOD, passed={"Wave2": 1}, version=1), False, RUNS_GOOD, (), "runs aaaaaaaaaaaa already"),
])
def test_a_person_chooses(record: Environment, wanted: str | None, release: Release | None, force: bool, groups: tuple[Group, ...], bad: tuple[str, ...],
                          expected: str) -> None:
    to, wrong = chosen(record, wanted, release, "Wave2", force, groups, bad)
    assert to == expected or (to is None and expected in wrong)
