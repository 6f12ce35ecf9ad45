"""Goes from what failed last, or from what was named, down to everything that belongs to it, and puts it into a case.

Which failure it is: of the pipeline's newest failed execution, the deployment groups' last deployments (by hand, CodeDeploy's own way back, a launch) and the
stacks' last operations, the one that ended last. What failed at another time is named in the case and not looked into.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from scripts.core import prerequisites, stacks
from scripts.core.errors import WrongUse, error_code
from scripts.core.stacks import Stack as Deployed
from scripts.diagnosis import executions, holds
from scripts.diagnosis.calls import Calls
from scripts.diagnosis.case import Action, Alarm, Build, Case, Connection, Deployment, Hold, Stack, Unreadable
from scripts.diagnosis.executions import Failure, Overview

T = TypeVar("T")
MOST_DEPLOYMENTS = 3
"""Deployments of one case that are read with their instances: a wave of more Regions fails for one reason."""
MOST_BUILDS = 3
MOST_CALLS = 60
"""API calls of one answer: further failed deployments are read while there is room, else named. One alone takes at most 40."""
_A_DEPLOYMENT, _IN_A_REGION_READ, _ALARMS, _AFTER = 15, 9, 6, 3
"""Calls that room is kept for: a deployment, one more in a Region where a group's settings are mostly known, a Region's alarms, and the ledger."""
MOST_STACKS = 3
TOGETHER_SECONDS = 1800.0
"""What else failed within this time before or after what is looked into belongs to it: two faults at once."""
AROUND_SECONDS = 900.0
AT_ONCE = 6
_FAILED = re.compile(r"ROLLBACK|FAILED")
"""Statuses of stacks whose newest operation did not succeed. A review may be one: of a change set that could not be made."""
_ALARM = re.compile(r"Alarm (\S+) of (?:[^\s/]+/)?([a-z]{2}(?:-[a-z]+)+-\d)(?:/[a-z]+)?\b")
"""How Enter and Gate name an alarm: `Alarm <name> of <environment>/<Region>[/<scope>] …` (functions/decide_gate.py)."""

_WATCHED = re.compile(r"alarm (\S+) fires in ([a-z]{2}(?:-[a-z]+)+-\d) ")
"""How the rollback function names one that it saw where neither gate nor CodeDeploy watched (functions/decide_rollback.py)."""


@dataclass(frozen=True)
class Place:
    """An environment in a Region. `stack` is its root stack, None where there is none (or it cannot be read)."""

    environment: str
    region: str
    calls: Calls
    stack_name: str
    stack: Deployed | None = None

    @property
    def groups(self) -> tuple[tuple[str, str, str], ...]:
        """(scope, application, group)."""
        return prerequisites.deployment_groups(self.stack) if self.stack else ()


@dataclass(frozen=True)
class Scene:
    """Where to look. `environment` is the one asked about ("pipeline": all of them); `places` are its own, with the pipeline's; `home` is the pipeline's.

    `reach` gives the calls of another environment's account, None where nothing is known of it.
    """

    environment: str
    service: str
    environments: tuple[str, ...]
    places: tuple[Place, ...]
    home: Place | None = None
    shared: tuple[str, ...] = ()
    """Further root stacks that the environment stands on, in the pipeline's account and each of the environment's Regions: the release stores."""
    reach: Callable[[str], Calls | None] = field(default=lambda name: None)

    @property
    def all(self) -> bool:
        """Whether every environment is asked about."""
        return self.home is not None and self.environment == self.home.environment

    @property
    def asked(self) -> str:
        """The environment by whose stages executions are chosen; "" for any."""
        return "" if self.all else self.environment

    def calls_in(self, environment: str) -> Calls | None:
        """The calls of an environment's account; source and build are in the pipeline's."""
        if self.home is not None and environment in ("", self.home.environment):
            return self.home.calls
        own = next((place.calls for place in self.places if place.environment == environment), None)
        return own or self.reach(environment)


@dataclass(frozen=True)
class Asked:
    """What was named; at most one."""

    execution: str = ""
    deployment: str = ""
    stack: str = ""


@dataclass(frozen=True)
class Attempted:
    """A deployment group's last deployment, where it ended badly."""

    place: Place
    deployment: str
    status: str
    at: float


