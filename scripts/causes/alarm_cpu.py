"""Hosts used more of their CPU than they may."""

from __future__ import annotations

from scripts.diagnosis import fired
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """An alarm on the CPU fired."""
    one = next(iter(fired.of_kind(case, "cpu")), None)
    if one is None:
        return None
    group = one.alarm.dimensions.get("AutoScalingGroupName", "")
    host = f"aws ec2 describe-instances --region {one.alarm.region} --filters Name=tag:aws:autoscaling:groupName,Values={group} " \
           "--query 'Reservations[].Instances[].InstanceId' --output text" if group else "make status"
    return fired.match(one, f"The hosts of {one.where} burn their CPU", (
        f"Find the hosts ({host}), then what uses it: aws ssm start-session --region {one.alarm.region} --target <instance>, and top there.",
        "Answers are still good, so no other alarm may see it: look for a loop that waits without sleeping, or work that came with the release.",
        "If the load has grown and not the cost of a request, the fleet is too small: FleetSize or InstanceType in parameters/.",
        fired.back(case)))


CAUSE = Cause(
    id="alarm-cpu",
    area="alarm",
    title="Hosts burn their CPU",
    document=Document("List the available CloudWatch metrics for your instances: CPUUtilization",
                      "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/viewing_metrics_with_cloudwatch.html"),
    check=check,
    rank=14,
    clears=lambda case: fired.quiet(case, "cpu"),
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/monitoring-create-alarms.html",
)
