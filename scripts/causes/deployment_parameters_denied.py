"""The instance's role may not read the app's parameters."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import Failure, alike, first, permission_in
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "parameters-denied")
    if found is None:
        return None
    return Match("certain", found.where, (*found.evidence, alike(case, found)), (
        f"Give the instance profile{_profile(found)} {permission_in(found.event.log) or 'ssm:GetParametersByPath'} on the path that the message names.",
        f"If the role was changed by hand, put it back: make deploy ENV={case.environment}",
    ), found.at, "The host may not read the app's parameters")


def _profile(found: Failure) -> str:
    """The instance profile, where EC2 named it."""
    profile = found.target.instance.profile if found.target.instance else ""
    return f" {profile.rpartition('/')[2]}" if profile else ""


CAUSE = Cause(
    id="deployment-parameters-denied",
    area="deployment",
    title="The app's parameters may not be read",
    document=Document("Restricting access to Parameter Store parameters", "https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-access.html"),
    check=check,
    source="https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-access.html",
)
