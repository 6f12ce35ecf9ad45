"""The pipeline's state machine: what a pipeline does next, from its record and the time alone.

Nothing here sleeps, calls anything or reads a clock. A pipeline is a plain JSON-able dict (`new_pipeline`); functions change it and
return the effects that the outside has to carry out: actions to start (`Start`) and events to publish (`Event`). What became of an
action comes back through `observe`.

Semantics (AWS CodePipeline User Guide, "How pipeline executions work"; API reference of the operations):
- a stage holds one execution at a time; an execution that comes to a held or closed stage waits at its inbound;
- SUPERSEDED: of those that wait at one inbound only the newest stays, the older are Superseded; QUEUED: they enter in order;
- actions of one runOrder run together, the next runOrder when all of them Succeeded; one failed action fails stage and execution,
  those beside it run to their end and hold the stage till then;
- a retried stage runs its failed actions (FAILED_ACTIONS) or all (ALL_ACTIONS) again in the same execution;
- after a change of the structure an execution of the old one ends Cancelled once its running actions have ended.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from localaws.codepipeline.variables import UnresolvedVariable, namespaces, resolve

FINISHED = frozenset({"Succeeded", "Failed", "Superseded", "Stopped", "Cancelled"})

MINUTES = {"Lambda": 24 * 60, "CodeDeploy": 5 * 24 * 60}
"""How long an action may run (User Guide, "Quotas"); CodeBuild ends its builds itself."""

Record = dict[str, Any]


class EngineError(Exception):
    """A request that the state of the pipeline does not allow; `code` is AWS's exception."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Start:
    """An action to start: ids of its execution and of the action execution."""

    execution_id: str
    action_execution_id: str


@dataclass(frozen=True)
class Event:
    """A state change to publish. `level` is Pipeline, Stage or Action; `state` as EventBridge spells it (STARTED, …)."""

    level: str
    execution_id: str
    state: str
    stage: str | None = None
    action_execution_id: str | None = None


Effect = Start | Event


@dataclass(frozen=True)
class Observation:
    """What is known of an action: `status` InProgress, Succeeded or Failed.

    `outputs` are artifacts {name: {bucket, key}}, `variables` the output variables, `revision` {revisionId, revisionSummary,
    revisionUrl} of a source action, `inputs` the copies that were made of input artifacts for the action's Region.
    """

    status: str
    external_id: str | None = None
    external_url: str | None = None
    summary: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    revision: dict[str, str] | None = None
    token: str | None = None
    log_stream_arn: str | None = None
    percent: int | None = None
    inputs: dict[str, dict[str, str]] = field(default_factory=dict)


def failed(code: str, message: str, external_id: str | None = None, **rest: Any) -> Observation:
    """A failed action with AWS's error code (JobFailed, ConfigurationError, PermissionError, …) and message."""
    return Observation("Failed", external_id, error_code=code, error_message=message, **rest)


def new_pipeline(structure: Record, arn: str, now: float) -> Record:
    """The record of a pipeline of this structure (PipelineDeclaration), version 1, without executions."""
    return {"name": structure["name"], "arn": arn, "version": 1, "structures": {"1": {**structure, "version": 1}},
            "created": now, "updated": now, "transitions": {}, "executions": {}, "order": [], "active": [], "stage_latest": {}, "tags": []}


def structure_of(pipeline: Record, version: int | None = None) -> Record:
    """The declaration of a version, the current one by default."""
    structure: Record = pipeline["structures"][str(version or pipeline["version"])]
    return structure


def update(pipeline: Record, structure: Record, now: float) -> list[Effect]:
    """Take a new structure; executions of the old one end (see the module's docstring)."""
    pipeline["version"] += 1
    pipeline["structures"][str(pipeline["version"])] = {**structure, "version": pipeline["version"]}
    pipeline["updated"] = now
    names = {stage["name"] for stage in structure["stages"]}
    pipeline["transitions"] = {name: state for name, state in pipeline["transitions"].items() if name in names}
    return advance(pipeline, now)


