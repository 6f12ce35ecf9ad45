"""The image is made for another processor than the instance has."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import alike, first
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "image-architecture")
    if found is None:
        return None
    return Match("certain", found.where, (*found.evidence, alike(case, found)), (
        "Build for the hosts' architecture: docker build --platform linux/amd64 (or linux/arm64), in a CodeBuild environment of the same kind "
        "(ARM_CONTAINER for Graviton).",
        f"See what the hosts are: aws ec2 describe-instances --region {found.deployment.region} --instance-ids {found.target.id} "
        "--query 'Reservations[].Instances[].Architecture'",
    ), found.at, "The image is made for another processor than the hosts have")


CAUSE = Cause(
    id="deployment-image-architecture",
    area="deployment",
    title="The image is of another architecture",
    document=Document("Multi-platform builds", "https://docs.docker.com/build/building/multi-platform/"),
    check=check,
    source="https://github.com/aws/amazon-ec2-metadata-mock/issues/155",
)
