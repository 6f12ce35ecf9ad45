"""What may enter a stage, as a table; and the arithmetic of the deployment window."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from configuration import ConfigurationError, Window, read
from decide_entry import Facts, Memory, Order, decide, opening
from decide_gate import Alarm, Watch
from model import Override

BEGAN = datetime(2025, 3, 6, 10, 0, tzinfo=UTC).timestamp()
"""A Thursday."""

COMMIT = "c0ffee" * 6 + "c0ff"
ORDER = Order("prod", "OneBox", COMMIT, limit=3600, patience=3600)
LATER = replace(ORDER, stage="Wave2", patience=82_800)
WORKDAYS = Window(("MON", "TUE", "WED", "THU"), (8, 15))
OVERRIDE = Override("customers wait for this", "ana", 1, commit=COMMIT)
SILENT = {"eu-west-1": "AccessDenied"}


def watch(region: str, scope: str = "", **changed: Any) -> Watch:
    """A composite and a metric alarm, both quiet."""
    part = scope or "all"
    return replace(Watch(region, scope, (f"{part}-composite", f"{part}-faults"), (
        Alarm(f"{part}-composite", True, "OK"), Alarm(f"{part}-faults", False, "OK", "notBreaching"))), **changed)


def facts(**changed: Any) -> Facts:
    """All three Regions are quiet."""
    return replace(Facts(BEGAN, window=WORKDAYS, watches=tuple(watch(region) for region in ("us-east-1", "us-west-2", "eu-west-1"))), **changed)


def one(found: Watch, **changed: Any) -> Facts:
    """All is quiet, but for eu-west-1, which no early stage deploys to."""
    return facts(watches=(*facts().watches[:2], found), **changed)


def firing(name: str = "all-composite") -> Watch:
    """An alarm fires."""
    return watch("eu-west-1", alarms=tuple(replace(each, state="ALARM") if each.name == name else each for each in watch("eu-west-1").alarms))


def after(found: Facts, seconds: float) -> Facts:
    """The same, later."""
    return replace(found, now=BEGAN + seconds)


def waited(reason: str, seconds: float = 0) -> Memory:
    """What a call remembers that saw a reason from the beginning, or later, on."""
    return Memory(BEGAN, since={reason: BEGAN + seconds})


MISSING = watch("eu-west-1", alarms=watch("eu-west-1").alarms[1:])
NO_DATA = watch("eu-west-1", alarms=(replace(watch("eu-west-1").alarms[0], state="INSUFFICIENT_DATA"), watch("eu-west-1").alarms[1]))
NIGHT = facts(now=BEGAN + 5.5 * 3600)


@dataclass(frozen=True)
class Case:
    """A row: facts in, outcome and reason out; `says` is what the words must hold."""

    name: str
    facts: Facts
    outcome: str
    reason: str
    says: tuple[str, ...] = ()
    order: Order = ORDER
    memory: Memory = field(default_factory=lambda: Memory(BEGAN))


CASES = [
    Case("all is quiet", facts(), "pass", "entered", ("not blocked",)),
    Case("quiet again after a long wait", after(facts(), 3599), "pass", "entered", memory=waited("firing")),
    Case("no window is set, and it is a Sunday night", facts(now=BEGAN + 3 * 86_400 + 50_000, window=Window()), "pass", "entered",
         memory=Memory(BEGAN + 3 * 86_400 + 50_000)),
    Case("an override that is not needed", facts(override=OVERRIDE), "pass", "entered"),
    # Marked bad
    Case("marked bad is refused at once", facts(bad="faults in Wave1"), "fail", "bad", ("marked bad (faults in Wave1)", "new commit")),
    Case("marked bad, and an override", facts(bad="faults", override=OVERRIDE), "fail", "bad"),
    # Blocked
    Case("blocked by a rollback", facts(blocked="Wave1 failed"), "wait", "blocked", ("Waiting to enter", "blocked by a rollback (Wave1 failed)")),
    Case("… for too long", after(facts(blocked="Wave1 failed"), 3600), "fail", "blocked", ("Lift the block", "retry the stage OneBox"),
         memory=waited("blocked")),
    Case("… and an override does not lift it", facts(blocked="Wave1 failed", override=OVERRIDE), "wait", "blocked"),
    Case("another release is not through", facts(busy="Wave2"), "wait", "busy", ("another one is in Wave2",)),
    Case("… for too long", after(facts(busy="Wave2"), 3600), "fail", "busy", ("When that one is through, retry the stage",), memory=waited("busy")),
    Case("… and an override", facts(busy="Wave2", override=OVERRIDE), "wait", "busy", ()),
    Case("frozen by hand", facts(frozen="a holiday, by ana"), "wait", "frozen", ("frozen by hand (a holiday, by ana)",)),
    Case("… for too long", after(facts(frozen="a holiday"), 3600), "fail", "frozen", ("When the freeze is lifted",), memory=waited("frozen")),
    Case("… and an override", facts(frozen="a holiday", override=OVERRIDE), "pass", "overridden", ("ana", "customers wait", "frozen by hand")),
    Case("… at a later stage waits on", after(facts(frozen="a holiday"), 10_000), "wait", "frozen", order=LATER, memory=waited("frozen")),
    # Window
    Case("the window is closed", NIGHT, "wait", "window", ("MON 2025-03-10 08:00 UTC",), memory=Memory(NIGHT.now)),
    Case("… for too long", NIGHT, "fail", "window", ("From MON 2025-03-10 08:00 UTC on, retry the stage OneBox",),
         memory=Memory(NIGHT.now - 3600, since={"window": NIGHT.now - 3600})),
    Case("… at a later stage waits on: night is no reason to go back", NIGHT, "wait", "window", order=LATER,
         memory=Memory(NIGHT.now - 3600, since={"window": NIGHT.now - 3600})),
    Case("… but not for ever", NIGHT, "fail", "window", order=LATER, memory=Memory(NIGHT.now - 82_800, since={"window": NIGHT.now - 82_800})),
    Case("… and an override", replace(NIGHT, override=OVERRIDE), "pass", "overridden", ("deployment window",)),
    # Alarms
    Case("a composite fires, in a Region of a later wave", one(firing()), "wait", "firing", ("all-composite of prod/eu-west-1 is firing",)),
    Case("a metric alarm fires", one(firing("all-faults")), "wait", "firing", ("all-faults",)),
    Case("… for too long", one(firing(), now=BEGAN + 3600), "fail", "firing", ("When the alarm is quiet, retry the stage", "override"),
         memory=waited("firing")),
    Case("… since the window opened only", one(firing(), now=BEGAN + 3600), "wait", "firing", order=LATER, memory=waited("firing", 1800)),
    Case("… at the door the limit is the limit", one(firing(), now=BEGAN + 3600), "fail", "firing", memory=waited("firing", 1800)),
    Case("… and an override", one(firing(), override=OVERRIDE), "pass", "overridden", ("all-composite",)),
    Case("a composite does not exist", one(MISSING), "wait", "missing-alarm", ("all-composite of prod/eu-west-1 does not exist",)),
    Case("… for too long", one(MISSING, now=BEGAN + 3600), "fail", "missing-alarm", ("Deploy the environment",), memory=waited("missing-alarm")),
    Case("a Region names no alarm", one(Watch("eu-west-1", "", (), ())), "wait", "missing-alarm", ("names no alarm",)),
    Case("no Region names one", facts(watches=()), "wait", "missing-alarm", ("nobody watches",)),
    Case("a composite has no data", one(NO_DATA), "wait", "no-data"),
    Case("… for too long", one(NO_DATA, now=BEGAN + 3600), "fail", "no-data", ("has data",), memory=waited("no-data")),
    # Silence
    Case("a Region does not answer", facts(watches=facts().watches[:2], silent=SILENT), "wait", "silent", ("eu-west-1", "AccessDenied")),
    Case("… for five minutes", after(facts(silent=SILENT), 300), "fail", "silent-too-long", ("eu-west-1 has not answered", "retry the stage"),
         memory=Memory(BEGAN, {"eu-west-1": BEGAN})),
    Case("… and an override", facts(silent=SILENT, override=OVERRIDE), "pass", "overridden", ("eu-west-1",)),
    Case("the ledger does not answer", facts(unread={"The ledger": "Timeout"}), "wait", "unread", ("The ledger could not be read",)),
    Case("… for too long", after(facts(unread={"The ledger": "Timeout"}), 3600), "fail", "unread", memory=waited("unread")),
    Case("… and an override that was read before does not count", facts(unread={"The ledger": "Timeout"}, override=OVERRIDE), "wait", "unread"),
    Case("a limit of over 24 hours", facts(), "fail", "misconfigured", order=replace(ORDER, limit=86_400, patience=86_400)),
    Case("several reasons are all told", one(firing(), frozen="a holiday", now=NIGHT.now), "wait", "frozen", ("frozen", "window", "all-composite"),
         memory=Memory(NIGHT.now)),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{index}: {case.name}" for index, case in enumerate(CASES)])
def test_decision(case: Case) -> None:
    decision = decide(case.order, case.memory, case.facts)
    assert (decision.outcome, decision.reason) == (case.outcome, case.reason), decision.text
    for word in case.says:
        assert word in decision.text
    assert bool(decision.overruled) == (case.reason == "overridden")


def test_an_alarm_that_comes_and_goes_is_waited_for_anew_at_a_later_stage() -> None:
    first = decide(LATER, Memory(BEGAN), one(firing())).memory
    assert first.since == {"firing": BEGAN}
    quiet = decide(LATER, first, facts(now=BEGAN + 60, frozen="a holiday")).memory
    assert quiet.since == {"frozen": BEGAN + 60}
    assert decide(LATER, quiet, one(firing(), now=BEGAN + 3700)).outcome == "wait"
    assert decide(LATER, first, one(firing(), now=BEGAN + 3700)).outcome == "fail"


# Window


def at(day: int, hour: int, minute: int = 0) -> float:
    """A time of a week that begins on Monday, 3 March 2025."""
    return datetime(2025, 3, 2 + day, hour, minute, tzinfo=UTC).timestamp()


def window(days: str, hours: str) -> Window:
    """The window of the function's environment variables."""
    return read({"SERVICE": "s", "PIPELINE": "p", "LEDGER_TABLE": "t", "TOPIC_ARN": "a", "STAGES": "OneBox=prod", "PLACES": "prod us-east-1 arn",
                 "WINDOW_DAYS": days, "WINDOW_HOURS": hours}).window


