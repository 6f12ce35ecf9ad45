"""The app runs and does not answer its health path."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import TROUBLE, alike, clears_events, first, ran
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "app-unhealthy")
    if found is None:
        return None
    return Match("certain", found.where, (*found.evidence, alike(case, found)), (
        "Read the container's last words above. Run it as the host does: docker run -p 8080:8080 <image>, then curl -i http://127.0.0.1:8080/health",
        "If it only needs longer to start, raise the parameter START_SECONDS (at most 120); if its path is another, HealthPath in parameters/.",
        "Mend it and push again; hosts run the release before until then.",
    ), found.at, f"The app of {found.deployment.commit[:12] or 'this release'} does not answer its health path")


CAUSE = Cause(
    id="deployment-app-unhealthy",
    area="deployment",
    title="The app does not answer its health path",
    document=TROUBLE,
    check=check,
    rank=15,
    clears=clears_events(["app-unhealthy", "app-died"], ran("ValidateService")),
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html",
)
