"""The image of the release is not in the repository of the Region."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import again, alike, first
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "image-missing")
    if found is None:
        return None
    return Match("certain", found.where, (*found.evidence, alike(case, found)), (
        f"See what is there: aws ecr describe-images --region {found.deployment.region} --repository-name <repository> "
        f"--image-ids imageTag={found.deployment.commit or '<commit>'}",
        f"Build and push it again: {again(case)}",
        f"If a lifecycle policy removed it: aws ecr get-lifecycle-policy --region {found.deployment.region} --repository-name <repository>",
    ), found.at, f"The image of {found.deployment.commit[:12] or 'the release'} is not in {found.deployment.region}")


CAUSE = Cause(
    id="deployment-image-missing",
    area="deployment",
    title="The image is not in the repository",
    document=Document("Troubleshooting Docker commands with Amazon ECR", "https://docs.aws.amazon.com/AmazonECR/latest/userguide/common-errors-docker.html"),
    check=check,
    source="https://docs.aws.amazon.com/AmazonECR/latest/userguide/common-errors-docker.html",
)
