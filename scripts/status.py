"""Show how things stand: stacks, the pipeline, what should run and what does, on which instance, alarms. Reads only; without --env, everything."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from scripts.core import accounts, control, follow, parallel, pipelines, prerequisites, roots, running, settings, stacks, world
from scripts.core.accounts import Accounts
from scripts.core.console import Console, table
from scripts.core.errors import CommandError, explain
from scripts.core.pipelines import PipelineState
from scripts.core.running import Group
from scripts.core.settings import Environment
from scripts.core.stacks import Stack
from scripts.core.world import World


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
    name: str
    region: str
    state: str
    reason: str
    composite: bool


@dataclass(frozen=True)
class Status:
    """One environment. `releases` is what the rollback function describes (`scripts/core/control.py`); None where there is none."""

    environment: str
    stacks: tuple[StackState, ...]
    pipeline: PipelineState | None
    groups: tuple[Group, ...]
    alarms: tuple[AlarmState, ...]
    notes: tuple[str, ...]
    releases: dict[str, Any] | None = None


def main(argv: Sequence[str] | None = None, given: World | None = None) -> int:
    arguments = world.parser("status", __doc__, environment="optional")
    arguments.add_argument("--json", action="store_true", help="one JSON document on standard output")
    return world.run(arguments, argv, given, _status)


def _status(options: argparse.Namespace, here: World) -> int:
    names = [options.env] if options.env else list(settings.names(here.root))
    environments = [settings.load(here.root, name, options.local) for name in names]
    if not environments:
        raise CommandError("there is no environment", "parameters/ has no files")
    everything = [settings.load(here.root, name, options.local) for name in settings.names(here.root)]
    tools = next((environment for environment in everything if environment.name == roots.PIPELINE), None)
    regions = [region for environment in environments for region in environment.regions]
    entered = accounts.open_accounts(here.open_aws(options.local, here.environ), regions, environments)
    (here.console.error if options.json else here.console.line)(entered.target.line)
    if options.env:
        entered.of(environments[0])
    found = [_read(entered, environment, tools, here) for environment in environments if entered.reaches(environment)]
    if options.json:
        document = {"account": entered.target.account, "local": entered.caller.local, "environments": [asdict(status) for status in found]}
        here.console.line(json.dumps(document, indent=2))
        return 0
    shown: set[tuple[str, str]] = set()
    for status in found:
        _show(status, here.console, shown)
    for environment in environments:
        if not entered.reaches(environment):
            here.console.line(f"\n{environment.name}: in account {environment.account}, not looked at")
    return 0


def _read(entered: Accounts, environment: Environment, tools: Environment | None, here: World) -> Status:
    owner = tools if tools and entered.reaches(tools) else environment
    jobs = {region: partial(_read_region, entered, environment, owner, region) for region in environment.regions}
    parts = list(parallel.all_or_raise(jobs, here.clock).values())
    described, more = _describe(entered, environment, tools) if environment.template == "environment" and tools else (None, ())
    return Status(
        environment=environment.name,
        stacks=tuple(state for part in parts for state in part.stacks),
        pipeline=next((part.pipeline for part in parts if part.pipeline), None),
        groups=tuple(group for part in parts for group in part.groups),
        alarms=tuple(alarm for part in parts for alarm in part.alarms),
        notes=(*(note for part in parts for note in part.notes), *more),
        releases=described,
    )


def _describe(entered: Accounts, environment: Environment, tools: Environment) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """What should run and what does, from the rollback function; a note when it cannot be asked. Nothing before there is a pipeline."""
    if not entered.reaches(tools):
        return None, (f"releases: the pipeline is in account {tools.account}",)
    try:
        aws = entered.of(tools)
        stack = stacks.find(aws.client("cloudformation", tools.regions[0]), tools.stack_name)
        if stack is None or "RollbackFunctionName" not in stack.outputs:
            return None, ()
        return control.of_pipeline(aws, tools, environment.name, entered.target.caller).describe(), ()
    except Exception as error:
        known = explain(error)
        if known is None:
            raise
        return None, (f"releases: {known.what}" + (f": {known.reason}" if known.reason else ""),)


def _read_region(entered: Accounts, environment: Environment, owner: Environment, region: str) -> Status:
    aws = entered.of(environment)
    shared = entered.of(owner).client("cloudformation", region)
    found = {name: stacks.find(shared, name) for name in map(environment.needed_stack_name, environment.needs)}
    found[environment.stack_name] = stacks.find(aws.client("cloudformation", region), environment.stack_name)
    root = found[environment.stack_name]
    notes: list[str] = []

    def attempt(what: str, read: Any, otherwise: Any) -> Any:
        # One thing that cannot be read (no permission, half-made) does not hide the others.
        try:
            return read()
        except Exception as error:
            known = explain(error)
            if known is None:
                raise
            notes.append(f"{what} ({region}): {known.what}" + (f": {known.reason}" if known.reason else ""))
            return otherwise

    pipeline, groups, alarms = None, [], []
    if root:
        name = root.outputs.get("PipelineName")
        if name:
            pipeline = attempt("pipeline", lambda: pipelines.read(aws.client("codepipeline", region), name), None)
        groups = attempt("deployment groups", lambda: running.groups(aws, region, root), [])
        if root.outputs.get("FleetCompositeAlarmName"):
            alarms = attempt("alarms", lambda: _alarms(aws.client("cloudwatch", region), region, root), [])
    states = tuple(_stack_state(name, region, stack) for name, stack in found.items())
    return Status(environment.name, states, pipeline, tuple(groups), tuple(alarms), tuple(notes))


def _stack_state(name: str, region: str, stack: Stack | None) -> StackState:
    if stack is None:
        return StackState(name, region, "not there", "", "", "")
    changed = stack.changed.strftime("%Y-%m-%d %H:%M:%S UTC") if stack.changed else ""
    return StackState(name, region, stack.status, changed, stack.reason, stack.outputs.get("EndpointUrl", ""))


def _alarms(cloudwatch: Any, region: str, stack: Stack) -> list[AlarmState]:
    """The composites by name, and the metric alarms under them: CloudFormation begins their names with the stack's."""
    composites = [stack.outputs[key] for key in prerequisites.COMPOSITES if stack.outputs.get(key)]
    answer = cloudwatch.describe_alarms(AlarmNames=composites, AlarmTypes=["CompositeAlarm"])
    found = [
        AlarmState(alarm["AlarmName"], region, alarm["StateValue"], alarm.get("StateReason", ""), True)
        for alarm in answer["CompositeAlarms"]
    ]
    for page in cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{stack.name}-", AlarmTypes=["MetricAlarm"]):
        found += [
            AlarmState(alarm["AlarmName"], region, alarm["StateValue"], alarm.get("StateReason", ""), False)
            for alarm in page["MetricAlarms"]
        ]
    return found


