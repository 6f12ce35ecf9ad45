"""Reads the pipeline: its stages as they stand, its newest executions, and which of them failed last and was not made good since.

Three calls for the pipeline (GetPipeline, GetPipelineState, ListPipelineExecutions) and one for each execution that is looked into.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from botocore.exceptions import ClientError

from scripts.core.errors import CommandError, error_code
from scripts.diagnosis.calls import Calls
from scripts.diagnosis.case import Action, Execution

MOST_EXECUTIONS = 50
_LOOKED_INTO = 12
"""Executions whose actions are listed, at most, in search of the failure. Those that a stage still shows are listed all the same."""
UNDER_WAY = ("InProgress", "Stopping")
ENDED_BADLY = ("Failed", "Stopped", "Cancelled")


@dataclass(frozen=True)
class Condition:
    """A stage condition (entry, success, failure) that ran last; `rules` are (name, status, message) of its rules."""

    kind: str
    status: str
    summary: str
    rules: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Stage:
    """A stage as it stands. `environment` is the one that it releases to, "" for source and build; `execution` was in it last; `waiting` wait to enter."""

    name: str
    environment: str
    execution: str = ""
    status: str = ""
    enabled: bool = True
    reason: str = ""
    by: str = ""
    since: float | None = None
    waiting: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class Overview:
    """A pipeline. `executions` are the newest, newest first. `places` is {(Region, deployment group): environment} of its deploy actions."""

    name: str
    region: str
    stages: tuple[Stage, ...] = ()
    executions: tuple[Execution, ...] = ()
    places: Mapping[tuple[str, str], str] = field(default_factory=dict)
    source: Mapping[str, str] = field(default_factory=dict)
    """The source action's configuration."""

    def stage(self, name: str) -> Stage | None:
        """A stage by its name."""
        return next((stage for stage in self.stages if stage.name == name), None)

    def environment_of(self, stage: str) -> str:
        """Which environment a stage releases to."""
        found = self.stage(stage)
        return found.environment if found else ""

    def execution(self, beginning: str) -> Execution | None:
        """The newest execution whose id begins so."""
        return next((execution for execution in self.executions if execution.id.startswith(beginning)), None)


@dataclass(frozen=True)
class Failure:
    """An execution that ended badly, with its actions that did not succeed (oldest first), the stage where it ended, and when."""

    execution: Execution
    actions: tuple[Action, ...]
    stage: str
    at: float


def read(calls: Calls, region: str, name: str, environments: Sequence[str]) -> Overview | None:
    """The pipeline, or None where neither its structure nor its state can be read. `environments` are the names that there are."""
    client = calls.client("codepipeline", region)
    declared = calls.attempt(f"the structure of pipeline {name}", lambda: client.get_pipeline(name=name)["pipeline"], None)
    state = calls.attempt(f"the state of pipeline {name}", lambda: client.get_pipeline_state(name=name), None)
    listed = calls.attempt(
        f"the executions of pipeline {name}", lambda: client.list_pipeline_executions(pipelineName=name, maxResults=MOST_EXECUTIONS), None)
    if declared is None and state is None and listed is None:
        return None
    of_stages = {stage["name"]: _environment(stage, environments) for stage in (declared or {}).get("stages", [])}
    states = (state or {}).get("stageStates") or [{"stageName": stage} for stage in of_stages]
    actions = [(stage["name"], action) for stage in (declared or {}).get("stages", []) for action in stage["actions"]]
    return Overview(
        name=name, region=region,
        stages=tuple(_stage(one, of_stages.get(one["stageName"]) or _named(one["stageName"], environments)) for one in states),
        executions=_executions((listed or {}).get("pipelineExecutionSummaries", []), states),
        places={(action.get("region") or region, action["configuration"].get("DeploymentGroupName", "")): of_stages[stage]
                for stage, action in actions if action["actionTypeId"]["provider"] == "CodeDeploy"},
        source=next((action.get("configuration", {}) for _, action in actions if action["actionTypeId"]["category"] == "Source"), {}),
    )


def named(calls: Calls, overview: Overview, identity: str) -> Failure | None:
    """The execution that a person named by its id or the beginning of it, however it ended; None where the pipeline has no such execution."""
    execution = overview.execution(identity)
    if execution is None:
        client = calls.client("codepipeline", overview.region)
        try:
            answer = client.get_pipeline_execution(pipelineName=overview.name, pipelineExecutionId=identity)["pipelineExecution"]
        except ClientError as error:
            if error_code(error) in ("PipelineExecutionNotFoundException", "ValidationException"):
                return None
            raise
        revision: Mapping[str, Any] = next(iter(answer.get("artifactRevisions", [])), {})
        execution = Execution(answer["pipelineExecutionId"], answer["status"], commit=revision.get("revisionId", ""),
                              summary=_first_line(revision.get("revisionSummary", "")), by=_by(answer.get("trigger")))
    return look_into(calls, overview, execution)


