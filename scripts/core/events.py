"""Stack events: reading those of one operation over a whole tree, and finding the first cause of a failure in them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scripts.core.templates import NESTED_STACK

# What CloudFormation writes about resources that fail only because another did.
_CASCADES = re.compile(
    r"Resource (creation|update|deletion) cancelled|^The following resource\(s\) failed|^Embedded stack .* was not successfully|"
    r"^Nested stack .* failed|^The update was cancelled|^User Initiated$",
    re.IGNORECASE,
)
_OPERATION_STARTS = frozenset({"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "IMPORT_IN_PROGRESS"})


@dataclass(frozen=True)
class Event:
    """One event of a stack or of a nested one."""

    id: str
    stack_id: str
    stack_name: str
    resource: str
    physical_id: str
    type: str
    status: str
    reason: str
    time: datetime

    @property
    def is_own(self) -> bool:
        """True when the event is about its stack itself, not about one of its resources."""
        return self.type == NESTED_STACK and self.physical_id == self.stack_id

    @property
    def failed(self) -> bool:
        return self.status.endswith("_FAILED")


@dataclass(frozen=True)
class Cause:
    """The first thing that went wrong."""

    where: str
    type: str
    status: str
    reason: str
    hint: str


def from_description(event: Mapping[str, Any]) -> Event:
    return Event(
        id=event["EventId"],
        stack_id=event["StackId"],
        stack_name=event["StackName"],
        resource=event.get("LogicalResourceId", ""),
        physical_id=event.get("PhysicalResourceId", ""),
        type=event.get("ResourceType", ""),
        status=event.get("ResourceStatus", ""),
        reason=event.get("ResourceStatusReason", ""),
        time=event["Timestamp"],
    )


def read(cloudformation: Any, stack_id: str, since: datetime | None, seen: Iterable[str] = (), most_pages: int | None = None) -> list[Event]:
    """The events of one stack from `since` on, without those `seen`, oldest first. CloudFormation gives the newest first, in at most `most_pages` pages."""
    known = set(seen)
    found: list[Event] = []
    token: dict[str, str] = {}
    for number in itertools.count(1):
        page = cloudformation.describe_stack_events(StackName=stack_id, **token)
        for description in page["StackEvents"]:
            event = from_description(description)
            if event.id in known or (since is not None and event.time < since):
                return found[::-1]
            found.append(event)
        if not page.get("NextToken") or number == most_pages:
            break
        token = {"NextToken": page["NextToken"]}
    return found[::-1]


def operation_start(newest_first: Iterable[Event]) -> Event | None:
    """The event with which the stack's newest operation began."""
    return next((event for event in newest_first if _begins(event)), None)


def newest_operation(cloudformation: Any, stack_id: str, most_pages: int) -> list[Event]:
    """The events of the newest operation on a stack, oldest first, of at most `most_pages` pages: an operation with more loses its beginning."""
    found: list[Event] = []
    token: dict[str, str] = {}
    for _ in range(most_pages):
        page = cloudformation.describe_stack_events(StackName=stack_id, **token)
        for description in page["StackEvents"]:
            found.append(from_description(description))
            if _begins(found[-1]):
                return found[::-1]
        if not page.get("NextToken"):
            break
        token = {"NextToken": page["NextToken"]}
    return found[::-1]


def is_echo(event: Event) -> bool:
    """Whether it failed, or goes back, only because another resource failed or a person asked."""
    return bool(_CASCADES.search(event.reason))


def _begins(event: Event) -> bool:
    """A creation that is to delete what it made (OnFailure) begins to delete in the middle of its own operation."""
    return event.is_own and event.status in _OPERATION_STARTS and not event.reason.startswith("The following resource(s) failed")


def nested_ids(events: Iterable[Event]) -> list[str]:
    """The ids of the nested stacks that the events speak of."""
    return list(
        dict.fromkeys(e.physical_id for e in events if e.type == NESTED_STACK and not e.is_own and e.physical_id.startswith("arn:"))
    )


def paths(events: Iterable[Event], root_id: str) -> dict[str, str]:
    """By stack id its path of logical ids below the root: "" for the root itself, `Fleet`, `Fleet/Inner`."""
    parents = {e.physical_id: (e.stack_id, e.resource) for e in events if e.type == NESTED_STACK and not e.is_own}
    found = {root_id: ""}
    for stack_id in parents:
        steps: list[str] = []
        step = stack_id
        while step in parents and len(steps) < 10:
            step, logical_id = parents[step]
            steps.append(logical_id)
        found[stack_id] = "/".join(reversed(steps))
    return found


def place(event: Event, known: Mapping[str, str]) -> str:
    """`Fleet/AutoScalingGroup`, or the stack's own name for an event about the root."""
    above = known.get(event.stack_id, event.stack_name)
    if event.is_own:
        return above or event.stack_name
    return f"{above}/{event.resource}" if above else event.resource


def first_cause(events: Iterable[Event], root_id: str) -> Cause | None:
    """The earliest failure that is not the echo of another; None when nothing failed.

    A failed resource inside a nested stack comes before the nested stack that it takes down. Where no resource failed (a rollback
    trigger fired, somebody cancelled), the reason of the root's own rollback is the cause.
    """
    ordered = sorted(events, key=lambda event: event.time)
    known = paths(ordered, root_id)
    rolls_back = [
        event for event in ordered if event.is_own and event.stack_id == root_id and event.status.endswith("ROLLBACK_IN_PROGRESS")
    ]
    # A rollback may fail in turn: what fails after it began is a consequence, unless nothing else is known.
    before = [event for event in ordered if not rolls_back or event.time <= rolls_back[0].time]
    reasons = [event for event in rolls_back if event.reason and not _CASCADES.search(event.reason)]
    own = [event for event in ordered if event.is_own and event.failed]
    for candidates in (_leaves(before), _failed(before), reasons, _leaves(ordered), _failed(ordered), own):
        if candidates:
            event = candidates[0]
            return Cause(place(event, known), event.type, event.status, event.reason, hint(event.reason, event.type))
    return None


def _failed(events: Iterable[Event]) -> list[Event]:
    return [event for event in events if event.failed and not event.is_own and not _CASCADES.search(event.reason)]


def _leaves(events: Iterable[Event]) -> list[Event]:
    return [event for event in _failed(events) if event.type != NESTED_STACK]


_HINTS = (
    (re.compile(r"not authorized to perform:? ([a-z0-9-]+:\w+)", re.IGNORECASE), "allow {0} for the caller or role that the reason names"),
    (
        re.compile(r"(?:limit|quota).*exceeded|exceeded.*(?:limit|quota)|maximum number of", re.IGNORECASE),
        "ask for more in Service Quotas, or remove what is unused, then deploy again",
    ),
    (re.compile(r"already exists", re.IGNORECASE), "it was left by an earlier stack: delete or rename it, then deploy again"),
    (
        re.compile(r"FAILURE signal|Failed to receive \d+ resource signal|signal\(s\) out of", re.IGNORECASE),
        "a host did not come up: its /var/log/cloud-init-output.log and system log say why (aws ec2 get-console-output)",
    ),
    (re.compile(r"AlreadyInAlarm|alarm|rollback trigger", re.IGNORECASE), "look at the alarm, mend what it shows, then deploy again"),
    (re.compile(r"bucket you tried to delete is not empty", re.IGNORECASE), "empty the bucket, then run the same command again"),
)


def hint(reason: str, kind: str) -> str:
    """The next thing to do for a reason that is known; "" for others."""
    for pattern, text in _HINTS:
        match = pattern.search(reason)
        if match:
            return text.format(*match.groups())
    return ""
