"""An alarm of the deployment group fired already when the deployment was created: CodeDeploy stops every such deployment at once."""

from __future__ import annotations

from scripts.diagnosis import fired
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """A deployment ended with ALARM_ACTIVE, and an alarm that it names was in ALARM when it was created.

    ? AWS only writes that a deployment stops when an alarm is activated; people show deployments stopped within a second of their creation.
    """
    for one in fired.firings(case):
        if not fired.was_before(one) or one.deployment is None:
            continue
        deployment, service = one.deployment, case.service or "<pipeline>"
        before = "" if one.at is None else f", {max(0, round(deployment.created - one.at))} s after the alarm fired"
        return fired.match(one, f"An alarm of {one.where} fired before the deployment began", (
            f"It is not about this release: see what runs, and what the alarm watches: make status ENV={case.environment}",
            f"If what runs is bad: make rollback ENV={case.environment} REASON=\"…\" (a rollback's deployments go on although alarms fire). If what you are "
            f"releasing is the remedy and passed an earlier environment: make rollback ENV={case.environment} TO=<commit> FORCE=1 REASON=\"…\"",
            f"If it comes from outside: once the alarm is OK, release again: aws codepipeline start-pipeline-execution --name {service}",
        ), (f"deployment {deployment.id} was created at {fired.stamp(deployment.created)}{before}",))
    return None


def clears(case: Case) -> str | None:
    """Every deployment that an alarm stopped began while its alarms were quiet."""
    stopped = [one for one in fired.firings(case) if one.deployment is not None]
    if not stopped or any(one.alarm.state_at(one.deployment.created) != "OK" for one in stopped if one.deployment):
        return None
    return "the alarm was OK when the deployment was created"


CAUSE = Cause(
    id="alarm-active-before",
    area="alarm",
    title="An alarm fired before the deployment began",
    document=Document("Monitoring deployments with Amazon CloudWatch alarms in CodeDeploy",
                      "https://docs.aws.amazon.com/codedeploy/latest/userguide/monitoring-create-alarms.html"),
    check=check,
    rank=5,
    clears=clears,
    source="https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_ErrorInformation.html",
)