def _show(status: Status, console: Console, shown: set[tuple[str, str]]) -> None:
    console.line(f"\n{status.environment}")
    rows = [(state.name, state.region, state.status, state.changed) for state in status.stacks if (state.name, state.region) not in shown]
    shown.update((state.name, state.region) for state in status.stacks)
    if rows:
        console.line(table(rows))
    for state in status.stacks:
        if state.endpoint:
            console.line(f"  endpoint ({state.region}): {state.endpoint}")
        if state.reason and state.status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
            console.line(f"  {state.name}: {state.reason}")
    if status.pipeline:
        _show_pipeline(status.pipeline, console)
    if status.releases:
        _show_releases(status.environment, status.releases, console)
    for group in status.groups:
        _show_group(group, console)
    _show_alarms(status.alarms, console)
    for note in status.notes:
        console.line(f"  not readable: {note}")


def _show_releases(name: str, described: dict[str, Any], console: Console) -> None:
    record = described.get("record") or {}
    good = f"last good {follow.short(record.get('last_good'))}" + (f" since {follow.moment(record['last_good_at'])}" if record.get("last_good_at") else "")
    console.line(f"  desired release {follow.short(record.get('desired'))}, {good}")
    blocked, rollback, override = (record.get(key) or {} for key in ("blocked", "rollback", "override"))
    if rollback:
        way = f"from {follow.short(rollback.get('bad'))} to {follow.short(rollback.get('to'))}"
        alarm = f", alarm {rollback['alarm']}" if rollback.get("alarm") else ""
        console.line(f"  ROLLBACK under way {way} since {follow.moment(rollback.get('began'))}, by {rollback.get('by')}{alarm}: {rollback.get('reason')}")
    if blocked:
        console.line(f"  BLOCKED since {follow.moment(blocked.get('at'))}, by {blocked.get('by')}: {blocked.get('reason')}")
        console.line(f'    next: make unblock ENV={name} REASON="…"')
    if override:
        for_what = follow.short(override.get("commit")) if override.get("commit") else f"execution {override.get('execution')}"
        console.line(f"  override for {for_what} since {follow.moment(override.get('at'))}, by {override.get('by')}: {override.get('reason')}")
    rows = follow.groups_table(described)
    if rows:
        console.line(rows)
    bad = [release for release in described.get("releases") or () if release.get("bad")]
    for release in bad[:3]:
        console.line(f"  bad release {follow.short(release.get('commit'))}, seen in {release['bad'].get('where')}: {release['bad'].get('reason')}")


def _show_pipeline(pipeline: PipelineState, console: Console) -> None:
    console.line(f"  pipeline {pipeline.name}")
    commits = {execution.id: execution.commit[:12] for execution in pipeline.executions}
    console.line(
        table([(s.name, s.status, commits.get(s.execution_id, s.execution_id[:8]), s.message) for s in pipeline.stages], indent="    ")
    )
    if pipeline.executions:
        newest = pipeline.executions[0]
        console.line(f"    newest execution {newest.id}: {newest.status} {newest.commit[:12]} {newest.summary}".rstrip())
    else:
        console.line("    no execution yet")


def _show_group(group: Group, console: Console) -> None:
    release = group.release
    runs = (f"commit {release.commit[:12]} {release.digest}" if release.commit else release.note) if release else group.note
    console.line(f"  {group.scope} ({group.region}): {runs}")
    if group.deployment_id:
        console.line(f"    last deployment {group.deployment_id}: {group.deployment_status}, created by {group.creator}")
    console.line(table([(i.id, i.status, i.commit[:12], i.digest) for i in group.instances], indent="    ") or "    (no instances)")


def _show_alarms(alarms: Sequence[AlarmState], console: Console) -> None:
    if not alarms:
        return
    loud = [alarm for alarm in alarms if alarm.composite or alarm.state != "OK"]
    quiet = len(alarms) - len(loud)
    console.line("  alarms" + (f" ({quiet} metric alarms OK)" if quiet else ""))
    console.line(table([(alarm.state, alarm.region, alarm.name, alarm.reason if alarm.state == "ALARM" else "") for alarm in loud], indent="    "))


if __name__ == "__main__":
    raise SystemExit(main())