def newest_failure(calls: Calls, overview: Overview, environment: str) -> Failure | None:
    """The newest execution that ended badly on its way to the environment ("" for any) and was not made good since; None where there is none.

    Made good: a newer execution has got through the stage. Source and build are on the way to every environment.
    """
    looked, told = 0, False
    order = [stage.name for stage in overview.stages]
    own = [index for index, stage in enumerate(overview.stages) if environment and stage.environment == environment]
    first_own = min(own, default=0)
    shown = {stage.execution: stage for stage in overview.stages}
    for index, execution in enumerate(overview.executions):
        if execution.status == "Succeeded":
            return None
        if execution.status not in ENDED_BADLY:
            continue
        there = shown.get(execution.id)
        if there is None and looked >= _LOOKED_INTO:
            if not told:
                calls.refused(f"executions of pipeline {overview.name} before {execution.id}, which ended badly too",
                              CommandError(f"more than {_LOOKED_INTO} after them did; name one: EXECUTION=<id>"))
            told = True
            continue
        if environment and there and there.status in ENDED_BADLY and there.environment not in ("", environment) and order.index(there.name) < first_own:
            continue  # it ended before the environment's stages
        looked += there is None
        failure = look_into(calls, overview, execution)
        reached = order.index(failure.stage) if failure.stage in order else 0
        if environment and overview.environment_of(failure.stage) not in ("", environment):
            if own and reached > max(own):
                return None  # it got through all of the environment's stages, which makes good what failed there before
            continue
        newer = {other.id for other in overview.executions[:index]}
        through = (place for place, stage in enumerate(overview.stages)
                   if stage.execution in newer and (place > reached or (place == reached and stage.status == "Succeeded")))
        return None if any(True for _ in through) else failure
    return None


def look_into(calls: Calls, overview: Overview, execution: Execution) -> Failure:
    """An execution with its actions. Of an action that was retried only the last attempt counts."""
    client = calls.client("codepipeline", overview.region)

    def listed() -> list[Mapping[str, Any]]:
        answer = client.list_action_executions(pipelineName=overview.name, filter={"pipelineExecutionId": execution.id}, maxResults=100)
        return list(answer["actionExecutionDetails"])

    nothing: list[Mapping[str, Any]] = []
    details = calls.attempt(f"the actions of execution {execution.id}", listed, nothing)
    newest: dict[tuple[str, str], Mapping[str, Any]] = {}
    for detail in sorted(details, key=lambda one: _epoch(one.get("startTime")) or 0.0):
        newest[detail["stageName"], detail["actionName"]] = detail
    actions = tuple(action(detail, overview) for detail in newest.values())
    stage = _where(overview, execution, actions)
    if not execution.ended:
        execution = replace(execution, ended=max((one.ended for one in actions if one.ended is not None), default=None))
    bad = tuple(one for one in actions if one.status not in ("Succeeded",))
    if execution.status in ENDED_BADLY:
        bad = tuple(one for one in bad if one.status in ("Failed", "Abandoned"))
    ends = [one.ended for one in bad if one.ended is not None]
    return Failure(execution, bad, stage, max(ends, default=execution.ended or execution.started or 0.0))


def action(detail: Mapping[str, Any], overview: Overview) -> Action:
    """An ActionExecutionDetail."""
    given, result = detail.get("input", {}), detail.get("output", {}).get("executionResult", {})
    error = result.get("errorDetails") or {}
    status = detail["status"]
    return Action(
        stage=detail["stageName"], name=detail["actionName"], status=status, provider=given.get("actionTypeId", {}).get("provider", ""),
        region=given.get("region") or overview.region, environment=overview.environment_of(detail["stageName"]),
        external=result.get("externalExecutionId", ""), code=error.get("code", ""), message=error.get("message") or result.get("externalExecutionSummary", ""),
        started=_epoch(detail.get("startTime")) or 0.0, ended=None if status == "InProgress" else _epoch(detail.get("lastUpdateTime")),
        configuration={**given.get("configuration", {}), **given.get("resolvedConfiguration", {})})


