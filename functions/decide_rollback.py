"""The way back, decided: who is bad, where to go back to, and the one next step of each deployment group. Pure: no calls, no clock.

Nothing here remembers. What was tried is read from CodeDeploy's own deployments, what is wanted from the ledger's record, so every run may be the first,
the second at the same time, or the one after a kill.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from configuration import Window
from model import Action, Block, Deployment, Environment, Execution, Firing, Group, Location, Release, Rollback

TRIES = ("third", "half", "all")
FAILURES_TO_PAGE = 3
PAUSE_SECONDS = 60
LONGEST_PAUSE_SECONDS = 300
STOP_WORD = "Handsoff:"
"""How the reason begins with which a rollback stops executions."""
STOPPED = ("Stopped", "Cancelled")


# Who is bad


@dataclass(frozen=True)
class View:
    """An execution with its action executions, newest first."""

    execution: Execution
    actions: tuple[Action, ...]


@dataclass(frozen=True)
class Verdict:
    """What is to be made of an execution that went wrong in an environment's stages.

    `kind`: *bad*: its release is taken back; *repair*: it is the last good release, so what it left half done is put right, without a mark;
    *told*: it changed nothing there, and is only told; *collateral*: a rollback ended it, which says all there is to say.
    """

    kind: str
    key: str
    commit: str
    reason: str
    where: str


def judge(record: Environment, view: View, stages: Sequence[str], groups: Sequence[Group], bad: Collection[str], strict: bool) -> Verdict | None:
    """Judge an execution for the environment whose stages these are; None: nothing went wrong there, or it was dealt with.

    `bad` are the releases marked bad. `strict`: the environment is blocked by a rollback, so what failed during or after one failed because of it.
    """
    execution = view.execution
    if execution.commit is None or execution.status in ("Succeeded", "Superseded"):
        return None
    latest = newest_of_each(view.actions, stages)
    failed = max((a for a in latest if a.status in ("Failed", "Abandoned")), key=lambda a: a.updated, default=None)
    if failed is not None:
        key, at, where = f"{execution.id}/{failed.id}", failed.updated, f"{failed.stage}/{failed.name}"
        was = "was abandoned" if failed.status == "Abandoned" else "failed"
        reason = f"{where} {was}: {failed.message or execution.stop_reason or 'CodePipeline gives no reason'}"
    elif execution.status in STOPPED and latest and not _finished(latest, stages[-1]):
        key, at, where = f"{execution.id}/{execution.status}@{int(execution.updated)}", execution.updated, latest[0].stage
        reason = f"the execution was stopped in or after {where}: {execution.stop_reason or 'no reason given'}"
    else:
        return None
    on_hosts = any(d.commit == execution.commit for group in groups for d in deployments_of(group))
    overcome = at <= (record.last_good_at or 0) and not on_hosts
    if key in record.judged or at < (record.since or 0) or overcome:
        return None
    verdict = Verdict("bad", key, execution.commit, reason, where)
    ours = record.rollback is not None and record.rollback.bad == execution.commit
    if ours or execution.stop_reason.startswith(STOP_WORD):
        return replace(verdict, kind="collateral")
    if execution.commit in bad:
        return replace(verdict, kind="told")  # what runs of it is taken back wherever it is seen
    if strict and going_back(record):
        return replace(verdict, kind="collateral")
    if not touched(view, stages) and not on_hosts:
        return replace(verdict, kind="told")
    return replace(verdict, kind="repair") if execution.commit == record.last_good else verdict


def alarmed(record: Environment, views: Sequence[View], stages: Sequence[str], groups: Sequence[Group], firing: Mapping[str, Sequence[Firing]],
            bad: Collection[str]) -> Verdict | None:
    """A release under which a composite fires (`firing` by Region) while neither a gate nor CodeDeploy watches there: between stages, or in earlier waves.

    Only with something to go back to, and not for a release that was let in in spite of alarms.
    """
    if record.last_good is None or going_back(record):
        return None
    for view in views:
        commit = view.execution.commit
        overridden = record.override is not None and commit == record.override.commit
        watched = any(a.name == "Gate" and a.status == "InProgress" for a in view.actions)
        if commit is None or view.execution.status != "InProgress" or commit in bad or commit == record.last_good or overridden or watched:
            continue
        for group in groups:
            last = group.last_attempted
            if group.in_flight or last is None or last.commit != commit or not touched(view, stages):
                continue
            alarm = next((a for a in firing.get(group.region, ()) if a.composite and a.since >= last.created), None)
            key = f"{view.execution.id}/{alarm.name if alarm else ''}@{int(alarm.since) if alarm else 0}"
            if alarm is not None and key not in record.judged:
                return Verdict("bad", key, commit, f"alarm {alarm.name} fires in {group.region} where {commit[:12]} was deployed", group.place)
    return None


def newest_of_each(actions: Sequence[Action], stages: Collection[str]) -> list[Action]:
    """The newest execution of each action of these stages, newest first: an older one was retried."""
    found: dict[tuple[str, str], Action] = {}
    for action in sorted(actions, key=lambda a: -a.started):
        if action.stage in stages:
            found.setdefault((action.stage, action.name), action)
    return list(found.values())


def touched(view: View, stages: Collection[str]) -> bool:
    """Whether the execution began a deployment in these stages."""
    return any(a.stage in stages and a.provider == "CodeDeploy" and a.external for a in view.actions)


def going_back(record: Environment) -> bool:
    """Whether a rollback is going on, or has blocked the environment."""
    return record.rollback is not None or (record.blocked is not None and record.blocked.rollback is not None)


def _finished(latest: Sequence[Action], final: str) -> bool:
    """Whether the final stage's actions are through: its gate is the last to succeed."""
    gates = [a for a in latest if a.stage == final and a.provider == "Lambda" and a.name == "Gate"]
    return bool(gates) and gates[0].status == "Succeeded"


