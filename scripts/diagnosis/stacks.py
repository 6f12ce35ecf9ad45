"""Reads what went wrong in a stack's newest operation, down through its nested stacks to the first resource that failed.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/troubleshooting.html and
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStackEvents.html.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from scripts.core import changesets, events, stacks
from scripts.core.events import Event
from scripts.diagnosis.calls import Calls
from scripts.diagnosis.case import Stack, StackEvent

CHANGE_SET = "AWS::CloudFormation::ChangeSet"
"""The type of the event that stands for a change set which could not be made."""
FAILED = ("CREATE_FAILED", "ROLLBACK_IN_PROGRESS", "ROLLBACK_FAILED", "ROLLBACK_COMPLETE", "DELETE_FAILED", "UPDATE_FAILED", "UPDATE_ROLLBACK_IN_PROGRESS",
          "UPDATE_ROLLBACK_FAILED", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_IN_PROGRESS",
          "IMPORT_ROLLBACK_FAILED", "IMPORT_ROLLBACK_COMPLETE")
"""Statuses of stacks whose newest operation did not succeed."""
_ROOT_PAGES, _NESTED_PAGES, _MOST_NESTED, _MOST_LISTED = 5, 2, 8, 300
_NESTED_CHANGE_SET = re.compile(r"Nested change set (arn:\S+) was not successfully created")


def failed(calls: Calls, region: str, prefix: str) -> list[str]:
    """Names of the root stacks that begin with `prefix` and whose newest operation failed, the one that changed last first. One call for 100 stacks."""
    pages = calls.client("cloudformation", region).get_paginator("list_stacks")
    found: list[dict[str, Any]] = calls.attempt(f"the stacks of {region}", lambda: list(pages.paginate(
        StackStatusFilter=list(FAILED), PaginationConfig={"MaxItems": _MOST_LISTED}).search("StackSummaries[]")), [])
    mine = [one for one in found if one and one["StackName"].startswith(prefix) and not one.get("ParentId")]
    mine.sort(key=lambda one: one.get("DeletionTime") or one.get("LastUpdatedTime") or one["CreationTime"], reverse=True)
    return [one["StackName"] for one in mine]


def read(calls: Calls, region: str, name_or_id: str) -> Stack | None:
    """The stack with its failed operation; None where there is no such stack, or its newest operation succeeded or is still going forward."""
    cloudformation = calls.client("cloudformation", region)
    stack: stacks.Stack | None = calls.attempt(f"the stack {name_or_id}", lambda: stacks.find(cloudformation, name_or_id), None)
    if stack is None or stack.status == "DELETE_COMPLETE":
        return None
    if stack.status not in FAILED:
        return None if stack.status.endswith("_IN_PROGRESS") and stack.status != "REVIEW_IN_PROGRESS" else _change_set(calls, region, stack)
    told: list[Event] = calls.attempt(f"the events of {stack.name}", lambda: events.newest_operation(cloudformation, stack.id, _ROOT_PAGES), [])
    own = [event for event in told if event.is_own]
    began = own[0].time if own else stack.changed
    whole = told + _nested(calls, cloudformation, told, began)
    ended = own[-1].time if own and not stack.status.endswith("_IN_PROGRESS") else None
    return Stack(
        name=stack.name, region=region, status=stack.status, reason=stack.reason, began=_seconds(began), ended=_seconds(ended),
        operation=_operation(own, stack.status), failures=_failures(whole, stack), triggers=tuple(_alarm_name(arn) for arn in stack.triggers), role=stack.role)


def _nested(calls: Calls, cloudformation: Any, told: Sequence[Event], since: datetime | None) -> list[Event]:
    """The events of the nested stacks that failed by themselves, and of those nested in them, in order of their failures."""
    found: list[Event] = []
    todo, seen = _failed_below(told), set[str]()
    while todo and len(seen) < _MOST_NESTED:
        stack_id = todo.pop(0)
        if stack_id in seen:
            continue
        seen.add(stack_id)
        name = stack_id.split("/")[1]
        own: list[Event] = calls.attempt(f"the events of {name}", partial(events.read, cloudformation, stack_id, since, most_pages=_NESTED_PAGES), [])
        found += own
        todo += _failed_below(own)
    return found


def _failed_below(told: Sequence[Event]) -> list[str]:
    return events.nested_ids(event for event in told if event.failed and "cancelled" not in event.reason)


def _failures(whole: Sequence[Event], stack: stacks.Stack) -> tuple[StackEvent, ...]:
    """What failed by itself, oldest first; of several at one moment the deepest first. Where nothing did, what only followed."""
    known = events.paths(whole, stack.id)
    fell = [event for event in whole if event.failed]
    found = [event for event in fell if not events.is_echo(event)]
    found += [event for event in whole if event.is_own and event.stack_id == stack.id and event.status.endswith("ROLLBACK_IN_PROGRESS")
              and event.reason and (not events.is_echo(event) or event.reason == "User Initiated")]
    return tuple(_event(event, known, stack) for event in sorted(found or fell, key=lambda one: (one.time, -known.get(one.stack_id, "").count("/"),
                                                                                                 one.stack_id == stack.id)))


def _event(event: Event, known: dict[str, str], stack: stacks.Stack) -> StackEvent:
    below = [step for step in known.get(event.stack_id, event.stack_name if event.stack_id != stack.id else "").split("/") if step]
    if event.is_own and below:  # an event of a nested stack about itself: it is its parent's resource
        return StackEvent(event.time.timestamp(), (stack.name, *below[:-1]), below[-1], event.type, event.physical_id, event.status, event.reason)
    return StackEvent(event.time.timestamp(), (stack.name, *below), event.resource, event.type, event.physical_id, event.status, event.reason)


def _change_set(calls: Calls, region: str, stack: stacks.Stack) -> Stack | None:
    """The newest change set, where it could not be made and nothing was done since. One without changes is no failure."""
    cloudformation = calls.client("cloudformation", region)
    found: list[dict[str, Any]] = calls.attempt(
        f"the change sets of {stack.name}", lambda: cloudformation.list_change_sets(StackName=stack.id).get("Summaries", []), [])
    newest = max(found, key=lambda one: one["CreationTime"], default=None)
    if newest is None or newest.get("Status") != "FAILED" or changesets.is_empty("FAILED", newest.get("StatusReason", "")):
        return None
    at = newest["CreationTime"]
    if stack.status != "REVIEW_IN_PROGRESS" and stack.changed is not None and at <= stack.changed:
        return None
    path, reason, change_set = [stack.name], newest.get("StatusReason", ""), str(newest["ChangeSetId"])
    above: dict[str, Any] = {}
    owner = stack.id
    while (nested := _NESTED_CHANGE_SET.search(reason)) and len(path) < 4:
        # Whose the nested one is stands in the one above it.
        above = above or calls.attempt(f"the change set {change_set}", partial(changesets.describe, cloudformation, change_set, stack.id), {})
        rows = [item.get("ResourceChange") or {} for item in above.get("Changes", ())]
        change_set = nested.group(1)
        owner = next((changesets.nested_stack(row) for row in rows if row.get("ChangeSetId") == change_set), "")
        above = calls.attempt(f"the change set {change_set}", partial(changesets.describe, cloudformation, change_set, owner), {})
        if not above.get("StatusReason"):
            break
        path.append(above["StackName"].removeprefix(f"{path[-1]}-"))
        reason = above["StatusReason"]
    if changesets.VALIDATION in reason:
        failed = partial(changesets.failed_validations, cloudformation, change_set, owner)
        reason = "; ".join(calls.attempt(f"what was validated of the change set {change_set}", failed, [])) or reason
    event = StackEvent(at.timestamp(), tuple(path), path[-1], CHANGE_SET, change_set, "FAILED", reason)
    return Stack(name=stack.name, region=region, status=stack.status, reason=reason, began=at.timestamp(), ended=at.timestamp(), operation="change set",
                 failures=(event,), role=stack.role)


def _operation(own: Sequence[Event], status: str) -> str:
    kind = (own[0].status if own else status).split("_")[0].lower()
    return {"rollback": "create"}.get(kind, kind)


def _alarm_name(arn: str) -> str:
    return arn.partition(":alarm:")[2] or arn


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None
