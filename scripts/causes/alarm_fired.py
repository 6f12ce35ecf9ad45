"""An alarm fired that watches something else: an adopter's own."""

from __future__ import annotations

from scripts.diagnosis import fired
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """An alarm of no kind that another cause explains, or a composite of which no child is known to have fired."""
    one = next(iter(fired.of_kind(case, "other")), None)
    if one is None:
        return None
    alarm = one.alarm
    made = ", ".join(f"{namespace} {name}" for namespace, name in alarm.metrics)
    more = (*((f"it is made of {made}",) if made else ()), *((alarm.description,) if alarm.description else ()))
    kind = "composite-alarm" if alarm.composite else "metric-alarm"
    return fired.match(one, f"Alarm {alarm.name} fired in {one.where}", (
        f"See what it watches and why it fired: aws cloudwatch describe-alarms --region {alarm.region} --alarm-types CompositeAlarm MetricAlarm "
        f"--alarm-names '{alarm.name}'",
        f"https://{alarm.region}.console.aws.amazon.com/cloudwatch/home?region={alarm.region}#alarmsV2:alarm/{alarm.name} shows it over time ({kind}).",
        fired.back(case)), more)


CAUSE = Cause(
    id="alarm-fired",
    area="alarm",
    title="An alarm of your own fired",
    document=Document("Using Amazon CloudWatch alarms", "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html"),
    check=check,
    rank=18,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/monitoring-create-alarms.html",
)
