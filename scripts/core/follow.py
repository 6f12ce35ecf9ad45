"""Watching a way back until every group runs what it should, by the rollback function's own description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from scripts.core.clock import Clock, duration
from scripts.core.console import Console, table
from scripts.core.control import Control
from scripts.core.errors import CommandError, explain

_HEARTBEAT_SECONDS = 30.0
# A description asks several Regions; one that fails now and then does not end the watch.
_MOST_FAILURES = 5
# The function looks at least each minute: what it leaves alone for longer than that it has given up.
_HOPELESS_SECONDS = 90.0

NOTHING_YET = "no deployment yet"
"""functions/commands.py's note of a group to which nothing was ever deployed."""


@dataclass(frozen=True)
class Standing:
    """How far a way back is. `commit` is the desired release; `stuck` are places that the function paged as not going back by themselves."""

    commit: str
    arrived: tuple[str, ...]
    left: tuple[str, ...]
    under_way: bool
    flying: bool
    stuck: tuple[str, ...]

    @property
    def done(self) -> bool:
        """True when no rollback is going on and every group is there."""
        return not self.under_way and not self.left

    @property
    def hopeless(self) -> bool:
        """True when a person is needed: what is left is stuck, or the rollback ended without it; and nothing is in flight any more."""
        return bool(self.left) and not self.flying and (len(self.stuck) >= len(self.left) if self.under_way else True)


def standing(described: Mapping[str, Any]) -> Standing:
    """Read from a description. A group with a deployment in flight has not arrived, whatever it runs."""
    record = described.get("record") or {}
    rollback = record.get("rollback") or {}
    # The ledger's words for what was paged: <rollback>/stuck/<Region>/<scope>.
    stuck = tuple(thing.split("/stuck/", 1)[1] for thing in rollback.get("paged") or {} if "/stuck/" in thing)
    groups = described.get("groups") or ()
    arrived, left = [], []
    for group in groups:
        # A Region that does not answer has no scopes to name.
        place = "/".join(str(part) for part in (group["region"], group.get("scope")) if part)
        if group.get("note") == NOTHING_YET and not group.get("in_flight"):
            continue  # a group that never had a release has nothing to take back
        if group.get("desired") and not group.get("in_flight"):
            arrived.append(place)
        else:
            left.append(f"{place} {_what(group)}")
    flying = any(group.get("in_flight") for group in groups)
    return Standing(str(record.get("desired") or ""), tuple(arrived), tuple(left), bool(rollback), flying, stuck)


def _what(group: Mapping[str, Any]) -> str:
    flight = group.get("in_flight")
    if flight:
        return f"{flight.get('deployment', '')} to {short(flight.get('commit'))}"
    return str(group.get("note") or f"runs {short(group.get('running'))}")


def short(commit: Any) -> str:
    """Twelve digits of a commit; a dash for none."""
    return str(commit)[:12] if commit else "-"


def moment(epoch: Any) -> str:
    """`2026-01-01 00:00:00 UTC`."""
    return datetime.fromtimestamp(float(epoch), UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if epoch else ""


def age(seconds: float) -> str:
    """How long ago: `12m`, `3h20m`, `5d`."""
    minutes = max(0, round(seconds / 60))
    return f"{minutes}m" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m" if minutes < 48 * 60 else f"{minutes // (24 * 60)}d"


def entries(described: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The log, oldest first: (when, kind, words)."""
    return [(str(one.get("at", "")), str(one.get("kind", "")), str(one.get("text", ""))) for one in reversed(described.get("log") or [])]


def until_arrived(
    control: Control, seen: Sequence[tuple[str, str, str]], console: Console, clock: Clock, wait_seconds: float, poll_seconds: float
) -> Standing:
    """Polls, showing new entries of the log and what is left.

    CommandError when a person is needed, or when the time is over: the function goes on by itself.
    """
    begun = last_line = clock.seconds()
    told = set(seen)
    failures = 0
    hopeless_since: float | None = None

    def say(text: str) -> None:
        nonlocal last_line
        console.line(f"  [{duration(clock.seconds() - begun)}] {text}")
        last_line = clock.seconds()

    try:
        while True:
            try:
                described = control.describe()
            except Exception as error:
                known = explain(error)
                failures += 1
                if known is None or failures >= _MOST_FAILURES:
                    raise
                say(f"not readable for now: {known.what}")
                clock.sleep(poll_seconds)
                continue
            failures = 0
            for entry in [entry for entry in entries(described) if entry not in told]:
                told.add(entry)
                say(("PAGED: " if entry[1] == "page" else "") + entry[2])
            now = standing(described)
            if now.done:
                return now
            hopeless_since = None if not now.hopeless else clock.seconds() if hopeless_since is None else hopeless_since
            if hopeless_since is not None and clock.seconds() - hopeless_since >= _HOPELESS_SECONDS:
                raise CommandError(
                    f"{control.environment} cannot go back to {short(now.commit)} by itself",
                    "; ".join(now.left),
                    f"the log above says why; make rollback ENV={control.environment} TO=<a release that ran there> REASON=…",
                )
            text = f"{len(now.arrived)} of {len(now.arrived) + len(now.left)} groups run {short(now.commit)}; {', '.join(now.left)}"
            console.show_live(f"{duration(clock.seconds() - begun)} {text}")
            if not console.live and clock.seconds() - last_line >= _HEARTBEAT_SECONDS:
                say(text)
            if clock.seconds() - begun >= wait_seconds:
                raise CommandError(
                    f"after {duration(wait_seconds)} not every group of {control.environment} runs {short(now.commit)}",
                    "; ".join(now.left) or "the rollback is not at its end",
                    f"the rollback function goes on, and pages; make status ENV={control.environment} shows how far it is",
                )
            clock.sleep(poll_seconds)
    finally:
        console.show_live("")


def groups_table(described: Mapping[str, Any], indent: str = "    ") -> str:
    """Region, scope, what runs, whether that is desired, what is in flight, what there is to say.

    Outside of a rollback another release than the desired one is on its way through the pipeline; before the first good one none is desired.
    """
    record = described.get("record") or {}
    other = "" if not record.get("desired") else "NOT DESIRED" if record.get("rollback") or record.get("blocked") else "on its way"
    rows = []
    for group in described.get("groups") or ():
        flight = group.get("in_flight")
        flying = f"{flight.get('deployment', '')} to {short(flight.get('commit'))} in flight" if flight else ""
        right = "as desired" if group.get("desired") else other if group.get("running") else ""
        rows.append((str(group["region"]), str(group.get("scope") or ""), short(group.get("running")), right, flying, str(group.get("note") or "")))
    return table(rows, indent)