@dataclass(frozen=True)
class Broken:
    """A root stack whose newest operation failed."""

    place: Place
    name: str
    status: str
    at: float


def collect(scene: Scene, asked: Asked, now: float) -> Case:
    """Everything that belongs to the newest failure, or to what was named. Raises WrongUse where that is not there."""
    home = scene.home
    name = home.stack.outputs.get("PipelineName", "") if home and home.stack else ""
    overview = executions.read(home.calls, home.region, name, scene.environments) if home and name else None
    if asked.deployment:
        case = _deployment_named(scene, overview, asked.deployment, now)
    elif asked.stack:
        case = _stack_named(scene, asked.stack, now)
    elif asked.execution:
        case = _execution_named(scene, overview, asked.execution, now)
    else:
        case = _newest(scene, overview, now)
    case = _with_holds(scene, overview, case)
    everyone = [place.calls for place in (*scene.places, *([home] if home else []))]
    unreadable: tuple[Unreadable, ...] = everyone[0].unreadable if everyone else ()
    return replace(case, unreadable=(*case.unreadable, *unreadable), running=case.running or _under_way(overview, scene.asked, case),
                   asked=scene.environment, environment=_affected(scene, overview, case))


def _affected(scene: Scene, overview: Overview | None, case: Case) -> str:
    """The environment that it happened in: a release for prod fails in gamma, and `make why ENV=pipeline` asks about all."""
    actions = [action.environment for action in sorted(case.actions, key=lambda one: one.ended or one.started) if action.environment]
    groups = [_environment(scene, case, deployment) for deployment in case.deployments]
    doors = [overview.environment_of(hold.where) if overview else "" for hold in case.holds]
    held = [hold.where for hold in case.holds if hold.where in scene.environments]
    roots = [] if actions or groups or not case.stacks else [scene.environment]
    return next((name for name in (*actions, *groups, *roots, *held, *doors) if name), scene.environment)


# What is looked into


def _newest(scene: Scene, overview: Overview | None, now: float) -> Case:
    failure = executions.newest_failure(scene.home.calls, overview, scene.asked) if scene.home and overview else None
    since = (failure.execution.started or 0.0) if failure else 0.0
    attempted = [one for found in _together([_attempts_of(place, since) for place in scene.places]) for one in found]
    # What the environment stands on is asked only where nothing of its own explains anything.
    shared = () if failure or attempted else scene.shared
    stood_on = [(place, shared) for place in _of_tools(scene)] if shared else []
    broken = [one for found in _together([_broken_of(*each) for each in (*((place, ()) for place in scene.places), *stood_on)]) for one in found]
    began = {action.external for action in failure.actions} if failure else set()
    attempted = sorted((one for one in attempted if one.deployment not in began), key=lambda one: -one.at)
    broken.sort(key=lambda one: -one.at)
    outside: list[Attempted | Broken] = [*attempted, *broken]
    times = [*([failure.at] if failure else []), *(one.at for one in outside)]
    if not times:
        return _healthy(scene, overview, now)
    newest = max(times)
    if failure is not None and failure.at < newest and not _beside(failure, newest):
        failure, late = None, failure
    else:
        late = None
    begin = min(failure.execution.started or failure.at, newest - TOGETHER_SECONDS) if failure else newest - TOGETHER_SECONDS
    near = [one for one in attempted if one.at >= begin]
    stood = [one for one in broken if one.at >= begin]
    also = [_told(one) for one in outside if one not in near and one not in stood]
    also += [f"execution {late.execution.id} ended {late.execution.status.lower()} in {late.stage}: EXECUTION={late.execution.id}"] if late else []
    case = _of_execution(scene, overview, failure, now, near) if failure and overview else _with_deployments(_empty(scene, now), scene, _of_groups(scene, near))
    operations = _together([_read_stack(one.place.calls, one.place.region, one.name) for one in stood[:MOST_STACKS]])
    also += [*case.also, *map(_told, stood[MOST_STACKS:])]
    case = replace(case, stacks=tuple(one for one in operations if one is not None), also=tuple(also))
    if failure is None:
        first = max((one for one in outside if one in near or one in stood), key=lambda one: one.at)
        about, subject = ("deployment", first.deployment) if isinstance(first, Attempted) else ("stack", first.name)
        case = replace(case, about=about, subject=subject, region=first.place.region)
    return replace(case, alarms=_alarms(scene, case))