MON, TUE, WED, THU, FRI, SAT, SUN = range(1, 8)


@pytest.mark.parametrize(("days", "hours", "now", "is_open"), [
    ("", "", at(SUN, 3), True),
    ("MON,TUE,WED,THU", "", at(THU, 23, 59), True),
    ("MON,TUE,WED,THU", "", at(FRI, 0), False),
    ("mon, thu", "", at(THU, 0), True),
    ("", "08-15", at(SAT, 8), True),
    ("", "08-15", at(SAT, 14, 59), True),
    ("", "08-15", at(SAT, 15), False),
    ("", "08-15", at(SAT, 7, 59), False),
    ("", "22-06", at(TUE, 23), True),
    ("", "22-06", at(TUE, 5, 59), True),
    ("", "22-06", at(TUE, 6), False),
    ("MON", "22-06", at(TUE, 5), True),
    ("MON", "22-06", at(MON, 5), False),
    ("SUN", "22-06", at(MON, 5), True),
    ("MON", "18-24", at(MON, 23, 59), True),
    ("MON", "18-24", at(TUE, 0), False),
    ("MON", "00-24", at(MON, 0), True),
])
def test_window(days: str, hours: str, now: float, is_open: bool) -> None:
    assert window(days, hours).open_at(now) is is_open


