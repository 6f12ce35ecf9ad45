"""The rollback reconciler: look, judge, and take the next step, once. Every run may be cut off anywhere and begun again, also twice at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import messages
from configuration import Configuration, Place
from decide_rollback import (
    STOP_WORD,
    Conforms,
    Create,
    Step,
    Stop,
    Stuck,
    Verdict,
    View,
    alarmed,
    begun,
    carried,
    cleaned,
    deployments_of,
    ended,
    going_back,
    judge,
    step,
    strays,
    target,
    to_stop,
)
from ledger import Ledger
from messages import Message
from model import Action, Environment, Execution, Firing, Group, Location, Rollback, Silent
from places import UNANSWERED, BadDocument

TROUBLE = (*UNANSWERED, BadDocument)
ALARMS_NAMED = 5
SILENCE_SECONDS = 600
"""How long a Region may be silent, outside of a rollback, before it is paged."""


class Places(Protocol):
    """What the reconciler needs of the environments' Regions (places.Places). Every call may raise TROUBLE."""

    def groups(self, place: Place, rollback: Rollback | None = None) -> tuple[Group, ...]:
        """The deployment groups of a place."""

    def create(self, place: Place, group: Group, location: Location, configuration: str, description: str) -> str | None:
        """Begin a deployment; None if the group has one in flight."""

    def stop(self, place: Place, deployment_id: str) -> bool:
        """Stop a deployment, without an automatic rollback."""

    def failed_targets(self, place: Place, deployment_id: str) -> tuple[str, ...]:
        """Hosts on which it did not succeed."""

    def revision_in_history(self, place: Place, group: Group, commit: str) -> Location | None:
        """A release's bundle from a group's own deployments."""

    def firing(self, place: Place) -> tuple[Firing, ...]:
        """Alarms in ALARM."""


class Pipeline(Protocol):
    """What the reconciler needs of the pipeline (pipeline.Pipeline). Every call may raise TROUBLE."""

    def executions(self) -> tuple[Execution, ...]:
        """The newest executions."""

    def actions(self, execution: Execution) -> tuple[Action, ...]:
        """An execution's actions."""

    def stop(self, execution_id: str, reason: str) -> bool:
        """Stop an execution."""


