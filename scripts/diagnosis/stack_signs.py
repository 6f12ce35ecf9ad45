"""What the causes about stacks look at: what failed by itself in them, and what was said of it. Pure.

Source: https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-test-contract-errors.html (HandlerErrorCode).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from scripts.core import roots
from scripts.diagnosis.case import Case, Stack, StackEvent
from scripts.diagnosis.judge import Document, Match

TROUBLESHOOTING = Document("Troubleshooting CloudFormation", "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/troubleshooting.html")
HANDLER_CODES = "https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-test-contract-errors.html"
"""Where the codes are that a resource's handler gives."""
_HANDLER_CODE = re.compile(r"HandlerErrorCode: (\w+)")
_ALARM_ARN = re.compile(r":alarm:([^\],\s]+?)(?=[\],.]*(?:\s|$))")
_EXPORT = re.compile(r"\b[Ee]xport\b")
_MOST_REASON = 400


@dataclass(frozen=True)
class Sign:
    """A failure whose reason says why."""

    stack: Stack
    event: StackEvent
    groups: tuple[str, ...]


def failures(case: Case) -> Iterator[tuple[Stack, StackEvent]]:
    """What failed in the stacks, oldest first in each."""
    return ((stack, event) for stack in case.stacks for event in stack.failures)


def sign(case: Case, pattern: re.Pattern[str], codes: Collection[str] = (), unless: re.Pattern[str] | None = None) -> Sign | None:
    """The first failure whose reason matches, or whose handler gave one of the codes; none of those that `unless` matches."""
    for stack, event in failures(case):
        if unless and unless.search(event.reason):
            continue
        found = pattern.search(event.reason)
        if found:
            return Sign(stack, event, tuple(group or "" for group in found.groups()))
        if handler_code(event) in codes:
            return Sign(stack, event, ("",) * pattern.groups)
    return None


def handler_code(event: StackEvent) -> str:
    """The HandlerErrorCode of a reason, "" without one."""
    found = _HANDLER_CODE.search(event.reason)
    return found.group(1) if found else ""


def alarmed(case: Case) -> tuple[Sign, tuple[str, ...]] | None:
    """A rollback that no resource caused but an alarm, with the alarms that may have: those that the reason names, else all triggers of the stack.

    What CloudFormation writes then is not documented, so an unknown reason of a stack with triggers counts too. After such a rollback the stack may have
    the triggers of before again.
    """
    for stack in case.stacks:
        event = stack.failures[0] if stack.failures else None
        if event is None or event.logical_id != stack.name or not event.status.endswith("ROLLBACK_IN_PROGRESS") or event.reason == "User Initiated":
            continue
        said = tuple(dict.fromkeys([*_ALARM_ARN.findall(event.reason), *(name for name in stack.triggers if name in event.reason)]))
        if said or (stack.triggers and not _EXPORT.search(event.reason)):
            return Sign(stack, event, ()), said or stack.triggers
    return None


def place(event: StackEvent) -> str:
    """`<stack>/<nested stack>/<resource>`."""
    steps = event.path if event.path[-1:] == (event.logical_id,) else (*event.path, event.logical_id)
    return "/".join(steps)


def where(stack: Stack, event: StackEvent | None = None) -> str:
    """`<Region>/<stack>/…/<resource>`."""
    return f"{stack.region}/{place(event) if event else stack.name}"


def facts(stack: Stack, event: StackEvent | None = None) -> tuple[str, ...]:
    """The stack's end, what failed first, and how many failures followed."""
    ended = f"{stack.name} ({stack.region}): {stack.operation} ended in {stack.status}" if stack.ended else f"{stack.name} ({stack.region}): {stack.status}"
    if event is None:
        return (ended, *([stack.reason] if stack.reason else []))
    said = " ".join(event.reason.split())
    said = said if len(said) <= _MOST_REASON else f"{said[:_MOST_REASON]} …"
    line = f"{place(event)} ({event.type}) {event.status}: {said or 'CloudFormation gives no reason'}"
    others = len(stack.failures) - 1
    more = f"{others} more failed beside it or after it; those that were only cancelled are not counted" if others else ""
    return (line, *([f"it is {event.physical_id}"] if event.physical_id and not event.physical_id.startswith("arn:aws:cloudformation") else []), ended,
            *([more] if more else []))


def match(found: Sign, title: str, fix: tuple[str, ...], certainty: str = "certain", extra: tuple[str, ...] = ()) -> Match:
    """The cause's match, with the failure as evidence."""
    return Match(certainty, where(found.stack, found.event), (*facts(found.stack, found.event), *extra), fix, found.event.at, title)


def environment(case: Case, stack: Stack) -> str:
    """Which of this project's names a root stack has as ENV=: an environment, `pipeline` or `release-store`; "" for a stack that is none of these.

    Another stack is never taken for the case's environment: what removes it would remove the environment.
    """
    name = stack.name.removeprefix(f"{case.service}-")
    if name == stack.name:
        return ""
    if name in (roots.PIPELINE, roots.RELEASE_STORE):
        return name
    if name.startswith("environment-"):
        return name.removeprefix("environment-")
    return case.environment if name.endswith(f"-{case.environment}") else ""


def deploy(case: Case, stack: Stack) -> str:
    """The command that deploys the stack. The release stores are deployed with an environment that needs them."""
    name = environment(case, stack)
    if not name:
        return f"the command that deployed {stack.name}"
    return f"make deploy ENV={case.environment if name == roots.RELEASE_STORE else name}"


def destroy(case: Case, stack: Stack) -> str:
    """The command that removes the stack."""
    name = environment(case, stack)
    return f"make destroy ENV={name}" if name else delete(stack)


def deleting(stack: Stack) -> bool:
    """Whether somebody wants the stack gone: only then may a step delete it."""
    return stack.operation == "delete" or stack.status == "DELETE_FAILED"


def retain(found: Sign) -> tuple[str, ...]:
    """How a delete leaves the resource behind. CloudFormation takes only the root's own, and only from a delete that failed."""
    if found.stack.status != "DELETE_FAILED" or len(found.event.path) != 1:
        return ()
    return (f"To keep it: {delete(found.stack)} --retain-resources {found.event.logical_id}",)


def delete(stack: Stack) -> str:
    """The command that deletes the stack."""
    return f"aws cloudformation delete-stack --region {stack.region} --stack-name {stack.name}"


def read(stack: Stack) -> str:
    """The command that shows a stack's failures."""
    return (f"aws cloudformation describe-stack-events --region {stack.region} --stack-name {stack.name} "
            "--query \"StackEvents[?contains(ResourceStatus, 'FAILED')]\"")