def start(pipeline: Record, execution_id: str, trigger: Record, now: float, *, variables: dict[str, str] | None = None,
          source_revisions: dict[str, str] | None = None) -> list[Effect]:
    """Begin an execution: it comes to the first stage's inbound. `source_revisions` is commit by source action."""
    defaults = {v["name"]: v["defaultValue"] for v in structure_of(pipeline).get("variables", []) if "defaultValue" in v}
    execution: Record = {
        "id": execution_id, "version": pipeline["version"], "status": "InProgress", "trigger": trigger, "started": now, "updated": now,
        "variables": {**defaults, **(variables or {})}, "namespaces": {}, "artifacts": {}, "revisions": [],
        "source_revisions": source_revisions or {}, "position": 0, "waiting": True, "arrived": now, "attempt": 1, "stages": {},
        "actions": [], "stop": None, "summary": None}
    pipeline["executions"][execution_id] = execution
    pipeline["order"].append(execution_id)
    pipeline["active"].append(execution_id)
    return [Event("Pipeline", execution_id, "STARTED"), *advance(pipeline, now)]


def advance(pipeline: Record, now: float) -> list[Effect]:
    """Do all that can be done now, and return the effects. Calling it again at once changes nothing."""
    effects: list[Effect] = []
    while step := _step(pipeline, now):
        effects += step
    return effects


def observe(pipeline: Record, execution_id: str, action_execution_id: str, seen: Observation, now: float) -> list[Effect]:
    """Take up what became of an action. News of an action that has ended already (abandoned, say) is dropped."""
    execution = pipeline["executions"][execution_id]
    action = _action(execution, action_execution_id)
    if action is None or action["status"] != "InProgress":
        return []
    news = {"external_id": seen.external_id, "external_url": seen.external_url, "summary": seen.summary, "token": seen.token,
            "log_stream_arn": seen.log_stream_arn, "percent": seen.percent}
    action.update({key: value for key, value in news.items() if value is not None})
    for name, place in seen.inputs.items():
        action["inputs"][name] = place
        execution["artifacts"][name].setdefault("copies", {})[action["region"]] = place
    if seen.status == "InProgress":
        return []
    action.update(status=seen.status, updated=now, token=None)
    execution["updated"] = now
    if seen.status == "Failed":
        action["error"] = {"code": seen.error_code or "JobFailed", "message": seen.error_message or "The action failed"}
    else:
        action["outputs"], action["variables"] = dict(seen.outputs), dict(seen.variables)
        execution["artifacts"].update(seen.outputs)
        if action["namespace"]:
            execution["namespaces"][action["namespace"]] = dict(seen.variables)
        if seen.revision:
            action["revision"] = {**seen.revision, "created": now}
            others = [r for r in execution["revisions"] if r["actionName"] != action["name"]]
            execution["revisions"] = [*others, {**seen.revision, "actionName": action["name"], "created": now,
                                                "artifact": next(iter(seen.outputs), action["name"])}]
    event = Event("Action", execution_id, seen.status.upper(), action["stage"], action_execution_id)
    return [event, *advance(pipeline, now)]


def in_progress(pipeline: Record) -> Iterable[tuple[Record, Record]]:
    """Every (execution, action execution) whose action runs."""
    for execution in _active(pipeline):
        for action in _running(execution):
            yield execution, action


def stop(pipeline: Record, execution_id: str, abandon: bool, reason: str | None, now: float) -> list[Effect]:
    """StopPipelineExecution: wait for running actions, or abandon them."""
    execution = _execution(pipeline, execution_id)
    if execution["status"] in FINISHED:
        raise EngineError("PipelineExecutionNotStoppableException",
                          f"The pipeline execution {execution_id} cannot be stopped: it has already ended ({execution['status']}).")
    if execution["status"] == "Stopping" and not abandon:
        raise EngineError("DuplicatedStopRequestException",
                          f"A request to stop the pipeline execution {execution_id} has already been made.")
    effects: list[Effect] = []
    execution["stop"] = {"abandon": abandon, "reason": reason}
    execution["updated"] = now
    if execution["status"] != "Stopping":
        execution["status"] = "Stopping"
        effects.append(Event("Pipeline", execution_id, "STOPPING"))
    if abandon:
        for action in _running(execution):
            action.update(status="Abandoned", updated=now)
            effects.append(Event("Action", execution_id, "ABANDONED", action["stage"], action["id"]))
    return [*effects, *advance(pipeline, now)]


