"""The deployment took longer than CodeDeploy lets one take."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import ended_with, over_at
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """TIMEOUT."""
    found = ended_with(case, "TIMEOUT")
    if found is None:
        return None
    stood = (f"{target.id} stood at {event.name}" for target in found.targets for event in target.events
             if event.status == "Failed" and event.message == found.message)
    return Match("certain", found.where, (f"{found.id} ended with {found.code}: {found.message}", *stood), (
        "See which instance it waited for: the evidence names those that were in progress; each event may take an hour, an in-place deployment twelve.",
        "Shorter monitor times between zones (FirstZoneMonitorSeconds, ZoneMonitorSeconds), or more instances at a time (MinimumHealthyPercent).",
    ), over_at(found), "The deployment took longer than CodeDeploy allows")


CAUSE = Cause(
    id="deployment-timed-out",
    area="deployment",
    title="The deployment took too long",
    document=Document("CodeDeploy quotas", "https://docs.aws.amazon.com/codedeploy/latest/userguide/limits.html"),
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_ErrorInformation.html",
)
