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


@dataclass(frozen=True)
class Standing:
    """How far a way back is. `commit` is the desired release."""

    commit: str
    arrived: tuple[str, ...]
    left: tuple[str, ...]
    under_way: bool

    @property
    def done(self) -> bool:
        """True when no rollback is going on and every group is there."""
        return not self.under_way and not self.left


def standing(described: Mapping[str, Any]) -> Standing:
    """Read from a description. A group with a deployment in flight has not arrived, whatever it runs."""
    record = described.get("record") or {}
    arrived, left = [], []
    for group in described.get("groups") or ():
        place = f"{group['region']}/{group['scope']}"
        if group.get("desired") and not group.get("in_flight"):
            arrived.append(place)
        else:
            left.append(f"{place} {_what(group)}")
    return Standing(str(record.get("desired") or ""), tuple(arrived), tuple(left), bool(record.get("rollback")))


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


def entries(described: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The log, oldest first: (when, kind, words)."""
    return [(str(one.get("at", "")), str(one.get("kind", "")), str(one.get("text", ""))) for one in reversed(described.get("log") or [])]


def until_arrived(
    control: Control, seen: Sequence[tuple[str, str, str]], console: Console, clock: Clock, wait_seconds: float, poll_seconds: float
) -> Standing:
    """Polls, showing new entries of the log and what is left. CommandError when the time is over: the function goes on by itself."""
    begun = last_line = clock.seconds()
    told = set(seen)
    failures = 0
    while True:
        try:
            described = control.describe()
            failures = 0
        except Exception as error:
            known = explain(error)
            failures += 1
            if known is None or failures >= _MOST_FAILURES:
                raise
            console.line(f"  not readable for now: {known.what}")
            described = {}
        if described:
            for entry in entries(described):
                if entry not in told:
                    told.add(entry)
                    console.line(f"  [{duration(clock.seconds() - begun)}] {entry[2]}")
                    last_line = clock.seconds()
            now = standing(described)
            if now.done:
                console.show_live("")
                return now
            text = f"{len(now.arrived)} of {len(now.arrived) + len(now.left)} groups run {short(now.commit)}; {', '.join(now.left)}"
            console.show_live(f"{duration(clock.seconds() - begun)} {text}")
            if not console.live and clock.seconds() - last_line >= _HEARTBEAT_SECONDS:
                console.line(f"  [{duration(clock.seconds() - begun)}] {text}")
                last_line = clock.seconds()
            if clock.seconds() - begun >= wait_seconds:
                console.show_live("")
                raise CommandError(
                    f"after {duration(wait_seconds)} not every group of {control.environment} runs {short(now.commit)}",
                    "; ".join(now.left) or "the rollback is not at its end",
                    f"the rollback function goes on, and pages; make status ENV={control.environment} shows how far it is",
                )
        clock.sleep(poll_seconds)


def groups_table(described: Mapping[str, Any], indent: str = "    ") -> str:
    """Region, scope, what runs, whether that is desired, what is in flight, what there is to say."""
    rows = []
    for group in described.get("groups") or ():
        flight = group.get("in_flight")
        flying = f"{flight.get('deployment', '')} to {short(flight.get('commit'))} in flight" if flight else ""
        right = "as desired" if group.get("desired") else "NOT DESIRED" if group.get("running") else ""
        rows.append((str(group["region"]), str(group["scope"]), short(group.get("running")), right, flying, str(group.get("note") or "")))
    return table(rows, indent)
