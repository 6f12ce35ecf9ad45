"""Rollback triggers: alarms that take a stack's operation back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from localaws.cloudformation.runner import Job, reason_of


def triggered(record: Mapping[str, Any], job: Job) -> str:
    """Return why the rollback triggers of a stack ask for its rollback, or ''."""
    triggers = record["rollback"].get("RollbackTriggers") or []
    names = {trigger["Arn"].split(":alarm:", 1)[-1]: trigger["Arn"] for trigger in triggers}
    if not names:
        return ""
    cloudwatch = job.clients.client("cloudwatch", record["StackId"].split(":")[3])
    try:
        found = cloudwatch.describe_alarms(AlarmNames=list(names), AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    except ClientError as error:
        return f"Rollback triggers could not be read: {reason_of(error)}"
    states = {alarm["AlarmName"]: alarm["StateValue"] for kind in ("MetricAlarms", "CompositeAlarms") for alarm in found.get(kind) or []}
    for name, arn in names.items():
        if name not in states:
            return f"Rollback trigger {arn} does not exist."
        if states[name] == "ALARM":
            return f"The following rollback trigger(s) went to ALARM state: [{arn}]."
    return ""