def _told(one: Attempted | Broken) -> str:
    """What `why` says of a failure that it does not look into, and the argument by which it would."""
    if isinstance(one, Attempted):
        return f"deployment {one.deployment} in {one.place.region} ended {one.status.lower()}: DEPLOYMENT={one.deployment}"
    return f"the stack {one.name} in {one.place.region} is {one.status}: STACK={one.name}"


def _beside(failure: Failure, newest: float) -> bool:
    """Whether something that failed later belongs to an execution's failure: CodeDeploy's own way back, say."""
    return newest - failure.at <= TOGETHER_SECONDS


def _execution_named(scene: Scene, overview: Overview | None, identity: str, now: float) -> Case:
    if overview is None or scene.home is None:
        raise WrongUse(f"EXECUTION={identity}: there is no pipeline that could be read", "", "make status shows the pipeline's stack")
    failure = executions.named(scene.home.calls, overview, identity)
    if failure is None:
        newest = ", ".join(f"{one.id} ({one.status})" for one in overview.executions[:5]) or "none yet"
        raise WrongUse(f"EXECUTION={identity}: {overview.name} has no such execution", f"newest first: {newest}", "name one of these, or its beginning")
    case = _of_execution(scene, overview, failure, now)
    return replace(case, alarms=_alarms(scene, case))


def _deployment_named(scene: Scene, overview: Overview | None, identity: str, now: float) -> Case:
    refused = False
    for place in _everywhere(scene, overview):
        try:
            place.calls.client("codedeploy", place.region).get_deployment(deploymentId=identity)
        except ClientError as error:
            if error_code(error) in ("DeploymentDoesNotExistException", "InvalidDeploymentIdException"):
                continue
            place.calls.refused(f"deployment {identity} in {place.region}", error)
            refused = True
            continue
        read = _read_deployment(place.calls, place.region, identity, scene)()
        case = replace(_empty(scene, now), about="deployment", subject=identity, region=place.region, deployments=(read,) if read else ())
        return replace(case, alarms=_alarms(scene, case))
    if refused:
        return replace(_empty(scene, now), about="deployment", subject=identity)
    looked = ", ".join(dict.fromkeys(place.region for place in _everywhere(scene, overview))) or "no Region"
    raise WrongUse(f"DEPLOYMENT={identity}: there is no such deployment", f"looked in {looked}", f"make status ENV={scene.environment} lists the newest ones")


def _stack_named(scene: Scene, name: str, now: float) -> Case:
    there = []
    places = {(id(place.calls), place.region): place for place in (*scene.places, *([scene.home] if scene.home else []), *_of_tools(scene))}
    for place in places.values():
        found = place.calls.attempt(f"the stack {name} in {place.region}", lambda p=place: stacks.find(p.calls.client("cloudformation", p.region), name), None)  # type: ignore[misc]
        if found is not None and (place.region, found.id) not in there:
            there.append((place.region, found.id))
            operation = _read_stack(place.calls, place.region, name)()
            if operation is not None:
                case = replace(_empty(scene, now), about="stack", subject=name, region=place.region, stacks=(operation,))
                return replace(case, alarms=_alarms(scene, case))
    if there:
        return replace(_empty(scene, now), subject=name, region=there[0][0], running=f"the newest operation of {name} did not fail")
    if any(one.what.startswith(f"the stack {name} ") for place in scene.places[:1] for one in place.calls.unreadable):
        return replace(_empty(scene, now), about="stack", subject=name)
    looked = ", ".join(dict.fromkeys(place.region for place in scene.places))
    raise WrongUse(f"STACK={name}: there is no such stack", f"looked in {looked}", f"make status ENV={scene.environment} lists them")


