"""A build as a record that phases go through. Pure.

Source: AWS CodeBuild User Guide, "Build phase transitions" (UPLOAD_ARTIFACTS is attempted even if BUILD fails; POST_BUILD runs after a
failed BUILD) and "Build specification reference" (on-failure). A failure before BUILD ends the build: FINALIZING comes next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localaws.codebuild.buildspec import Buildspec

COMMAND_PHASES = {"INSTALL": "install", "PRE_BUILD": "pre_build", "BUILD": "build", "POST_BUILD": "post_build"}
ORDER = ("SUBMITTED", "QUEUED", "PROVISIONING", "DOWNLOAD_SOURCE", *COMMAND_PHASES, "UPLOAD_ARTIFACTS", "FINALIZING", "COMPLETED")

Record = dict[str, Any]


def new_build(project: Mapping[str, Any], overrides: Mapping[str, Any], arn: str, number: int, initiator: str, now: float) -> Record:
    """The record of a build (Build of the API), SUBMITTED: the project's settings under those of StartBuild."""
    source = {**project["source"]}
    for key, override in (("type", "sourceTypeOverride"), ("location", "sourceLocationOverride"), ("buildspec", "buildspecOverride")):
        if override in overrides:
            source[key] = overrides[override]
    environment = {**project["environment"]}
    for key, override in (("type", "environmentTypeOverride"), ("image", "imageOverride"), ("computeType", "computeTypeOverride"),
                          ("privilegedMode", "privilegedModeOverride")):
        if override in overrides:
            environment[key] = overrides[override]
    variables = {v["name"]: v for v in [*environment.get("environmentVariables", []), *overrides.get("environmentVariablesOverride", [])]}
    environment["environmentVariables"] = list(variables.values())
    artifacts = {**overrides.get("artifactsOverride", project["artifacts"])}
    build: Record = {
        "id": arn.split(":build/")[1], "arn": arn, "buildNumber": number, "startTime": now, "currentPhase": "SUBMITTED",
        "buildStatus": "IN_PROGRESS", "projectName": project["name"], "phases": [], "source": source, "environment": environment,
        "artifacts_wanted": artifacts, "serviceRole": overrides.get("serviceRoleOverride", project["serviceRole"]),
        "timeoutInMinutes": overrides.get("timeoutInMinutesOverride", project["timeoutInMinutes"]),
        "queuedTimeoutInMinutes": overrides.get("queuedTimeoutInMinutesOverride", project["queuedTimeoutInMinutes"]),
        "buildComplete": False, "initiator": initiator, "encryptionKey": overrides.get("encryptionKeyOverride", project["encryptionKey"]),
        "exportedEnvironmentVariables": [], "logsConfig": overrides.get("logsConfigOverride", project.get("logsConfig", {})), "logs": {},
        "cache": project.get("cache", {"type": "NO_CACHE"})}
    version = overrides.get("sourceVersion", project.get("sourceVersion"))
    if version:
        build["sourceVersion"] = version
    begin(build, "SUBMITTED", now)
    end(build, "SUBMITTED", "SUCCEEDED", now)
    return build


def begin(build: Record, phase: str, now: float) -> None:
    """Enter a phase."""
    build["currentPhase"] = phase
    build["phases"].append({"phaseType": phase, "phaseStatus": "IN_PROGRESS", "startTime": now})
    if phase == "COMPLETED":
        del build["phases"][-1]["phaseStatus"]  # as AWS shows it: COMPLETED has a start time and nothing else


def end(build: Record, phase: str, status: str, now: float, code: str = "", message: str = "") -> None:
    """End a phase with its context. The first phase that does not succeed decides the build's status."""
    current = build["phases"][-1]
    current.update(phaseStatus=status, endTime=now, durationInSeconds=int(now - current["startTime"]),
                   contexts=[{"statusCode": code, "message": message}])
    if status != "SUCCEEDED" and not build.get("outcome"):
        build["outcome"] = status


def succeeding(build: Record) -> bool:
    """What CODEBUILD_BUILD_SUCCEEDING says."""
    return not build.get("outcome")


def following(buildspec: Buildspec | None, phase: str, status: str) -> str:
    """The phase after one that ended so."""
    if phase == "FINALIZING":
        return "COMPLETED"
    onward = ORDER[ORDER.index(phase) + 1]
    if status == "SUCCEEDED":
        return onward
    if status != "FAILED" or buildspec is None or phase not in COMMAND_PHASES:
        return "FINALIZING"
    policy = buildspec.phases[COMMAND_PHASES[phase]].on_failure
    if policy == "CONTINUE" or (policy is None and phase in ("BUILD", "POST_BUILD")):
        return onward
    return "FINALIZING"


