"""How an environment stands, as values; what runs there against what should; and all of it as text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scripts.core import releases
from scripts.core.console import table
from scripts.core.layout import moment, span
from scripts.core.pipelines import GOING_ON, PipelineState
from scripts.core.running import Group, Instance, Release

_HEALTHY_STACKS = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
_REASON_CHARACTERS = 300
# The rollback function begins the description of each of its deployments with this; CodeDeploy calls their creator "user", as the pipeline's.
_RECONCILER = "handsoff rollback"


@dataclass(frozen=True)
class StackState:
    name: str
    region: str
    status: str
    changed: str
    reason: str
    endpoint: str


@dataclass(frozen=True)
class AlarmState:
    """An alarm, and since when it is in its state (epoch seconds)."""

    name: str
    region: str
    state: str
    reason: str
    composite: bool
    since: float | None = None


@dataclass(frozen=True)
class Ledger:
    """What the ledger says of an environment: its record ({} before the first release, None where it may not be read), the newest releases, the newest
    entries of its log.
    """

    record: Mapping[str, Any] | None
    releases: tuple[Mapping[str, Any], ...] = ()
    log: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Unread:
    """Something that could not be read, why, and the permission that is missing, if that is why."""

    what: str
    why: str
    permission: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.why}" + (f": {self.permission}" if self.permission else "")


@dataclass(frozen=True)
class Status:
    """One environment. `ledger` is None where there is no ledger (yet), or it could not be read; `stages` are the pipeline's that are the environment's."""

    environment: str
    stacks: tuple[StackState, ...] = ()
    pipeline: PipelineState | None = None
    groups: tuple[Group, ...] = ()
    alarms: tuple[AlarmState, ...] = ()
    unread: tuple[Unread, ...] = ()
    ledger: Ledger | None = None
    stages: tuple[str, ...] = ()
    window: str = ""


def completed(status: Status) -> Status:
    """The same, with the commits of bundles that could not be read, where the ledger knows whose they are."""
    known: dict[str, str] = {}
    for release in status.ledger.releases if status.ledger else ():
        for location in (release.get("revisions") or {}).values():
            known[f"s3://{location.get('bucket')}/{location.get('key')}"] = str(release.get("commit", ""))

    def named(release: Release | None) -> Release | None:
        return replace(release, commit=known[release.revision]) if release and not release.commit and release.revision in known else release

    def whole(group: Group) -> Group:
        hosts = tuple(host if host.commit else replace(host, commit=known.get(host.revision, "")) for host in group.instances)
        return replace(group, release=named(group.release), attempted=named(group.attempted), instances=hosts)

    return replace(status, groups=tuple(whole(group) for group in status.groups))


def drift(group: Group, status: Status) -> str:
    """What runs in a group against what is last good and what is desired, in a few words; nothing where that is not known.

    DRIFT is what nobody brings about just now: another release than the last good one that no execution carries, or one that a rollback must replace.
    """
    commit = group.release.commit if group.release else ""
    if status.ledger is None or status.ledger.record is None or not commit:
        return ""
    record = status.ledger.record
    good, desired = record.get("last_good"), record.get("desired")
    attempted = group.attempted.commit if group.attempted else ""
    if group.deployment_status in ("Failed", "Stopped") and attempted != commit:
        error = f" ({group.error})" if group.error else ""
        whose = f" of {short(attempted)}" if attempted else ""
        return f"DRIFT: {group.deployment_id}{whose} {group.deployment_status.lower()}{error}, hosts may run either"
    if not good:
        return "no release has baked yet"
    if commit == desired:
        return "last good" if commit == good else f"desired; last good is {short(good)}"
    if (record.get("rollback") or {}) or (record.get("blocked") or {}).get("rollback"):
        return f"DRIFT: desired is {short(desired)}"
    if commit in under_way(status.pipeline):
        return f"on its way; last good is {short(good)}"
    return f"DRIFT: {'desired' if commit == good else 'last good'} is {short(desired if commit == good else good)}"


def under_way(pipeline: PipelineState | None) -> set[str]:
    """The commits that executions carry just now."""
    return {one.commit for one in pipeline.executions if one.commit and one.status in GOING_ON} if pipeline else set()


def described(status: Status) -> dict[str, Any] | None:
    """The ledger's and CodeDeploy's word on the environment: {record, groups, releases, log}. None where there is no ledger to be read."""
    if status.ledger is None:
        return None
    record = dict(status.ledger.record or {})
    groups = []
    for group in status.groups:
        ended_well = group.deployment_status == "Succeeded" or group.in_flight
        running = (group.release.commit if group.release else "") if ended_well else ""
        flight = {"deployment": group.deployment_id, "commit": (group.attempted.commit if group.attempted else "") or None} if group.in_flight else None
        place = {"region": group.region, "scope": group.scope, "group": group.name, "running": running or None}
        groups.append({**place, "desired": bool(running) and running == record.get("desired"), "in_flight": flight, "note": drift(group, status)})
    return {"record": record or None, "groups": groups, "releases": [dict(one) for one in status.ledger.releases], "log": list(status.ledger.log)}


def lines(status: Status, now: float, shown: set[tuple[str, str]] | None = None, pipeline: bool = True) -> list[str]:
    """An environment as lines, unbroken. Stacks in `shown` (name, Region) are left out, and new ones put in; so is the pipeline unless it is wanted."""
    found = [status.environment, *_ledger(status, now)]
    if status.pipeline and pipeline:
        found += _pipeline(status.pipeline, status.stages, now)
    for group in status.groups:
        found += _group(group, status, now)
    found += _alarms(status.alarms, now)
    found += _stacks(status.stacks, shown if shown is not None else set())
    return found + [f"  not readable: {unread}" for unread in status.unread]


def facts(status: Status) -> dict[str, str]:
    """What can change, each by a name, without lengths of time: two of these tell what happened in between."""
    name = status.environment
    found: dict[str, str] = {}
    for stack in status.stacks:
        found[f"{stack.name} ({stack.region})"] = stack.status
    if status.pipeline:
        commits = {one.id: one.commit for one in status.pipeline.executions}
        for stage in status.pipeline.stages:
            carried = short(commits.get(stage.execution_id)) if commits.get(stage.execution_id) else stage.execution_id[:8]
            found[f"stage {stage.name}"] = " ".join(part for part in (stage.status, carried, stage.message) if part)
        for one in status.pipeline.executions:
            found[f"execution {one.id}"] = " ".join(part for part in (one.status, short(one.commit) if one.commit else "", one.summary) if part)
    if status.ledger:
        record = status.ledger.record or {}
        found[f"{name}: desired"], found[f"{name}: last good"] = short(record.get("desired")), short(record.get("last_good"))
        for key in ("rollback", "blocked", "override"):
            told = record.get(key) or {}
            found[f"{name}: {key}"] = f"by {told.get('by')}: {_cut(told.get('reason'))}" if told else "none"
    for group in status.groups:
        place = f"{name}/{group.region}/{group.scope}"
        found[place] = " ".join(part for part in (short(group.release.commit if group.release else ""), drift(group, status)) if part)
        if group.deployment_id:
            found[f"{place}: deployment"] = f"{group.deployment_id} {group.deployment_status}"
        for host in group.instances:
            found[f"{place}: {host.id}"] = host.status
    for alarm in status.alarms:
        found[f"alarm {alarm.name} ({alarm.region})"] = alarm.state
    for unread in status.unread:
        found[f"{name}: {unread.what}"] = f"not readable: {unread.why}" + (f": {unread.permission}" if unread.permission else "")
    return found


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What is new, other or gone between two of `facts`."""
    found = [f"{name}: {value}" + (f" (was {before[name]})" if name in before else "") for name, value in after.items() if before.get(name) != value]
    return found + [f"{name}: gone (was {value})" for name, value in before.items() if name not in after]


