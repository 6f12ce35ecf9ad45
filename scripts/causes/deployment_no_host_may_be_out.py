"""By arithmetic no instance may be out, so none can be deployed to: percentages of healthy instances round up."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import HEALTH, ended_with, healthy_needed, over_at
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """HEALTH_CONSTRAINTS though no event failed, and one instance less would be fewer than must stay healthy."""
    found = ended_with(case, "HEALTH_CONSTRAINTS")
    if found is None or any(event.status == "Failed" for target in found.targets for event in target.events):
        return None
    needed = healthy_needed(found)
    if needed is None or found.minimum is None or needed[1] - 1 >= needed[0]:
        return None
    must, total = needed
    kind, value = found.minimum
    rounds = f": {value} % of {total} is {total * value / 100:g}, rounded up {must}" if kind == "FLEET_PERCENT" else ""
    fits = max((percent for percent in range(100) if -(-total * percent // 100) <= total - 1), default=0)
    return Match(
        "certain", found.where,
        (f"{found.id} ended with {found.code} and no event failed on any instance", f"{must} of {total} instances must stay healthy{rounds}",
         f"so none may be out, and none can be deployed to ({found.configuration})"),
        (f"Let at least one be out: MinimumHealthyPercent of at most {fits} in parameters/ for {total} instances, then make deploy ENV={case.environment}",
         f"Or have more instances: with {value} % that begins to work at {_enough(value)} of them" if kind == "FLEET_PERCENT" and value < 100
         else "Or have more instances than must stay healthy."),
        over_at(found), f"No instance may be out: {must} of {total} must stay healthy")


def _enough(percent: int) -> int:
    """The fewest instances of which one may be out."""
    return next(total for total in range(1, 1000) if -(-total * percent // 100) <= total - 1)


CAUSE = Cause(
    id="deployment-no-host-may-be-out",
    area="deployment",
    title="By its configuration no instance may be out",
    document=HEALTH,
    check=check,
    rank=50,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/instances-health.html",
)
