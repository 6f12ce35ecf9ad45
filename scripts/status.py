"""Show how things stand: what should run and what does, for how long, the pipeline, alarms, stacks. Reads only; without --env, everything.

Everything is read directly, so that read-only credentials suffice; what may not be read is named with its permission, and the rest is shown.
With --watch it is shown again and again until Ctrl-C: on a terminal in place, into a file or a pipe as lines that say what has changed.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any

from scripts.core import accounts, layout, ledger, pipelines, prerequisites, reading, roots, running, settings, stacks, standing, world
from scripts.core.accounts import Accounts
from scripts.core.console import Console
from scripts.core.errors import CommandError, Interrupted, WrongUse, explain
from scripts.core.parallel import Outcome
from scripts.core.pipelines import PipelineState, Stage
from scripts.core.reading import Gatherer, Late
from scripts.core.running import Bundles, Group
from scripts.core.settings import Environment
from scripts.core.stacks import Stack
from scripts.core.standing import AlarmState, Ledger, StackState, Status, Unread
from scripts.core.world import World
from scripts.diagnosis.calls import Calls
from scripts.diagnosis.redact import redact, redact_all

_SCHEMA = 1
# botocore tries again within this; what is longer silent is said to be.
_SECONDS = 30.0
_WATCH_SECONDS = 10.0
_EVERY, _SHORTEST, _LONGEST = 10.0, 2.0, 120.0
_EXECUTIONS, _RELEASES, _LOG = 10, 20, 50
_SLOW_DOWN = ("Throttling", "RequestLimitExceeded", "TooManyRequests", "ProvisionedThroughputExceeded")


def main(argv: Sequence[str] | None = None, given: World | None = None) -> int:
    arguments = world.parser("status", __doc__, environment="optional")
    arguments.add_argument("--json", action="store_true", help="one JSON document on standard output")
    arguments.add_argument("--watch", action="store_true", help="show it again and again, until Ctrl-C")
    often = f"with --watch: how often, at least {_SHORTEST:g} (default {_EVERY:g})"
    arguments.add_argument("--every", type=float, default=_EVERY, metavar="SECONDS", help=often)
    return world.run(arguments, argv, given, _status)


def _status(options: argparse.Namespace, here: World) -> int:
    if options.json and options.watch:
        raise WrongUse("--json and --watch do not go together", "one is one document, the other has no end", "take one of them")
    names = [options.env] if options.env else list(settings.names(here.root))
    environments = [settings.load(here.root, name, options.local) for name in names]
    if not environments:
        raise CommandError("there is no environment", "parameters/ has no files")
    everything = [settings.load(here.root, name, options.local) for name in settings.names(here.root)]
    tools = next((environment for environment in everything if environment.name == roots.PIPELINE), None)
    regions = [region for environment in environments for region in environment.regions]
    entered = accounts.open_accounts(here.open_aws(options.local, here.environ), regions, environments)
    if options.env:
        entered.of(environments[0])
    reader = _Reader(entered, environments, tools)
    if options.watch:
        return _watch(reader, options, here)
    (here.console.error if options.json else here.console.line)(entered.target.line)
    found = reader.look(_SECONDS)
    if options.json:
        here.console.line(json.dumps(redact_all(_document(found, entered)), indent=2))
        return 0
    for line in layout.fit(_picture(found, here.clock.now().timestamp(), bool(options.env)), layout.width(here.console, here.environ)):
        here.console.line(redact(line))
    for line in _elsewhere(environments, entered):
        here.console.line(line)
    return 0


class _Reader:
    """Reads how environments stand, as often as it is asked. What stays as it is (a bundle) is read once."""

    def __init__(self, entered: Accounts, environments: Sequence[Environment], tools: Environment | None) -> None:
        self.entered, self.environments, self.tools = entered, list(environments), tools
        self._bundles: dict[str, Bundles] = {}
        self._gatherer: Gatherer[Any] = Gatherer()

    def look(self, seconds: float) -> list[Status]:
        """Every environment that can be reached, all Regions and the pipeline at once."""
        reached = [environment for environment in self.environments if self.entered.reaches(environment)]
        reads: dict[str, Any] = {
            f"{environment.name} {region}": partial(self._region, environment, region) for environment in reached for region in environment.regions
        }
        if self.tools and self.entered.reaches(self.tools):
            reads["pipeline"] = partial(self._pipeline, [environment.name for environment in reached if environment.template == "environment"])
        outcomes = self._gatherer.gather(reads, seconds)
        return [standing.completed(self._status(environment, outcomes)) for environment in reached]

    def _status(self, environment: Environment, outcomes: Mapping[str, Outcome[Any]]) -> Status:
        parts, unread = [], []
        for region in environment.regions:
            part, failure = _answer(outcomes[f"{environment.name} {region}"], region)
            parts += [part] if part else []
            unread += failure
        whole: _Whole | None = None
        if "pipeline" in outcomes:
            whole, failure = _answer(outcomes["pipeline"], "pipeline")
            unread += [*failure, *(whole.unread if whole else ())]
        elif self.tools and environment.template == "environment":
            unread.append(Unread("releases", f"the pipeline is in account {self.tools.account}"))
        own = tuple(stage.name for stage in pipelines.stages_of(whole.stages, environment.name)) if whole else ()
        guarded = whole is not None and any("Enter" in stage.actions for stage in whole.stages if stage.name in own)
        return Status(
            environment=environment.name,
            stacks=tuple(state for part in parts for state in part.stacks),
            pipeline=whole.pipeline if whole else None,
            groups=tuple(group for part in parts for group in part.groups),
            alarms=tuple(alarm for part in parts for alarm in part.alarms),
            unread=(*(one for part in parts for one in part.unread), *unread),
            ledger=whole.ledgers.get(environment.name) if whole else None,
            stages=own,
            window=whole.window if whole and guarded else "",
        )

    def _region(self, environment: Environment, region: str) -> Status:
        aws, calls = self.entered.of(environment), Calls(self.entered.of(environment))
        owner = self.tools if self.tools and self.entered.reaches(self.tools) else environment
        shared = self.entered.of(owner)
        found = reading.at_once({
            name: partial(_find, calls, where.client("cloudformation", region), name, region)
            for name, where in [*((environment.needed_stack_name(need), shared) for need in environment.needs), (environment.stack_name, aws)]
        })
        root = found[environment.stack_name]
        reads: dict[str, Any] = {}
        if isinstance(root, Stack):
            bundles = self._bundles.setdefault(environment.account, Bundles())
            for scope, application, name in prerequisites.deployment_groups(root):
                read = partial(running.group, calls, region, scope, application, name, bundles, calls.attempt, all_hosts=True)
                gone = Group(scope, region, name, "", "", "", None, (), "not readable", hosts_read=False)
                reads[f"deployment group {name} ({region})"] = partial(calls.attempt, f"deployment group {name} ({region})", read, gone)
            if root.outputs.get("FleetCompositeAlarmName"):
                reads["alarms"] = partial(calls.attempt, f"alarms ({region})", partial(_alarms, calls.client("cloudwatch", region), region, root), [])
        values = reading.at_once(reads)
        alarms = values.pop("alarms", [])
        states = tuple(_stack_state(name, region, stack) for name, stack in found.items() if stack != "unread")
        return Status(environment.name, states, None, tuple(values.values()), tuple(alarms), _unread(calls))

    def _pipeline(self, names: Sequence[str]) -> _Whole:
        assert self.tools is not None
        tools, calls = self.tools, Calls(self.entered.of(self.tools))
        region = tools.regions[0]
        stack = _find(calls, calls.client("cloudformation", region), tools.stack_name, region)
        if not isinstance(stack, Stack):
            return _Whole(unread=_unread(calls))
        reads: dict[str, Any] = {}
        name = stack.outputs.get("PipelineName")
        if name:
            codepipeline = calls.client("codepipeline", region)
            nothing: tuple[Any, ...] = ()
            reads["states"] = partial(calls.attempt, "stages", partial(pipelines.states, codepipeline, name), nothing)
            reads["executions"] = partial(calls.attempt, "executions", lambda: pipelines.executions(codepipeline, name, _EXECUTIONS)[0], nothing)
            reads["structure"] = partial(calls.attempt, "pipeline's structure", partial(pipelines.structure, codepipeline, name), nothing)
        book = ledger.of_stack(calls.client("dynamodb", region), stack) if names else None
        if book:
            reads["releases"] = partial(calls.attempt, "releases", partial(book.releases, _RELEASES), [])
            for one in names:
                reads[f"record {one}"] = partial(calls.attempt, f"record of {one}", partial(_record, book, one), None)
                reads[f"log {one}"] = partial(calls.attempt, f"log of {one}", partial(book.log, one, _LOG), [])
        values = reading.at_once(reads)
        days, hours = stack.parameters.get("WindowDays", ""), stack.parameters.get("WindowHours", "")
        return _Whole(
            PipelineState(name, values["states"], values["executions"]) if name else None,
            values.get("structure", ()),
            {one: Ledger(values[f"record {one}"], tuple(values["releases"]), tuple(values[f"log {one}"])) for one in names if book},
            _unread(calls),
            " ".join(part for part in (days or "every day", f"{hours} UTC" if hours else "") if part) if days or hours else "",
        )


class _Whole:
    """What all environments share: the pipeline, its structure, the ledger by environment."""

    def __init__(self, pipeline: PipelineState | None = None, stages: Sequence[Stage] = (), ledgers: Mapping[str, Ledger] | None = None,
                 unread: Sequence[Unread] = (), window: str = "") -> None:
        self.pipeline, self.stages, self.ledgers, self.unread, self.window = pipeline, stages, ledgers or {}, tuple(unread), window


def _record(book: ledger.Ledger, name: str) -> dict[str, Any]:
    """The record; an empty one before the first release, which is another thing than one that may not be read."""
    return book.environment(name) or {}


def _find(calls: Calls, cloudformation: Any, name: str, region: str) -> Any:
    """The stack, None where there is none, "unread" where that may not be known."""
    otherwise: Any = "unread"
    return calls.attempt(f"stack {name} ({region})", lambda: stacks.find(cloudformation, name), otherwise)


def _unread(calls: Calls) -> tuple[Unread, ...]:
    return tuple(Unread(one.what, one.why, one.permission) for one in calls.unreadable)


def _answer(outcome: Outcome[Any], what: str) -> tuple[Any, list[Unread]]:
    """What was read, or why it was not; an error that is not AWS's is ours, and raised."""
    if outcome.error is None:
        return outcome.value, []
    if isinstance(outcome.error, Late):
        return None, [Unread(what, str(outcome.error))]
    known = explain(outcome.error)
    if known is None or isinstance(known, WrongUse):
        raise outcome.error
    return None, [Unread(what, f"{known.what}: {known.reason}".rstrip(": "))]


