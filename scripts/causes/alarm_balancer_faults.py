"""The load balancer itself answered 5xx: it had no host to send requests to, or none that answered."""

from __future__ import annotations

from scripts.diagnosis import fired
from scripts.diagnosis.case import Case
from scripts.diagnosis.fired import number
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """An alarm on the balancer's own 5xx fired."""
    one = next(iter(fired.of_kind(case, "balancer")), None)
    if one is None:
        return None
    failed, requests = fired.total(one, "HTTPCode_ELB_5XX_Count"), fired.total(one, "RequestCount")
    counted = () if failed is None else (f"{number(failed)} requests in those minutes were answered 5xx by the load balancer itself, "
                                         f"{number(requests or 0.0)} were sent to a host",)
    return fired.match(one, f"The load balancer of {one.alarm.region} finds no host that answers", (
        f"See the hosts as it sees them: {fired.targets(one)}",
        "503: no host is registered and healthy, so a deployment took out too many at once, or all fail their check. 502: a host closed the "
        "connection. 504: it took longer than the idle timeout.",
        fired.back(case)), counted)


CAUSE = Cause(
    id="alarm-balancer-faults",
    area="alarm",
    title="The load balancer finds no host that answers",
    document=Document("Troubleshoot your Application Load Balancers: the load balancer generates an HTTP error",
                      "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html#load-balancer-http-error-codes"),
    check=check,
    rank=12,
    clears=lambda case: fired.quiet(case, "balancer"),
    source="https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html",
)
