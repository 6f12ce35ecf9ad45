"""Show how things stand: stacks, the pipeline, what runs on which instance, alarms. Reads only; without --env, everything."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from scripts.core import parallel, pipelines, running, session, settings, stacks, world
from scripts.core.console import Console, table
from scripts.core.errors import CommandError, explain
from scripts.core.pipelines import PipelineState
from scripts.core.running import Group
from scripts.core.session import Aws
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
    """One environment."""

    environment: str
    stacks: tuple[StackState, ...]
    pipeline: PipelineState | None
    groups: tuple[Group, ...]
    alarms: tuple[AlarmState, ...]
    notes: tuple[str, ...]


def main(argv: Sequence[str] | None = None, given: World | None = None) -> int:
    arguments = world.parser("status", __doc__, environment="optional")
    arguments.add_argument("--json", action="store_true", help="one JSON document on standard output")
    return world.run(arguments, argv, given, _status)


def _status(options: argparse.Namespace, here: World) -> int:
    names = [options.env] if options.env else list(settings.names(here.root))
    environments = [settings.load(here.root, name, options.local) for name in names]
    if not environments:
        raise CommandError("there is no environment", "parameters/ has no files")
    aws = here.open_aws(options.local, here.environ)
    target = session.identify(aws, tuple(dict.fromkeys(region for environment in environments for region in environment.regions)))
    (here.console.error if options.json else here.console.line)(target.line)
    if options.env:
        session.require_account(target, environments[0].account, environments[0].file)
    found = [_read(aws, environment, here) for environment in environments if environment.account == target.account]
    if options.json:
        here.console.line(
            json.dumps({"account": target.account, "local": aws.local, "environments": [asdict(status) for status in found]}, indent=2)
        )
        return 0
    shown: set[tuple[str, str]] = set()
    for status in found:
        _show(status, here.console, shown)
    for environment in environments:
        if environment.account != target.account:
            here.console.line(f"\n{environment.name}: in account {environment.account}, not looked at")
    return 0


def _read(aws: Aws, environment: Environment, here: World) -> Status:
    jobs = {region: partial(_read_region, aws, environment, region) for region in environment.regions}
    parts = list(parallel.all_or_raise(jobs, here.clock).values())
    return Status(
        environment=environment.name,
        stacks=tuple(state for part in parts for state in part.stacks),
        pipeline=next((part.pipeline for part in parts if part.pipeline), None),
        groups=tuple(group for part in parts for group in part.groups),
        alarms=tuple(alarm for part in parts for alarm in part.alarms),
        notes=tuple(note for part in parts for note in part.notes),
    )


def _read_region(aws: Aws, environment: Environment, region: str) -> Status:
    cloudformation = aws.client("cloudformation", region)
    needed = [environment.needed_stack_name(need) for need in environment.needs]
    found = {name: stacks.find(cloudformation, name) for name in [*needed, environment.stack_name]}
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
    composites = [stack.outputs[key] for key in ("OneBoxCompositeAlarmName", "FleetCompositeAlarmName") if stack.outputs.get(key)]
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
    for group in status.groups:
        _show_group(group, console)
    _show_alarms(status.alarms, console)
    for note in status.notes:
        console.line(f"  not readable: {note}")


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
    console.line(table([(alarm.state, alarm.name, alarm.reason if alarm.state == "ALARM" else "") for alarm in loud], indent="    "))


if __name__ == "__main__":
    raise SystemExit(main())
