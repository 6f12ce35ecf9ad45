"""A script ended, but a process that it started keeps its output open."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import alike, first
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "script-left-open")
    if found is None:
        return None
    return Match("certain", found.where, (*found.evidence, alike(case, found)), (
        f"In {found.event.script}, start what stays with its output elsewhere: nohup … >/var/log/… 2>&1 </dev/null & (or by systemd, or as a container).",
        "The agent waits for the script's output to be closed until its timeout.",
    ), found.at, f"{found.event.script} left a process running in the background")


CAUSE = Cause(
    id="deployment-hook-left-child",
    area="deployment",
    title="A hook left a process running",
    document=Document("Long-running processes can cause deployments to fail",
                      "https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-deployments.html#troubleshooting-long-running-processes"),
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-deployments.html#troubleshooting-long-running-processes",
)
