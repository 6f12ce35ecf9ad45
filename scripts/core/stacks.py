"""A CloudFormation stack as data, and what its status means for the next operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from botocore.exceptions import ClientError

from scripts.core.errors import CommandError, error_code


@dataclass(frozen=True)
class Stack:
    """What DescribeStacks says."""

    id: str
    name: str
    status: str
    reason: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]
    tags: Mapping[str, str]
    changed: datetime | None
    role: str = ""
    triggers: tuple[str, ...] = ()
    """ARNs of the alarms on which an operation is rolled back."""
    protected: bool = False
    """Whether DeleteStack is refused (termination protection)."""


class Step(Enum):
    """What has to happen before, or as, the next deploy."""

    CREATE = "create"
    UPDATE = "update"
    WAIT = "wait"
    REMOVE_REVIEW = "remove the left-over review"
    DELETE_FIRST = "delete, then create"
    CONTINUE_ROLLBACK = "continue the rollback, then update"
    BY_HAND = "by hand"


_STEPS = {
    "DELETE_COMPLETE": Step.CREATE,
    "REVIEW_IN_PROGRESS": Step.REMOVE_REVIEW,
    "ROLLBACK_COMPLETE": Step.DELETE_FIRST,
    "ROLLBACK_FAILED": Step.DELETE_FIRST,
    "CREATE_FAILED": Step.DELETE_FIRST,
    "DELETE_FAILED": Step.DELETE_FIRST,
    "UPDATE_ROLLBACK_FAILED": Step.CONTINUE_ROLLBACK,
    "CREATE_COMPLETE": Step.UPDATE,
    "UPDATE_COMPLETE": Step.UPDATE,
    "UPDATE_ROLLBACK_COMPLETE": Step.UPDATE,
    "IMPORT_COMPLETE": Step.UPDATE,
    "IMPORT_ROLLBACK_COMPLETE": Step.UPDATE,
}
# After these a stack is as its last successful operation left it.
SUCCEEDED = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "DELETE_COMPLETE", "IMPORT_COMPLETE"})


def next_step(status: str | None) -> Step:
    """The step for a stack with this status; None means that there is no such stack."""
    if status is None:
        return Step.CREATE
    if status in _STEPS:
        return _STEPS[status]
    return Step.WAIT if status.endswith("_IN_PROGRESS") else Step.BY_HAND


def is_settled(status: str) -> bool:
    """True when no operation runs. A review waits for a person, not for CloudFormation."""
    return status == "REVIEW_IN_PROGRESS" or not status.endswith("_IN_PROGRESS")


def find(cloudformation: Any, name_or_id: str) -> Stack | None:
    """The stack, or None. By id a deleted one is still found (DELETE_COMPLETE), by name it is not."""
    try:
        found = cloudformation.describe_stacks(StackName=name_or_id)["Stacks"]
    except ClientError as error:
        # DescribeStacks has no error of its own for this: ValidationError, "Stack with id X does not exist".
        if error_code(error) == "ValidationError" and "does not exist" in str(error):
            return None
        raise
    return from_description(found[0]) if found else None


def from_description(stack: Mapping[str, Any]) -> Stack:
    return Stack(
        id=stack["StackId"],
        name=stack["StackName"],
        status=stack["StackStatus"],
        reason=stack.get("StackStatusReason", ""),
        parameters={item["ParameterKey"]: item.get("ParameterValue", "") for item in stack.get("Parameters", ())},
        outputs={item["OutputKey"]: item["OutputValue"] for item in stack.get("Outputs", ())},
        tags={item["Key"]: item["Value"] for item in stack.get("Tags", ())},
        changed=stack.get("LastUpdatedTime") or stack.get("CreationTime"),
        role=stack.get("RoleARN", ""),
        triggers=tuple(item["Arn"] for item in stack.get("RollbackConfiguration", {}).get("RollbackTriggers", ())),
        protected=bool(stack.get("EnableTerminationProtection")),
    )


def template_text(cloudformation: Any, name: str) -> str | None:
    """The template as it was submitted; None where CloudFormation gives it as JSON (then it was not ours)."""
    body = cloudformation.get_template(StackName=name, TemplateStage="Original")["TemplateBody"]
    return body if isinstance(body, str) else None


def resources(cloudformation: Any, name_or_id: str) -> list[dict[str, Any]]:
    """ListStackResources, all pages."""
    found: list[dict[str, Any]] = []
    token: dict[str, str] = {}
    while True:
        page = cloudformation.list_stack_resources(StackName=name_or_id, **token)
        found += page["StackResourceSummaries"]
        if not page.get("NextToken"):
            return found
        token = {"NextToken": page["NextToken"]}


def output(stack: Stack | None, name: str, key: str, region: str, next_step: str) -> str:
    """An output of a stack that must be there. CommandError names the stack and what to run when it is not."""
    if stack is None or stack.status in {"REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "DELETE_COMPLETE"}:
        raise CommandError(f"the stack {name} does not exist in {region}", f"its output {key} is needed", next_step)
    if key not in stack.outputs:
        raise CommandError(
            f"the stack {name} in {region} has no output {key}",
            f"its status is {stack.status}; it has {', '.join(sorted(stack.outputs)) or 'none'}",
            next_step,
        )
    return stack.outputs[key]
