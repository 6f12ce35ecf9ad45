"""The instance cannot log in to the image repository."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import Failure, alike, first
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "image-login")
    if found is None:
        return None
    return Match("certain", found.where, (*found.evidence, alike(case, found)), (
        f"Give the instance profile{_profile(found)} ecr:GetAuthorizationToken on * (it knows no resource)",
        "If the permission is there: can the subnet reach ECR? It needs a NAT, or endpoints for ecr.api, ecr.dkr and S3.",
        f"If the role was changed by hand, put it back: make deploy ENV={case.environment}",
    ), found.at, "The host cannot log in to ECR")


def _profile(found: Failure) -> str:
    """The instance profile, where EC2 named it."""
    profile = found.target.instance.profile if found.target.instance else ""
    return f" {profile.rpartition('/')[2]}" if profile else ""


CAUSE = Cause(
    id="deployment-image-login-denied",
    area="deployment",
    title="The instance cannot log in to ECR",
    document=Document("Private registry authentication in Amazon ECR", "https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html"),
    check=check,
    source="https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html",
)
