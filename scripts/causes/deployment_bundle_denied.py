"""The instance's role may not read the bundle in S3."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import Failure, alike, clears_events, first, ran
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "bundle-denied")
    if found is None:
        return None
    return Match("certain", found.where, (*found.evidence, alike(case, found)), (
        f"Give the instance profile{_profile(found)} s3:GetObject and s3:GetObjectVersion on {found.deployment.revision or 'the bundle'}, "
        "and let the bucket's policy not deny it.",
        "A role that was deleted and made again has another id: a bucket policy that names the old one no longer means it.",
        f"Then: make deploy ENV={case.environment}",
    ), found.at, "The host's role may not read the bundle from S3")


def _profile(found: Failure) -> str:
    """The instance profile, where EC2 named it."""
    profile = found.target.instance.profile if found.target.instance else ""
    return f" {profile.rpartition('/')[2]}" if profile else ""


CAUSE = Cause(
    id="deployment-bundle-denied",
    area="deployment",
    title="The instance may not read the bundle",
    document=Document("Create an IAM instance profile for your Amazon EC2 instances", "https://docs.aws.amazon.com/codedeploy/latest/userguide/getting-started-create-iam-instance-profile.html"),
    check=check,
    clears=clears_events(["bundle-denied", "kms-denied"], ran("DownloadBundle")),
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/getting-started-create-iam-instance-profile.html",
)