def deployments_of(group: Group) -> tuple[Deployment, ...]:
    """What a group's hosts run or are getting: deployments in flight, and the last attempted."""
    return group.in_flight if group.last_attempted is None else (*group.in_flight, group.last_attempted)


@dataclass(frozen=True)
class Stray:
    """A deployment that must not be: of a release marked bad, or, in an environment that a rollback has blocked, of any but the desired one."""

    group: Group
    deployment: Deployment
    marked: bool


def strays(record: Environment, groups: Sequence[Group], bad: Collection[str], strict: bool) -> list[Stray]:
    """Deployments in flight, or last attempted, that must not be."""
    held = strict and record.desired is not None and going_back(record)
    found = []
    for group in groups:
        for deployment in deployments_of(group):
            if deployment.commit in bad:
                found.append(Stray(group, deployment, True))
            elif held and (deployment.commit != record.desired or not (deployment.in_flight or deployment.status == "Succeeded")):
                found.append(Stray(group, deployment, False))
    return found


# Where to


def target(record: Environment, bad: Collection[str]) -> str | None:
    """The newest release that was last good and is not marked bad."""
    return next((good for good in (record.last_good, *record.goods) if good is not None and good not in bad), None)


def cleaned(record: Environment, marked: Collection[str]) -> Environment:
    """The record without releases marked bad, wherever that happened: none of them is last good, overridden, or (outside of a rollback) desired."""
    goods = tuple(good for good in record.goods if good not in marked)
    last_good = next(iter(goods), None) if record.last_good in marked else record.last_good
    desired = last_good if record.desired in marked and record.rollback is None else record.desired
    override = None if record.override is not None and record.override.commit in marked else record.override
    return replace(record, goods=goods, last_good=last_good, desired=desired, override=override)


def begun(record: Environment, *, bad: str | None, to: str | None, reason: str, by: str, at: float, blocks: bool, marked: Collection[str],
          judged: str | None = None, alarm: str | None = None) -> Environment:
    """The record with a rollback begun; with one to the same release that is going on, that one goes on.

    `marked` are all releases marked bad: none of them stays last good, or overridden.
    """
    changed = cleaned(record, marked)
    if judged and judged not in record.judged:
        changed = replace(changed, judged=(judged, *record.judged))
    if record.rollback is not None and record.rollback.to == to:
        return changed
    rollback = Rollback(id=f"{int(at)}-{(bad or to or 'none')[:7]}", bad=bad, to=to, reason=reason, by=by, began=int(at), alarm=alarm)
    if record.rollback is not None and record.rollback.id == rollback.id:
        rollback = replace(rollback, id=f"{int(at)}-{(to or 'none')[:7]}-again")
    changed = replace(changed, rollback=rollback, desired=to if to is not None else record.desired)
    if blocks:
        frozen = record.blocked
        before = f" (it was frozen by {frozen.by}: {frozen.reason})" if frozen is not None and frozen.rollback is None else ""
        changed = replace(changed, blocked=Block(reason + before, by, int(at), rollback.id))
    return changed


def ended(record: Environment, rollback_id: str) -> Environment | None:
    """The record with the rollback done; None if another is going on. What it paged stays known: a run beside this one is about to page the same."""
    if record.rollback is None or record.rollback.id != rollback_id:
        return None
    return replace(record, rollback=None, paged={**record.paged, **record.rollback.paged})