def retry(pipeline: Record, stage: str, execution_id: str, mode: str, now: float) -> list[Effect]:
    """RetryStageExecution: run a stage again in the execution that failed in it."""
    names = [s["name"] for s in structure_of(pipeline)["stages"]]
    if stage not in names:
        raise EngineError("StageNotFoundException", f"The stage {stage} was not found in the pipeline {pipeline['name']}.")
    execution = _execution(pipeline, execution_id)
    if pipeline["stage_latest"].get(stage) != execution_id:
        raise EngineError("NotLatestPipelineExecutionException",
                          f"The execution {execution_id} is not the latest execution of the stage {stage}.")
    state = execution["stages"].get(stage, {}).get("status")
    if (state not in ("Failed", "Stopped") or execution["status"] not in ("Failed", "Stopped")
            or execution["version"] != pipeline["version"]):
        raise EngineError("StageNotRetryableException", (
            f"The stage named {stage} in the {pipeline['name']} pipeline can't be retried now. Either it contains no failed actions, "
            f"the execution '{execution_id}' is already superseded, or the pipeline definition has changed since the action(s) failed."))
    for action in _current(execution, stage):
        if mode == "ALL_ACTIONS" and action["status"] == "InProgress":
            raise EngineError("ConflictException", f"The action {action['name']} of the stage {stage} is still in progress.")
    for action in _current(execution, stage):
        if action["status"] in ("Failed", "Abandoned") or mode == "ALL_ACTIONS":
            action["current"] = False
    execution["stages"][stage]["status"] = "InProgress"
    execution["stages"][stage]["retries"] = execution["stages"][stage].get("retries", 0) + 1
    execution.update(status="InProgress", stop=None, updated=now, waiting=False, position=names.index(stage),
                     attempt=execution["attempt"] + 1)
    active = {*pipeline["active"], execution_id}
    pipeline["active"] = [identity for identity in pipeline["order"] if identity in active]
    return [Event("Pipeline", execution_id, "RESUMED"), Event("Stage", execution_id, "RESUMED", stage), *advance(pipeline, now)]


def set_transition(pipeline: Record, stage: str, direction: str, enabled: bool, who: str, reason: str | None, now: float) -> list[Effect]:
    """Enable/DisableStageTransition of a stage's Inbound or Outbound."""
    if stage not in [s["name"] for s in structure_of(pipeline)["stages"]]:
        raise EngineError("StageNotFoundException", f"The stage {stage} was not found in the pipeline {pipeline['name']}.")
    state: Record = {"enabled": enabled, "lastChangedBy": who, "lastChangedAt": now}
    if not enabled:
        state["disabledReason"] = reason
    pipeline["transitions"].setdefault(stage, {})[direction] = state
    return advance(pipeline, now)


def inbound(pipeline: Record, stage_index: int) -> list[Record]:
    """The executions that wait at a stage's inbound, oldest first."""
    return [e for e in _active(pipeline) if e["waiting"] and e["position"] == stage_index and e["status"] not in FINISHED]


def stage_actions(pipeline: Record, stage: str) -> list[Record]:
    """The latest action executions of a stage's latest execution."""
    latest = pipeline["stage_latest"].get(stage)
    return _current(pipeline["executions"][latest], stage) if latest in pipeline["executions"] else []


# One step at a time


