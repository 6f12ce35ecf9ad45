"""A deployment failed, with a code or words that no other cause knows."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import ALL_CODES, failed, over_at
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """Any other end of a deployment than a good one."""
    found = next((one for one in failed(case) if one.status == "Failed" and one.code not in ("HEALTH_CONSTRAINTS", "")), None)
    if found is None:
        return None
    return Match(
        "certain", found.where, (f"{found.id} ended with {found.code}: {found.message}",),
        (f"All that CodeDeploy says: aws deploy get-deployment --region {found.region} --deployment-id {found.id}",),
        over_at(found), f"{found.id} ended with {found.code}")


CAUSE = Cause(
    id="deployment-failed-otherwise",
    area="deployment",
    title="The deployment failed",
    document=ALL_CODES,
    check=check,
    rank=95,
    source="https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_ErrorInformation.html",
)
