"""CodeDeploy cannot use the revision that it was given."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import ALL_CODES, again, ended_with, over_at
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """INVALID_REVISION."""
    found = ended_with(case, "INVALID_REVISION")
    if found is None:
        return None
    return Match("certain", found.where, (f"{found.id} ended with {found.code}: {found.message}",), (
        f"See what it is: {found.revision}; a revision must be a zip, tar or tgz in a bucket of the deployment's own Region.",
        f"Build it again: {again(case)}",
    ), over_at(found), "CodeDeploy cannot use the revision")


CAUSE = Cause(
    id="deployment-revision-invalid",
    area="deployment",
    title="The revision is invalid",
    document=ALL_CODES,
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_ErrorInformation.html",
)
