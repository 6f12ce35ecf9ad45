"""Somebody cancelled the update."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match
from scripts.diagnosis.stack_signs import Sign, deploy, match


def check(case: Case) -> Match | None:
    """The stack itself goes back on request, and no resource had failed."""
    for stack in case.stacks:
        event = stack.failures[0] if stack.failures else None
        if event and event.logical_id == stack.name and event.status == "UPDATE_ROLLBACK_IN_PROGRESS" and event.reason == "User Initiated":
            return match(Sign(stack, event, ()), f"The update of {stack.name} was cancelled", (
                "Who did it: aws cloudtrail lookup-events --lookup-attributes AttributeKey=EventName,AttributeValue=CancelUpdateStack "
                f"--region {stack.region}", f"To update it after all: {deploy(case, stack)}"))
    return None


CAUSE = Cause(
    id="stack-cancelled",
    area="stack",
    title="The update was cancelled by a person",
    document=Document("CancelUpdateStack", "https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CancelUpdateStack.html"),
    check=check,
    source="https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CancelUpdateStack.html",
)
