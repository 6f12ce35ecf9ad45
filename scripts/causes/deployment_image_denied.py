"""The instance's role may not pull the image."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import Failure, alike, first, permission_in
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "image-denied")
    if found is None:
        return None
    return Match("certain", found.where, (*found.evidence, alike(case, found)), (
        f"Give the instance profile{_profile(found)} ecr:BatchGetImage and ecr:GetDownloadUrlForLayer on the repository{_named(found)}",
        "Of another account's repository: its repository policy must name the hosts' account too.",
        f"If the role was changed by hand, put it back: make deploy ENV={case.environment}",
    ), found.at, "The host's role may not pull the image")


def _profile(found: Failure) -> str:
    """The instance profile, where EC2 named it."""
    profile = found.target.instance.profile if found.target.instance else ""
    return f" {profile.rpartition('/')[2]}" if profile else ""


def _named(found: Failure) -> str:
    """The action that the message names."""
    action = permission_in(found.event.log)
    return f" (missing: {action})" if action else ""


CAUSE = Cause(
    id="deployment-image-denied",
    area="deployment",
    title="The image may not be pulled",
    document=Document("Troubleshooting Docker commands with Amazon ECR", "https://docs.aws.amazon.com/AmazonECR/latest/userguide/common-errors-docker.html"),
    check=check,
    source="https://docs.aws.amazon.com/AmazonECR/latest/userguide/common-errors-docker.html",
)
