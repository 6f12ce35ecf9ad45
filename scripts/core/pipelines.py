"""A pipeline's stages as they stand, and its newest executions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StageState:
    """One stage: the execution that was in it last, and how that went."""

    name: str
    status: str
    execution_id: str
    message: str


@dataclass(frozen=True)
class Execution:
    """One execution; `commit` is its first source revision."""

    id: str
    status: str
    commit: str
    summary: str


@dataclass(frozen=True)
class PipelineState:
    name: str
    stages: tuple[StageState, ...]
    executions: tuple[Execution, ...]


def read(codepipeline: Any, name: str, most: int = 5) -> PipelineState:
    """The state of a pipeline, with its newest `most` executions."""
    state = codepipeline.get_pipeline_state(name=name)
    listed = codepipeline.list_pipeline_executions(pipelineName=name, maxResults=most)
    return PipelineState(
        name=name,
        stages=tuple(_stage(stage) for stage in state.get("stageStates", [])),
        executions=tuple(_execution(summary) for summary in listed.get("pipelineExecutionSummaries", [])),
    )


def _stage(stage: dict[str, Any]) -> StageState:
    latest = stage.get("latestExecution", {})
    status = latest.get("status", "not run")
    messages = []
    if status == "Failed":
        for action in stage.get("actionStates", []):
            details = action.get("latestExecution", {}).get("errorDetails", {})
            if details.get("message"):
                messages.append(f"{action.get('actionName', '')}: {details['message']}")
    if stage.get("inboundTransitionState", {}).get("enabled") is False:
        messages.append("transition into it is disabled: " + stage["inboundTransitionState"].get("disabledReason", ""))
    return StageState(stage.get("stageName", ""), status, latest.get("pipelineExecutionId", ""), "; ".join(messages))


def _execution(summary: dict[str, Any]) -> Execution:
    revision: dict[str, str] = next(iter(summary.get("sourceRevisions", [])), {})
    text = revision.get("revisionSummary", "")
    return Execution(
        summary["pipelineExecutionId"], summary["status"], revision.get("revisionId", ""), text.splitlines()[0] if text else ""
    )