def _healthy(scene: Scene, overview: Overview | None, now: float) -> Case:
    case = _empty(scene, now)
    if overview is None or scene.home is None or not overview.executions:
        return case
    going = next((one for one in overview.executions if one.status in executions.UNDER_WAY), None)
    if going is None:
        return replace(case, execution=overview.executions[0])
    inside = executions.look_into(scene.home.calls, overview, going)
    return replace(case, execution=going, actions=tuple(one for one in inside.actions if one.status == "InProgress"))


@dataclass(frozen=True)
class Wanted:
    """A deployment that may be read, and what is said of it where it is not."""

    region: str
    read: Callable[[], Deployment | None]
    told: str


def _of_groups(scene: Scene, near: Sequence[Attempted]) -> list[Wanted]:
    return [Wanted(one.place.region, _read_deployment(one.place.calls, one.place.region, one.deployment, scene), _told(one)) for one in near]


def _with_deployments(case: Case, scene: Scene, wanted: Sequence[Wanted]) -> Case:
    """The case with the first of these deployments, and with those after it that there is room for; `also` names the others."""
    calls = next((place.calls for place in scene.places), scene.home.calls if scene.home else None)
    found: list[Deployment | None] = []
    also: list[str] = []
    regions: set[str] = set()
    for one in wanted:
        known = one.region in regions
        needs = (_IN_A_REGION_READ if known else _A_DEPLOYMENT) + _ALARMS * len({*regions, one.region}) + _AFTER
        if found and (len(found) >= MOST_DEPLOYMENTS or (calls is not None and calls.count + needs > MOST_CALLS)):
            also.append(one.told)
            continue
        regions.add(one.region)
        found.append(one.read())
    return replace(case, deployments=(*case.deployments, *(one for one in found if one is not None)), also=(*case.also, *also))


def _of_execution(scene: Scene, overview: Overview | None, failure: Failure, now: float, near: Sequence[Attempted] = ()) -> Case:
    """A case about an execution, with the builds of its failed actions, and as there is room: a deployment of theirs, then what failed near them by itself, the
    newest first, then the rest of theirs."""
    bad = [action for action in failure.actions if action.status in ("Failed", "Abandoned") and action.external]
    deployments = [action for action in bad if action.provider == "CodeDeploy" and action.external.startswith("d-")]
    # A build's id is <project>:<uuid>; an action that could not begin one has none.
    builds = [action for action in bad if action.provider == "CodeBuild" and ":" in action.external]
    # Where another deployment failed, this one's group is known when that one is read.
    deployments.sort(key=lambda action: (bool(near) and action.region != near[0].place.region, action.ended or action.started))
    own = [Wanted(action.region, _of_action(scene, action),
                  f"deployment {action.external} in {action.region} ended failed: DEPLOYMENT={action.external}") for action in deployments]
    built = _together([_build_of(scene, action) for action in builds[:MOST_BUILDS]])
    found = next((action for action in failure.actions if action.status == "Failed"), None)
    source = overview is not None and found is not None and found.provider == "CodeStarSourceConnection"
    case = replace(
        _empty(scene, now), about="execution", subject=failure.execution.id, region=found.region if found else overview.region if overview else "",
        execution=failure.execution, actions=failure.actions,
        builds=tuple(one for one in built if one is not None),
        connection=holds.connection(scene.home.calls, overview) if source and scene.home and overview else None,
        release=_release(scene, failure.execution.commit),
    )
    case = _with_deployments(case, scene, [*own[:1], *_of_groups(scene, near), *own[1:]])
    mine = {action.external for action in deployments}
    return replace(case, deployments=tuple(
        replace(one, commit=one.commit or failure.execution.commit) if one.id in mine else one for one in case.deployments))


