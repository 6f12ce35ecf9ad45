"""The pipeline as the functions see and steer it: executions, their actions, stopping, and the transition that is the door of prod."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from model import Action, Execution, Transition

STOP_REASON_CHARACTERS = 200
TRANSITION_REASON_CHARACTERS = 300
GOING_ON = ("InProgress", "Stopping")
DONE = ("Succeeded", "Failed", "Stopped", "Superseded", "Cancelled")


class Pipeline:
    """One pipeline. `client` is boto3's CodePipeline client with timeouts."""

    def __init__(self, client: Any, name: str) -> None:
        self._client, self._name = client, name
        # Actions of executions that are at their end, by what changes when one is retried.
        self._ended: dict[tuple[str, str, float], tuple[Action, ...]] = {}

    def executions(self, limit: int = 50) -> tuple[Execution, ...]:
        """The newest executions, newest first."""
        answer = self._client.list_pipeline_executions(pipelineName=self._name, maxResults=limit)
        return tuple(_execution(summary) for summary in answer["pipelineExecutionSummaries"])

    def actions(self, execution: Execution) -> tuple[Action, ...]:
        """All action executions of an execution, newest first; those of one that is at its end are remembered."""
        key = (execution.id, execution.status, execution.updated)
        if key in self._ended:
            return self._ended[key]
        found: list[Action] = []
        token: dict[str, str] = {}
        while True:
            answer = self._client.list_action_executions(pipelineName=self._name, filter={"pipelineExecutionId": execution.id}, maxResults=100, **token)
            found += [_action(detail) for detail in answer["actionExecutionDetails"]]
            if not answer.get("nextToken"):
                break
            token = {"nextToken": answer["nextToken"]}
        actions = tuple(sorted(found, key=lambda action: -action.started))
        if execution.status in DONE:
            if len(self._ended) > 500:
                self._ended.clear()
            self._ended[key] = actions
        return actions

    def stop(self, execution_id: str, reason: str) -> bool:
        """Stop an execution and abandon its actions; False if it is at its end or is being stopped already."""
        client = self._client
        try:
            client.stop_pipeline_execution(pipelineName=self._name, pipelineExecutionId=execution_id, abandon=True, reason=reason[:STOP_REASON_CHARACTERS])
        except (client.exceptions.PipelineExecutionNotStoppableException, client.exceptions.DuplicatedStopRequestException):
            return False
        return True

    def transition(self, stage: str) -> Transition | None:
        """A stage's inbound transition; None if the pipeline has no such stage."""
        for state in self._client.get_pipeline_state(name=self._name)["stageStates"]:
            if state["stageName"] == stage:
                inbound = state.get("inboundTransitionState", {"enabled": True})
                return Transition(inbound["enabled"], inbound.get("disabledReason", ""), inbound.get("lastChangedBy", ""))
        return None

    def under_way(self, stages: Collection[str]) -> dict[str, str]:
        """Of these stages, which have an execution in them that goes on: {stage: execution id}, in the pipeline's order."""
        states = self._client.get_pipeline_state(name=self._name)["stageStates"]
        latest = {state["stageName"]: state.get("latestExecution") or {} for state in states if state["stageName"] in stages}
        return {stage: of["pipelineExecutionId"] for stage, of in latest.items() if of.get("status") in GOING_ON}

    def close(self, stage: str, reason: str) -> None:
        """Disable a stage's inbound transition: executions wait before it."""
        self._client.disable_stage_transition(pipelineName=self._name, stageName=stage, transitionType="Inbound", reason=transition_reason(reason))

    def open(self, stage: str) -> None:
        """Enable a stage's inbound transition."""
        self._client.enable_stage_transition(pipelineName=self._name, stageName=stage, transitionType="Inbound")


def transition_reason(text: str) -> str:
    """A reason in the characters that DisableStageTransition takes: letters, digits and `!@ ().*?-`, at most 300."""
    plain = re.sub(r"[^a-zA-Z0-9!@ ().*?-]+", " ", text.replace(":", " -").replace("_", "-"))
    return re.sub(r" +", " ", plain).strip()[:TRANSITION_REASON_CHARACTERS].strip() or "Closed"


def _execution(summary: dict[str, Any]) -> Execution:
    revisions = summary.get("sourceRevisions") or []
    return Execution(id=summary["pipelineExecutionId"], status=summary["status"], commit=revisions[0].get("revisionId") if revisions else None,
                     started=_epoch(summary.get("startTime")), updated=_epoch(summary.get("lastUpdateTime")),
                     stop_reason=(summary.get("stopTrigger") or {}).get("reason", ""))


def _action(detail: dict[str, Any]) -> Action:
    kind = detail.get("input", {}).get("actionTypeId", {})
    result = detail.get("output", {}).get("executionResult", {})
    message = (result.get("errorDetails") or {}).get("message") or result.get("externalExecutionSummary") or ""
    return Action(id=detail["actionExecutionId"], stage=detail["stageName"], name=detail["actionName"], status=detail["status"],
                  provider=kind.get("provider", ""), category=kind.get("category", ""), external=result.get("externalExecutionId") or None,
                  message=message, started=_epoch(detail.get("startTime")), updated=_epoch(detail.get("lastUpdateTime")))


def _epoch(moment: Any) -> float:
    return float(moment.timestamp()) if moment is not None else 0.0
