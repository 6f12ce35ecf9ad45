"""An alarm that a deployment group or a gate names does not exist: nobody watches, so nothing goes on."""

from __future__ import annotations

from scripts.diagnosis import fired
from scripts.diagnosis.case import Case, Deployment
from scripts.diagnosis.judge import Cause, Document, Match

# Codes that say something else for sure.
_OTHERS = ("ALARM_ACTIVE", "HEALTH_CONSTRAINTS", "HEALTH_CONSTRAINTS_INVALID", "NO_INSTANCES", "REVISION_MISSING", "INVALID_REVISION", "MANUAL_STOP",
           "IAM_ROLE_MISSING", "IAM_ROLE_PERMISSIONS")


def check(case: Case) -> Match | None:
    """Certain where what failed names the alarm; a sign where a deployment failed, with no word of why, whose group names it."""
    told = fired.complaints(case)
    for alarm in case.alarms:
        if alarm.exists:
            continue
        named = [text for text in told if fired.speaks(text, alarm.name)]
        watching = [each for each in case.deployments if each.region == alarm.region and each.settings and alarm.name in each.settings.alarms]
        failed = [each for each in watching if _unexplained(each)]
        if not named and not failed:
            continue
        where = fired.place(case, alarm, (alarm.name,), " ".join(named))
        groups = tuple(f"deployment group {each.settings.name} names it" for each in watching if each.settings)
        ends = [at for at in (*(each.ended for each in failed or watching), *(action.ended or action.started for action in case.actions)) if at]
        return Match("certain" if named else "likely", where,
                     (f"CloudWatch has no alarm {alarm.name} in {alarm.region}", *tuple(dict.fromkeys(groups)), *(text[:300] for text in named[:1])),
                     (f"Make it again: make deploy ENV={case.environment}, then push, or: aws codepipeline start-pipeline-execution --name {case.service}",
                      "If it was deleted on purpose, take its name out of the deployment group: CodeDeploy stops where it cannot read an alarm's state "
                      "(ignorePollAlarmFailure is false)."),
                     min(ends, default=None), f"Alarm {alarm.name} does not exist")
    return None


def _unexplained(deployment: Deployment) -> bool:
    return deployment.status in ("Failed", "Stopped") and deployment.code not in _OTHERS and not any(each.failed_event for each in deployment.targets)


def clears(case: Case) -> str | None:
    """All alarms that were looked for are there."""
    return f"all {len(case.alarms)} alarms that are named exist" if case.alarms and all(alarm.exists for alarm in case.alarms) else None


CAUSE = Cause(
    id="alarm-missing",
    area="alarm",
    title="An alarm that is named does not exist",
    document=Document("AlarmConfiguration: ignorePollAlarmFailure", "https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_AlarmConfiguration.html"),
    check=check,
    rank=8,
    clears=clears,
    source="https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_AlarmConfiguration.html",
)