def _where(overview: Overview, execution: Execution, actions: Sequence[Action]) -> str:
    """The stage in which an execution ended, or is."""
    bad = [one for one in actions if one.status in ("Failed", "Abandoned")]
    if bad:
        return bad[0].stage
    inside = [stage.name for stage in overview.stages if stage.execution == execution.id]
    started = [stage.name for stage in overview.stages if any(one.stage == stage.name for one in actions)]
    found = inside or started
    return found[-1] if found else (overview.stages[0].name if overview.stages else "")


def _executions(summaries: Sequence[Mapping[str, Any]], states: Sequence[Mapping[str, Any]]) -> tuple[Execution, ...]:
    found: list[Execution] = []
    for index, summary in enumerate(summaries):
        revision: Mapping[str, Any] = next(iter(summary.get("sourceRevisions", [])), {})
        over = summary["status"] not in UNDER_WAY
        # CodePipeline does not say which one took its place: of those that came after it and went on, the first.
        after = next((other for other in reversed(summaries[:index]) if other["status"] != "Superseded"), None)
        found.append(Execution(
            id=summary["pipelineExecutionId"], status=summary["status"], commit=revision.get("revisionId", ""),
            summary=_first_line(revision.get("revisionSummary", "")), started=_epoch(summary.get("startTime")),
            ended=_epoch(summary.get("lastUpdateTime")) if over else None,
            superseded_by=after["pipelineExecutionId"] if summary["status"] == "Superseded" and after else "",
            stop_reason=(summary.get("stopTrigger") or {}).get("reason") or (summary.get("statusSummary") or "" if summary["status"] in ENDED_BADLY else ""),
            by=_by(summary.get("trigger"))))
    return tuple(found)


def _stage(state: Mapping[str, Any], environment: str) -> Stage:
    latest, inbound = state.get("latestExecution") or {}, state.get("inboundTransitionState") or {}
    waiting = state.get("inboundExecutions") or ([state["inboundExecution"]] if state.get("inboundExecution") else [])
    conditions = (("entry", "beforeEntryConditionState"), ("success", "onSuccessConditionState"), ("failure", "onFailureConditionState"))
    return Stage(
        name=state["stageName"], environment=environment, execution=latest.get("pipelineExecutionId", ""), status=latest.get("status", ""),
        enabled=inbound.get("enabled", True), reason=inbound.get("disabledReason", ""), by=inbound.get("lastChangedBy", ""),
        since=_epoch(inbound.get("lastChangedAt")), waiting=tuple(one["pipelineExecutionId"] for one in waiting),
        conditions=tuple(_condition(kind, state[key]) for kind, key in conditions if (state.get(key) or {}).get("latestExecution")))


def _condition(kind: str, state: Mapping[str, Any]) -> Condition:
    latest = state["latestExecution"]
    rules = [(rule.get("ruleName", ""), (rule.get("latestExecution") or {}).get("status", ""),
              ((rule.get("latestExecution") or {}).get("errorDetails") or {}).get("message") or (rule.get("latestExecution") or {}).get("summary", ""))
             for one in state.get("conditionStates", []) for rule in one.get("ruleStates", [])]
    return Condition(kind, latest.get("status", ""), latest.get("summary", ""), tuple(rules))


def _environment(stage: Mapping[str, Any], environments: Sequence[str]) -> str:
    """The environment that a declared stage releases to: its gate's parameters say so, else its name."""
    for one in stage["actions"]:
        try:
            told = json.loads(one.get("configuration", {}).get("UserParameters", "{}"))
        except ValueError:
            continue
        if isinstance(told, dict) and told.get("environment"):
            return str(told["environment"])
    return _named(stage["name"], environments)


def _named(stage: str, environments: Sequence[str]) -> str:
    return stage.lower() if stage.lower() in environments else ""


def _by(trigger: Mapping[str, Any] | None) -> str:
    return " ".join(part for part in ((trigger or {}).get("triggerType", ""), (trigger or {}).get("triggerDetail", "")) if part)


def _first_line(text: str) -> str:
    """A commit's message: a connection's source action wraps it in JSON ({"ProviderType", "CommitMessage"})."""
    try:
        told = json.loads(text)
        text = str(told["CommitMessage"]) if isinstance(told, dict) and "CommitMessage" in told else text
    except ValueError:
        pass
    return text.splitlines()[0] if text else ""


def _epoch(moment: Any) -> float | None:
    return float(moment.timestamp()) if moment is not None else None