@pytest.mark.parametrize(("days", "hours", "now", "opens"), [
    ("", "", at(SUN, 3, 7), at(SUN, 3, 7)),
    ("", "08-15", at(TUE, 9, 30), at(TUE, 9, 30)),
    ("", "08-15", at(TUE, 15), at(WED, 8)),
    ("MON,TUE,WED,THU", "08-15", at(THU, 15, 1), at(MON + 7, 8)),
    ("MON", "22-06", at(TUE, 6), at(MON + 7, 22)),
    ("MON", "22-06", at(MON, 5), at(MON, 22)),
    ("THU", "", at(FRI, 0), at(THU + 7, 0)),
])
def test_opening(days: str, hours: str, now: float, opens: float) -> None:
    assert opening(window(days, hours), now) == opens


@pytest.mark.parametrize(("days", "hours", "names"), [
    ("MONDAY", "", "WINDOW_DAYS"), ("MON;TUE", "", "WINDOW_DAYS"), ("", "8am-3pm", "WINDOW_HOURS"), ("", "08-08", "WINDOW_HOURS"),
    ("", "24-06", "WINDOW_HOURS"), ("", "08-25", "WINDOW_HOURS"), ("", "08", "WINDOW_HOURS"),
])
def test_a_window_that_cannot_be_read_is_named(days: str, hours: str, names: str) -> None:
    with pytest.raises(ConfigurationError, match=names):
        window(days, hours)
