"""Answers took too long: the median, or the slowest in a hundred."""

from __future__ import annotations

from scripts.diagnosis import fired
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """An alarm on the targets' response time fired."""
    one = next(iter(fired.of_kind(case, "latency")), None)
    if one is None:
        return None
    return fired.match(one, f"Answers of {one.where} are slow", (
        f"See which requests take long (the app's log has each one's time): {fired.logs(case, one)}",
        "Look at what the release does on each request that the one before did not: a call to another service, a query without an index, a lock. "
        "The median says that every caller waits, p99 alone that a few do.",
        fired.back(case)))


CAUSE = Cause(
    id="alarm-slow",
    area="alarm",
    title="Answers are slow",
    document=Document("Troubleshoot your Application Load Balancers: elevated latency",
                      "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html"),
    check=check,
    rank=12,
    clears=lambda case: fired.quiet(case, "latency"),
    source="https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html",
)
