"""Reads what a report shows into plain values. Read-only; what may not be read is noted in the scene's Calls, with the permission, and left out.

For each environment and Region: the stack, the environment's document (SSM), CodeDeploy's deployments of the period with their hosts, alarms with their
history, and one GetMetricData; for the pipeline its executions and actions; for each environment its record and log in the ledger.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from scripts.core import ledger, parallel, pipelines, prerequisites, running
from scripts.core.clock import Clock
from scripts.core.errors import CommandError, error_code
from scripts.diagnosis.calls import Calls
from scripts.diagnosis.case import Unreadable
from scripts.diagnosis.collect import Place as Where
from scripts.diagnosis.collect import Scene
from scripts.diagnosis.redact import redact
from scripts.reporting import deployments, measures
from scripts.reporting.values import Alarm, Environment, Hold, Place, Release, Report, Scope, Span, StageRun, Traffic

Raw = Mapping[str, Any]
MOST_RELEASES = 200
_MOST_LOG = 200
# GetMetricData answers 100,800 points in a call and pages the rest; points of 60 s are kept for 15 days, of 300 s for 63 (its API reference).
_PERIODS = ((26 * 3600, 60), (6 * 86400, 300), (math.inf, 3600))
_DOCUMENT = "/{service}/{environment}/environment"
"""Written by templates/environment/control.yaml: groups, alarms, and the balancer's dimensions."""


def report(scene: Scene, accounts: str, since: float, until: float, clock: Clock, crop: bool, command: str) -> Report:
    """A report of the scene's environments over a period (epoch seconds); with `crop` it begins where something happens."""
    period = period_of(until - since)
    home = scene.home
    stages, releases, left_out, begun = _pipeline(home, since) if home and home.stack else ((), (), 0, {})
    book = _ledger(home) if home and home.stack else None
    releases = _marked(home.calls, book, releases) if home and book else releases
    every = [where for where in scene.places if home is None or where.environment != home.environment]
    wheres = [where for where in every if where.stack is not None]
    jobs = {f"{where.environment}@{where.region}": partial(_place, scene.service, where, since, until, period, begun) for where in wheres}
    found = parallel.all_or_raise(jobs, clock)
    environments = tuple(
        _environment(name, [found[f"{name}@{where.region}"] for where in wheres if where.environment == name], home.calls if home else None, book, since)
        for name in dict.fromkeys(where.environment for where in wheres)
    )
    everyone = [where.calls for where in (*every, *([home] if home else []))]
    made = Report(
        service=scene.service,
        account=accounts,
        regions=tuple(dict.fromkeys(where.region for where in wheres or every)),
        since=since,
        until=until,
        made=until,
        command=command,
        stages=stages,
        releases=releases,
        releases_left_out=left_out,
        environments=environments,
        unreadable=everyone[0].unreadable if everyone else (),
        notes=_absent(every, home),
        period=period,
    )
    return cropped(made) if crop else made


def _absent(every: Sequence[Where], home: Where | None) -> tuple[str, ...]:
    """What is not there. An environment that is nowhere is one that is not used, unless it is the only one that was asked for."""
    there = {where.environment for where in every if where.stack is not None}
    notes = [] if home and home.stack else ["The pipeline is not deployed, or could not be found."]
    for where in every:
        if where.stack is None and (where.environment in there or not there):
            notes.append(f"{where.environment} is not deployed in {where.region}, or could not be found.")
    return tuple(notes)


def with_why(made: Report, why: Raw, unreadable: Sequence[Unreadable]) -> Report:
    """The report with the cause of the newest failure, and all that could not be read for both."""
    return replace(made, why=why, unreadable=tuple(dict.fromkeys((*made.unreadable, *unreadable))))


def period_of(seconds: float) -> int:
    """Seconds of a data point for a period so long."""
    return next(period for most, period in _PERIODS if seconds <= most)


def cropped(made: Report) -> Report:
    """Without the empty time at the beginning: from a little before the first thing that happened."""
    firsts = [release.started for release in made.releases]
    for place in (place for environment in made.environments for place in environment.places):
        firsts += [one.created for scope in place.scopes for one in scope.deployments]
        firsts += [span.begin for alarm in place.alarms for span in alarm.spans if span.begin is not None]
        firsts += [place.traffic.requests[0][0]] if place.traffic and place.traffic.requests else []
    if not firsts:
        return made
    begin = min(firsts) - max(60.0, 0.02 * (made.until - min(firsts)))
    return replace(made, since=max(made.since, math.floor(begin / 60) * 60.0))


