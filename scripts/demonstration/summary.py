"""The demonstration's summary (schema 1) and what it must show: pure functions over what was observed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.demonstration.delivery import Outcome
from scripts.demonstration.traffic import Answer, counts

SCHEMA = 1


def detection(alarms: Sequence[Mapping[str, Any]], outcome: Outcome, answers: Sequence[Answer]) -> dict[str, Any] | None:
    """Return the alarm that caught a release and how long after its first bad answer, None where none fired.

    `alarms`: {"alarm", "time", "region"} of every transition to ALARM, oldest first, in seconds since the epoch.
    """
    fired = first_alarm(alarms, outcome)
    if fired is None:
        return None
    bad = [answer.time for answer in answers if answer.release == outcome.commit and answer.failed]
    return {"alarm": fired["alarm"], "seconds_from_first_bad_response": round(fired["time"] - min(bad), 1) if bad else None}


def first_alarm(alarms: Sequence[Mapping[str, Any]], outcome: Outcome) -> Mapping[str, Any] | None:
    """Return the first alarm that fired after the release's first deployment began."""
    begun = min((one.created for one in outcome.deployments if not one.is_rollback), default=None)
    return next((alarm for alarm in alarms if begun is not None and alarm["time"] >= begun), None)


def rollback(outcome: Outcome, alarm_time: float | None) -> dict[str, Any] | None:
    """Return what took an outcome back, None where nothing did.

    `by` is `reconciler` where it made any of the deployments, else `codedeploy`; the seconds are those to the end of the last one.
    """
    done = outcome.rollbacks
    if not done:
        return None
    ended = max((one.completed or 0.0) for one in done)
    return {"by": "reconciler" if any(one.by == "reconciler" for one in done) else "codedeploy",
            "deployment_ids": [one.deployment_id for one in done],
            "seconds_from_alarm": round(ended - alarm_time, 1) if alarm_time else None}


def release(outcome: Outcome, intent: str, found: Mapping[str, Any] | None, back: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return one entry of `releases`."""
    return {"commit": outcome.commit, "intent": intent, "execution_id": outcome.execution_id, "status": outcome.status,
            "image_digest": outcome.digest, "seconds": outcome.seconds, "caught_in": outcome.caught_in,
            "deployments": [one.summary() for one in outcome.deployments], "detection": found, "rollback": back}


def whole(releases: Sequence[Mapping[str, Any]], answers: Sequence[Answer], bad_commit: str, calm_after: float,
          running: Mapping[str, str], endpoints: Mapping[str, str]) -> dict[str, Any]:
    """Return the summary."""
    return {"schema": SCHEMA, "releases": list(releases), "traffic": counts(answers, bad_commit, calm_after),
            "running": dict(running), "endpoints": dict(endpoints)}


def faults(summary: Mapping[str, Any]) -> list[str]:
    """Return everything in which a summary is not what the demonstration promises; nothing means that it held."""
    found: list[str] = []
    good = [one for one in summary["releases"] if one["intent"] == "good"]
    for one in good:
        if one["status"] != "Succeeded":
            found.append(f"the good release {one['commit'][:12]} is {one['status']}, caught in {one['caught_in']}")
        # Every group of every Region, so that a wave that was left out shows.
        reached = {_where(d) for d in one["deployments"] if d["creator"] == "user" and d["status"] == "Succeeded"}
        found += [f"the good release {one['commit'][:12]} was not deployed to {where}" for where in summary["running"] if where not in reached]
    last_good = good[-1]["image_digest"] if good else None
    for one in summary["releases"]:
        if one["intent"] != "bad":
            continue
        # Stopped where the reconciler saw an alarm before CodeDeploy or a gate did; both are a release that was caught.
        if one["status"] not in ("Failed", "Stopped"):
            found.append(f"the bad release {one['commit'][:12]} is {one['status']}")
        if one["detection"] is None:
            found.append(f"no alarm saw the bad release {one['commit'][:12]}")
        if one["rollback"] is None:
            found.append(f"nothing took the bad release {one['commit'][:12]} back")
        found += _failed_rollbacks(one["deployments"])
    for where, digest in summary["running"].items():
        if digest != last_good:
            found.append(f"{where} runs {digest or 'nothing that answers'}, not the last good release {last_good}")
    for place in summary["endpoints"]:
        if not any(where.startswith(f"{place}/") for where in summary["running"]):
            found.append(f"no host of {place} says what it runs")
    if not summary["running"]:
        found.append("no host says what it runs")
    if summary["traffic"]["failed_after_rollback"]:
        found.append(f"{summary['traffic']['failed_after_rollback']} requests failed after the rollback")
    return found


def _where(deployment: Mapping[str, Any]) -> str:
    return f"{deployment['environment']}/{deployment['region']}/{deployment['scope']}"


def _failed_rollbacks(deployments: Sequence[Mapping[str, Any]]) -> list[str]:
    """A rollback that failed is a fault only where no later one of the same group succeeded: the reconciler tries faster and faster."""
    last = {_where(one): one for one in deployments if one["creator"] in ("codeDeployRollback", "reconciler")}
    return [f"the rollback deployment {one['deployment_id']} of {where} is {one['status']}" for where, one in last.items()
            if one["status"] != "Succeeded"]
