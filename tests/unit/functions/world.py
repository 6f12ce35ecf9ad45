"""A small model of CodeDeploy groups and a pipeline over many Regions, under which the real reconciler and the real ledger run.

Everything random comes from one seeded source. Calls of the reconciler may be cut off before or after their effect (`Killed`), be refused by a Region
that does not answer, or find that another run went by in the middle.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from botocore.exceptions import EndpointConnectionError
from memory_table import MemoryTable

import configuration
from ledger import Ledger, Refused
from messages import Message
from model import Action, Deployment, Execution, Firing, Group, Location, Rollback
from reconcile import Reconciler

SETTINGS = configuration.read({
    "SERVICE": "demo", "PIPELINE": "demo", "LEDGER_TABLE": "ledger", "TOPIC_ARN": "arn:aws:sns:us-east-1:111111111111:pages",
    "STAGES": "Gamma=gamma OneBox=prod Wave1=prod Wave2=prod", "BLOCKS": "prod", "ENTRY_STAGE": "OneBox",
    "PLACES": ";".join(f"{env} {region} arn:aws:iam::111111111111:role/{env}" for env, region in (
        ("gamma", "us-east-1"), ("gamma", "us-west-2"), ("prod", "us-east-1"), ("prod", "us-west-2"), ("prod", "eu-west-1")))})
STAGE_GROUPS = {
    "Gamma": ("gamma/us-east-1/fleet", "gamma/us-west-2/fleet"), "OneBox": ("prod/us-east-1/onebox",), "Wave1": ("prod/us-east-1/fleet",),
    "Wave2": ("prod/us-west-2/fleet", "prod/eu-west-1/fleet")}
STAGES = tuple(STAGE_GROUPS)
GROUPS = tuple(itertools.chain.from_iterable(STAGE_GROUPS.values()))


class Killed(BaseException):
    """The function was cut off here."""


@dataclass
class Fleet:
    """A deployment group: its deployments, oldest first, and what plagues it."""

    name: str
    deployments: list[Deployment] = field(default_factory=list)
    rolls_back: dict[str, bool] = field(default_factory=dict)
    dead_host: bool = False
    hopeless: bool = False

    @property
    def flying(self) -> Deployment | None:
        return next((d for d in self.deployments if d.in_flight), None)

    @property
    def last_successful(self) -> Deployment | None:
        return next((d for d in reversed(self.deployments) if d.status == "Succeeded"), None)

    @property
    def last_attempted(self) -> Deployment | None:
        return next((d for d in reversed(self.deployments) if not d.in_flight), None)


@dataclass
class Run:
    """A pipeline execution in the model."""

    id: str
    commit: str
    started: float
    stage: int = 0
    status: str = "InProgress"
    updated: float = 0.0
    actions: list[Action] = field(default_factory=list)
    stop_reason: str = ""


class World:
    """All of it. It plays the Places and Pipeline that the reconciler knows."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.time = 1_700_000_000.0
        self.table = MemoryTable()
        self.ledger = Ledger(self.table, lambda: self.time, lambda _: None)
        self.fleets = {name: Fleet(name) for name in GROUPS}
        self.runs: list[Run] = []
        self.pages: list[Message] = []
        self.silent: set[str] = set()
        self.by_pipeline: set[str] = set()
        self.created: list[tuple[str, str]] = []
        self.faulty = 0.0
        self.nested = False
        self.ids = itertools.count(1)
        self.reconciler = Reconciler(SETTINGS, self.ledger, self, self, self.tell, lambda: self.time, lambda _: None, one_by_one)

    # What the reconciler calls

    def _edge(self) -> None:
        """Before and after every call: perhaps the function ends here, perhaps another run goes by."""
        if self.random.random() < self.faulty:
            raise Killed
        if not self.nested and self.random.random() < self.faulty:
            self.nested = True
            try:
                self.look_after()
            finally:
                self.nested = False

    def _answer(self, region: str) -> None:
        self._edge()
        if region in self.silent:
            raise EndpointConnectionError(endpoint_url=f"https://codedeploy.{region}.amazonaws.com")

    def groups(self, place: configuration.Place, rollback: Rollback | None = None) -> tuple[Group, ...]:
        self._answer(place.region)
        return tuple(self._group(name, rollback) for name in GROUPS if name.startswith(f"{place.environment}/{place.region}/"))

    def _group(self, name: str, rollback: Rollback | None) -> Group:
        fleet, (environment, region, scope) = self.fleets[name], name.split("/")
        ours = tuple(d for d in reversed(fleet.deployments)
                     if rollback and not d.in_flight and d.description.startswith(f"handsoff rollback {rollback.id} "))
        whole = next((d for d in reversed(fleet.deployments) if not d.in_flight and d.whole), None)
        return Group(environment, region, scope, "demo", name, (fleet.flying,) if fleet.flying else (), whole, fleet.last_successful, ours,
                     ("third", "half", "all"))

    def create(self, place: configuration.Place, group: Group, location: Location, configuration: str, description: str) -> str | None:
        self._answer(place.region)
        fleet, commit = self.fleets[group.name], location["key"]
        assert location["bucket"] == place.region, "a bundle must be of the group's own Region"
        if fleet.flying:
            return None
        assert not self.ledger.release(commit).bad, f"{commit} is marked bad and was deployed to {group.name}"
        self.created.append((group.name, commit))
        made = self.deploy(group.name, commit, "user", False, configuration, description)
        self._edge()
        return made.id

    def stop(self, place_or_execution: Any, deployment_or_reason: str) -> bool:
        if isinstance(place_or_execution, str):
            return self._stop_execution(place_or_execution, deployment_or_reason)
        self._answer(place_or_execution.region)
        for fleet in self.fleets.values():
            if fleet.flying and fleet.flying.id == deployment_or_reason:
                self.end(fleet, "Stopped", "MANUAL_STOP")
                fleet.rolls_back[fleet.deployments[-1].id] = False
                self._edge()
                return True
        return False

    def failed_targets(self, place: configuration.Place, deployment_id: str) -> tuple[str, ...]:
        self._answer(place.region)
        return ()

    def revision_in_history(self, place: configuration.Place, group: Group, commit: str) -> Location | None:
        self._answer(place.region)
        return next((d.location for d in self.fleets[group.name].deployments if d.status == "Succeeded" and d.commit == commit), None)

    def firing(self, place: configuration.Place) -> tuple[Firing, ...]:
        self._answer(place.region)
        return ()

    def executions(self) -> tuple[Execution, ...]:
        self._edge()
        return tuple(Execution(r.id, r.status, r.commit, r.started, r.updated, r.stop_reason) for r in reversed(self.runs[-50:]))

    def actions(self, execution: Execution) -> tuple[Action, ...]:
        self._edge()
        return tuple(reversed(next(r for r in self.runs if r.id == execution.id).actions))

    def _stop_execution(self, execution_id: str, reason: str) -> bool:
        self._edge()
        run = next(r for r in self.runs if r.id == execution_id)
        if run.status != "InProgress":
            return False
        self.abandon(run, reason)
        self._edge()
        return True

    def tell(self, message: Message) -> None:
        self._edge()
        assert message.subject.isascii() and len(message.subject) < 100
        self.pages.append(message)
        self._edge()

    # What happens in the world

    def deploy(self, name: str, commit: str, creator: str, rolls_back: bool, configuration: str = "zonal", description: str = "") -> Deployment:
        region = name.split("/")[1]
        made = Deployment(f"d-{next(self.ids):09d}", "InProgress", commit, {"bucket": region, "key": commit, "bundleType": "zip"}, configuration,
                          description, creator, created=self.time)
        self.fleets[name].deployments.append(made)
        self.fleets[name].rolls_back[made.id] = rolls_back
        return made

    def end(self, fleet: Fleet, status: str, error: str | None = None) -> None:
        index = next(i for i, d in enumerate(fleet.deployments) if d.in_flight)
        fleet.deployments[index] = replace(fleet.deployments[index], status=status, error=error, ended=self.time)

    def deployments_go_on(self, fails: float) -> None:
        """Each deployment in flight may end, and CodeDeploy may begin its own rollback after one that failed."""
        for fleet in self.fleets.values():
            flying = fleet.flying
            if flying is None:
                last = fleet.deployments[-1] if fleet.deployments else None
                if last and last.status in ("Failed", "Stopped") and fleet.rolls_back.get(last.id) and fleet.last_successful:
                    fleet.rolls_back[last.id] = False
                    self.deploy(fleet.name, str(fleet.last_successful.commit), "codeDeployRollback", False)
            elif self.random.random() < 0.7:
                if (fleet.hopeless and flying.creator == "user") or (fleet.dead_host and flying.configuration != "all"):
                    self.end(fleet, "Failed", "HEALTH_CONSTRAINTS")
                elif self.random.random() < fails:
                    self.end(fleet, "Failed", self.random.choice(("HEALTH_CONSTRAINTS", "ALARM_ACTIVE", "INTERNAL_ERROR", "TIMEOUT")))
                else:
                    self.end(fleet, "Succeeded")

    def push(self) -> None:
        commit = f"{len(self.runs):07x}{self.random.randrange(16 ** 5):05x}"
        self.runs.append(Run(f"e-{next(self.ids)}", commit, self.time, updated=self.time))

    def again(self) -> None:
        """A release that ran before is started again."""
        if self.runs:
            self.runs.append(Run(f"e-{next(self.ids)}", self.random.choice(self.runs).commit, self.time, updated=self.time))

    def pipeline_goes_on(self, fails: float) -> None:
        """Each execution begins what is due, and learns how its deployments ended."""
        for run in self.runs:
            if run.status == "InProgress":
                self._advance(run, fails)

    def _advance(self, run: Run, fails: float) -> None:
        stage = STAGES[run.stage]
        record = self.ledger.environment("gamma" if stage == "Gamma" else "prod")
        mine = {a.name: i for i, a in enumerate(run.actions) if a.stage == stage}
        if "Enter" not in mine:
            if stage != "Gamma" and (self.ledger.release(run.commit).bad or record.blocked):
                if self.random.random() < 0.5:  # Enter waits a while
                    self._act(run, stage, "Enter", "Failed", "Lambda", "refused")
                    run.status = "Failed"
                return
            self._act(run, stage, "Enter", "Succeeded", "Lambda")
            return
        for name in STAGE_GROUPS[stage]:
            if f"Deploy {name}" not in mine:
                if self.fleets[name].flying:
                    self._act(run, stage, f"Deploy {name}", "Failed", "CodeDeploy", "DeploymentLimitExceededException")
                    continue
                made = self.deploy(name, run.commit, "user", True)
                self.by_pipeline.add(made.id)
                self._act(run, stage, f"Deploy {name}", "InProgress", "CodeDeploy", external=made.id)
        deploys = [i for i, a in enumerate(run.actions) if a.stage == stage and a.provider == "CodeDeploy"]
        for index in deploys:
            action = run.actions[index]
            if action.status == "InProgress":
                deployment = next(d for f in self.fleets.values() for d in f.deployments if d.id == action.external)
                if not deployment.in_flight:
                    self._set(run, index, "Succeeded" if deployment.status == "Succeeded" else "Failed", deployment.error or "")
        latest = [run.actions[i] for i in {run.actions[i].name: i for i in deploys}.values()]
        if any(a.status == "InProgress" for a in latest):
            return
        if any(a.status == "Failed" for a in latest):
            run.status, run.updated = "Failed", self.time
            return
        gate = next((i for i in reversed(range(len(run.actions))) if run.actions[i].stage == stage and run.actions[i].name == "Gate"), None)
        if gate is None or run.actions[gate].status != "InProgress":
            self._act(run, stage, "Gate", "InProgress", "Lambda")
        elif self.random.random() < 0.5:
            self._judge_gate(run, stage, gate, fails)

    def _judge_gate(self, run: Run, stage: str, gate: int, fails: float) -> None:
        environment = "gamma" if stage == "Gamma" else "prod"
        record = self.ledger.environment(environment)
        runs_it = all((last := self.fleets[n].last_successful) is not None and last.commit == run.commit for n in STAGE_GROUPS[stage])
        blocked = record.rollback is not None or (record.blocked is not None and record.blocked.rollback is not None)
        if self.ledger.release(run.commit).bad or blocked or not runs_it or self.random.random() < fails:
            self._set(run, gate, "Failed", "an alarm fired")
            run.status, run.updated = "Failed", self.time
            return
        try:
            self.ledger.passed(run.commit, stage, self.time)
            if stage in ("Gamma", "Wave2"):
                self.ledger.set_last_good(environment, run.commit, {}, self.time)
        except Refused:
            self._set(run, gate, "Failed", "the ledger refuses")
            run.status, run.updated = "Failed", self.time
            return
        self._set(run, gate, "Succeeded")
        if run.stage + 1 == len(STAGES):
            run.status, run.updated = "Succeeded", self.time
        else:
            run.stage += 1

    def retry(self) -> None:
        """A person retries a failed stage."""
        failed = [r for r in self.runs if r.status in ("Failed", "Stopped")]
        if failed:
            run = self.random.choice(failed[-3:])
            stage = STAGES[run.stage]
            run.status, run.updated, run.stop_reason = "InProgress", self.time, ""
            for action in [a for a in run.actions if a.stage == stage and a.status in ("Failed", "Abandoned")]:
                if action.provider == "CodeDeploy" and action is [a for a in run.actions if a.name == action.name][-1]:
                    name = action.name.removeprefix("Deploy ")
                    if not self.fleets[name].flying:
                        made = self.deploy(name, run.commit, "user", True)
                        self.by_pipeline.add(made.id)
                        self._act(run, stage, action.name, "InProgress", "CodeDeploy", external=made.id)
                elif action.name == "Enter":
                    run.actions.remove(action)

    def stop_by_hand(self) -> None:
        running = [r for r in self.runs if r.status == "InProgress"]
        if running:
            self.abandon(self.random.choice(running), "by hand")

    def abandon(self, run: Run, reason: str) -> None:
        for index, action in enumerate(run.actions):
            if action.status == "InProgress":
                self._set(run, index, "Abandoned")
        run.status, run.updated, run.stop_reason = "Stopped", self.time, reason

    def launch(self) -> None:
        """Auto Scaling adds a host, which gets the last successful revision."""
        fleet = self.fleets[self.random.choice(GROUPS)]
        if fleet.last_successful and not fleet.flying:
            self.deploy(fleet.name, str(fleet.last_successful.commit), "autoscaling", False)

    def deploy_by_hand(self) -> None:
        """A person deploys some release to a group of prod, past the pipeline."""
        name = self.random.choice(GROUPS[2:])
        if self.runs and not self.fleets[name].flying:
            self.deploy(name, self.random.choice(self.runs).commit, "user", True)

    def _act(self, run: Run, stage: str, name: str, status: str, provider: str, message: str = "", external: str | None = None) -> None:
        started = self.time + len(run.actions) / 1000  # in the order in which they began
        run.actions.append(Action(f"a-{next(self.ids)}", stage, name, status, provider, external=external, message=message, started=started, updated=self.time))

    def _set(self, run: Run, index: int, status: str, message: str = "") -> None:
        run.actions[index] = replace(run.actions[index], status=status, message=message, updated=self.time)

    # Runs of the function

    def look_after(self) -> None:
        """One run over all environments, perhaps cut off."""
        try:
            for environment in SETTINGS.environments:
                self.reconciler.run(environment)
        except Killed:
            pass


def one_by_one(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Side by side, as one after another: in the order given."""
    return [call() for call in calls]
