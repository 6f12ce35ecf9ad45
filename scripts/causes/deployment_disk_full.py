"""An instance's disk is full."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import TROUBLE, alike, first, look, replace_host
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "disk-full")
    if found is None:
        return None
    return Match("certain", found.where, (*found.evidence, alike(case, found)), (
        f"See what fills it: {look(found)}, then df -h and docker system df",
        "Make room: docker system prune -af --filter until=24h",
        f"Or replace the instance: {replace_host(found.deployment.region, found.target.id)}",
        "If images grow: give the launch template a larger volume.",
    ), found.at, f"The disk of {found.target.id} is full")


CAUSE = Cause(
    id="deployment-disk-full",
    area="deployment",
    title="An instance's disk is full",
    document=TROUBLE,
    check=check,
    source="https://github.com/aws/amazon-ecs-agent/issues/716",
)