def _release(scene: Scene, commit: str) -> Mapping[str, Any] | None:
    table = scene.home.stack.outputs.get("LedgerTableName", "") if scene.home and scene.home.stack else ""
    return holds.release(scene.home.calls, scene.home.region, table, commit) if scene.home and table and commit else None


def _empty(scene: Scene, now: float) -> Case:
    return Case(scene.environment, scene.service, "nothing", now, region=scene.places[0].region if scene.places else "")


def _with_holds(scene: Scene, overview: Overview | None, case: Case) -> Case:
    """What keeps releases from going on; and the stage conditions that failed in this very execution."""
    shut = holds.doors(overview, scene.asked) if overview else []
    record: Mapping[str, Any] | None = None
    log: tuple[Mapping[str, Any], ...] = ()
    name = scene.asked or next((action.environment for action in case.actions if action.environment), "")
    table = scene.home.stack.outputs.get("LedgerTableName", "") if scene.home and scene.home.stack else ""
    if name and table and scene.home:
        record, log = holds.ledger(scene.home.calls, scene.home.region, table, name)
    found: list[Hold] = list(holds.together(shut, holds.of_record(name, record) if record else []))
    if overview and case.execution:
        for stage in overview.stages:
            for one in stage.conditions if stage.execution == case.execution.id else ():
                if one.status in ("Failed", "Errored"):
                    told = "; ".join(f"{rule}: {status}: {words}".rstrip(": ") for rule, status, words in one.rules if status in ("Failed", "Errored"))
                    found.append(Hold("condition", stage.name, f"{one.kind} condition {one.status.lower()}: {told or one.summary}".rstrip(": ")))
    connection: Connection | None = case.connection
    if connection is None and overview and scene.home and not overview.executions:
        connection = holds.connection(scene.home.calls, overview)
    return replace(case, holds=tuple(found), ledger=record, log=log, connection=connection)


def _under_way(overview: Overview | None, environment: str, case: Case) -> str:
    """What goes on now, in a sentence; "" for nothing."""
    going = [one for one in overview.executions if one.status in executions.UNDER_WAY] if overview else []
    told = []
    for one in going[:3]:
        inside = [stage.name for stage in overview.stages if stage.execution == one.id and stage.status in executions.UNDER_WAY] if overview else []
        before = [stage.name for stage in overview.stages if one.id in stage.waiting] if overview else []
        actions = [action for action in case.actions if action.status == "InProgress"] if case.execution and case.execution.id == one.id else []
        doing = ", ".join(f"{action.stage}/{action.name}" + (f" ({action.message})" if action.message else "") for action in actions)
        where = doing or (f"in {', '.join(inside)}" if inside else f"waiting to enter {before[-1]}" if before else "")
        told.append(f"execution {one.id}{' of ' + one.commit[:12] if one.commit else ''} is under way{': ' if doing else ' ' if where else ''}{where}")
    return "; ".join(told)


# The readers of the other services


def _of_action(scene: Scene, action: Action) -> Callable[[], Deployment | None]:
    calls = scene.calls_in(action.environment)
    return (lambda: None) if calls is None else _read_deployment(calls, action.region, action.external, scene)


def _read_deployment(calls: Calls, region: str, identity: str, scene: Scene) -> Callable[[], Deployment | None]:
    def read() -> Deployment | None:
        from scripts.diagnosis import deployments

        found = calls.attempt(f"deployment {identity} in {region}", lambda: deployments.read(calls, region, identity), None)
        if found is None:
            return None
        scope = next((scope for place in scene.places for scope, _, group in place.groups if place.region == region and group == found.group), found.scope)
        return replace(found, scope=scope)

    return read