def short(commit: Any) -> str:
    """Twelve digits of a commit; a dash for none."""
    return str(commit)[:12] if commit else "-"


def _ledger(status: Status, now: float) -> Iterable[str]:
    if status.ledger is None:
        return
    record = status.ledger.record or {}
    good = f"last good {short(record.get('last_good'))}" + _since(record.get("last_good_at"), now)
    if status.ledger.record is not None:
        yield f"  desired release {short(record.get('desired'))}, {good}"
    blocked, rollback, override = (record.get(key) or {} for key in ("blocked", "rollback", "override"))
    if rollback:
        way = f"from {short(rollback.get('bad'))} to {short(rollback.get('to'))}"
        alarm = f", alarm {rollback['alarm']}" if rollback.get("alarm") else ""
        yield f"  ROLLBACK under way {way}{_since(rollback.get('began'), now)}, by {rollback.get('by')}{alarm}: {_cut(rollback.get('reason'))}"
    if blocked:
        yield f"  BLOCKED{_since(blocked.get('at'), now)}, by {blocked.get('by')}: {_cut(blocked.get('reason'))}"
        yield f'    next: make unblock ENV={status.environment} REASON="…"'
    if override:
        for_what = short(override.get("commit")) if override.get("commit") else f"execution {override.get('execution')}"
        yield f"  override for {for_what}{_since(override.get('at'), now)}, by {override.get('by')}: {_cut(override.get('reason'))}"
    if status.window:
        yield f"  deployment window {status.window}"
    ways = releases.rollbacks(status.ledger.log)
    if ways and not rollback:
        last = ways[-1]
        took = f", took {span(last.seconds)}" if last.seconds is not None else ", no end on record"
        yield f"  last rollback from {short(last.bad)} to {short(last.to)} at {moment(last.began)}, by {last.by}{took}"
    bad = [release for release in status.ledger.releases if release.get("bad")]
    for release in bad[:3]:
        yield f"  bad release {short(release.get('commit'))}, seen in {release['bad'].get('where')}: {_cut(release['bad'].get('reason'))}"


