"""Callers no longer come: fewer requests than the floor, for minutes."""

from __future__ import annotations

from scripts.diagnosis import fired
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """An alarm on too few requests fired."""
    one = next(iter(fired.of_kind(case, "traffic")), None)
    if one is None:
        return None
    return fired.match(one, f"Callers no longer reach {one.alarm.region}", (
        f"Ask it yourself: make status ENV={case.environment} prints the endpoint; curl -i <endpoint>/version",
        "Look at the way there: DNS, the listener and its rules, security groups, a certificate that has expired. Hosts that nobody asks look healthy.",
        "If callers really come less at this hour: TrafficFloor in parameters/ (0 does not watch it).",
        fired.back(case)))


CAUSE = Cause(
    id="alarm-traffic-dropped",
    area="alarm",
    title="Callers no longer reach the service",
    document=Document("CloudWatch metrics for your Application Load Balancer: RequestCount",
                      "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html"),
    check=check,
    rank=14,
    clears=lambda case: fired.quiet(case, "traffic"),
    source="https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html",
)