def _stack_state(name: str, region: str, stack: Stack | None) -> StackState:
    if stack is None:
        return StackState(name, region, "not there", "", "", "")
    changed = stack.changed.strftime("%Y-%m-%d %H:%M:%S UTC") if stack.changed else ""
    return StackState(name, region, stack.status, changed, stack.reason, stack.outputs.get("EndpointUrl", ""))


def _alarms(cloudwatch: Any, region: str, stack: Stack) -> list[AlarmState]:
    """The composites by name, and the metric alarms under them: CloudFormation begins their names with the stack's."""
    composites = [stack.outputs[key] for key in prerequisites.COMPOSITES if stack.outputs.get(key)]
    answer = cloudwatch.describe_alarms(AlarmNames=composites, AlarmTypes=["CompositeAlarm"])
    found = [_alarm(alarm, region, True) for alarm in answer["CompositeAlarms"]]
    for page in cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{stack.name}-", AlarmTypes=["MetricAlarm"]):
        found += [_alarm(alarm, region, False) for alarm in page["MetricAlarms"]]
    return found


def _alarm(alarm: Mapping[str, Any], region: str, composite: bool) -> AlarmState:
    since = alarm.get("StateTransitionedTimestamp") or alarm.get("StateUpdatedTimestamp")
    return AlarmState(alarm["AlarmName"], region, alarm["StateValue"], alarm.get("StateReason", ""), composite, since.timestamp() if since else None)


