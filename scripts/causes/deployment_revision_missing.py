"""The bundle is not in S3 any more."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import ALL_CODES, again, ended_with, failed, first, over_at
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """CodeDeploy's code, or S3's word to an instance that asked for it."""
    over, found = ended_with(case, "REVISION_MISSING"), first(case, "revision-missing")
    one = over or (found.deployment if found else None)
    if one is None:
        return None
    said = found.line if found else f"{one.id} ended with {one.code}: {one.message}"
    gone = (f"S3 has no {one.bundle.location}",) if one.bundle and one.bundle.missing else ()
    rest = one.revision.partition("://")[2].partition("/")
    return Match(
        "certain", one.where, (said, *gone),
        (f"See what became of it: aws s3api list-object-versions --bucket {rest[0] or '<bucket>'} --prefix {rest[2] or '<key>'} "
         "--query '{Versions: Versions[].VersionId, Deleted: DeleteMarkers[].LastModified}'",
         "If only a delete marker hides it, remove that: aws s3api delete-object --bucket … --key … --version-id <the marker's>",
         f"Else build it again: {again(case)}; and to go back, name a release that is still there: make rollback ENV={case.environment} REASON=…"),
        found.at if found else over_at(one), "The bundle is not in S3 any more")


def clears(case: Case) -> str | None:
    """The bundle was read just now."""
    return next((f"{one.bundle.location} is there ({one.bundle.size} bytes)" for one in failed(case) if one.bundle and one.bundle.size), None)


CAUSE = Cause(
    id="deployment-revision-missing",
    area="deployment",
    title="The bundle is not in S3",
    document=ALL_CODES,
    check=check,
    clears=clears,
    source="https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_ErrorInformation.html",
)
