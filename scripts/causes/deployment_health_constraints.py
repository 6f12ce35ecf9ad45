"""HEALTH_CONSTRAINTS, and nothing that was read says more: the service's catch-all words."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import HEALTH, ended_with, healthy_needed, over_at
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """What is known of it, honestly."""
    found = ended_with(case, "HEALTH_CONSTRAINTS")
    if found is None:
        return None
    counts = ", ".join(f"{count} {name}" for name, count in found.overview.items()) or "not known"
    needed = healthy_needed(found)
    return Match(
        "certain", found.where,
        (f"{found.id} ended with {found.code}: {found.message}", f"its instances: {counts}",
         *((f"{needed[0]} of {needed[1]} had to stay healthy ({found.configuration})",) if needed else ()),
         "no event of an instance that could be read says why"),
        (f"Look at the instances: aws deploy list-deployment-targets --region {found.region} --deployment-id {found.id} "
         "--target-filters TargetStatus=Failed,Skipped",
         "An instance on which an earlier deployment failed counts as unhealthy until one succeeds on it; so does a stopped one."),
        over_at(found), "Too few healthy instances, and nothing says why")


CAUSE = Cause(
    id="deployment-health-constraints",
    area="deployment",
    title="Too few healthy instances",
    document=HEALTH,
    check=check,
    rank=90,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/error-codes.html",
)
