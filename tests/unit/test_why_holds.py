"""What Enter and Gate refuse, and what keeps a release from going on. The real functions decide, over a small world, and the real engine is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from localaws_fakes import CALLER
from why_world import Pipe

from scripts.diagnosis.judge import Verdict, judge

# why_world makes these importable.
from gate_world import COMMIT, OTHER, START, World  # isort: skip
from decide_rollback import begun, closed  # isort: skip
from configuration import Window  # isort: skip
from model import Block, Environment, Group, Override, Rollback  # isort: skip
from pipeline import transition_reason  # isort: skip
from rollback import DOOR_WORD  # isort: skip

GATE = {"do": "gate", "environment": "prod", "stage": "OneBox", "scope": "onebox", "regions": "us-east-1", "execution": "e-1", "commit": COMMIT,
        "bake": 600, "settle": 60, "limit": 3600, "requests": 100, "final": "false"}
ENTER = {"do": "enter", "environment": "prod", "stage": "OneBox", "regions": "us-east-1", "execution": "e-1", "commit": COMMIT, "limit": 3600}
Spoil = Callable[[World], Any]


def made(identity: str, *values: Any) -> Any:
    return pytest.param(identity, *values, marks=pytest.mark.cause(identity, "made"))


def first(verdict: Verdict) -> str:
    assert verdict.first is not None
    assert verdict.first.match.evidence and verdict.first.match.fix
    return verdict.first.cause.id


# Gate


def alarm_fires(world: World) -> None:
    world.callers().regions["us-east-1"].watching.set("s-prod-onebox-faults", "ALARM")


def alarm_gone(world: World) -> None:
    del world.callers().regions["us-east-1"].watching.alarms["s-prod-onebox-faults"]


def region_silent(world: World) -> None:
    world.callers().regions["us-east-1"].broken = TimeoutError("no answer")


def nobody_calls(world: World) -> None:
    world.ledger.set_last_good("prod", OTHER, {}, START - 9000)


def other_release(world: World) -> None:
    world.callers().regions["us-east-1"].groups[1] = world.group("us-east-1", "onebox", OTHER)


def being_replaced(world: World) -> None:
    group = world.callers().regions["us-east-1"].groups[1]
    assert group.last_successful is not None
    world.regions["us-east-1"].groups[1] = replace(group, in_flight=(replace(group.last_successful, id="d-OTHER", status="InProgress", commit=OTHER),))


def nothing_deployed(world: World) -> None:
    world.callers().regions["us-east-1"].groups[1] = Group("prod", "us-east-1", "onebox", "app", "onebox-group")


def marked_bad(world: World) -> None:
    world.callers().ledger.mark_bad(COMMIT, "an alarm in Wave2", "Wave2", START)


def no_data(world: World) -> None:
    for name in ("s-prod-onebox-faults", "s-prod-onebox-latency", "s-prod-onebox-high-severity"):
        world.callers().regions["us-east-1"].watching.alarms[name]["state"] = "INSUFFICIENT_DATA"


@pytest.mark.parametrize(("identity", "spoil", "order", "names"), [
    made("pipeline-gate-alarm", alarm_fires, {}, "s-prod-onebox-faults of prod/us-east-1/onebox"),
    made("pipeline-gate-alarm-missing", alarm_gone, {}, "s-prod-onebox-faults of prod/us-east-1/onebox does not exist"),
    made("pipeline-gate-region-silent", region_silent, {}, "us-east-1 did not answer the gate for 5 min"),
    made("pipeline-gate-few-requests", nobody_calls, {}, "prod/us-east-1/onebox had 0 of the 100 requests"),
    made("pipeline-gate-other-release", other_release, {}, "prod/us-east-1/onebox does not run"),
    made("pipeline-gate-other-release", being_replaced, {}, "prod/us-east-1/onebox does not run"),
    made("pipeline-gate-other-release", nothing_deployed, {}, "prod/us-east-1/onebox does not run"),
    made("pipeline-gate-rolled-back", marked_bad, {}, "marked bad"),
    made("pipeline-gate-misconfigured", lambda world: world.callers(), {"bake": 4000}, "do not fit"),
    made("pipeline-gate-unproven", no_data, {}, "not proven within 60 min"),
])
def test_what_a_gate_refuses(tmp_path: Path, identity: str, spoil: Spoil, order: dict[str, Any], names: str) -> None:
    world = World()
    spoil(world)
    world.run({**GATE, **order})
    assert world.jobs.state == "Failed"
    pipe = Pipe(tmp_path).to_prod_gate().told(world.jobs.text)
    verdict = pipe.verdict("prod")
    assert first(verdict) == identity, [one.cause.id for one in verdict.others]
    assert names in verdict.first.title  # type: ignore[union-attr]
    assert verdict.first.match.certainty == "certain" and verdict.first.cause.failing  # type: ignore[union-attr]


def test_a_gate_that_waits_is_under_way(tmp_path: Path) -> None:
    world = World().callers()
    world.call(GATE)
    case = Pipe(tmp_path).to_prod_gate().told(world.jobs.text, ok=True, token="t").case("prod")
    assert case.about == "nothing" and "OneBox/Gate (prod OneBox: Baking" in case.running
    assert judge(case).first is None


# Enter


def frozen(world: World) -> None:
    world.ledger.update_environment("prod", lambda record: replace(record, blocked=Block("audit", "someone", int(START))))


def blocked(world: World) -> None:
    world.ledger.update_environment("prod", lambda record: replace(record, blocked=Block("alarm x fired", "handsoff", int(START), "r-1")))


def night(world: World) -> None:
    world.variables.update(WINDOW_HOURS="08-09")  # START is 22:13


def busy(world: World) -> None:
    world.jobs.inside = {"Wave1": "e-0"}


def fires_before(world: World) -> None:
    world.regions["us-west-2"].watching.set("s-prod-high-severity", "ALARM")


def ledger_silent(world: World) -> None:
    world.table.broken = True


@pytest.mark.parametrize(("identity", "spoil", "failing", "names"), [
    made("hold-enter-frozen", frozen, False, "The environment is frozen by hand (prod)"),
    made("hold-enter-blocked", blocked, False, "The environment is blocked by a rollback (prod)"),
    made("hold-enter-window", night, False, "The deployment window did not open in time (prod)"),
    made("hold-enter-busy", busy, False, "Another release is in the environment (prod)"),
    made("pipeline-enter-alarm", fires_before, True, "s-prod-high-severity of prod/us-west-2"),
    made("pipeline-enter-release-bad", marked_bad, True, f"Release {COMMIT[:12]} is marked bad"),
    made("pipeline-enter-unseen", region_silent, True, "us-east-1 did not answer"),
    made("pipeline-enter-unseen", ledger_silent, True, "The ledger could not be read"),
])
def test_what_enter_refuses(tmp_path: Path, identity: str, spoil: Spoil, failing: bool, names: str) -> None:
    world = World()
    spoil(world)
    world.run(ENTER, step=120)
    assert world.jobs.state == "Failed"
    verdict = Pipe(tmp_path).to_onebox().told(world.jobs.text).verdict("prod")
    assert first(verdict) == identity, (world.jobs.text, [one.cause.id for one in verdict.others])
    assert verdict.first.cause.failing is failing and names in verdict.first.title  # type: ignore[union-attr]


@pytest.mark.cause("hold-enter-waiting", "made")
def test_enter_that_waits(tmp_path: Path) -> None:
    world = World()
    night(world)
    world.call(ENTER)
    pipe = Pipe(tmp_path).to_onebox().told(world.jobs.text, ok=True, token="t")
    verdict = pipe.verdict("prod")
    assert first(verdict) == "hold-enter-waiting" and not verdict.first.cause.failing  # type: ignore[union-attr]
    assert "until" in verdict.first.match.evidence[0]  # type: ignore[union-attr]


# Doors


def shut(pipe: Pipe, reason: str) -> None:
    pipe.api.disable_stage_transition(CALLER, {"pipelineName": "sample", "stageName": "OneBox", "transitionType": "Inbound", "reason": reason})


RECORD = Environment("prod", desired=OTHER, last_good=OTHER)
ROLLED = begun(RECORD, bad=COMMIT, to=OTHER, reason="alarm x fired", by="handsoff", at=5, blocks=True, marked={COMMIT})
NIGHT, DAY = Window((), (8, 9)), Window()


@pytest.mark.parametrize(("identity", "record", "window", "under_way"), [
    made("hold-rollback-under-way", ROLLED, DAY, ()),
    made("hold-blocked", replace(ROLLED, rollback=None), DAY, ()),
    made("hold-frozen", replace(RECORD, blocked=Block("audit", "someone", 5)), DAY, ()),
    made("hold-window", RECORD, NIGHT, ()),
    made("hold-one-at-a-time", RECORD, DAY, ("Wave1",)),
])
def test_a_door_that_the_rollback_function_shut(tmp_path: Path, identity: str, record: Environment, window: Window, under_way: tuple[str, ...]) -> None:
    from ledger import plain

    pipe = Pipe(tmp_path).create()
    reason = closed(record, window, START, under_way)
    assert reason is not None
    shut(pipe, transition_reason(DOOR_WORD + reason))
    pipe.push().built().deployed().built(project="tests").told("passed", ok=True)
    for told in (None, {"id": "environment#prod", "at": "-", **plain(record)}):
        pipe.ledger(told)
        verdict = pipe.verdict("prod")
        assert first(verdict) == identity, [one.cause.id for one in verdict.others]
        assert not verdict.first.cause.failing  # type: ignore[union-attr]
        assert f"execution {pipe.execution()} waits" in verdict.first.match.evidence  # type: ignore[union-attr]


@pytest.mark.cause("hold-transition-disabled", "made")
def test_a_transition_that_a_person_disabled(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path).to_prod_gate().told("passed", ok=True)
    shut(pipe, "moving house")
    case = pipe.case("prod")
    verdict = judge(case)
    assert first(verdict) == "hold-transition-disabled"
    assert CALLER.principal_arn in verdict.first.match.evidence[0] and "moving house" in verdict.first.match.evidence[0]  # type: ignore[union-attr]
    assert judge(pipe.case("gamma")).first is None  # prod's door is not gamma's matter


def test_a_window_that_nobody_waits_for_is_no_news(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path).to_prod_gate().told("passed", ok=True)
    shut(pipe, transition_reason(f"{DOOR_WORD}{closed(RECORD, NIGHT, START)}"))
    case = pipe.case("prod")
    assert judge(case).first is None and case.holds[0].kind == "window"


def test_a_failure_comes_before_what_holds(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path).to_prod_gate().told("prod OneBox: release c0ffee does not pass. Alarm a of prod/us-east-1/onebox is firing. Mend it")
    shut(pipe, "moving house")
    case = pipe.case("prod")
    assert first(judge(case)) == "pipeline-gate-alarm"
    assert [hold.kind for hold in case.holds] == ["transition"]


def test_overrides_and_rollbacks_are_values_of_the_functions() -> None:
    # The fields that holds.py reads from the ledger's record.
    assert {"to", "reason", "began", "by"} <= set(Rollback.__dataclass_fields__)
    assert {"reason", "by", "at", "rollback"} <= set(Block.__dataclass_fields__)
    assert {"reason", "by"} <= set(Override.__dataclass_fields__)
