"""The stack's first creation failed: nothing can be updated in it."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match
from scripts.diagnosis.stack_signs import delete, deploy, facts, where


def check(case: Case) -> Match | None:
    """The stack's status; what failed first is another cause, and comes before."""
    for stack in case.stacks:
        if stack.status == "ROLLBACK_COMPLETE":
            return Match(
                certainty="certain",
                where=where(stack),
                title=f"{stack.name} is ROLLBACK_COMPLETE: its first creation failed, and it can only be deleted",
                evidence=facts(stack),
                fix=(
                    f"{deploy(case, stack)}: it deletes what is left and creates the stack again.",
                    f"By hand: {delete(stack)}",
                ),
                at=stack.ended,
            )
    return None


CAUSE = Cause(
    id="stack-rollback-complete",
    area="stack",
    title="The stack was never made, and can only be deleted",
    document=Document("Stack status codes", "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html#cfn-console-view-stack-data-resources-status-codes"),
    check=check,
    rank=60,
    source="https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html#cfn-console-view-stack-data-resources-status-codes",
)
