"""A lifecycle event failed with words that no other cause knows."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import TROUBLE, alike, first, look
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "event")
    if found is None:
        return None
    return Match("certain", found.where, (*found.evidence, alike(case, found)), (
        f"Read the agent's own log: {look(found)}, then sudo tail -100 /var/log/aws/codedeploy-agent/codedeploy-agent.log",
    ), found.at, f"{found.event.name} failed on {found.target.id}")


CAUSE = Cause(
    id="deployment-event-failed",
    area="deployment",
    title="A lifecycle event failed",
    document=TROUBLE,
    check=check,
    rank=60,
    source="https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_Diagnostics.html",
)
