"""A canary's life and schedule. Pure: records are plain dicts, times come in.

    CREATING -> READY -> RUNNING -> STOPPING -> STOPPED -> RUNNING

Source: the API reference of StartCanary, StopCanary and CanaryScheduleInput, "Canary states" of the CloudWatch user guide.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

KEPT_RUNS = 100
_RATE = re.compile(r"rate\((\d+) (minute|minutes|hour)\)")

Canary = dict[str, Any]
"""{state, reason, seconds (0: once), next_at, busy, started_at, stopped_at, runs: [newest first], …}"""


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `code` is '' where it passed, CANARY_FAILURE where the script failed, EXECUTION_FAILURE where it could not be run."""

    code: str
    reason: str
    seconds: float
    log: str


class ScheduleError(ValueError):
    """An expression that is none, or that is not served; the text says which."""


class StateError(Exception):
    """The canary's state does not allow this; the text says so in AWS's manner."""


def seconds_of(expression: str) -> int:
    """Return the seconds between two runs, 0 for a single run. Source: CanaryScheduleInput."""
    found = _RATE.fullmatch(expression)
    if found is None:
        raise ScheduleError(f"The local AWS serves schedules of the form rate(N minutes), not {expression!r}")
    number, unit = int(found[1]), found[2]
    if (unit == "minutes") == (number == 1) or (unit == "hour" and number != 1):
        raise ScheduleError(f"Invalid schedule expression: {expression}")
    seconds = number * (3600 if unit == "hour" else 60)
    if seconds > 3600:
        raise ScheduleError(f"Invalid schedule expression: {expression}: at most one hour")
    return seconds


def start(canary: Canary, now: float) -> None:
    """Let the canary run on its schedule, for the first time at once."""
    if canary["state"] not in ("READY", "STOPPED"):
        raise StateError(f"Canary is in a state that can't be started: {canary['state']}")
    canary |= {"state": "RUNNING", "started_at": now, "next_at": now}


def stop(canary: Canary, now: float) -> None:
    """Let no run begin any more; one that goes on is waited for."""
    if canary["state"] != "RUNNING":
        raise StateError(f"Canary is in a state that can't be stopped: {canary['state']}")
    canary |= {"state": "STOPPING" if canary["busy"] else "STOPPED", "stopped_at": now}


def check_deletable(canary: Canary) -> None:
    """Raise unless the canary may be deleted."""
    if canary["state"] in ("RUNNING", "STARTING", "STOPPING") or canary["busy"]:
        raise StateError(f"Canary is in a state that can't be deleted: {canary['state']}")


def due(canary: Canary, now: float) -> bool:
    """Tell whether a run is to begin."""
    return bool(canary["state"] == "RUNNING" and not canary["busy"] and canary["next_at"] is not None and canary["next_at"] <= now)


def begin(canary: Canary, run_id: str, now: float) -> None:
    """Note a run that begins, and when the next one is due: on the schedule's beat, what was missed is not made up for."""
    canary["busy"] = True
    if canary["seconds"]:
        beats = int((now - canary["next_at"]) // canary["seconds"]) + 1
        canary["next_at"] += beats * canary["seconds"]
    else:
        canary["next_at"] = None
    canary["runs"].insert(0, {"id": run_id, "state": "RUNNING", "started": now})
    del canary["runs"][KEPT_RUNS:]


def end(canary: Canary, run_id: str, outcome: Outcome, location: str, now: float) -> None:
    """Note how a run ended."""
    canary["busy"] = False
    for run in canary["runs"]:
        if run["id"] == run_id:
            run |= {"state": "FAILED" if outcome.code else "PASSED", "completed": now, "location": location}
            if outcome.code:
                run |= {"reason": outcome.reason, "code": outcome.code}
    if canary["state"] == "STOPPING" or (canary["state"] == "RUNNING" and not canary["seconds"]):
        canary |= {"state": "STOPPED", "stopped_at": now}


def cut_off(canary: Canary, now: float) -> None:
    """Note that the end of the local AWS cut off the run that was going on; the next one begins on the schedule."""
    canary["busy"] = False
    canary["runs"] = [run for run in canary["runs"] if run["state"] != "RUNNING"]
    if canary["state"] == "STOPPING":
        canary |= {"state": "STOPPED", "stopped_at": now}


def metrics(outcome: Outcome) -> list[tuple[str, float, str]]:
    """Return what a run publishes: (metric, value, unit). Source: "CloudWatch metrics published by canaries"."""
    failed = bool(outcome.code)
    return [("SuccessPercent", 0.0 if failed else 100.0, "Percent"), ("Failed", float(failed), "Count"),
            ("Duration", round(outcome.seconds * 1000), "Milliseconds")]
