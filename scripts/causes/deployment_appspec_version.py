"""appspec.yml names a version that is not 0.0."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import APPSPEC, Failure, alike, first
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "appspec-version")
    if found is None:
        return None
    return Match("certain", found.where, (found.line, *_seen(found), alike(case, found)), (
        "Write `version: 0.0` into appspec.yml: a number, without quotation marks. CodeDeploy knows no other. Then push again.",
    ), found.at, "appspec.yml must say version: 0.0")


def _seen(found: Failure) -> tuple[str, ...]:
    """What the bundle itself shows."""
    bundle = found.deployment.bundle
    if bundle is None or bundle.note:
        return (f"{bundle.location}: {bundle.note}",) if bundle else ()
    return (f"appspec.yml in {bundle.location}: {bundle.appspec_problem}",) if bundle.appspec_problem else ()


CAUSE = Cause(
    id="deployment-appspec-version",
    area="deployment",
    title="appspec.yml names a wrong version",
    document=APPSPEC,
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure.html",
)
