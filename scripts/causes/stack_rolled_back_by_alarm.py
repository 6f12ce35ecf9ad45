"""An alarm that is a rollback trigger of the stack fired."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match
from scripts.diagnosis.stack_signs import alarmed, deploy, match


def check(case: Case) -> Match | None:
    """The stack itself goes back, no resource failed before, and an alarm is named, or the stack has triggers (then the words are new to us)."""
    found = alarmed(case)
    if found is None or "does not exist" in found[0].event.reason:
        return None
    sign, names = found
    stack = sign.stack
    state = [f"{name}: {alarm.state}{', ' + alarm.reason if alarm.reason else ''}" for name in names if (alarm := case.alarm(name)) and alarm.exists]
    return match(sign, f"The alarm {' or '.join(names)} rolled {stack.name} back", (
        f"What made it fire: aws cloudwatch describe-alarm-history --region {stack.region} --alarm-name {names[0]} --alarm-types MetricAlarm CompositeAlarm",
        f"Mend that, wait for the alarm to be OK, then: {deploy(case, stack)} (break glass: IGNORE_ALARMS=1)"),
        certainty="certain" if any(name in sign.event.reason for name in names) else "likely", extra=tuple(state))


def _clears(case: Case) -> str | None:
    if not case.stacks or any(not stack.failures for stack in case.stacks):
        return None
    if all(not stack.triggers for stack in case.stacks):
        return "the stack has no rollback triggers"
    return "a resource failed before the stack went back" if alarmed(case) is None else None


CAUSE = Cause(
    id="stack-rolled-back-by-alarm",
    area="stack",
    title="An alarm rolled the stack's operation back",
    document=Document("Roll back your CloudFormation stack on alarm breach", "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-rollback-triggers.html"),
    check=check,
    rank=12,
    clears=_clears,
    source="https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_RollbackTrigger.html",
)