# -- pipeline ----------------------------------------------------------------------------------------------------------------


def _pipeline(home: Where, since: float) -> tuple[tuple[str, ...], tuple[Release, ...], int, dict[str, str]]:
    """(stages, releases oldest first, how many are left out, {deployment id: commit})."""
    name = home.stack.outputs.get("PipelineName", "") if home.stack else ""
    if not name:
        return (), (), 0, {}
    client, attempt = home.calls.client("codepipeline", home.region), home.calls.attempt
    nothing: tuple[tuple[Any, ...], bool] = ((), True)
    unknown: tuple[str, ...] = ()
    declared = attempt(f"stages of the pipeline {name}", lambda: tuple(one.name for one in pipelines.states(client, name)), unknown)
    listed, more = attempt(f"executions of the pipeline {name}", lambda: pipelines.executions(client, name, MOST_RELEASES, since - deployments.SKEW), nothing)
    listed = tuple(one for one in listed if (one.updated or since) >= since)
    if not listed:
        return declared, (), 0, {}
    first = min(one.started or since for one in listed)
    ran, whole = attempt(f"actions of the pipeline {name}", lambda: pipelines.actions(client, name, {one.id for one in listed}, first), nothing)
    if not whole:
        home.calls.refused(f"the oldest actions of the pipeline {name}", CommandError("there are too many of them"))
    releases = tuple(_release(one, [action for action in ran if action.execution == one.id]) for one in reversed(listed))
    commits = {one.id: one.commit for one in listed}
    begun = {action.external: commits[action.execution] for action in ran if action.provider == "CodeDeploy" and action.external}
    known = declared or tuple(dict.fromkeys(run.stage for release in releases for run in release.stages))
    return known, releases, int(bool(more)), begun


def _release(execution: pipelines.Execution, ran: Sequence[pipelines.Action]) -> Release:
    started = execution.started or 0.0
    over = execution.status not in pipelines.GOING_ON
    stages = tuple(_stage(execution, stage, [action for action in ran if action.stage == stage]) for stage in dict.fromkeys(action.stage for action in ran))
    return Release(execution.id, execution.commit, redact(execution.summary), execution.status, started, execution.updated if over else None, stages)


def _stage(execution: pipelines.Execution, stage: str, ran: Sequence[pipelines.Action]) -> StageRun:
    """An execution in a stage; of an action that was run again, the last run counts."""
    newest = {action.name: action for action in ran}
    failed = next((action for action in newest.values() if action.status == "Failed"), None)
    stopped = next((action for action in newest.values() if action.status in ("Abandoned", "Stopped")), None)
    going = [action for action in newest.values() if action.status == "InProgress"]
    status = "Failed" if failed and not going else "Stopped" if stopped and not going else "InProgress" if going else "Succeeded"
    told = failed or stopped
    return StageRun(
        stage,
        execution.id,
        execution.commit,
        status,
        min(action.started for action in ran),
        None if going else max(action.updated for action in ran),
        told.name if told else "",
        redact(told.message or execution.stop_reason) if told else "",
    )


# -- ledger ------------------------------------------------------------------------------------------------------------------


def _ledger(home: Where) -> ledger.Ledger | None:
    return ledger.of_stack(home.calls.client("dynamodb", home.region), home.stack) if home.stack else None


def _marked(calls: Calls, book: ledger.Ledger, releases: Sequence[Release]) -> tuple[Release, ...]:
    """The releases, with what the ledger knows to be bad of them."""
    commits = [release.commit for release in releases if release.commit]
    nothing: list[ledger.Item] = []
    known = calls.attempt("releases in the ledger", lambda: book.releases_of(commits), nothing) if commits else nothing
    bad = {str(item["commit"]): f"{item['bad'].get('where', '')}: {item['bad'].get('reason', '')}" for item in known if item.get("bad")}
    return tuple(replace(release, bad=redact(bad.get(release.commit, ""))) for release in releases)


