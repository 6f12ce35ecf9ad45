"""A hook of the release exited with an error."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The first instance on which a script ended with an exit code, of the first deployment that has one."""
    for deployment in case.deployments:
        for target in deployment.targets:
            event = target.failed_event
            if event is not None and event.code == "ScriptFailed":
                return Match(
                    certainty="certain",
                    where=deployment.where,
                    title=f"{event.script} failed at {event.name}",
                    evidence=(f"{deployment.id} on {target.id}: {event.name}: {event.message}", *event.log.splitlines()[-12:]),
                    fix=(f"Read the last lines above: they are what {event.script} wrote before it ended. Mend it, or what it starts, and push again.",),
                    at=event.ended,
                )
    return None


CAUSE = Cause(
    id="deployment-hook-failed",
    area="deployment",
    title="A hook exited with an error",
    document=Document("Troubleshoot EC2/On-Premises deployment issues",
                      "https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-deployments.html"),
    check=check,
    rank=20,
    source="https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_Diagnostics.html",
)