def _build_of(scene: Scene, action: Action) -> Callable[[], Build | None]:
    def read() -> Build | None:
        from scripts.diagnosis import builds

        calls = scene.home.calls if scene.home else None
        return calls.attempt(f"build {action.external}", lambda: builds.read(calls, action.region, action.external), None) if calls else None

    return read


def _read_stack(calls: Calls, region: str, name: str) -> Callable[[], Stack | None]:
    def read() -> Stack | None:
        from scripts.diagnosis import stacks as operations

        return calls.attempt(f"the events of stack {name} in {region}", lambda: operations.read(calls, region, name), None)

    return read


def _alarms(scene: Scene, case: Case) -> tuple[Alarm, ...]:
    """The alarms that the case speaks of: those of its deployments' groups, those that Enter or Gate named, and triggers of a stack."""
    wanted: dict[tuple[str, str], list[str]] = {}
    begun: list[float] = []
    for deployment in case.deployments:
        begun.append(deployment.started or deployment.created)
        if deployment.settings and deployment.settings.alarms:
            wanted.setdefault((_environment(scene, case, deployment), deployment.region), []).extend(deployment.settings.alarms)
    for action in case.actions:
        if action.provider == "Lambda" and action.status == "Failed":
            begun.append(action.started)
            for name, region in _ALARM.findall(action.message):
                wanted.setdefault((action.environment, region), []).append(name)
    bad = (case.release or {}).get("bad")
    if isinstance(bad, Mapping) and (found := _WATCHED.match(str(bad.get("reason", "")))):
        begun.append(float(bad.get("at") or case.now))
        wanted.setdefault((str(bad.get("where", "")).partition(":")[0], found[2]), []).append(found[1])
    for stack in case.stacks:
        # Where a resource failed, no alarm took the stack back.
        if stack.triggers and all(event.logical_id == stack.name for event in stack.failures[:1]):
            begun.append(stack.began or case.now)
            place = next((one for one in scene.places if (one.stack_name, one.region) == (stack.name, stack.region)), None)
            environment = place.environment if place else scene.environment
            wanted.setdefault((environment, stack.region), []).extend(stack.triggers)
    if not wanted:
        return ()
    histories = _histories(scene, len(wanted))
    since, until = min(begun) - AROUND_SECONDS, min(case.now, (_ended(case) or case.now) + AROUND_SECONDS)

    def of(environment: str, region: str, names: Sequence[str]) -> Callable[[], tuple[Alarm, ...]]:
        def read() -> tuple[Alarm, ...]:
            from scripts.diagnosis import alarms

            calls = scene.calls_in(environment)
            nothing: tuple[Alarm, ...] = ()
            if calls is None:
                return nothing
            return calls.attempt(f"alarms in {region}", lambda: alarms.read(calls, region, tuple(dict.fromkeys(names)), since, until, histories), nothing)

        return read

    return tuple(alarm for found in _together([of(*where, names) for where, names in wanted.items()]) for alarm in found)


def _histories(scene: Scene, regions: int) -> int:
    """How many alarms' histories there is room for in each of so many Regions: one always, and not more than tell something new."""
    from scripts.diagnosis import alarms

    calls = next((place.calls for place in scene.places), None)
    room = (MOST_CALLS - calls.count - _AFTER) // regions - (_ALARMS - 1) if calls else 1
    return max(1, min(alarms.MOST_HISTORIES, room))


def _environment(scene: Scene, case: Case, deployment: Deployment) -> str:
    """The environment that a deployment is of."""
    by_action = next((action.environment for action in case.actions if action.external == deployment.id), "")
    by_group = next((place.environment for place in scene.places for _, _, group in place.groups
                     if place.region == deployment.region and group == deployment.group), "")
    return by_action or by_group or scene.environment


def _ended(case: Case) -> float | None:
    ends = [*(one.ended for one in case.deployments), *(one.ended for one in case.actions)]
    return max((at for at in ends if at is not None), default=None)


# What failed outside of the pipeline


