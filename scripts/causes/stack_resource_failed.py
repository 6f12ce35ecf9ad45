"""A resource failed for a reason that no other cause knows."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match
from scripts.diagnosis.stack_signs import TROUBLESHOOTING, Sign, deploy, failures, match, place, read


def check(case: Case) -> Match | None:
    """The first failure of all, whatever it says."""
    for stack, event in failures(case):
        known = bool(event.reason)
        title = f"{place(event)} failed: {' '.join(event.reason.split())[:140]}" if known else f"{place(event)} failed, and CloudFormation does not say why"
        return match(Sign(stack, event, ()), title, (
            f"Mend what the reason says, then: {deploy(case, stack)}" if known else "CloudTrail has the call that failed, with its error.", read(stack)),
            certainty="certain" if known else "likely")
    return None


CAUSE = Cause(
    id="stack-resource-failed",
    area="stack",
    title="A resource failed",
    document=TROUBLESHOOTING,
    check=check,
    rank=90,
    source="https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_StackEvent.html",
)
