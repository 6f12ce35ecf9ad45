"""Follow a release through the pipeline with nothing but AWS's own answers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from scripts.core.clock import Clock, duration
from scripts.demonstration.environments import Place

RECONCILER = "handsoff rollback"
"""The reconciler begins the description of each of its deployments with this."""

_FINAL_EXECUTION = ("Succeeded", "Failed", "Stopped", "Superseded", "Cancelled")
_FINAL_DEPLOYMENT = ("Succeeded", "Failed", "Stopped")
_CALM_READINGS = 3
"""So many readings in a row, a second apart, must find nothing to do: between CodeDeploy's failure and its rollback nothing is in flight."""


class DeliveryError(RuntimeError):
    """A release did not get where it was awaited; the message says how far it came."""


@dataclass(frozen=True)
class Deployment:
    """One CodeDeploy deployment. Times are seconds since the epoch; `creator` is CodeDeploy's word."""

    environment: str
    region: str
    scope: str
    group: str
    deployment_id: str
    status: str
    creator: str
    created: float
    completed: float | None
    error: str | None
    description: str = ""

    @property
    def by(self) -> str:
        """Who made it: `reconciler`, or CodeDeploy's own word (`user`, `codeDeployRollback`, `autoscaling`, …)."""
        return "reconciler" if self.description.startswith(RECONCILER) else self.creator

    @property
    def is_rollback(self) -> bool:
        """Whether it took a release back."""
        return self.by in ("codeDeployRollback", "reconciler")

    def summary(self) -> dict[str, Any]:
        """The deployment as the demonstration's summary has it."""
        return {"environment": self.environment, "region": self.region, "scope": self.scope, "group": self.group,
                "deployment_id": self.deployment_id, "status": self.status, "creator": self.by}


@dataclass(frozen=True)
class Outcome:
    """How an execution of the pipeline ended, and what was deployed meanwhile and after it until all was settled, oldest first.

    `caught_in` is the stage that failed or was stopped. `unsettled` says what was not as it should be when waiting for it ended.
    """

    commit: str
    execution_id: str
    status: str
    digest: str | None
    seconds: float
    caught_in: str | None
    deployments: tuple[Deployment, ...] = field(default=())
    unsettled: tuple[str, ...] = field(default=())

    @property
    def rollbacks(self) -> list[Deployment]:
        """The deployments that took it back: CodeDeploy's own and the reconciler's."""
        return [one for one in self.deployments if one.is_rollback]

    def in_environment(self, environment: str) -> list[Deployment]:
        """The deployments to one environment."""
        return [one for one in self.deployments if one.environment == environment]