def _document(found: Sequence[Status], entered: Accounts) -> dict[str, Any]:
    """The status as data. `releases` is {record, groups, releases, log}; `notes` are the same as `unreadable`, as text."""
    documents = []
    for status in found:
        plain = asdict(status)
        unread = plain.pop("unread")
        plain.pop("ledger")
        for group, judged in zip(plain["groups"], status.groups, strict=True):
            group["drift"] = standing.drift(judged, status)
        documents.append({**plain, "notes": [str(one) for one in status.unread], "releases": standing.described(status), "unreadable": unread})
    return {"schema": _SCHEMA, "account": entered.target.account, "local": entered.caller.local, "environments": documents}


def _picture(found: Sequence[Status], now: float, one: bool) -> list[str]:
    """All environments as lines; the pipeline once, under its own name where that is among them."""
    shown: set[tuple[str, str]] = set()
    lines: list[str] = []
    for status in found:
        lines += ["", *standing.lines(status, now, shown, one or status.environment == roots.PIPELINE)]
    return lines


def _elsewhere(environments: Sequence[Environment], entered: Accounts) -> list[str]:
    return [f"\n{one.name}: in account {one.account}, not looked at" for one in environments if not entered.reaches(one)]


def _watch(reader: _Reader, options: argparse.Namespace, here: World) -> int:
    """Looks again and again, until Ctrl-C. A look that fails as a whole is said, and the next one is made; throttled, it looks half as often each time."""
    shortest = max(_SHORTEST, options.every)
    every, console = shortest, here.console
    drawn = console.live and here.environ.get("TERM") != "dumb"
    before: dict[str, str] | None = None
    found: list[Status] = []
    if drawn:
        console.write("\033[?1049h\033[?25l")
    else:
        console.line(reader.entered.target.line)
    try:
        while True:
            begun = here.clock.seconds()
            trouble = ""
            try:
                found = reader.look(_WATCH_SECONDS)
            except Exception as error:
                known = explain(error)
                if known is None or isinstance(known, WrongUse):
                    raise
                trouble = f"not readable for now: {known.what}"
            now = here.clock.now()
            every = min(_LONGEST, every * 2) if _throttled(found, trouble) else shortest
            if drawn:
                console.write(_frame(reader, found, now, every, trouble, bool(options.env), here))
            else:
                after = {name: value for status in found for name, value in standing.facts(status).items()}
                _append(console, found, before, after, trouble, now, bool(options.env), here)
                before = after if not trouble else before
            here.clock.sleep(max(1.0, every - (here.clock.seconds() - begun)))
    except (KeyboardInterrupt, Interrupted):
        return 0
    finally:
        if drawn:
            console.write("\033[?25h\033[?1049l")
            console.line(f"watched until {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC; make status ENV={options.env or '…'} shows it again")


