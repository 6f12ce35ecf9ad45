"""An update failed and could not be taken back: the stack takes no operation but the way on."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match
from scripts.diagnosis.stack_signs import deploy, facts, where


def check(case: Case) -> Match | None:
    """The stack's status; what failed first is another cause, and comes before."""
    for stack in case.stacks:
        if stack.status == "UPDATE_ROLLBACK_FAILED":
            return Match(
                certainty="certain",
                where=where(stack),
                title=f"{stack.name} is UPDATE_ROLLBACK_FAILED: it takes no update until its rollback is continued",
                evidence=(*facts(stack), *(facts(stack, event)[0] for event in stack.failures[-1:])),
                fix=(
                    f"Mend what failed in the rollback (above), then {deploy(case, stack)}: it continues the rollback, and deploys.",
                    f"By hand: aws cloudformation continue-update-rollback --region {stack.region} --stack-name {stack.name}",
                    "As a last resort with --resources-to-skip <logical ids>: then the template and those resources differ until you mend them.",
                ),
                at=stack.ended,
            )
    return None


CAUSE = Cause(
    id="stack-update-rollback-failed",
    area="stack",
    title="The stack's update could not be rolled back",
    document=Document("Continue rolling back an update", "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-continueupdaterollback.html"),
    check=check,
    rank=60,
    source="https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/troubleshooting.html#troubleshooting-errors-update-rollback-failed",
)
