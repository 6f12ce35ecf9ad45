"""The stack could not be deleted."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match
from scripts.diagnosis.stack_signs import TROUBLESHOOTING, delete, destroy, facts, where


def check(case: Case) -> Match | None:
    """The stack's status; what failed first is another cause, and comes before."""
    for stack in case.stacks:
        if stack.status == "DELETE_FAILED":
            left = [event.logical_id for event in stack.failures if len(event.path) == 1 and event.logical_id != stack.name]
            return Match(
                certainty="certain",
                where=where(stack),
                title=f"{stack.name} is DELETE_FAILED: it still has what could not be deleted",
                evidence=(*facts(stack), *(facts(stack, event)[0] for event in stack.failures[:3])),
                fix=(
                    f"Remove what holds the resource (above), then the same command again: {destroy(case, stack)}",
                    f"To leave resources behind: {delete(stack)} --retain-resources {' '.join(left) or '<logical ids>'}",
                ),
                at=stack.ended,
            )
    return None


CAUSE = Cause(
    id="stack-delete-failed",
    area="stack",
    title="The stack could not be deleted",
    document=TROUBLESHOOTING,
    check=check,
    rank=60,
    source="https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/troubleshooting.html#troubleshooting-errors-delete-stack-fails",
)
