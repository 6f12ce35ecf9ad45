"""What answers on the app's port is not this release."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import TROUBLE, alike, first, look
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "app-other")
    if found is None:
        return None
    return Match("certain", found.where, (*found.evidence, alike(case, found)), (
        "The app must name its commit at /version: was the image built with --build-arg COMMIT=…?",
        f"If something else has the port: {look(found)}, then docker ps and ss -ltnp",
    ), found.at, "What answers on the app's port is not this release")


CAUSE = Cause(
    id="deployment-app-other-release",
    area="deployment",
    title="What answers is not this release",
    document=TROUBLE,
    check=check,
    rank=15,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html",
)
