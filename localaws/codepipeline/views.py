"""A pipeline's record as the API and EventBridge show it. Pure.

Source: the API reference, and AWS CodePipeline User Guide, "Monitoring CodePipeline events" for the events' details.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from localaws.codepipeline import engine
from localaws.codepipeline.engine import Event, Record


def without_none(mapping: dict[str, Any]) -> dict[str, Any]:
    """The mapping without members that are not there."""
    return {key: value for key, value in mapping.items() if value is not None}


def pipeline_summary(pipeline: Record) -> dict[str, Any]:
    """PipelineSummary of ListPipelines."""
    structure = engine.structure_of(pipeline)
    return {"name": pipeline["name"], "version": pipeline["version"], "pipelineType": structure["pipelineType"],
            "executionMode": structure["executionMode"], "created": pipeline["created"], "updated": pipeline["updated"]}


def pipeline_state(pipeline: Record) -> dict[str, Any]:
    """GetPipelineState's answer."""
    stages = engine.structure_of(pipeline)["stages"]
    return {"pipelineName": pipeline["name"], "pipelineVersion": pipeline["version"], "created": pipeline["created"],
            "updated": pipeline["updated"], "stageStates": [_stage_state(pipeline, index, stage) for index, stage in enumerate(stages)]}


def _stage_state(pipeline: Record, index: int, stage: Record) -> dict[str, Any]:
    waiting = [{"pipelineExecutionId": e["id"], "status": e["status"], "type": "STANDARD"} for e in engine.inbound(pipeline, index)]
    latest = pipeline["executions"].get(pipeline["stage_latest"].get(stage["name"]))
    state: dict[str, Any] = {
        "stageName": stage["name"], "inboundExecutions": waiting,
        "inboundTransitionState": pipeline["transitions"].get(stage["name"], {}).get("Inbound", {"enabled": True}),
        "actionStates": [_action_state(pipeline, stage["name"], action) for action in stage["actions"]]}
    if waiting:
        state["inboundExecution"] = waiting[-1]
    if latest:
        own = latest["stages"][stage["name"]]
        status = "Stopping" if own["status"] == "InProgress" and latest["status"] == "Stopping" else own["status"]
        state["latestExecution"] = {"pipelineExecutionId": latest["id"], "status": status, "type": "STANDARD"}
        if own.get("retries"):
            state["retryStageMetadata"] = {"manualStageRetryAttempt": own["retries"], "latestRetryTrigger": "ManualStageRetry"}
    return state


def _action_state(pipeline: Record, stage: str, declared: Record) -> dict[str, Any]:
    runs = [action for execution in pipeline["executions"].values() for action in execution["actions"]
            if action["stage"] == stage and action["name"] == declared["name"]]
    state: dict[str, Any] = {"actionName": declared["name"]}
    if entity := _entity_url(pipeline, declared):
        state["entityUrl"] = entity
    if not runs:
        return state
    latest = max(runs, key=lambda action: (action["started"], action["id"]))
    state["latestExecution"] = without_none({
        "actionExecutionId": latest["id"], "status": latest["status"], "summary": latest["summary"], "lastStatusChange": latest["updated"],
        "token": latest["token"], "externalExecutionId": latest["external_id"], "externalExecutionUrl": latest["external_url"],
        "percentComplete": latest.get("percent"), "errorDetails": latest["error"], "logStreamARN": latest["log_stream_arn"]})
    if latest["revision"]:
        state["currentRevision"] = {"revisionId": latest["revision"]["revisionId"], "revisionChangeId": latest["revision"]["revisionId"],
                                    "created": latest["revision"]["created"]}
        state["revisionUrl"] = latest["revision"]["revisionUrl"]
    return state


def _entity_url(pipeline: Record, declared: Record) -> str | None:
    region, configuration = declared.get("region") or pipeline["arn"].split(":")[3], declared.get("configuration", {})
    home = f"https://{region}.console.aws.amazon.com/codesuite"
    provider = declared["actionTypeId"]["provider"]
    if provider == "CodeBuild":
        return f"{home}/codebuild/projects/{configuration['ProjectName']}/view?region={region}"
    if provider == "CodeDeploy":
        return (f"{home}/codedeploy/applications/{configuration['ApplicationName']}/deployment-groups/"
                f"{configuration['DeploymentGroupName']}?region={region}")
    if provider == "Lambda":
        return f"https://{region}.console.aws.amazon.com/lambda/home?region={region}#/functions/{configuration['FunctionName']}"
    if provider == "CodeStarSourceConnection":
        return f"{home}/settings/connections/redirect?connectionArn={configuration['ConnectionArn']}"
    return None


