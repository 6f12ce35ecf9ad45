"""A script took longer than its timeout in appspec.yml."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import TROUBLE, Failure, alike, first
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "script-timed-out")
    if found is None:
        return None
    limit = _limit(found)
    return Match(
        "certain", found.where, (*found.evidence, *((f"its timeout in appspec.yml is {limit} s",) if limit else ()), alike(case, found)),
        (f"The last line above is where {found.event.script} stood: bound what it waits for (timeout 60 …), so that it says itself what is wrong.",
         f"If it only needs longer, raise its timeout in appspec.yml ({limit or 3600} s now; 3600 at most for all scripts of an event)."),
        found.at, f"{found.event.script} did not end within {limit or 'its'} s" if limit else f"{found.event.script} did not end in time")


def _limit(found: Failure) -> int | None:
    scripts = found.deployment.bundle.hooks.get(found.event.name, ()) if found.deployment.bundle else ()
    return next((seconds for location, seconds, _ in scripts if location == found.event.script), None)


CAUSE = Cause(
    id="deployment-hook-timed-out",
    area="deployment",
    title="A hook did not end in time",
    document=TROUBLE,
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_Diagnostics.html",
)
