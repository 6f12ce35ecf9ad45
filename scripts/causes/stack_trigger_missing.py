"""An alarm that is a rollback trigger of the stack is not there."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match
from scripts.diagnosis.stack_signs import alarmed, deploy, match


def check(case: Case) -> Match | None:
    """The stack itself goes back, and an alarm among its triggers is missing: by the reason, or looked up now."""
    found = alarmed(case)
    if found is None:
        return None
    sign, names = found
    stack = sign.stack
    gone = names if "does not exist" in sign.event.reason else [name for name in names if (alarm := case.alarm(name)) and not alarm.exists]
    if not gone:
        return None
    return match(sign, f"The rollback trigger {gone[0]} does not exist", (
        f"The alarm was deleted outside of CloudFormation: deploy once without triggers, which makes it again: {deploy(case, stack)} IGNORE_ALARMS=1",
        f"aws cloudwatch describe-alarms --region {stack.region} --alarm-types MetricAlarm CompositeAlarm --alarm-names {gone[0]}"))


CAUSE = Cause(
    id="stack-trigger-missing",
    area="stack",
    title="A rollback trigger's alarm does not exist",
    document=Document("Roll back your CloudFormation stack on alarm breach", "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-rollback-triggers.html"),
    check=check,
    source="https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_RollbackTrigger.html",
)
