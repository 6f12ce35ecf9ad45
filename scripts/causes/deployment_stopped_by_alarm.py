"""An alarm stopped the deployment, and nothing more is known of the alarm."""

from __future__ import annotations

import re

from scripts.diagnosis import fired
from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import failed, no_alarm_stopped, over_at
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """ALARM_ACTIVE of a deployment whose alarms could not be read: with their history, the causes alarm-… say what fired and when."""
    for one in failed(case):
        if one.code != "ALARM_ACTIVE" or any(each.deployment is one for each in fired.firings(case)):
            continue
        names = re.findall(r"<([^<>]+)>", one.message) or [name for name in (one.settings.alarms if one.settings else ()) if fired.speaks(one.message, name)]
        ran = [target for target in one.targets if any(event.started for event in target.events)]
        when = f"when it had begun on {len(ran)} of {one.targets_total} instances" if ran else "before it began on any instance: the alarm was active already"
        see = f"aws cloudwatch describe-alarm-history --region {one.region} --history-item-type StateUpdate --alarm-name"
        return Match(
            "certain", one.where, (f"{one.id} ended with {one.code}: {one.message}", f"it was stopped {when}", "what the alarm saw could not be read"),
            (*(f"See it: {see} '{name}'" for name in names or ("<alarm>",)),
             f"make status ENV={case.environment} says which alarms fire now; a rollback goes on although they do: "
             f"make rollback ENV={case.environment} REASON=…"),
            over_at(one), f"The alarm {', '.join(names) or 'of the group'} stopped {one.id}")
    return None


CAUSE = Cause(
    id="deployment-stopped-by-alarm",
    area="deployment",
    title="An alarm stopped the deployment",
    document=Document("Monitoring deployments with Amazon CloudWatch alarms in CodeDeploy", "https://docs.aws.amazon.com/codedeploy/latest/userguide/monitoring-create-alarms.html"),
    check=check,
    rank=30,
    clears=no_alarm_stopped,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/monitoring-create-alarms.html",
)
