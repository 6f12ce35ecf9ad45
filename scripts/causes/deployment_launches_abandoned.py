"""Launches fail in a loop: the revision that the launch hook installs does not come up on new instances."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import over_at
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """Auto Scaling abandoned launches because CodeDeploy's deployment to them failed."""
    for one in sorted(case.deployments, key=lambda each: each.created):
        settings = one.settings
        lost = [each for each in settings.activities if "ABANDON Result" in each.message] if settings else []
        if not lost or settings is None:
            continue
        tried = [each for each in one.beside if each.creator == "autoscaling" and each.status in ("Failed", "Stopped")]
        name = settings.scaling_groups[0] if settings.scaling_groups else "<group>"
        return Match(
            "certain" if tried else "likely", one.where,
            (f"{len(lost)} launches of {name} failed lately: {lost[0].message}",
             *(f"{each.id} to a new instance ended with {each.code or each.status}: it installed {each.revision}" for each in tried[:2])),
            (*((f"See why it fails there: make why ENV={case.environment} DEPLOYMENT={tried[0].id}",) if tried else ()),
             f"Stop the loop meanwhile: aws autoscaling suspend-processes --region {one.region} --auto-scaling-group-name {name} --scaling-processes Launch",
             f"The revision is the group's last successful one: make another that comes up ({one.revision or 'see make history'}), then resume-processes."),
            lost[0].at if not tried else min(lost[0].at, tried[0].created) if one.status == "Succeeded" else max(lost[0].at, over_at(one)),
            f"Launches of {name} fail: the last good revision does not come up on new instances")
    return None


CAUSE = Cause(
    id="deployment-launches-abandoned",
    area="deployment",
    title="Launches fail in a loop",
    document=Document("Instances in an Amazon EC2 Auto Scaling group are continuously provisioned and terminated",
                      "https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-auto-scaling.html#troubleshooting-auto-scaling-provision-termination-loop"),
    check=check,
    rank=30,
    source="https://repost.aws/knowledge-center/lifecycle-actions-code-deploy",
)
