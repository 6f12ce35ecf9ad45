"""A pipeline as CodePipeline tells of it: its stages as they stand, its executions, their actions, and which stage is of which environment. Reads only.

Actions that are called: codepipeline:GetPipelineState, ListPipelineExecutions, ListActionExecutions, GetPipeline. Times are epoch seconds.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_PAGE = 100
# A year's history (CodePipeline keeps twelve months) is not read because someone asks for much.
_MOST_PAGES = 40
GOING_ON = ("InProgress", "Stopping")


@dataclass(frozen=True)
class StageState:
    """One stage: the execution that was in it last, how that went, and since when it is so. `waiting` are executions that stand before it."""

    name: str
    status: str
    execution_id: str
    message: str
    changed: float | None = None
    closed: str = ""
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True)
class Execution:
    """One execution; `commit` is its first source revision, `summary` the first line of its message.

    `by` is who began it, as far as the trigger says: an ARN, or a name.
    """

    id: str
    status: str
    commit: str
    summary: str
    started: float | None = None
    updated: float | None = None
    trigger: str = ""
    by: str = ""
    stop_reason: str = ""


@dataclass(frozen=True)
class PipelineState:
    name: str
    stages: tuple[StageState, ...]
    executions: tuple[Execution, ...]


@dataclass(frozen=True)
class Stage:
    """A stage as the pipeline declares it. `environment` is the one that its gate guards; "" for Source and Build."""

    name: str
    environment: str
    actions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Action:
    """One run of an action. `external` is the deployment, build or job that it began, if it got so far; `message` is its error, or what it says at its end.

    `variables` are what it gave to later actions: for a source, the revision's (CommitId, AuthorDate, …).
    """

    id: str
    execution: str
    stage: str
    name: str
    category: str
    provider: str
    status: str
    started: float
    updated: float
    external: str = ""
    message: str = ""
    environment: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)


def read(codepipeline: Any, name: str, most: int = 5) -> PipelineState:
    """The state of a pipeline, with its newest `most` executions: two calls."""
    return PipelineState(name, states(codepipeline, name), executions(codepipeline, name, most)[0])


def states(codepipeline: Any, name: str) -> tuple[StageState, ...]:
    """The stages as they stand."""
    return tuple(_stage(stage) for stage in codepipeline.get_pipeline_state(name=name).get("stageStates", []))


def executions(codepipeline: Any, name: str, most: int, since: float | None = None) -> tuple[tuple[Execution, ...], bool]:
    """The newest executions, newest first: at most `most`, and none that began before `since`; and whether there are older ones that `most` left out.

    CodePipeline keeps them for 12 months (API reference of ListPipelineExecutions).
    """
    found: list[Execution] = []
    token: dict[str, str] = {}
    for _ in range(_MOST_PAGES):
        # One more than is asked for tells whether there are more.
        page = codepipeline.list_pipeline_executions(pipelineName=name, maxResults=min(_PAGE, most + 1 - len(found)), **token)
        for summary in page.get("pipelineExecutionSummaries", []):
            execution = _execution(summary)
            if since is not None and (execution.started or 0.0) < since:
                return tuple(found), False
            if len(found) == most:
                return tuple(found), True
            found.append(execution)
        if not page.get("nextToken"):
            break
        token = {"nextToken": page["nextToken"]}
    return tuple(found), False


def actions(codepipeline: Any, name: str, of: Collection[str], since: float) -> tuple[tuple[Action, ...], bool]:
    """The runs of the actions of these executions, oldest first, and whether all could be had. `since` is when the first of the executions began.

    All executions' actions come together, 100 in a call, newest first: a call for about five executions.
    """
    found: list[Action] = []
    token: dict[str, str] = {}
    for _ in range(_MOST_PAGES):
        page = codepipeline.list_action_executions(pipelineName=name, maxResults=_PAGE, **token)
        details = page.get("actionExecutionDetails", [])
        found += [_action(detail) for detail in details if detail["pipelineExecutionId"] in of]
        # The page's newest decides: a page of which a part is older may be followed by one that is not.
        over = bool(details) and max(_epoch(detail.get("startTime")) or 0.0 for detail in details) < since
        if over or not page.get("nextToken"):
            return tuple(sorted(found, key=lambda action: action.started)), True
        token = {"nextToken": page["nextToken"]}
    return tuple(sorted(found, key=lambda action: action.started)), False


def structure(codepipeline: Any, name: str) -> tuple[Stage, ...]:
    """The stages that the pipeline declares, in order, each with its environment."""
    return tuple(_declared(stage) for stage in codepipeline.get_pipeline(name=name)["pipeline"]["stages"])


def structure_of(found: Iterable[Action]) -> tuple[Stage, ...]:
    """The same from actions that ran, where the declaration may not be read: a stage that none has reached is missing."""
    stages: dict[str, list[Action]] = {}
    for action in sorted(found, key=lambda one: one.started):
        stages.setdefault(action.stage, []).append(action)
    return tuple(
        Stage(stage, _environment_of(stage, [one.environment for one in of], any(one.category == "Deploy" for one in of)))
        for stage, of in stages.items()
    )


def stages_of(stages: Sequence[Stage], environment: str) -> tuple[Stage, ...]:
    """An environment's stages, in order."""
    return tuple(stage for stage in stages if stage.environment == environment)


