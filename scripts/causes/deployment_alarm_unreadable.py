"""CodeDeploy could not read the alarms of the group, and so did not go on."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import failed, over_at
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """A code of something that cannot be found, with a message about alarms; where an alarm is known to be missing, alarm-missing says which."""
    for one in failed(case):
        if one.code == "CODEDEPLOY_RESOURCE_CANNOT_BE_FOUND" and "alarm" in one.message.lower() and all(alarm.exists for alarm in case.alarms):
            names = one.settings.alarms if one.settings else ()
            return Match(
                "certain", one.where, (f"{one.id} ended with {one.code}: {one.message}", *((f"the group watches {', '.join(names)}",) if names else ())),
                (f"See which are there: aws cloudwatch describe-alarms --region {one.region} --query 'MetricAlarms[].AlarmName' "
                 f"--alarm-names {' '.join(names) or '…'}", f"Make what is missing again: make deploy ENV={case.environment}"),
                over_at(one), "CodeDeploy could not read the group's alarms")
    return None


CAUSE = Cause(
    id="deployment-alarm-unreadable",
    area="deployment",
    title="CodeDeploy could not read the alarms",
    document=Document("AlarmConfiguration: ignorePollAlarmFailure", "https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_AlarmConfiguration.html"),
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_AlarmConfiguration.html",
)