def _environment(name: str, places: Sequence[Place], calls: Calls | None, book: ledger.Ledger | None, since: float) -> Environment:
    record: ledger.Item | None = None
    log: list[ledger.Item] = []
    if calls and book:
        record = calls.attempt(f"{name} in the ledger", lambda: book.environment(name), record)
        log = calls.attempt(f"the log of {name} in the ledger", lambda: book.log(name, _MOST_LOG, since), log)
    record = record or {}
    blocked, back = record.get("blocked") or {}, record.get("rollback") or {}
    return Environment(
        name,
        tuple(places),
        str(record.get("last_good") or ""),
        str(record.get("desired") or ""),
        redact(str(blocked.get("reason") or "")) if blocked else "",
        redact(str(back.get("reason") or "a rollback")) if back else "",
        holds(record, list(reversed(log))),
    )


def holds(record: Raw, log: Sequence[Raw]) -> tuple[Hold, ...]:
    """When an environment was blocked or taken back, from its record and its log (oldest first).

    The log has `rollback` (with where to) and `done`, `block` and `unblock`; a rollback's own block begins where the record says so.
    """
    found: list[Hold] = []
    back: tuple[float, str] | None = None
    shut: tuple[float, str] | None = None
    for entry in log:
        at, kind, text = _logged(entry), str(entry.get("kind", "")), redact(str(entry.get("text", "")))
        if at is None:
            continue
        if kind == "rollback" and entry.get("to") and back is None:
            back = (at, text)
        elif kind == "done":
            found.append(Hold("rollback", Span(back[0] if back else None, at), back[1] if back else text))
            # Whether it has left a block behind shows when one is lifted, or by the record.
            shut, back = shut or (at, text), None
        elif kind == "block":
            shut = (at, text)
        elif kind == "unblock":
            found.append(Hold("block", Span(shut[0] if shut else None, at), shut[1] if shut else text))
            shut = None
    under_way, blocked = record.get("rollback"), record.get("blocked")
    if under_way:
        found.append(Hold("rollback", Span(float(under_way["began"]), None), redact(str(under_way.get("reason", "")))))
    if blocked:
        since = float(blocked["at"])
        # Drawn after the rollback that set it, where there is one to see.
        over = [hold.span.end for hold in found if hold.kind == "rollback" and hold.span.end is not None and hold.span.end >= since]
        found.append(Hold("block", Span(min(over, default=since), None), redact(str(blocked.get("reason", "")))))
    return tuple(found)


def _logged(entry: Raw) -> float | None:
    """When an entry was written: `2026-01-01T00:00:00.000Z-…`."""
    try:
        return datetime.fromisoformat(str(entry.get("at", ""))[:24].replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


# -- places -------------------------------------------------------------------------------------------------------------


def _place(service: str, where: Where, since: float, until: float, period: int, begun: Mapping[str, str]) -> Place:
    spot = f"{where.environment} in {where.region}"
    bundles = running.Bundles()
    scopes = tuple(
        where.calls.attempt(
            f"deployments to {scope} of {spot}", partial(deployments.read, where, scope, application, group, since, begun, bundles), Scope(scope)
        )
        for scope, application, group in (prerequisites.deployment_groups(where.stack) if where.stack else ())
    )
    named: Raw = {}
    document = where.calls.attempt(f"the document of {spot}, which names its alarms and metrics", lambda: _document(where, service), named)
    nothing: tuple[Alarm, ...] = ()
    alarms = where.calls.attempt(f"alarms of {spot}", lambda: measures.alarms(where, document, since, until), nothing) if document else nothing
    unseen: Traffic | None = None
    traffic = where.calls.attempt(f"metrics of {spot}", lambda: measures.traffic(where, document, since, until, period), unseen) if document else None
    return Place(where.region, scopes, alarms, traffic)


def _document(where: Where, service: str) -> Raw:
    name = _DOCUMENT.format(service=service, environment=where.environment)
    try:
        text = where.calls.client("ssm", where.region).get_parameter(Name=name)["Parameter"]["Value"]
        document: Raw = json.loads(text)
        return document if all({"alarms", "loadBalancer", "targetGroup"} <= set(scope) for scope in document["scopes"].values()) else {}
    except ClientError as error:
        if error_code(error) == "ParameterNotFound":
            return {}  # a stack that is not made to its end
        raise
    except (ValueError, KeyError, AttributeError):
        return {}
