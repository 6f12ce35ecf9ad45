"""The stack's first creation failed, and what it made could not be deleted."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match
from scripts.diagnosis.stack_signs import delete, deploy, facts, where


def check(case: Case) -> Match | None:
    """The stack's status; what failed first is another cause, and comes before."""
    for stack in case.stacks:
        if stack.status == "ROLLBACK_FAILED":
            return Match(
                certainty="certain",
                where=where(stack),
                title=f"{stack.name} is ROLLBACK_FAILED: what its creation made could not be deleted",
                evidence=(*facts(stack), *(facts(stack, event)[0] for event in stack.failures[-1:])),
                fix=(
                    f"Mend what could not be deleted (above), then {deploy(case, stack)}: it asks, deletes the stack and creates it again.",
                    f"By hand: {delete(stack)}",
                ),
                at=stack.ended,
            )
    return None


CAUSE = Cause(
    id="stack-rollback-failed",
    area="stack",
    title="What a failed creation made could not be deleted",
    document=Document("Stack status codes", "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html#cfn-console-view-stack-data-resources-status-codes"),
    check=check,
    rank=60,
    source="https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html#cfn-console-view-stack-data-resources-status-codes",
)
