"""Whether a release may enter a stage of an environment: the decision of Enter, over facts that others have read. Pure: no calls, no clock.

A door that says no says why, and when to come back. Whatever cannot be seen counts as a no. See `docs/decisions/0004-the-door-is-a-stage-transition.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from configuration import DAYS, Window
from decide_gate import LONGEST_SECONDS, SILENCE_SECONDS, Finding, Watch, place, span, without_data
from model import Override

_AN_HOUR = 3600.0
_A_WEEK_OF_HOURS = 8 * 24


def opening(window: Window, now: float) -> float:
    """Return when the window next opens, or `now` where it is open (epoch seconds). Windows begin on the hour, and each day comes up within a week."""
    hour = now // _AN_HOUR * _AN_HOUR
    times = (now, *(hour + ahead * _AN_HOUR for ahead in range(1, _A_WEEK_OF_HOURS)))
    return next(at for at in times if window.open_at(at))


@dataclass(frozen=True)
class Order:
    """What the pipeline asks for, from the action's UserParameters.

    `limit` is how long alarms, silence and blocks are waited for; `patience` how long the window and a freeze are (seconds, never less than `limit`). They are
    the same at the environment's door. At a later stage refusing means to take back what earlier stages have proven, only because it has become night.
    """

    environment: str
    stage: str
    commit: str
    limit: float
    patience: float


@dataclass(frozen=True)
class Memory:
    """What one call tells the next (epoch seconds): when the wait began, since when each Region has not answered, and since when each reason has stood in the
    way without a break.
    """

    began: float
    silent: Mapping[str, float] = field(default_factory=dict)
    since: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """What was seen at one call. `bad`, `blocked` (by a rollback) and `frozen` (by hand) are reasons, or None; `busy` is the later stage of the environment
    that another execution is in, or None; `watches` are of every Region of the
    environment that answered, `silent` the others, `unread` other things that could not be read, both with the error. `override` is the ledger's for this
    very execution or commit, or None.
    """

    now: float
    bad: str | None = None
    blocked: str | None = None
    frozen: str | None = None
    busy: str | None = None
    window: Window = field(default_factory=Window)
    watches: tuple[Watch, ...] = ()
    silent: Mapping[str, str] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    override: Override | None = None


@dataclass(frozen=True)
class Decision:
    """The answer, as `decide_gate.Decision`. `overruled` is what an override was needed for: it is then logged, and used up."""

    outcome: Literal["wait", "pass", "fail"]
    reason: str
    text: str
    memory: Memory
    alarm: str | None = None
    region: str | None = None
    overruled: tuple[str, ...] = ()


def decide(order: Order, memory: Memory, facts: Facts) -> Decision:
    """Return what Enter answers now.

    An override opens for everything but three: a release marked bad, a block by a rollback, which only `unblock` lifts, and a release before it that is
    not through: the gates of that one would find other hosts than they vouch for, and take all back.
    """
    silent = {region: memory.silent.get(region, facts.now) for region in facts.silent}
    firm, soft = _blocks(order, facts), _objections(order, silent, facts)
    pending = firm + soft
    since = {each.reason: memory.since.get(each.reason, facts.now) for each in pending}
    memory = Memory(memory.began, silent, since)

    def answer(outcome: Literal["wait", "pass", "fail"], finding: Finding, text: str = "", overruled: tuple[str, ...] = ()) -> Decision:
        return Decision(outcome, finding.reason, text or finding.text, memory, finding.alarm, finding.region, overruled)

    if facts.bad is not None:
        return answer("fail", Finding("bad", f"Release {order.commit[:12]} is marked bad ({facts.bad}) and is never deployed again. Push a new commit."))
    if not order.limit <= order.patience < LONGEST_SECONDS:
        return answer("fail", Finding("misconfigured", f"The limit of {span(order.limit)} does not fit into 24 hours. Correct EntryLimitSeconds."))
    if not pending:
        return answer("pass", Finding("entered", f"{order.environment} is open: not blocked, inside its window, and no alarm fires in any of its Regions."))
    if facts.override is not None and not firm:
        against = tuple(each.text for each in soft)
        said = f"Let in by {facts.override.by} ({facts.override.reason}) in spite of: {' '.join(against)}"
        return answer("pass", Finding("overridden", said), overruled=against)
    if wrong := next((each for each in pending if each.reason == "silent-too-long"), None):
        return answer("fail", wrong, f"{wrong.text} {_come_back(order, wrong, facts)}")
    bounds = {each.reason: since[each.reason] + (order.patience if each.reason in ("window", "frozen") else order.limit) for each in pending}
    spent = [each for each in pending if facts.now >= min(bounds[each.reason], memory.began + order.patience)]
    if spent:
        return answer("fail", spent[0], f"Not let in after {span(facts.now - memory.began)}: {' '.join(each.text for each in pending)} "
                                        f"{_come_back(order, spent[0], facts)}")
    return answer("wait", pending[0], f"Waiting to enter, until {_day(min(*bounds.values(), memory.began + order.patience))} at the latest: "
                                      f"{' '.join(each.text for each in pending)}")


def _blocks(order: Order, facts: Facts) -> list[Finding]:
    """What no override opens for. While the ledger is silent, a release may be bad and prod blocked."""
    found = [Finding("unread", f"{what} could not be read: {error[:300]}.") for what, error in facts.unread.items()]
    if facts.blocked is not None:
        found.insert(0, Finding("blocked", f"{order.environment} is blocked by a rollback ({facts.blocked})."))
    if facts.busy is not None:
        found.append(Finding("busy", f"One release at a time: another one is in {facts.busy}."))
    return found


def _objections(order: Order, silent: Mapping[str, float], facts: Facts) -> list[Finding]:
    """What speaks against entering, and what an override is for."""
    found = []
    if facts.frozen is not None:
        found.append(Finding("frozen", f"{order.environment} is frozen by hand ({facts.frozen})."))
    if not facts.window.open_at(facts.now):
        found.append(Finding("window", f"The deployment window ({facts.window}) is closed until {_day(opening(facts.window, facts.now))}."))
    found += [finding for watch in facts.watches for finding in _alarms(order, watch)]
    for region, error in facts.silent.items():
        quiet, bound = facts.now - silent[region], min(order.limit, SILENCE_SECONDS)
        found.append(Finding("silent-too-long" if quiet >= bound else "silent",
                             f"{region} has not answered for {span(quiet)} (bound {span(bound)}): {error[:300]}.", region=region))
    if not facts.watches and not facts.silent:
        found.append(Finding("missing-alarm", f"{order.environment} names no alarm in any Region: nobody watches."))
    return found


def _alarms(order: Order, watch: Watch) -> list[Finding]:
    here = place(order.environment, watch.region, watch.scope)
    found = [Finding("firing", f"Alarm {alarm.name} of {here} is firing.", alarm.name, watch.region) for alarm in watch.alarms if alarm.state == "ALARM"]
    found += [Finding("missing-alarm", f"Alarm {name} of {here} does not exist.", name, watch.region)
              for name in sorted(set(watch.expected) - {alarm.name for alarm in watch.alarms})]
    if not watch.expected:
        found.append(Finding("missing-alarm", f"{here} names no alarm: nobody watches.", region=watch.region))
    return found + without_data(order.environment, watch)


def _come_back(order: Order, finding: Finding, facts: Facts) -> str:
    """Return the next step after a refusal."""
    then = f"retry the stage {order.stage}"
    if finding.reason == "window":
        return f"From {_day(opening(facts.window, facts.now))} on, {then}."
    return {"blocked": f"Lift the block with a reason, then {then}.",
            "frozen": f"When the freeze is lifted, {then}.",
            "busy": f"When that one is through, {then}.",
            "firing": f"When the alarm is quiet, {then}; an override lets this release in all the same.",
            "no-data": f"When the alarm has data, {then}.",
            "silent": f"When the Region answers, {then}.",
            "silent-too-long": f"When the Region answers, {then}.",
            "missing-alarm": f"Deploy the environment, then {then}."}.get(finding.reason, f"When that is put right, {then}.")


def _day(at: float) -> str:
    """Return a day and time: `MON 2025-03-03 08:00 UTC`."""
    when = datetime.fromtimestamp(at, UTC)
    return f"{DAYS[when.weekday()]} {when.strftime('%Y-%m-%d %H:%M')} UTC"
