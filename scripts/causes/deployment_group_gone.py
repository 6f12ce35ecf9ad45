"""The application or the deployment group was deleted while it was deployed to."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import ALL_CODES, again, ended_with, over_at
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """APPLICATION_MISSING or DEPLOYMENT_GROUP_MISSING."""
    found = ended_with(case, "APPLICATION_MISSING", "DEPLOYMENT_GROUP_MISSING")
    if found is None:
        return None
    now = ("it is not there now",) if found.settings and found.settings.missing else ()
    return Match("certain", found.where, (f"{found.id} ended with {found.code}: {found.message}", *now), (
        f"Make it again: make deploy ENV={case.environment}; then release: {again(case)}",
        "Do not change infrastructure while a release is under way: make deploy refuses it, a console does not.",
    ), over_at(found), "The deployment group was deleted in mid-deployment")


CAUSE = Cause(
    id="deployment-group-gone",
    area="deployment",
    title="The deployment group is gone",
    document=ALL_CODES,
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_ErrorInformation.html",
)
