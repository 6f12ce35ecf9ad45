"""The configuration wants more healthy instances than the group has: CodeDeploy does not even begin."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import HEALTH, ended_with, failed, healthy_needed, over_at
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """HEALTH_CONSTRAINTS_INVALID."""
    found = ended_with(case, "HEALTH_CONSTRAINTS_INVALID")
    if found is None:
        return None
    needed = healthy_needed(found)
    lines = [f"{found.id} ended with {found.code}: {found.message}"]
    if needed and found.minimum:
        lines.append(f"{found.configuration} wants {needed[0]} healthy instances ({found.minimum[0]} {found.minimum[1]}); the group has {needed[1]}")
    settings = found.settings
    name = settings.scaling_groups[0] if settings and settings.scaling_groups else "<group>"
    more = (needed[0] if needed else 1) + 1
    return Match(
        "certain", found.where, tuple(lines),
        (f"Give the group an instance more than must stay: aws autoscaling set-desired-capacity --region {found.region} --auto-scaling-group-name {name} "
         f"--desired-capacity {more} (and FleetSize in parameters/)",
         f"Or let fewer stay: MinimumHealthyPercent in parameters/, then make deploy ENV={case.environment}"),
        over_at(found), "The group has fewer instances than must stay healthy")


def clears(case: Case) -> str | None:
    """The numbers."""
    for one in failed(case):
        needed = healthy_needed(one)
        if needed and needed[0] <= needed[1]:
            return f"{one.configuration} wants {needed[0]} healthy of {needed[1]} instances"
    return None


CAUSE = Cause(
    id="deployment-too-few-hosts",
    area="deployment",
    title="Too few instances for the configuration",
    document=HEALTH,
    check=check,
    clears=clears,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/instances-health.html",
)