class Pipeline:
    """One pipeline and the places that it releases to.

    `client(service, region)` gives boto3 clients of the pipeline's account, each place those of its own; `say` takes lines of progress.
    """

    def __init__(self, name: str, region: str, client: Callable[[str, str], Any], clock: Clock, say: Callable[[str], None],
                 places: Sequence[Place]) -> None:
        self.name, self.region, self.places = name, region, list(places)
        self._client, self._clock, self._say = client, clock, say
        self.settle_seconds = 300.0
        """How long to wait after an execution for all that it caused: a host that is dead holds each deployment for five minutes."""

    def execution_of(self, commit: str, seconds: float) -> str:
        """Return the id of the newest execution that has `commit` as its source revision; wait for it up to `seconds`."""
        deadline = self._clock.seconds() + seconds
        while self._clock.seconds() < deadline:
            for execution in self._executions():
                # An execution that fails at its source has no revision yet, but its trigger names the commit.
                if (any(revision.get("revisionId") == commit for revision in execution.get("sourceRevisions", []))
                        or commit in execution.get("trigger", {}).get("triggerDetail", "")):
                    return str(execution["pipelineExecutionId"])
            self._clock.sleep(1)
        raise DeliveryError(f"{self.name}: no execution took up commit {commit[:12]} within {duration(seconds)}")

    def status(self, execution_id: str) -> str:
        """CodePipeline's word for how an execution stands."""
        return str(self._client("codepipeline", self.region).get_pipeline_execution(
            pipelineName=self.name, pipelineExecutionId=execution_id)["pipelineExecution"]["status"])

    def actions(self, execution_id: str) -> list[dict[str, Any]]:
        """ActionExecutionDetail of every action run of an execution, oldest first."""
        pages = self._client("codepipeline", self.region).get_paginator("list_action_executions").paginate(
            pipelineName=self.name, filter={"pipelineExecutionId": execution_id})
        return [action for page in pages for action in page["actionExecutionDetails"]][::-1]

    def follow(self, commit: str, execution_id: str, seconds: float, at_action: Callable[[str, str, str], None] | None = None,
               wanting: Callable[[str | None], Sequence[str]] | None = None) -> Outcome:
        """Wait until the execution is over and nothing moves any more, and return how it went.

        `at_action(stage, action, status)` is called when an action of the execution changes. `wanting(caught_in)` says what else must come to be
        before all is settled. Raises DeliveryError when the execution is not over after `seconds`.
        """
        began = self._clock.seconds()
        seen: dict[str, str] = {}
        while self._clock.seconds() - began < seconds:
            status = self.status(execution_id)
            for action in self.actions(execution_id):
                if seen.get(action["actionExecutionId"]) != action["status"]:
                    seen[action["actionExecutionId"]] = action["status"]
                    self._say(f"  {duration(self._clock.seconds() - began):>6}  {action['stageName'] + ' ' + action['actionName']:<16} "
                              f"{action['status']}{_reason(action)}")
                    if at_action:
                        at_action(action["stageName"], action["actionName"], action["status"])
            if status in _FINAL_EXECUTION:
                return self._outcome(commit, execution_id, status, began, wanting)
            self._clock.sleep(1)
        raise DeliveryError(f"{self.name}: execution {execution_id} was not over within {duration(seconds)}; it is {self.status(execution_id)}: "
                            + "; ".join(f"{one['stageName']} {one['actionName']} {one['status']}" for one in self.actions(execution_id)))

    def deployments(self, since: float) -> list[Deployment]:
        """Every deployment to the places' groups that was created at `since` (seconds since the epoch) or later, oldest first."""
        found = []
        for place in self.places:
            codedeploy = place.client("codedeploy", place.region)
            for scope, group in place.groups.items():
                pages = codedeploy.get_paginator("list_deployments").paginate(
                    applicationName=place.application, deploymentGroupName=group,
                    createTimeRange={"start": dt.datetime.fromtimestamp(since, dt.UTC)})
                for deployment_id in (one for page in pages for one in page["deployments"]):
                    info = codedeploy.get_deployment(deploymentId=deployment_id)["deploymentInfo"]
                    found.append(deployment(place.environment, place.region, scope, info))
        return sorted(found, key=lambda one: one.created)

    def _executions(self) -> list[dict[str, Any]]:
        return list(self._client("codepipeline", self.region).list_pipeline_executions(
            pipelineName=self.name, maxResults=50)["pipelineExecutionSummaries"])

    def _outcome(self, commit: str, execution_id: str, status: str, began: float,
                 wanting: Callable[[str | None], Sequence[str]] | None) -> Outcome:
        started = next(one["startTime"] for one in self._executions() if one["pipelineExecutionId"] == execution_id).timestamp()
        seconds = round(self._clock.seconds() - began, 1)
        actions = self.actions(execution_id)
        caught_in = caught(status, actions)
        digest = next((action["output"].get("outputVariables", {}).get("IMAGE_DIGEST") for action in reversed(actions)
                       if action["stageName"] == "Build" and action["status"] == "Succeeded"), None)
        found, unsettled = self._settle(started, caught_in, wanting)
        return Outcome(commit, execution_id, status, digest, seconds, caught_in, tuple(found), tuple(unsettled))

    def _settle(self, since: float, caught_in: str | None, wanting: Callable[[str | None], Sequence[str]] | None
                ) -> tuple[list[Deployment], list[str]]:
        """Wait until nothing is in flight and nothing is wanting; return the deployments and what is still open after the longest wait."""
        deadline, calm, told = self._clock.seconds() + self.settle_seconds, 0, set()
        while True:
            found = self.deployments(since)
            for one in found:
                if one.is_rollback and (one.deployment_id, one.status) not in told and one.status in ("InProgress", *_FINAL_DEPLOYMENT):
                    told.add((one.deployment_id, one.status))
                    self._say(f"          {one.environment} {one.region} {one.scope}: {one.deployment_id} by {one.by} {one.status}"
                              + (f" ({one.error})" if one.error else ""))
            open_ = [f"{one.environment}/{one.region}/{one.scope}: deployment {one.deployment_id} is {one.status}"
                     for one in found if one.status not in _FINAL_DEPLOYMENT]
            open_ += wanting(caught_in) if wanting and not open_ else []
            calm = 0 if open_ else calm + 1
            if calm >= _CALM_READINGS or self._clock.seconds() > deadline:
                return found, open_
            self._clock.sleep(1)


def caught(status: str, actions: Sequence[dict[str, Any]]) -> str | None:
    """The stage in which an execution failed or was stopped; None for one that did neither. `actions` are oldest first."""
    if status == "Succeeded":
        return None
    return next((str(action["stageName"]) for action in reversed(actions) if action["status"] in ("Failed", "Abandoned")), None)


def deployment(environment: str, region: str, scope: str, info: dict[str, Any]) -> Deployment:
    """A DeploymentInfo of GetDeployment."""
    error = info.get("errorInformation") or {}
    return Deployment(environment, region, scope, info["deploymentGroupName"], info["deploymentId"], info["status"], info.get("creator", "user"),
                      _epoch(info["createTime"]) or 0.0, _epoch(info.get("completeTime")),
                      f"{error['code']}: {error.get('message', '')}" if error.get("code") else None, info.get("description") or "")


def _reason(action: dict[str, Any]) -> str:
    error = action.get("output", {}).get("executionResult", {}).get("errorDetails") or {}
    return f": {error.get('message') or error.get('code')}" if error else ""


def _epoch(moment: dt.datetime | None) -> float | None:
    return moment.timestamp() if moment else None
