"""The app ended by itself after its start."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import TROUBLE, alike, first
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "app-died")
    if found is None:
        return None
    return Match("certain", found.where, (*found.evidence, alike(case, found)), (
        "Read its last words above: exit code 137 and 'out of memory true' say that it needs more memory; others are the app's own.",
        "Mend it and push again.",
    ), found.at, f"The app of {found.deployment.commit[:12] or 'this release'} died after its start")


CAUSE = Cause(
    id="deployment-app-died",
    area="deployment",
    title="The app died after its start",
    document=TROUBLE,
    check=check,
    rank=15,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html",
)