Gather = Callable[[Sequence[Callable[[], Any]]], list[Any]]


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Make calls side by side; their answers in order."""
    if not calls:
        return []
    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


@dataclass
class Sight:
    """What one run saw of an environment. `bad` grows as releases are found bad."""

    groups: tuple[Group, ...]
    silent: tuple[Silent, ...]
    views: tuple[View, ...]
    bad: set[str]
    pipeline_answers: bool = True


class Reconciler:
    """One service's. `tell` pages; `say` writes a line to the function's log; `now` is the clock (epoch seconds); `gather` makes calls, side by side."""

    def __init__(self, configuration: Configuration, ledger: Ledger, places: Places, pipeline: Pipeline, tell: Callable[[Message], None],
                 now: Callable[[], float], say: Callable[[str], None] = print, gather: Gather = at_once) -> None:
        self._configuration, self._ledger, self._places, self._pipeline = configuration, ledger, places, pipeline
        self._tell, self._now, self._say, self._gather = tell, now, say, gather

    def run(self, environment: str) -> None:
        """Look at an environment and take the next step. Raises what the ledger raises: without it nothing is known, and nothing done."""
        record = self._ledger.environment(environment)
        if record.version == 0:
            record = self._ledger.update_environment(environment, lambda r: dataclasses.replace(r, since=int(self._now())) if r.version == 0 else None)
        seen = self.look(record)
        self._learn(seen)
        if cleaned(record, seen.bad) != record:  # marked bad by another environment
            record = self._ledger.update_environment(environment, lambda r: cleaned(r, seen.bad))
        record = self._note_silence(record, seen)
        for view in reversed(seen.views):  # the oldest first: a newer one is then judged in the light of it
            verdict = judge(record, view, self._stages(environment), seen.groups, seen.bad, self._blocks(environment))
            if verdict is not None:
                record = self._deal(record, verdict, seen)
        record = self._watch(record, seen)
        record = self._take_up(record, seen)
        if record.rollback is not None:
            self._go_back(record, record.rollback, seen)

    def look(self, record: Environment) -> Sight:
        """What runs, and what the pipeline does. A Region, or the pipeline, that does not answer is left out, and told."""
        places = self._configuration.places_of(record.name)
        groups: list[Group] = []
        silent: list[Silent] = []
        for answer in self._gather([lambda place=place: self._groups(place, record.rollback) for place in places]):  # type: ignore[misc]
            if isinstance(answer, Silent):
                silent.append(answer)
                self._say(f"{answer.environment}/{answer.region} does not answer: {answer.reason}")
            else:
                groups += answer
        answer = self._views()
        views = answer or ()
        commits = {deployment.commit for group in groups for deployment in deployments_of(group)}
        commits |= {view.execution.commit for view in views} | {record.desired, record.last_good, *record.goods}
        bad = {commit for commit in commits if commit is not None and self._ledger.release(commit).bad}
        return Sight(tuple(groups), tuple(silent), views, bad, answer is not None)

    def begin(self, record: Environment, seen: Sight, *, bad: str | None, to: str | None, reason: str, by: str, judged: str | None = None) -> Environment:
        """Write a rollback into the ledger; from then on any run carries it on."""
        alarm = self._alarms(record.name)
        return self._ledger.update_environment(record.name, lambda r: begun(
            r, bad=bad, to=to, reason=reason, by=by, at=self._now(), blocks=self._blocks(record.name), marked=seen.bad, judged=judged, alarm=alarm))

    # Looking

    def from_history(self, group: Group, commit: str) -> Location | None:
        """A release's bundle from a group's own deployments; None where there is none, or they cannot be listed."""
        try:
            return self._places.revision_in_history(self._place(group), group, commit)
        except TROUBLE as error:
            self._say(f"deployments of {group.place} cannot be listed: {error}")
            return None

    def _groups(self, place: Place, rollback: Rollback | None) -> tuple[Group, ...] | Silent:
        try:
            return self._places.groups(place, rollback)
        except TROUBLE as error:
            return Silent(place.environment, place.region, str(error))

    def _views(self) -> tuple[View, ...] | None:
        try:
            return tuple(View(e, () if e.status in ("Succeeded", "Superseded") else self._pipeline.actions(e)) for e in self._pipeline.executions())
        except TROUBLE as error:
            self._say(f"the pipeline does not answer: {error}")
            return None

    def _alarms(self, environment: str) -> str | None:
        names: list[str] = []
        for place in self._configuration.places_of(environment):
            try:
                names += [f"{alarm.name} ({place.region})" for alarm in self._places.firing(place)]
            except TROUBLE as error:
                self._say(f"alarms of {place.environment}/{place.region} do not answer: {error}")
        return ", ".join(names[:ALARMS_NAMED]) or None

    def _learn(self, seen: Sight) -> None:
        """Note the bundles that run: they are what a way back needs."""
        found: dict[str, dict[str, Location]] = {}
        for group in seen.groups:
            for deployment in (group.last_successful, group.last_attempted):
                if deployment is not None and deployment.status == "Succeeded" and deployment.commit and deployment.location:
                    found.setdefault(deployment.commit, {})[group.place] = deployment.location
        for commit, revisions in found.items():
            self._ledger.learn(commit, revisions)

    def _note_silence(self, record: Environment, seen: Sight) -> Environment:
        """Remember since when Regions do not answer, and page one that does not for long: nothing can be taken back there."""
        now = int(self._now())
        quiet = {place.region: record.silent.get(place.region, now) for place in seen.silent}
        if quiet != record.silent:
            record = self._ledger.update_environment(record.name, lambda r: dataclasses.replace(r, silent=quiet))
        for place in seen.silent:
            if now - quiet[place.region] >= SILENCE_SECONDS:
                message = messages.silent(self._configuration.service, place, None)
                self._page(record.name, f"silent/{place.region}/{quiet[place.region]}", message, "page")
        return record

    # Judging

    def _deal(self, record: Environment, verdict: Verdict, seen: Sight) -> Environment:
        """Act on a verdict; it is noted as judged with what makes up its consequence, or after."""
        name, service = record.name, self._configuration.service
        if verdict.kind == "bad":
            self._ledger.mark_bad(verdict.commit, verdict.reason, f"{name}: {verdict.where}", self._now())
            seen.bad.add(verdict.commit)
            if record.rollback is not None:
                self._page(name, f"also/{verdict.key}", messages.also(service, name, verdict), "rollback")
            return self.begin(record, seen, bad=verdict.commit, to=target(record, seen.bad), reason=verdict.reason, by="handsoff", judged=verdict.key)
        if verdict.kind == "repair" and any(d.commit != record.last_good or d.status not in ("Succeeded",) for g in seen.groups for d in deployments_of(g)):
            return self.begin(record, seen, bad=None, to=record.last_good, reason=verdict.reason, by="handsoff", judged=verdict.key)
        if verdict.kind == "collateral":
            self._ledger.log(name, "refused", f"{verdict.reason}; a rollback ended it.", commit=verdict.commit)
        elif not self._page(name, f"told/{verdict.key}", messages.told(service, name, verdict, verdict.commit in seen.bad), "refused"):
            return record
        return self._ledger.update_environment(name, lambda r: dataclasses.replace(r, judged=(verdict.key, *r.judged)) if verdict.key not in r.judged else None)

    def _watch(self, record: Environment, seen: Sight) -> Environment:
        """Take a release back that alarms where nobody else watches."""
        stages = self._stages(record.name)
        candidates = {v.execution.commit for v in seen.views if v.execution.status == "InProgress"} - {record.last_good}
        regions = {g.region for g in seen.groups if g.last_attempted is not None and g.last_attempted.commit in candidates}
        if record.last_good is None or going_back(record) or not regions:
            return record
        firing: dict[str, tuple[Firing, ...]] = {}
        for place in self._configuration.places_of(record.name):
            if place.region in regions:
                try:
                    firing[place.region] = self._places.firing(place)
                except TROUBLE as error:
                    self._say(f"alarms of {place.environment}/{place.region} do not answer: {error}")
        verdict = alarmed(record, seen.views, stages, seen.groups, firing, seen.bad)
        return record if verdict is None else self._deal(record, verdict, seen)

    def _take_up(self, record: Environment, seen: Sight) -> Environment:
        """Begin a rollback for deployments that must not be; with nothing to go back to, at least stop them."""
        found = strays(record, seen.groups, seen.bad, self._blocks(record.name))
        if record.rollback is not None or not found:
            return record
        stray = next((s for s in found if s.marked), found[0])
        commit, what = stray.deployment.commit, f"deployment {stray.deployment.id} in {stray.group.place}"
        to = target(record, seen.bad) if stray.marked else record.desired
        if to in seen.bad:
            to = target(record, seen.bad)
        if to is not None:
            reason = (f"{what} brought {messages.short(commit)}, which is marked bad" if stray.marked else
                      f"{what} ({stray.deployment.status}) brought {messages.short(commit)} while {record.name} was blocked")
            return self.begin(record, seen, bad=commit if stray.marked else None, to=to, reason=reason, by="handsoff")
        for each in found:
            if each.deployment.in_flight:
                self._stop(each.group, each.deployment.id)
                self._page(record.name, f"stopped/{each.deployment.id}", messages.stopped(self._configuration.service, each.group, each.deployment), "stop")
            elif each.deployment.commit is not None:
                message = messages.nothing_runs(self._configuration.service, each.group, each.deployment)
                self._page(record.name, f"nothing/{each.deployment.commit}", message, "rollback")
        # Only those of bad releases, unless a rollback blocks: with nothing to go back to, the next release is the way out.
        self._stop_executions(record, None, seen, self._blocks(record.name) and going_back(record))
        return record

    # Going back

    def _go_back(self, record: Environment, rollback: Rollback, seen: Sight) -> None:
        name, service, blocks = record.name, self._configuration.service, self._blocks(record.name)
        if rollback.to is not None and rollback.to in seen.bad:
            record = self.begin(record, seen, bad=rollback.bad, to=target(record, seen.bad),
                                reason=f"{messages.short(rollback.to)}, where it went back to, is marked bad; before: {rollback.reason}", by=rollback.by)
            rollback = record.rollback or rollback
            seen = self.look(record)
        if rollback.to is None:
            told = self._page(name, f"nothing/{rollback.bad}", messages.nothing(service, record, rollback, blocks), "rollback")
            self._stop_executions(record, None, seen, blocks)
            for stray in strays(record, seen.groups, seen.bad, blocks):
                if stray.deployment.in_flight:
                    self._stop(stray.group, stray.deployment.id)
            if told:
                self._ledger.update_environment(name, lambda r: ended(r, rollback.id))
            return
        beginning = messages.began(service, record, rollback, seen.groups, blocks)
        told = self._page(name, f"{rollback.id}/began", beginning, "rollback", bad=rollback.bad, to=rollback.to)
        self._stop_executions(record, rollback.to, seen, blocks)
        steps = self._steps(record, rollback, rollback.to, seen)
        for place in seen.silent:
            self._page(name, f"{rollback.id}/silent/{place.region}", messages.silent(service, place, rollback), "page")
        conforming = [s for s in steps if isinstance(s, Conforms)]
        if told and not seen.silent and steps and len(conforming) == len(steps):
            self._finish(record, rollback, conforming, blocks)

    def _steps(self, record: Environment, rollback: Rollback, to: str, seen: Sight) -> list[Step]:
        """Decide and take each group's step; the groups' Regions do not wait for each other."""
        going_on = carried(seen.views, self._stages(record.name), seen.bad, self._blocks(record.name))
        release = self._ledger.release(to)
        steps = [step(group, rollback, release, going_on, self._now()) for group in seen.groups]
        for index, each in enumerate(steps):
            if isinstance(each, Stuck) and (known := self.from_history(each.group, to)) is not None:
                release = self._ledger.learn(to, {each.group.place: known})
                steps[index] = step(each.group, rollback, release, going_on, self._now())
        self._gather([lambda each=each: self._take(rollback, each) for each in steps])  # type: ignore[misc]
        return steps

    def _take(self, rollback: Rollback, each: Step) -> None:
        name, service, group = each.group.environment, self._configuration.service, each.group
        place = self._place(group)
        try:
            if isinstance(each, Stop):
                if self._places.stop(place, each.deployment.id):
                    self._ledger.log(name, "stop", f"stopped deployment {each.deployment.id} of {messages.short(each.deployment.commit)} to {group.place}",
                                     deployment=each.deployment.id)
            elif isinstance(each, Create):
                if each.loud:
                    self._page(name, f"{rollback.id}/failing/{group.region}/{group.scope}", messages.failing(service, rollback, group, each.failures), "page")
                if self._ledger.release(rollback.to or "").bad:
                    return  # marked just now: the next run goes elsewhere
                begun_id = self._places.create(place, group, each.location, each.configuration, each.description)
                if begun_id is not None:
                    self._ledger.log(name, "deployment", f"deployment {begun_id} brings {messages.short(rollback.to)} to {group.place} ({each.configuration})",
                                     deployment=begun_id, commit=rollback.to)
            elif isinstance(each, Stuck):
                self._page(name, f"{rollback.id}/stuck/{group.region}/{group.scope}", messages.stuck(service, rollback, each), "page")
        except TROUBLE as error:
            self._page(name, f"{rollback.id}/refused/{group.region}/{group.scope}", messages.refused(service, rollback, group, str(error)), "page")

    def _finish(self, record: Environment, rollback: Rollback, steps: Sequence[Conforms], blocks: bool) -> None:
        failed: list[str] = []
        for each in steps:
            last = each.group.last_attempted
            if last is not None:
                try:
                    hosts = self._places.failed_targets(self._place(each.group), last.id)
                    failed += [f"{host} ({each.group.region}/{each.group.scope})" for host in hosts]
                except TROUBLE as error:
                    self._say(f"hosts of deployment {last.id} cannot be listed: {error}")
        message = messages.done(self._configuration.service, record, rollback, steps, failed, self._now() - rollback.began, blocks)
        if self._page(record.name, f"{rollback.id}/done", message, "done", to=rollback.to):
            self._ledger.update_environment(record.name, lambda r: ended(r, rollback.id))

    def _stop_executions(self, record: Environment, to: str | None, seen: Sight, strict: bool) -> None:
        for execution in to_stop(seen.views, self._stages(record.name), seen.bad, to, strict):
            try:
                if self._pipeline.stop(execution.id, f"{STOP_WORD} {record.name} goes back to {messages.short(to)}"):
                    self._ledger.log(record.name, "stop", f"stopped execution {execution.id} of {messages.short(execution.commit)}", execution=execution.id)
            except TROUBLE as error:
                self._say(f"execution {execution.id} cannot be stopped: {error}")

    def _stop(self, group: Group, deployment_id: str) -> None:
        try:
            self._places.stop(self._place(group), deployment_id)
        except TROUBLE as error:
            self._say(f"deployment {deployment_id} in {group.place} cannot be stopped: {error}")

    # Small things

    def _page(self, environment: str, thing: str, message: Message, kind: str, **details: Any) -> bool:
        """Page and log a thing once; whether it is told by now. What could not be sent is sent by a later run."""
        whose = self._ledger.claim(environment, thing)
        if whose != "mine":
            return whose == "sent"
        try:
            self._tell(message)
        except TROUBLE as error:
            self._say(f"'{message.subject}' could not be paged: {error}")
            return False
        self._ledger.log(environment, kind, message.text.splitlines()[0], **details)
        self._ledger.sent(environment, thing)
        return True

    def _place(self, group: Group) -> Place:
        return next(p for p in self._configuration.places_of(group.environment) if p.region == group.region)

    def _stages(self, environment: str) -> tuple[str, ...]:
        return self._configuration.stages_of(environment)

    def _blocks(self, environment: str) -> bool:
        return environment in self._configuration.blocks

