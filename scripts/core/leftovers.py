"""What taskcat's stacks leave behind: stacks of a run that was cut off, and what deleted ones keep on purpose.

A stack of a release store or a ledger keeps its bucket, keys, images, logs and table when it is deleted. Those of a test hold nothing, and a key is paid
by the month. They are known by the stacks alone, which CloudFormation lists for 90 days after their deletion.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from scripts.core import removal, stacks
from scripts.core.clock import Clock
from scripts.core.errors import error_code
from scripts.core.session import Aws
from scripts.core.tested import STACK_PREFIX

_WAIT_SECONDS = 1800.0
_POLL_SECONDS = 5.0
# Events that only say that another failed.
_ECHOES = ("Resource creation cancelled", "The following resource(s) failed", "Embedded stack ", "Resource creation Initiated")
_GONE = frozenset({
    "NoSuchBucket", "404", "NotFoundException", "KMSInvalidStateException", "RepositoryNotFoundException", "ResourceNotFoundException",
})


def of_project(cloudformation: Any, project: str, since: datetime) -> list[dict[str, Any]]:
    """ListStacks' summaries of the stacks that taskcat made for a project since then and of those nested in them, deleted ones too, newest first."""
    listed = [summary for page in cloudformation.get_paginator("list_stacks").paginate() for summary in page["StackSummaries"]]
    ours = {
        summary["StackId"]
        for summary in listed
        if summary["StackName"].startswith(f"{STACK_PREFIX}-{project}-") and not summary.get("ParentId") and summary["CreationTime"] >= since
    }
    return [summary for summary in listed if ours & {summary["StackId"], summary.get("RootId", "")}]


def failures(cloudformation: Any, stack_id: str) -> list[str]:
    """What failed in a stack, oldest first, as `Resource (type): reason`, without those that only repeat it."""
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id)
    events = [event for page in pages for event in page["StackEvents"]]
    return [
        f"{event['LogicalResourceId']} ({event['ResourceType']}): {event['ResourceStatusReason']}"
        for event in reversed(events)
        if event["ResourceStatus"].endswith("_FAILED")
        and event.get("ResourceStatusReason")
        and not event["ResourceStatusReason"].startswith(_ECHOES)
    ]


def remove(aws: Aws, region: str, project: str, since: datetime, clock: Clock, say: Callable[[str], None]) -> list[str]:
    """Deletes all of it in a Region, and says what; gives back what is still there, with the reason."""
    cloudformation = aws.client("cloudformation", region)
    left = []
    for summary in of_project(cloudformation, project, since):
        if not summary.get("ParentId") and summary["StackStatus"] != "DELETE_COMPLETE":
            say(f"deleting {summary['StackName']} ({region}, {summary['StackStatus']})")
            reason = _delete_stack(cloudformation, summary["StackId"], clock)
            left += [f"stack {summary['StackName']} in {region}: {reason}"] if reason else []
    for summary in of_project(cloudformation, project, since):
        if summary["StackStatus"] != "DELETE_COMPLETE":
            continue
        for resource in stacks.resources(cloudformation, summary["StackId"]):
            if resource["ResourceType"] == "AWS::Synthetics::Canary" and resource.get("PhysicalResourceId"):
                _delete_logs(aws.client("logs", region), removal.canary_logs(resource["PhysicalResourceId"]))
            if resource["ResourceStatus"] == "DELETE_SKIPPED" and resource.get("PhysicalResourceId"):
                what = f"{resource['ResourceType']} {resource['PhysicalResourceId']}"
                reason = _delete_kept(aws, region, resource["ResourceType"], resource["PhysicalResourceId"])
                left += [f"{what} in {region}: {reason}"] if reason else []
    return left


def _delete_stack(cloudformation: Any, stack_id: str, clock: Clock) -> str:
    """"" when it is gone, else why not."""
    cloudformation.delete_stack(StackName=stack_id)
    end = clock.seconds() + _WAIT_SECONDS
    while clock.seconds() < end:
        found = stacks.find(cloudformation, stack_id)
        if found is None or found.status == "DELETE_COMPLETE":
            return ""
        if found.status == "DELETE_FAILED":
            return found.reason or found.status
        clock.sleep(_POLL_SECONDS)
    return f"it was not deleted within {_WAIT_SECONDS:.0f} s"


def _delete_kept(aws: Aws, region: str, kind: str, name: str) -> str:
    """"" when it is gone (a key: is going), else why not."""
    ways: dict[str, Callable[[], object]] = {
        "AWS::DynamoDB::Table": lambda: aws.client("dynamodb", region).delete_table(TableName=name),
        "AWS::ECR::Repository": lambda: aws.client("ecr", region).delete_repository(repositoryName=name, force=True),
        "AWS::KMS::Key": lambda: aws.client("kms", region).schedule_key_deletion(KeyId=name, PendingWindowInDays=7),
        "AWS::Logs::LogGroup": lambda: aws.client("logs", region).delete_log_group(logGroupName=name),
        "AWS::S3::Bucket": lambda: _delete_bucket(aws.client("s3", region), name),
    }
    if kind not in ways:
        return "it is not known here how to delete one"
    try:
        ways[kind]()
    except ClientError as error:
        return "" if error_code(error) in _GONE else str(error)
    return ""


def _delete_logs(logs: Any, prefix: str) -> None:
    """The logs of a canary's runs: Synthetics makes their group, and no stack has it."""
    for page in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix):
        for group in page["logGroups"]:
            logs.delete_log_group(logGroupName=group["logGroupName"])


def _delete_bucket(s3: Any, name: str) -> None:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
        found = [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]]
        if found:
            s3.delete_objects(Bucket=name, Delete={"Objects": found, "Quiet": True})
    s3.delete_bucket(Bucket=name)
