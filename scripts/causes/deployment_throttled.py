"""CodeDeploy was throttled by a service that it called for this account."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import CODES, again, ended_with, over_at
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """THROTTLED."""
    found = ended_with(case, "THROTTLED")
    if found is None:
        return None
    return Match("certain", found.where, (f"{found.id} ended with {found.code}: {found.message}",), (
        f"Release again in some minutes: {again(case)}",
        "If it comes back: fewer deployments and pollers at once in this account and Region, or a higher quota: "
        "aws service-quotas list-service-quotas --service-code codedeploy",
    ), over_at(found), "CodeDeploy was throttled")


CAUSE = Cause(
    id="deployment-throttled",
    area="deployment",
    title="CodeDeploy was throttled",
    document=CODES,
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/error-codes.html",
)