def first_line(summary: str) -> str:
    """The first line of a commit's message. For a connection's source CodePipeline gives it in JSON: {"ProviderType": …, "CommitMessage": …}."""
    text = summary
    if summary.startswith("{"):
        try:
            text = str(json.loads(summary).get("CommitMessage", summary))
        except (ValueError, AttributeError):
            text = summary
    return text.strip().splitlines()[0].strip() if text.strip() else ""


def _stage(stage: dict[str, Any]) -> StageState:
    latest = stage.get("latestExecution", {})
    status = latest.get("status", "not run")
    of_actions = [action.get("latestExecution") or {} for action in stage.get("actionStates", [])]
    messages = []
    if status == "Failed":
        for action in stage.get("actionStates", []):
            details = action.get("latestExecution", {}).get("errorDetails", {})
            if details.get("message"):
                messages.append(f"{action.get('actionName', '')}: {details['message']}")
    inbound = stage.get("inboundTransitionState", {})
    closed = str(inbound.get("disabledReason") or "no reason is given") if inbound.get("enabled") is False else ""
    if closed:
        messages.append(f"transition into it is disabled: {closed}")
    changes = [at for at in (_epoch(latest_of.get("lastStatusChange")) for latest_of in of_actions) if at]
    waiting = [one.get("pipelineExecutionId", "") for one in stage.get("inboundExecutions") or ()]
    return StageState(
        stage.get("stageName", ""),
        status,
        latest.get("pipelineExecutionId", ""),
        "; ".join(messages),
        max(changes, default=None),
        closed,
        tuple(one for one in waiting if one),
    )


def _execution(summary: dict[str, Any]) -> Execution:
    revision: dict[str, str] = next(iter(summary.get("sourceRevisions", [])), {})
    trigger = summary.get("trigger") or {}
    return Execution(
        id=summary["pipelineExecutionId"],
        status=summary["status"],
        commit=revision.get("revisionId", ""),
        summary=first_line(revision.get("revisionSummary", "")),
        started=_epoch(summary.get("startTime")),
        updated=_epoch(summary.get("lastUpdateTime")),
        trigger=str(trigger.get("triggerType", "")),
        by=_who(str(trigger.get("triggerDetail", ""))),
        stop_reason=str((summary.get("stopTrigger") or {}).get("reason") or summary.get("statusSummary") or ""),
    )


def _who(detail: str) -> str:
    """Who a trigger's detail names: an ARN as it is, the author of a pushed commit; nothing else is a person."""
    if detail.startswith("arn:") and (":user/" in detail or ":assumed-role/" in detail or detail.endswith(":root")):
        return detail
    try:
        told = json.loads(detail)
    except ValueError:
        return ""
    return str(told.get("authorDisplayName") or "") if isinstance(told, dict) else ""


def _declared(stage: Mapping[str, Any]) -> Stage:
    declared = stage.get("actions", [])
    told = [_environment(action.get("configuration", {})) for action in declared]
    deploys = any(action["actionTypeId"]["category"] == "Deploy" for action in declared)
    return Stage(stage["name"], _environment_of(stage["name"], told, deploys), tuple(action["name"] for action in declared))


def _environment_of(stage: str, told: Sequence[str], deploys: bool) -> str:
    """What its gate says; a stage that deploys and has no gate (Beta) is named like its environment."""
    return next((name for name in told if name), stage.lower() if deploys else "")


def _environment(configuration: Mapping[str, str]) -> str:
    """The environment in a gate's UserParameters."""
    try:
        told = json.loads(configuration.get("UserParameters") or "{}")
    except ValueError:
        return ""
    return str(told.get("environment", "")) if isinstance(told, dict) else ""


def _action(detail: Mapping[str, Any]) -> Action:
    given, output = detail.get("input", {}), detail.get("output", {})
    kind, result = given.get("actionTypeId", {}), output.get("executionResult", {})
    return Action(
        id=detail["actionExecutionId"],
        execution=detail["pipelineExecutionId"],
        stage=detail["stageName"],
        name=detail["actionName"],
        category=kind.get("category", ""),
        provider=kind.get("provider", ""),
        status=detail["status"],
        started=_epoch(detail.get("startTime")) or 0.0,
        updated=_epoch(detail.get("lastUpdateTime")) or 0.0,
        external=result.get("externalExecutionId", ""),
        message=str((result.get("errorDetails") or {}).get("message") or result.get("externalExecutionSummary") or ""),
        environment=_environment(given.get("configuration", {})),
        variables=output.get("outputVariables", {}),
    )


def _epoch(moment: Any) -> float | None:
    return float(moment.timestamp()) if moment is not None else None
