"""A quota of CodeDeploy is used up."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import ended_with, over_at
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """RESOURCE_LIMIT_EXCEEDED or OVER_MAX_INSTANCES."""
    found = ended_with(case, "RESOURCE_LIMIT_EXCEEDED", "OVER_MAX_INSTANCES")
    if found is None:
        return None
    return Match("certain", found.where, (f"{found.id} ended with {found.code}: {found.message}",), (
        f"See the quotas: aws service-quotas list-service-quotas --region {found.region} --service-code codedeploy",
        "Ask for more, or deploy to fewer instances or groups at once.",
    ), over_at(found), "A quota of CodeDeploy is used up")


CAUSE = Cause(
    id="deployment-quota",
    area="deployment",
    title="A quota is used up",
    document=Document("CodeDeploy quotas", "https://docs.aws.amazon.com/codedeploy/latest/userguide/limits.html"),
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_ErrorInformation.html",
)