def _attempts_of(place: Place, since: float) -> Callable[[], list[Attempted]]:
    """The last deployment of each group of a place that ended badly, taken back by CodeDeploy since or not: two calls for all of a place's groups.

    One that ended well and began before `since` is not asked what it was.
    """

    def read() -> list[Attempted]:
        if not place.groups:
            return []
        client = place.calls.client("codedeploy", place.region)
        names = [group for _, _, group in place.groups]

        def ask() -> list[Mapping[str, Any]]:
            try:
                answer = client.batch_get_deployment_groups(applicationName=place.groups[0][1], deploymentGroupNames=names)
                return list(answer["deploymentGroupsInfo"])
            except ClientError as error:
                if error_code(error) in ("ApplicationDoesNotExistException", "DeploymentGroupDoesNotExistException"):
                    return []  # gone: `make status` and the next deployment say so
                raise

        nothing: list[Mapping[str, Any]] = []
        what = f"deployment groups of {place.environment} in {place.region}"
        last = [info["lastAttemptedDeployment"] for info in place.calls.attempt(what, ask, nothing) if info.get("lastAttemptedDeployment")]
        bad = [one for one in last if one.get("status") in ("Failed", "Stopped")]
        found = [Attempted(place, one["deploymentId"], one["status"], _epoch(one.get("endTime") or one.get("createTime"))) for one in bad]
        others = [one["deploymentId"] for one in last if one not in bad and _epoch(one.get("createTime")) >= since]
        if not others:
            return found
        # A group whose last deployment is CodeDeploy's own way back has one before it that failed.
        infos = place.calls.attempt(what, lambda: list(client.batch_get_deployments(deploymentIds=others)["deploymentsInfo"]), nothing)
        for info in infos:
            triggered = (info.get("rollbackInfo") or {}).get("rollbackTriggeringDeploymentId")
            if info.get("creator") == "codeDeployRollback" and triggered:
                found.append(Attempted(place, triggered, "Failed", _epoch(info.get("createTime"))))
        return found

    return read


def _epoch(moment: Any) -> float:
    return float(moment.timestamp()) if moment else 0.0


def _broken_of(place: Place, shared: Sequence[str]) -> Callable[[], list[Broken]]:
    """The root stacks of a place whose newest operation failed."""

    def read() -> list[Broken]:
        found = [] if place.stack is None else [place.stack]
        for name in shared:
            stack = place.calls.attempt(
                f"the stack {name} in {place.region}", lambda n=name: stacks.find(place.calls.client("cloudformation", place.region), n), None)  # type: ignore[misc]
            found += [stack] if stack else []
        return [Broken(place, stack.name, stack.status, stack.changed.timestamp() if stack.changed else 0.0)
                for stack in found if _FAILED.search(stack.status) or stack.status == "REVIEW_IN_PROGRESS"]

    return read


def _everywhere(scene: Scene, overview: Overview | None) -> tuple[Place, ...]:
    """The scene's places, and where else the pipeline deploys: a deployment's id does not say its Region."""
    found = [place for place in scene.places if place.groups]
    known = {(place.environment, place.region) for place in found}
    for (region, _), environment in (overview.places if overview else {}).items():
        calls = scene.calls_in(environment)
        if (environment, region) not in known and calls is not None:
            known.add((environment, region))
            found.append(Place(environment, region, calls, ""))
    return tuple(found)


def _of_tools(scene: Scene) -> tuple[Place, ...]:
    """The scene's Regions in the account where environments share stacks: the pipeline's, or without one their own."""
    found = {place.region: Place(place.environment, place.region, scene.home.calls if scene.home else place.calls, "") for place in scene.places}
    return tuple(found.values())


def _together(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """Jobs side by side, their answers in order."""
    if len(jobs) < 2:
        return [job() for job in jobs]
    with ThreadPoolExecutor(max_workers=min(AT_ONCE, len(jobs))) as pool:
        return list(pool.map(lambda job: job(), jobs))