# The next step of a group


@dataclass(frozen=True)
class Conforms:
    """Every host that the group's last deployment could reach runs the desired release; `note` says what is special."""

    group: Group
    note: str = ""


@dataclass(frozen=True)
class Wait:
    """Something is under way, or it is too early."""

    group: Group
    why: str


@dataclass(frozen=True)
class Stop:
    """A deployment of another release is in flight."""

    group: Group
    deployment: Deployment


@dataclass(frozen=True)
class Create:
    """Deploy the desired release. `failures` is how many of this rollback's deployments failed here; `loud`: page it."""

    group: Group
    location: Location
    configuration: str
    description: str
    failures: int
    loud: bool


@dataclass(frozen=True)
class Stuck:
    """The group cannot be brought back by itself; the text says why and what to do."""

    group: Group
    why: str


Step = Conforms | Wait | Stop | Create | Stuck


def step(group: Group, rollback: Rollback, release: Release, carried: Collection[str], now: float) -> Step:
    """The one next step of a group under a rollback to `release`.

    `carried` are releases that the pipeline may go on with all the same, where rollbacks do not block (gamma): a newer one on its way is left alone.
    """
    mine = f"handsoff rollback {rollback.id} "
    on_its_way = [d for d in group.in_flight if d.commit == rollback.to or (d.commit is None and d.description.startswith(mine))]
    for deployment in group.in_flight:
        if deployment in on_its_way or deployment.commit in carried:
            continue
        # A host that Auto Scaling launches gets the group's last successful revision until the way back has succeeded, bad or not.
        # Stopped, it is only launched again, so beside the way back it comes up, and CodeDeploy brings it what went out meanwhile.
        if deployment.whole or not any(d.whole for d in on_its_way):
            return Stop(group, deployment)
    if group.in_flight:
        carrying = group.in_flight[0]
        if carrying.commit in carried and carrying.commit != rollback.to:
            return Conforms(group, f"the pipeline brings {str(carrying.commit)[:12]}")
        return Wait(group, f"deployment {carrying.id} is in flight")
    last = group.last_attempted
    if last is None:
        return Conforms(group, "no deployment yet, so nothing to take back")
    if last.status == "Succeeded" and last.commit == rollback.to:
        return Conforms(group)
    if last.status == "Succeeded" and last.commit in carried:
        return Conforms(group, f"the pipeline brought {str(last.commit)[:12]}")
    location = revision(release, group)
    if location is None:
        return Stuck(group, f"no bundle of {release.commit[:12]} is known in {group.region}")
    failures = [attempt for attempt in group.attempts if attempt.status == "Failed"]
    chosen = next_try(group.attempts, last.hosts)
    if failures and group.attempts[0].status == "Failed" and not _moves_on(group.attempts):
        pause = min(PAUSE_SECONDS * _failures_of(group.attempts, chosen), LONGEST_PAUSE_SECONDS)
        if now < (group.attempts[0].ended or group.attempts[0].created) + pause:
            return Wait(group, f"the next try is due {pause} s after the last failed")
    loud = sum(1 for a in failures if _try(a) == TRIES[-1] or not _constrained(a)) >= FAILURES_TO_PAGE
    return Create(group, location, group.configurations[TRIES.index(chosen)], mine + chosen, len(failures), loud)


def revision(release: Release, group: Group) -> Location | None:
    """The release's bundle for a group: its own, else another scope's there, else another environment's in the same Region (all are of one store)."""
    if group.place in release.revisions:
        return release.revisions[group.place]
    same = sorted(place for place in release.revisions if place.split("/")[1] == group.region)
    return next((release.revisions[p] for p in sorted(same, key=lambda p: p.split("/")[0] != group.environment)), None)


def next_try(attempts: Sequence[Deployment], hosts: int = 0) -> str:
    """Which configuration comes next after a rollback's own deployments (newest first): a third at a time, a half, all.

    One that leaves none of the group's `hosts` to deploy to, because CodeDeploy rounds the healthy minimum up, is left out (0: not known).
    """
    if not attempts or attempts[0].status == "Succeeded":
        chosen = 0
    else:
        current = TRIES.index(_try(attempts[0]))
        chosen = min(current + 1, len(TRIES) - 1) if _moves_on(attempts) else current
    workable = {0: 0, 1: 2, 2: 1}.get(hosts, 0)
    return TRIES[max(chosen, workable)]