def complete(build: Record, now: float) -> None:
    """End the build."""
    begin(build, "COMPLETED", now)
    build.update(buildStatus=build.get("outcome") or "SUCCEEDED", buildComplete=True, endTime=now)


def again(build: Record, now: float) -> None:
    """Begin anew a build that a stopped local AWS left half done: its container is gone."""
    build.update(phases=[], outcome=None, exportedEnvironmentVariables=[])
    begin(build, "SUBMITTED", now)
    end(build, "SUBMITTED", "SUCCEEDED", now)


def variables(build: Record, region: str, source_directory: str) -> dict[str, str]:
    """The variables that CodeBuild itself sets (User Guide, "Environment variables in build environments")."""
    uuid = build["id"].split(":", 1)[1]
    values = {
        "AWS_DEFAULT_REGION": region, "AWS_REGION": region, "CODEBUILD_BUILD_ARN": build["arn"], "CODEBUILD_BUILD_ID": build["id"],
        "CODEBUILD_BUILD_IMAGE": build["environment"]["image"], "CODEBUILD_BUILD_NUMBER": str(build["buildNumber"]),
        "CODEBUILD_CI": "true", "CODEBUILD_INITIATOR": build["initiator"], "CODEBUILD_KMS_KEY_ID": build["encryptionKey"],
        "CODEBUILD_LOG_PATH": build["logs"].get("streamName", uuid), "CODEBUILD_SRC_DIR": source_directory,
        "CODEBUILD_START_TIME": str(int(build["startTime"] * 1000)), "HOME": "/root"}
    if build.get("resolvedSourceVersion"):
        values["CODEBUILD_RESOLVED_SOURCE_VERSION"] = build["resolvedSourceVersion"]
    if build.get("sourceVersion"):
        values["CODEBUILD_SOURCE_VERSION"] = build["sourceVersion"]
    return values


def script(command: str, succeeding_: bool) -> str:
    """What one command is run as. AWS runs each in a shell of its own that takes over variables and folder from the one before.

    So `export` and `cd` last through all phases, plain assignments too (set -a), functions and `set -e` do not, and a command that
    exits itself leaves neither.
    """
    return "\n".join((
        'cd "$(cat /codebuild/output/tmp/dir.txt)"', "set -a", ". /codebuild/output/tmp/env.sh",
        f"CODEBUILD_BUILD_SUCCEEDING={int(succeeding_)}", command, "CODEBUILD_LAST_EXIT=$?", "export -p > /codebuild/output/tmp/env.sh",
        "pwd > /codebuild/output/tmp/dir.txt", "exit $CODEBUILD_LAST_EXIT"))


def log_place(project: str, logs: Mapping[str, Any], build_uuid: str) -> tuple[str, str] | None:
    """(log group, log stream) of a build, or None where logs to CloudWatch are disabled."""
    config = logs.get("cloudWatchLogs", {"status": "ENABLED"})
    if config["status"] == "DISABLED":
        return None
    stream = f"{config['streamName']}/{build_uuid}" if config.get("streamName") else build_uuid
    return config.get("groupName") or f"/aws/codebuild/{project}", stream


def event_detail(build: Record) -> dict[str, Any]:
    """The detail of "CodeBuild Build State Change"."""
    return {
        "build-status": build["buildStatus"], "project-name": build["projectName"], "build-id": build["arn"],
        "current-phase": build["currentPhase"], "current-phase-context": "[]", "version": "1",
        "additional-information": {
            "build-complete": build["buildComplete"], "initiator": build["initiator"], "build-number": float(build["buildNumber"]),
            "timeout-in-minutes": float(build["timeoutInMinutes"]),
            "source": {"type": build["source"]["type"]}, "source-version": build.get("sourceVersion", ""),
            "logs": {"group-name": build["logs"].get("groupName", ""), "stream-name": build["logs"].get("streamName", ""),
                     "deep-link": build["logs"].get("deepLink", "")},
            "phases": [{"phase-type": p["phaseType"], "phase-status": p.get("phaseStatus", ""), "start-time": p["startTime"],
                        "phase-context": [f"{c['statusCode']}: {c['message']}" for c in p.get("contexts", [])]} for p in build["phases"]]}}