def _step(pipeline: Record, now: float) -> list[Effect]:
    """One change that is due, or nothing."""
    for execution in _active(pipeline):
        if execution["status"] in FINISHED:
            continue
        if execution["version"] != pipeline["version"] and not _running(execution):
            return _end(execution, "Cancelled", "The pipeline was updated before the execution could be completed.", now)
        if execution["status"] == "Stopping":
            if not _running(execution):
                return _end(execution, "Stopped", (execution["stop"] or {}).get("reason"), now)
        elif execution["version"] == pipeline["version"]:
            step = _arrive(pipeline, execution, now) if execution["waiting"] else _run_stage(pipeline, execution, now)
            if step:
                return step
    return []


def _arrive(pipeline: Record, execution: Record, now: float) -> list[Effect]:
    """An execution that waits: supersede it, let it in, or leave it waiting."""
    structure = structure_of(pipeline)
    index = execution["position"]
    stage = structure["stages"][index]["name"]
    waiting = inbound(pipeline, index)
    closed = not _open(pipeline, structure, index)
    held = _holder(pipeline, stage) is not None
    if structure.get("executionMode", "SUPERSEDED") == "SUPERSEDED" and execution is not waiting[-1]:
        return _end(execution, "Superseded", None, now)
    if closed or held or (structure.get("executionMode") == "QUEUED" and execution is not waiting[0]):
        return []
    execution.update(waiting=False, updated=now)
    execution["stages"][stage] = {"status": "InProgress", "entered": now}
    pipeline["stage_latest"][stage] = execution["id"]
    return [Event("Stage", execution["id"], "STARTED", stage)]


def _run_stage(pipeline: Record, execution: Record, now: float) -> list[Effect]:
    """An execution inside a stage: start what is due, or end the stage."""
    structure = structure_of(pipeline, execution["version"])
    declared = structure["stages"][execution["position"]]
    stage = declared["name"]
    current = {action["name"]: action for action in _current(execution, stage)}
    timed_out = [a for a in current.values() if a["status"] == "InProgress" and a["deadline"] and now >= a["deadline"]]
    if timed_out:
        timed_out[0].update(status="Failed", updated=now, error={
            "code": "JobFailed", "message": "The action failed because it exceeded its maximum running time."})
        return [Event("Action", execution["id"], "FAILED", stage, timed_out[0]["id"])]
    if any(action["status"] == "Failed" for action in current.values()):
        return _end(execution, "Failed", None, now)
    for order in sorted({action.get("runOrder", 1) for action in declared["actions"]}):
        group = [action for action in declared["actions"] if action.get("runOrder", 1) == order]
        missing = [action for action in group if action["name"] not in current]
        if missing:
            return [effect for action in missing for effect in _begin(pipeline, execution, stage, action, now)]
        if any(current[action["name"]]["status"] != "Succeeded" for action in group):
            return []
    execution["stages"][stage]["status"] = "Succeeded"
    execution["updated"] = now
    effects: list[Effect] = [Event("Stage", execution["id"], "SUCCEEDED", stage)]
    if execution["position"] + 1 == len(structure["stages"]):
        execution["status"] = "Succeeded"
        return [*effects, Event("Pipeline", execution["id"], "SUCCEEDED")]
    execution.update(position=execution["position"] + 1, waiting=True, arrived=now)
    return effects


