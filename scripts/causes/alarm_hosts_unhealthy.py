"""Hosts failed the target group's health check for whole minutes."""

from __future__ import annotations

from scripts.diagnosis import fired
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """An alarm on unhealthy hosts fired. What the target group says of them now is given where a deployment's group was read."""
    one = next(iter(fired.of_kind(case, "hosts")), None)
    if one is None:
        return None
    name = [*one.alarm.dimensions.get("TargetGroup", "").split("/"), "", ""][1]
    groups = [group for each in case.deployments if each.settings and each.region == one.alarm.region for group in each.settings.target_groups]
    sick = [f"{target.id} is {target.state} now: {target.reason} {target.description}".rstrip(": ")
            for group in groups if group.name == name for target in group.targets if target.state not in ("healthy", "")]
    return fired.match(one, f"Hosts of {one.where} fail their health check", (
        f"See which, and why (Target.Timeout, Target.ResponseCodeMismatch, Target.FailedHealthChecks): {fired.targets(one)}",
        f"Read what the app wrote then: {fired.logs(case, one)}",
        "The app answers 200 on HEALTH_PATH while it can serve, and does nothing slow there.",
        fired.back(case)), tuple(dict.fromkeys(sick))[:5])


CAUSE = Cause(
    id="alarm-hosts-unhealthy",
    area="alarm",
    title="Hosts fail their health check",
    document=Document("Health checks for Application Load Balancer target groups",
                      "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html"),
    check=check,
    rank=12,
    clears=lambda case: fired.quiet(case, "hosts"),
    source="https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html",
)
