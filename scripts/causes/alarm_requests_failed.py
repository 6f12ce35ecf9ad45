"""Requests failed: what hosts answered was 5xx."""

from __future__ import annotations

from scripts.diagnosis import fired
from scripts.diagnosis.case import Case
from scripts.diagnosis.fired import number
from scripts.diagnosis.judge import Cause, Document, Match

ANSWERED, UNANSWERED = "HTTPCode_Target_5XX_Count", "TargetConnectionErrorCount"


def check(case: Case) -> Match | None:
    """The alarm on failed requests fired, and more of them were answered with 5xx than found no connection (or nobody can tell)."""
    for one in fired.of_kind(case, "requests"):
        failed, refused = fired.total(one, ANSWERED), fired.total(one, UNANSWERED) or 0.0
        if refused > (failed or 0.0):
            continue
        counted: tuple[str, ...] = ()
        requests = fired.total(one, "RequestCount")
        if failed is not None and requests is not None:
            share = f" ({number(100 * failed / requests)} %)" if requests else ""
            counted = (f"of {number(requests)} requests in those minutes {number(failed)} were answered 5xx{share}, {number(refused)} found no connection",)
        return fired.match(one, f"Requests to {one.where} failed: its hosts answered 5xx", (
            f"Read what the app wrote then: {fired.logs(case, one)}",
            "Mend it and push again; a test that asks for the same finds it before the image is built.",
            fired.back(case)), counted)
    return None


CAUSE = Cause(
    id="alarm-requests-failed",
    area="alarm",
    title="Requests failed: hosts answered 5xx",
    document=Document("CloudWatch metrics for your Application Load Balancer: HTTPCode_Target_5XX_Count",
                      "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html"),
    check=check,
    rank=10,
    clears=lambda case: fired.quiet(case, "requests"),
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/monitoring-create-alarms.html",
)
