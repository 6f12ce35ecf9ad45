"""The deployment group has no instance to deploy to."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import ended_with, failed, over_at
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """NO_INSTANCES of a group on Auto Scaling groups that are there, or on nothing at all."""
    found = ended_with(case, "NO_INSTANCES")
    settings = found.settings if found else None
    if found is None or (settings and (settings.tag_filters or settings.missing_scaling_groups)):
        return None
    names = settings.scaling_groups if settings else ()
    lines = [f"{found.id} ended with {found.code}: {found.message}"]
    if names and settings:
        states = ", ".join(f"{count} {state}" for state, count in sorted(settings.members.items())) or "none"
        lines += [f"{', '.join(names)} wants {settings.desired_instances} instances; it has: {states}", *(
            f"a launch failed: {one.message}" for one in settings.activities[-2:])]
    elif settings:
        lines.append("the group names neither an Auto Scaling group nor tags, so it means no instance")
    name = names[0] if names else "<group>"
    return Match(
        "certain", found.where, tuple(lines),
        (f"See why there is none in service: aws autoscaling describe-scaling-activities --region {found.region} "
         f"--auto-scaling-group-name {name} --max-items 5",
         f"If it was scaled in: make deploy ENV={case.environment}, or aws autoscaling set-desired-capacity --region {found.region} "
         f"--auto-scaling-group-name {name} --desired-capacity <n>",
         "An instance that joins later is deployed to by Auto Scaling's launch hook only; tags that are put on it afterwards deploy nothing."),
        over_at(found), "The deployment group has no instances")


def clears(case: Case) -> str | None:
    """There were instances."""
    return next((f"{one.id} had {one.targets_total} instances" for one in failed(case) if one.targets_total and one.platform == "Server"), None)


CAUSE = Cause(
    id="deployment-group-empty",
    area="deployment",
    title="The deployment group has no instances",
    document=Document("Integrating CodeDeploy with Amazon EC2 Auto Scaling", "https://docs.aws.amazon.com/codedeploy/latest/userguide/integrations-aws-auto-scaling.html"),
    check=check,
    rank=20,
    clears=clears,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/error-codes.html",
)
