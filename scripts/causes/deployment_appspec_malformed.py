"""appspec.yml is not what CodeDeploy reads: no YAML, or without what it needs."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import APPSPEC, Failure, alike, clears_events, first, ran
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "appspec-malformed")
    if found is None:
        return None
    return Match("certain", found.where, (found.line, *_seen(found), alike(case, found)), (
        "Mend appspecs/image/appspec.yml where the message says; spaces, no tabs; then make validate, and push again.",
    ), found.at, "appspec.yml cannot be read by the agent")


def _seen(found: Failure) -> tuple[str, ...]:
    """What the bundle itself shows."""
    bundle = found.deployment.bundle
    if bundle is None or bundle.note:
        return (f"{bundle.location}: {bundle.note}",) if bundle else ()
    return (f"appspec.yml in {bundle.location}: {bundle.appspec_problem}",) if bundle.appspec_problem else ()


CAUSE = Cause(
    id="deployment-appspec-malformed",
    area="deployment",
    title="appspec.yml is malformed",
    document=APPSPEC,
    check=check,
    clears=clears_events(["appspec-malformed"], ran("BeforeInstall")),
    source="https://github.com/aws/aws-codedeploy-agent/blob/944f074eba42519c27a811cd40ec28f3403c9a69/src/application_specification/error.rs",
)
