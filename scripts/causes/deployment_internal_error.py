"""CodeDeploy itself had an error."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import ALL_CODES, again, ended_with, over_at
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """INTERNAL_ERROR."""
    found = ended_with(case, "INTERNAL_ERROR")
    if found is None:
        return None
    return Match("certain", found.where, (f"{found.id} ended with {found.code}: {found.message}",), (
        "See https://health.aws.amazon.com/health/status for the Region; this project cannot mend it.",
        f"Release again: {again(case)}",
    ), over_at(found), "CodeDeploy had an internal error")


CAUSE = Cause(
    id="deployment-internal-error",
    area="deployment",
    title="CodeDeploy had an internal error",
    document=ALL_CODES,
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_ErrorInformation.html",
)