def execution_detail(pipeline: Record, execution: Record) -> dict[str, Any]:
    """PipelineExecution of GetPipelineExecution."""
    return without_none({
        "pipelineName": pipeline["name"], "pipelineVersion": execution["version"], "pipelineExecutionId": execution["id"],
        "status": execution["status"], "statusSummary": execution["summary"],
        "artifactRevisions": [{"name": r["artifact"], "revisionId": r["revisionId"], "revisionSummary": r["revisionSummary"],
                               "created": r["created"], "revisionUrl": r["revisionUrl"]} for r in execution["revisions"]],
        "variables": [{"name": name, "resolvedValue": value} for name, value in execution["variables"].items()],
        "trigger": _trigger(execution), "executionMode": _mode(pipeline, execution), "executionType": "STANDARD"})


def execution_summary(pipeline: Record, execution: Record) -> dict[str, Any]:
    """PipelineExecutionSummary of ListPipelineExecutions."""
    reason = (execution["stop"] or {}).get("reason")
    return without_none({
        "pipelineExecutionId": execution["id"], "status": execution["status"], "statusSummary": execution["summary"],
        "startTime": execution["started"], "lastUpdateTime": execution["updated"],
        "sourceRevisions": [{"actionName": r["actionName"], "revisionId": r["revisionId"], "revisionSummary": r["revisionSummary"],
                             "revisionUrl": r["revisionUrl"]} for r in execution["revisions"]],
        "trigger": _trigger(execution), "stopTrigger": {"reason": reason} if reason else None,
        "executionMode": _mode(pipeline, execution), "executionType": "STANDARD"})


def _trigger(execution: Record) -> dict[str, str]:
    return {key: execution["trigger"][key] for key in ("triggerType", "triggerDetail")}


def _mode(pipeline: Record, execution: Record) -> str:
    return str(engine.structure_of(pipeline, execution["version"])["executionMode"])


def action_execution(pipeline: Record, execution: Record, action: Record) -> dict[str, Any]:
    """ActionExecutionDetail of ListActionExecutions."""
    result = without_none({
        "externalExecutionId": action["external_id"], "externalExecutionSummary": action["summary"],
        "externalExecutionUrl": action["external_url"], "errorDetails": action["error"], "logStreamARN": action["log_stream_arn"]})
    return {
        "pipelineExecutionId": execution["id"], "actionExecutionId": action["id"], "pipelineVersion": execution["version"],
        "stageName": action["stage"], "actionName": action["name"], "startTime": action["started"], "lastUpdateTime": action["updated"],
        "status": action["status"],
        "input": without_none({
            "actionTypeId": action["type"], "configuration": action["configuration"], "resolvedConfiguration": action["resolved"],
            "roleArn": action.get("role"), "region": _region(pipeline, action), "inputArtifacts": _artifacts(action["inputs"]),
            "namespace": action["namespace"]}),
        "output": {"outputArtifacts": _artifacts(action["outputs"]), "executionResult": result, "outputVariables": action["variables"]}}


def _region(pipeline: Record, action: Record) -> str:
    """The Region in which an action ran."""
    return str(action.get("region") or pipeline["arn"].split(":")[3])


def _artifacts(artifacts: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
    return [{"name": name, "s3location": {"bucket": place["bucket"], "key": place["key"]}} for name, place in artifacts.items()]


def event(pipeline: Record, happened: Event) -> tuple[str, dict[str, Any]]:
    """The detail-type and detail of an EventBridge event."""
    execution = pipeline["executions"][happened.execution_id]
    detail: dict[str, Any] = {
        "pipeline": pipeline["name"], "execution-id": execution["id"], "start-time": _iso(execution["started"]),
        "state": happened.state, "version": float(execution["version"]), "pipeline-execution-attempt": float(execution["attempt"])}
    if happened.level == "Pipeline":
        detail["execution-trigger"] = {"trigger-type": execution["trigger"]["triggerType"],
                                       "trigger-detail": execution["trigger"]["triggerDetail"]}
        if happened.state == "STOPPING" or happened.state == "STOPPED":
            detail["stop-execution-comments"] = (execution["stop"] or {}).get("reason") or ""
    else:
        detail["stage"] = happened.stage
    if happened.level == "Action":
        action = next(a for a in execution["actions"] if a["id"] == happened.action_execution_id)
        detail.update({"action": action["name"], "action-execution-id": action["id"], "type": dict(action["type"]),
                       "start-time": _iso(action["started"]), "region": _region(pipeline, action),
                       "input-artifacts": _artifacts(action["inputs"])})
        if happened.state == "SUCCEEDED":
            detail["output-artifacts"] = _artifacts(action["outputs"])
        if happened.state in ("SUCCEEDED", "FAILED"):
            error = action["error"] or {}
            detail["execution-result"] = without_none({
                "external-execution-id": action["external_id"], "external-execution-url": action["external_url"],
                "external-execution-summary": error.get("message") or action["summary"], "error-code": error.get("code")})
    return f"CodePipeline {happened.level} Execution State Change", detail


def _iso(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
