"""Reads a build: its phases with what they said, and the end of its log.

Source: https://docs.aws.amazon.com/codebuild/latest/APIReference/API_Build.html and
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from scripts.core.errors import error_code
from scripts.diagnosis.calls import Calls
from scripts.diagnosis.case import Build, Phase

MOST_LINES = 120
"""Lines of the log's end that are read, by one call: those of the phases after the one that failed are among them."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def read(calls: Calls, region: str, build_id: str) -> Build:
    """The build, by its id (`<project>:<uuid>`) or ARN. Two calls. What could not be read is empty, and `log_note` says why."""
    build_id = build_id.rpartition(":build/")[2] or build_id
    project = build_id.split(":")[0]
    codebuild = calls.client("codebuild", region)
    found: dict[str, Any] = calls.attempt(f"the build {build_id}", lambda: codebuild.batch_get_builds(ids=[build_id]), {})
    if not found:
        return Build(build_id, project, region, "", log_note="the build could not be read")
    if not found["builds"]:
        return Build(build_id, project, region, "", log_note="CodeBuild does not know this build any more: it keeps builds for a year")
    build = found["builds"][0]
    log, note = _log(calls, region, build)
    environment, source = build.get("environment", {}), build.get("source", {})
    buildspec = source.get("buildspec", "")
    return Build(
        id=build_id, project=build.get("projectName", project), region=region, status=build.get("buildStatus", ""), started=_seconds(build.get("startTime")),
        ended=_seconds(build.get("endTime")), phases=tuple(_phase(phase) for phase in build.get("phases", ())), log=log, log_note=note,
        log_link=build.get("logs", {}).get("deepLink", ""), image=environment.get("image", ""), role=build.get("serviceRole", ""),
        timeout_minutes=build.get("timeoutInMinutes", 0), queued_minutes=build.get("queuedTimeoutInMinutes", 0),
        privileged=bool(environment.get("privilegedMode")), buildspec="" if "\n" in buildspec else buildspec, key=build.get("encryptionKey", ""))


def _phase(phase: Mapping[str, Any]) -> Phase:
    said: Mapping[str, Any] = next((context for context in phase.get("contexts", ()) if context.get("statusCode") or context.get("message")), {})
    return Phase(phase.get("phaseType", ""), phase.get("phaseStatus", ""), float(phase.get("durationInSeconds", 0)), said.get("statusCode", ""),
                 said.get("message", "").strip())


def _log(calls: Calls, region: str, build: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """(the last lines, why there are none)."""
    logs = build.get("logs", {})
    group, stream = logs.get("groupName"), logs.get("streamName")
    if not group or not stream:
        if logs.get("cloudWatchLogs", {}).get("status") == "DISABLED":
            return (), f"the project writes no log to CloudWatch Logs{'; it is at ' + logs['s3DeepLink'] if logs.get('s3DeepLink') else ''}"
        return (), "the build ended before it had a log"
    client = calls.client("logs", region)
    # Without a time to begin at, CloudWatch Logs may answer with an empty page.
    begin = {"startTime": int(build["startTime"].timestamp() * 1000)} if build.get("startTime") else {}

    def last() -> list[str] | None:
        try:
            answer = client.get_log_events(logGroupName=group, logStreamName=stream, limit=MOST_LINES, startFromHead=False, **begin)
        except ClientError as error:
            if error_code(error) == "ResourceNotFoundException":
                return None
            raise
        return [line for event in answer["events"] for line in _COLOURS.sub("", event["message"]).splitlines() if line.strip()]

    nothing: list[str] | None = []
    said: list[str] | None = calls.attempt(f"the log of the build {build['id']}", last, nothing)
    if said is None:
        return (), f"its log {group} {stream} is not there any more"
    return tuple(said[-MOST_LINES:]), "" if said else "its log is empty, or could not be read"


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None