def _begin(pipeline: Record, execution: Record, stage: str, declared: Record, now: float) -> list[Effect]:
    """The record of an action that starts now; one whose variables have no value fails at once."""
    number = len(execution["actions"]) + 1
    region = declared.get("region") or pipeline["arn"].split(":")[3]
    minutes = declared.get("timeoutInMinutes") or MINUTES.get(declared["actionTypeId"]["provider"])
    action: Record = {
        "id": _action_id(execution["id"], number), "stage": stage, "name": declared["name"], "status": "InProgress", "current": True,
        "started": now, "updated": now, "configuration": dict(declared.get("configuration", {})), "resolved": {}, "outputs": {},
        "inputs": {a["name"]: _place(execution["artifacts"][a["name"]], region) for a in declared.get("inputArtifacts", [])
                   if a["name"] in execution["artifacts"]},
        "region": region, "role": declared.get("roleArn"), "percent": None, "job": None,
        "variables": {}, "namespace": declared.get("namespace"), "type": declared["actionTypeId"], "external_id": None,
        "external_url": None, "summary": None, "error": None, "revision": None, "token": None, "log_stream_arn": None,
        "deadline": now + 60 * minutes if minutes else None}
    execution["actions"].append(action)
    execution["updated"] = now
    started = Event("Action", execution["id"], "STARTED", stage, action["id"])
    try:
        action["resolved"] = resolve(action["configuration"], namespaces(execution))
    except UnresolvedVariable as error:
        action.update(status="Failed", error={"code": "ConfigurationError", "message": str(error)})
        return [started, Event("Action", execution["id"], "FAILED", stage, action["id"])]
    return [started, Start(execution["id"], action["id"])]


def _place(artifact: Record, region: str) -> dict[str, str]:
    """Where an artifact lies for an action in a Region: the copy that an earlier action had made, else where it was put."""
    found = (artifact.get("copies") or {}).get(region, artifact)
    return {"bucket": found["bucket"], "key": found["key"]}


def _end(execution: Record, status: str, summary: str | None, now: float) -> list[Effect]:
    """End an execution, and the stage it is in."""
    effects: list[Effect] = []
    for name, state in execution["stages"].items():
        if state["status"] == "InProgress":
            state["status"] = status
            effects.append(Event("Stage", execution["id"], _event_state(status), name))
    execution.update(status=status, updated=now, summary=summary, waiting=False)
    return [*effects, Event("Pipeline", execution["id"], _event_state(status))]


def _event_state(status: str) -> str:
    return "CANCELED" if status == "Cancelled" else status.upper()


def _action_id(execution_id: str, number: int) -> str:
    """An id in UUID's form that is the same whenever the same thing happens: the execution's, with the action's number in it."""
    return f"{execution_id[:24]}{(int(execution_id[24:], 16) + number) % 16**12:012x}"


def _open(pipeline: Record, structure: Record, index: int) -> bool:
    """Say whether the transition into a stage is enabled, from both its sides."""
    transitions = pipeline["transitions"]
    sides = [(structure["stages"][index]["name"], "Inbound")]
    if index:
        sides.append((structure["stages"][index - 1]["name"], "Outbound"))
    return all(transitions.get(stage, {}).get(direction, {}).get("enabled", True) for stage, direction in sides)


def _holder(pipeline: Record, stage: str) -> Record | None:
    """The execution that holds a stage: it is inside, or its actions there still run after a failure."""
    for execution in _active(pipeline):
        if execution["stages"].get(stage, {}).get("status") == "InProgress":
            return execution
        if any(action["stage"] == stage for action in _running(execution)):
            return execution
    return None


def _active(pipeline: Record) -> list[Record]:
    """The executions that have not ended, or whose actions still run, oldest first; those that are through are left out for good."""
    found = [pipeline["executions"][identity] for identity in pipeline["active"]]
    kept = [e for e in found if e["status"] not in FINISHED or _running(e)]
    if len(kept) < len(found):
        pipeline["active"] = [e["id"] for e in kept]
    return kept


def _execution(pipeline: Record, execution_id: str) -> Record:
    found: Record | None = pipeline["executions"].get(execution_id)
    if found is None:
        raise EngineError("PipelineExecutionNotFoundException",
                          f"The pipeline execution {execution_id} was not found in the pipeline {pipeline['name']}.")
    return found


def _action(execution: Record, action_execution_id: str) -> Record | None:
    return next((action for action in execution["actions"] if action["id"] == action_execution_id), None)


def _current(execution: Record, stage: str) -> list[Record]:
    return [action for action in execution["actions"] if action["stage"] == stage and action["current"]]


def _running(execution: Record) -> list[Record]:
    return [action for action in execution["actions"] if action["status"] == "InProgress"]