def _throttled(found: Sequence[Status], trouble: str) -> bool:
    said = [trouble, *(one.why for status in found for one in status.unread)]
    return any(word in text for text in said for word in _SLOW_DOWN) or "throttled" in trouble


def _frame(reader: _Reader, found: Sequence[Status], now: datetime, every: float, trouble: str, one: bool, here: World) -> str:
    """One picture of the terminal's size: each line cleared to its end, and what is below. Nothing flickers, as nothing is cleared first."""
    size = shutil.get_terminal_size()
    head = [*reader.entered.target.line.splitlines(), f"{now:%H:%M:%S} UTC, again every {every:g} s; Ctrl-C ends it" + (f"; {trouble}" if trouble else "")]
    picture = [*head, *_picture(found, now.timestamp(), one), *_elsewhere(reader.environments, reader.entered)]
    lines = layout.fit(picture, layout.width(here.console, here.environ))
    if len(lines) > size.lines:
        left = len(lines) - size.lines + 1
        lines = [*lines[: size.lines - 1], f"… {left} more lines: a taller window, or make status"]
    return "\033[H" + "\033[K\n".join(redact(line) for line in lines) + "\033[K\033[J"


def _append(console: Console, found: Sequence[Status], before: Mapping[str, str] | None, after: Mapping[str, str], trouble: str, now: datetime,
            one: bool, here: World) -> None:
    """The whole the first time, then a line for each thing that has changed."""
    stamp = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if trouble:
        console.line(f"{stamp}  {trouble}")
    elif before is None:
        for line in layout.fit(_picture(found, now.timestamp(), one), layout.width(here.console, here.environ)):
            console.line(redact(line))
    else:
        for change in standing.changes(before, after):
            console.line(redact(f"{stamp}  {change}"))


if __name__ == "__main__":
    raise SystemExit(main())