def _pipeline(pipeline: PipelineState, own: Sequence[str], now: float) -> Iterable[str]:
    yield f"  pipeline {pipeline.name}"
    commits = {execution.id: execution.commit[:12] for execution in pipeline.executions}
    rows = []
    for stage in pipeline.stages:
        # With one environment asked for, its own stages are marked.
        mark = "*" if stage.name in own else ""
        since = f"for {span(now - stage.changed)}" if stage.changed else ""
        rows.append((f"{stage.name}{mark}", stage.status, commits.get(stage.execution_id, stage.execution_id[:8]), since))
    yield from filter(None, table(rows, indent="    ").split("\n"))
    for stage in pipeline.stages:
        if stage.message:
            yield f"    {stage.name}: {_cut(stage.message)}"
        for waiting in stage.waiting:
            yield f"    {stage.name}: {commits.get(waiting) or waiting} waits before it"
    if pipeline.executions:
        newest = pipeline.executions[0]
        since = f" for {span(now - newest.started)}" if newest.started and newest.status in GOING_ON else ""
        yield f"    newest execution {newest.id}: {newest.status}{since} {newest.commit[:12]} {newest.summary}".rstrip()
    else:
        yield "    no execution yet"


def _group(group: Group, status: Status, now: float) -> Iterable[str]:
    release, word = group.release, drift(group, status)
    runs = (short(release.commit) if release.commit else release.note) if release else group.note
    since = f" for {span(now - group.since)}" if group.since and release else ""
    yield f"  {group.scope} ({group.region}): {runs}{since}" + (f", {word}" if word else "")
    if release and release.digest:
        yield f"    {release.digest}"
    if release and release.commit and release.note:
        yield f"    {release.note}"
    if group.deployment_id:
        brings = ""
        if group.attempted and group.attempted.commit and (group.in_flight or group.attempted.commit != (release.commit if release else "")):
            brings = f" of {short(group.attempted.commit)}"
        by = "handsoff's rollback" if group.description.startswith(_RECONCILER) else group.creator or "-"
        yield f"    last deployment {group.deployment_id}{brings}: {group.deployment_status or 'not readable'}, created by {by}"
    rows = [
        (host.id, host.status, _runs(host), f"for {span(now - host.since)}" if host.since else "")
        for host in group.instances
    ]
    yield from (table(rows, indent="    ") or f"    ({'no instances' if group.hosts_read else 'instances not readable'})").split("\n")


def _runs(host: Instance) -> str:
    """What a host runs, where its deployment has got that far; Auto Scaling's word on one that none has reached."""
    if host.commit:
        return short(host.commit)
    return "release not known" if host.status == "Succeeded" else host.lifecycle


def _alarms(alarms: Sequence[AlarmState], now: float) -> Iterable[str]:
    if not alarms:
        return
    loud = [alarm for alarm in alarms if alarm.composite or alarm.state != "OK"]
    quiet = len(alarms) - len(loud)
    yield "  alarms" + (f" ({quiet} metric alarms OK)" if quiet else "")
    rows = [
        (alarm.state, alarm.region, f"for {span(now - alarm.since)}" if alarm.since else "", alarm.name, _cut(alarm.reason) if alarm.state == "ALARM" else "")
        for alarm in loud
    ]
    yield from filter(None, table(rows, indent="    ").split("\n"))


def _stacks(stacks: Sequence[StackState], shown: set[tuple[str, str]]) -> Iterable[str]:
    rows = [(state.name, state.region, state.status, state.changed[: len("2026-01-01 00:00")]) for state in stacks if (state.name, state.region) not in shown]
    shown.update((state.name, state.region) for state in stacks)
    if rows:
        yield "  stacks, and when they were last changed (UTC)"
        yield from table(rows, indent="    ").split("\n")
    for state in stacks:
        if state.endpoint:
            yield f"  endpoint ({state.region}): {state.endpoint}"
        if state.reason and state.status not in _HEALTHY_STACKS:
            yield f"  {state.name}: {state.reason}"


def _since(at: Any, now: float) -> str:
    return f" since {moment(float(at))} ({span(now - float(at))})" if at else ""


def _cut(text: Any) -> str:
    """One line of an AWS message; JSON has all of it."""
    line = " ".join(str(text or "").split())
    return line if len(line) <= _REASON_CHARACTERS else line[: _REASON_CHARACTERS - 1] + "…"