def _moves_on(attempts: Sequence[Deployment]) -> bool:
    """Whether the newest attempt's failure calls for a bolder configuration: too many hosts are out for this one, or it has failed often."""
    newest = attempts[0]
    if newest.status != "Failed" or _try(newest) == TRIES[-1]:
        return False
    return _constrained(newest) or _failures_of(attempts, _try(newest)) >= FAILURES_TO_PAGE


def _failures_of(attempts: Sequence[Deployment], name: str) -> int:
    return sum(1 for attempt in attempts if attempt.status == "Failed" and _try(attempt) == name)


def _constrained(attempt: Deployment) -> bool:
    return (attempt.error or "").startswith("HEALTH_CONSTRAINTS")


def _try(attempt: Deployment) -> str:
    word = attempt.description.rpartition(" ")[2]
    return word if word in TRIES else TRIES[0]


# Executions, the door, a person's choice


def to_stop(views: Sequence[View], stages: Collection[str], bad: Collection[str], to: str | None, strict: bool) -> list[Execution]:
    """Executions that go on in the environment and must not: those of bad releases; where a rollback blocks, all whose deployments are taken back."""
    found = []
    for view in views:
        execution = view.execution
        inside = any(action.stage in stages for action in view.actions)
        if execution.status == "InProgress" and inside and (execution.commit in bad or (strict and execution.commit != to and touched(view, stages))):
            found.append(execution)
    return found


def carried(views: Sequence[View], stages: Collection[str], bad: Collection[str], strict: bool) -> frozenset[str]:
    """Releases that executions are bringing into an environment whose rollbacks do not block it."""
    if strict:
        return frozenset()
    inside = (view.execution for view in views if view.execution.status == "InProgress" and any(action.stage in stages for action in view.actions))
    return frozenset(execution.commit for execution in inside if execution.commit is not None and execution.commit not in bad)


def closed(record: Environment, window: Window, now: float, under_way: Sequence[str] = ()) -> str | None:
    """Why the door of an environment is shut, or None if it is open. An override opens it in spite of window and freeze; Enter lets only its release in.

    `under_way` are the environment's stages with an execution in them. One release at a time: the gates of the first would find the second on hosts that
    they vouch for.
    """
    blocked = record.blocked
    if record.rollback is not None:
        return f"A rollback of {record.name} is going on - {record.rollback.reason}"
    if blocked is not None and blocked.rollback is not None:
        return f"{record.name} is blocked by a rollback - {blocked.reason}"
    if under_way:
        return f"One release at a time - another is in {under_way[-1]}"
    if record.override is not None:
        return None
    if blocked is not None:
        return f"{record.name} is frozen by {blocked.by} - {blocked.reason}"
    return None if window.open_at(now) else f"Outside of the deployment window - {window}"


def closed_meanwhile(record: Environment) -> str | None:
    """Why the door of an environment whose rollbacks do not block it is shut: a release that came while it goes back would find its groups busy, and fail."""
    return f"A rollback of {record.name} is going on - {record.rollback.reason}" if record.rollback is not None else None


def chosen(record: Environment, wanted: str | None, release: Release | None, final_stage: str, force: bool, groups: Sequence[Group],
           bad: Collection[str]) -> tuple[str | None, str]:
    """Where a person's rollback goes: (release, "") or (None, what is wrong). `release` is the ledger's record of the wanted one."""
    running = {deployment.commit for group in groups for deployment in deployments_of(group)}
    if wanted is None:
        good = target(record, bad)
        if good is not None and running - {good} == set():
            if going_back(record):
                return None, f"{record.name} was rolled back to {good} already; name the release (TO=…) to go further back"
            good = next((g for g in record.goods if g != good and g not in bad), None)
        if good is None:
            return None, f"there is no release to go back to: none has baked in {record.name} before what runs; deploy a new commit instead"
        return good, ""
    if release is None or release.version == 0:
        return None, f"{wanted} is not in the ledger; name the whole commit of a release that passed a stage"
    if release.bad is not None:
        return None, f"{wanted} is marked bad ({release.bad.reason}) and is never deployed again"
    if final_stage not in release.passed and wanted not in record.goods:
        if not force:
            return None, f"{wanted} never baked in {record.name} (it passed {_list(release.passed)}); FORCE=1 takes one that passed only earlier stages"
        if not release.passed:
            return None, f"{wanted} passed no stage's gate, so it cannot be forced either"
    if running == {wanted} and all(_settled(group) for group in groups):
        return None, f"every group of {record.name} runs {wanted} already"
    return wanted, ""


def _settled(group: Group) -> bool:
    return not group.in_flight and (group.last_attempted is None or group.last_attempted.status == "Succeeded")


def _list(names: Collection[str]) -> str:
    return ", ".join(names) or "no stage"
