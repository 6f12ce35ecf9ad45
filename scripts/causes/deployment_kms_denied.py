"""The instance's role may not use the key that a bundle, an image or a parameter is encrypted with."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import Failure, alike, first, permission_in
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "kms-denied")
    if found is None:
        return None
    return Match("certain", found.where, (*found.evidence, alike(case, found)), (
        f"Give the instance profile{_profile(found)} {permission_in(found.event.message + found.event.log) or 'kms:Decrypt'} on the key, "
        "and let the key's policy allow it.",
        f"If the key or the role was changed by hand, put it back: make deploy ENV={case.environment}",
    ), found.at, "The host's role may not decrypt with the key")


def _profile(found: Failure) -> str:
    """The instance profile, where EC2 named it."""
    profile = found.target.instance.profile if found.target.instance else ""
    return f" {profile.rpartition('/')[2]}" if profile else ""


CAUSE = Cause(
    id="deployment-kms-denied",
    area="deployment",
    title="A key may not be used",
    document=Document("Troubleshooting AWS KMS key access", "https://docs.aws.amazon.com/kms/latest/developerguide/policy-evaluation.html"),
    check=check,
    source="https://docs.aws.amazon.com/kms/latest/developerguide/policy-evaluation.html",
)
