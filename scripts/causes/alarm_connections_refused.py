"""Requests failed: the load balancer found no connection to hosts that it sent them to."""

from __future__ import annotations

from scripts.causes.alarm_requests_failed import ANSWERED, UNANSWERED
from scripts.diagnosis import fired
from scripts.diagnosis.case import Case
from scripts.diagnosis.fired import number
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The alarm on failed requests fired, and more of them found no connection than were answered with 5xx."""
    for one in fired.of_kind(case, "requests"):
        failed, refused = fired.total(one, ANSWERED) or 0.0, fired.total(one, UNANSWERED) or 0.0
        if refused > failed:
            return fired.match(one, f"Requests to {one.where} found no connection: the app does not listen, or dies", (
                f"See whether it ends by itself or was never up: {fired.logs(case, one)}",
                f"See which hosts are out, and why: {fired.targets(one)}",
                "An app must listen on PORT until SIGTERM, and finish what has begun: app/README.md has the contract.",
                fired.back(case)), (f"{number(refused)} requests in those minutes found no connection, {number(failed)} were answered 5xx",))
    return None


CAUSE = Cause(
    id="alarm-connections-refused",
    area="alarm",
    title="Requests found no connection to the hosts",
    document=Document("CloudWatch metrics for your Application Load Balancer: TargetConnectionErrorCount",
                      "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html"),
    check=check,
    rank=10,
    source="https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html",
)
