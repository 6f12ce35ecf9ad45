"""A hook of the release exited with an error."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import TROUBLE, alike, clears_events, first
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "script")
    if found is None:
        return None
    return Match("certain", found.where, (*found.evidence, alike(case, found)), (
        f"Read the last lines above: they are what {found.event.script} wrote before it ended. Mend it, or what it starts, and push again.",
    ), found.at, f"{found.event.script} failed at {found.event.name}")


CAUSE = Cause(
    id="deployment-hook-failed",
    area="deployment",
    title="A hook exited with an error",
    document=TROUBLE,
    check=check,
    rank=20,
    clears=clears_events(["script"], lambda one: f"no script of {one.id} ended with an exit code of its own"),
    source="https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_Diagnostics.html",
)
