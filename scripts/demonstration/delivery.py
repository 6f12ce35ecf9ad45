"""Follow a release through the pipeline with nothing but AWS's own answers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scripts.core.clock import Clock, duration

_FINAL_EXECUTION = ("Succeeded", "Failed", "Stopped", "Superseded", "Cancelled")
_FINAL_DEPLOYMENT = ("Succeeded", "Failed", "Stopped")


class DeliveryError(RuntimeError):
    """A release did not get where it was awaited; the message says how far it came."""


@dataclass(frozen=True)
class Deployment:
    """One CodeDeploy deployment. Times are seconds since the epoch."""

    region: str
    group: str
    deployment_id: str
    status: str
    creator: str
    created: float
    completed: float | None
    error: str | None
    rollback_id: str | None

    def summary(self) -> dict[str, Any]:
        """The deployment as the demonstration's summary has it."""
        return {"region": self.region, "group": self.group, "deployment_id": self.deployment_id, "status": self.status,
                "creator": self.creator}


@dataclass(frozen=True)
class Outcome:
    """How an execution of the pipeline ended. `deployments` has CodeDeploy's own rollbacks behind what they roll back."""

    commit: str
    execution_id: str
    status: str
    digest: str | None
    seconds: float
    caught_in: str | None
    deployments: tuple[Deployment, ...] = field(default=())

    @property
    def rollbacks(self) -> list[Deployment]:
        """CodeDeploy's own rollback deployments."""
        return [one for one in self.deployments if one.creator == "codeDeployRollback"]


class Pipeline:
    """One pipeline. `client(service, region)` gives boto3 clients; `say` takes lines of progress."""

    def __init__(self, name: str, region: str, client: Callable[[str, str], Any], clock: Clock, say: Callable[[str], None]) -> None:
        self.name, self.region, self._client, self._clock, self._say = name, region, client, clock, say

    def execution_of(self, commit: str, seconds: float) -> str:
        """Return the id of the newest execution that has `commit` as its source revision; wait for it up to `seconds`."""
        deadline = self._clock.seconds() + seconds
        while self._clock.seconds() < deadline:
            found = self._client("codepipeline", self.region).list_pipeline_executions(pipelineName=self.name, maxResults=20)
            for execution in found["pipelineExecutionSummaries"]:
                # An execution that fails at its source has no revision yet, but its trigger names the commit.
                if (any(revision.get("revisionId") == commit for revision in execution.get("sourceRevisions", []))
                        or commit in execution.get("trigger", {}).get("triggerDetail", "")):
                    return str(execution["pipelineExecutionId"])
            self._clock.sleep(1)
        raise DeliveryError(f"{self.name}: no execution took up commit {commit[:12]} within {duration(seconds)}")

    def follow(self, commit: str, execution_id: str, seconds: float, at_stage: Callable[[str, str], None] | None = None) -> Outcome:
        """Wait until the execution and every rollback that it caused are over, and return how it went.

        `at_stage(stage, status)` is called when a stage of the execution changes. Raises DeliveryError after `seconds`.
        """
        began = self._clock.seconds()
        seen: dict[str, str] = {}
        while self._clock.seconds() - began < seconds:
            status = self._client("codepipeline", self.region).get_pipeline_execution(
                pipelineName=self.name, pipelineExecutionId=execution_id)["pipelineExecution"]["status"]
            for action in reversed(self._actions(execution_id)):
                if seen.get(action["stageName"]) != action["status"]:
                    seen[action["stageName"]] = action["status"]
                    self._say(f"  {duration(self._clock.seconds() - began):>6}  {action['stageName']:<8} {action['status']}"
                              + _reason(action))
                    if at_stage:
                        at_stage(action["stageName"], action["status"])
            if status in _FINAL_EXECUTION:
                return self._outcome(commit, execution_id, status, began, seconds)
            self._clock.sleep(1)
        raise DeliveryError(f"{self.name}: execution {execution_id} was not over within {duration(seconds)}; stages: {seen}")

    def deployment(self, deployment_id: str, region: str) -> Deployment:
        """Return one deployment as it is now."""
        info = self._client("codedeploy", region).get_deployment(deploymentId=deployment_id)["deploymentInfo"]
        error = info.get("errorInformation") or {}
        return Deployment(
            region, info["deploymentGroupName"], deployment_id, info["status"], info.get("creator", "user"), _epoch(info["createTime"]) or 0.0,
            _epoch(info.get("completeTime")), f"{error['code']}: {error.get('message', '')}" if error.get("code") else None,
            (info.get("rollbackInfo") or {}).get("rollbackDeploymentId"))

    def _actions(self, execution_id: str) -> list[dict[str, Any]]:
        pages = self._client("codepipeline", self.region).get_paginator("list_action_executions").paginate(
            pipelineName=self.name, filter={"pipelineExecutionId": execution_id})
        return [action for page in pages for action in page["actionExecutionDetails"]]

    def _outcome(self, commit: str, execution_id: str, status: str, began: float, seconds: float) -> Outcome:
        digest, caught_in, deployments = None, None, []
        for action in reversed(self._actions(execution_id)):
            output = action.get("output", {})
            if action["stageName"] == "Build":
                digest = output.get("outputVariables", {}).get("IMAGE_DIGEST")
            if action["status"] == "Failed":
                caught_in = action["stageName"]
            if action["input"]["actionTypeId"]["provider"] == "CodeDeploy":
                deployment_id = output.get("executionResult", {}).get("externalExecutionId")
                region = action["input"].get("region") or self.region
                while deployment_id:
                    one = self._finished(deployment_id, region, began + seconds)
                    deployments.append(one)
                    deployment_id = one.rollback_id if one.creator != "codeDeployRollback" else None
        return Outcome(commit, execution_id, status, digest, round(self._clock.seconds() - began, 1), caught_in, tuple(deployments))

    def _finished(self, deployment_id: str, region: str, deadline: float) -> Deployment:
        while True:
            one = self.deployment(deployment_id, region)
            if one.status in _FINAL_DEPLOYMENT:
                self._say(f"          {one.group}: deployment {one.deployment_id} by {one.creator} {one.status}"
                          + (f" ({one.error})" if one.error else ""))
                return one
            if self._clock.seconds() > deadline:
                raise DeliveryError(f"deployment {deployment_id} is still {one.status}")
            self._clock.sleep(1)


def _reason(action: dict[str, Any]) -> str:
    error = action.get("output", {}).get("executionResult", {}).get("errorDetails") or {}
    return f": {error.get('message') or error.get('code')}" if error else ""


def _epoch(moment: dt.datetime | None) -> float | None:
    return moment.timestamp() if moment else None
