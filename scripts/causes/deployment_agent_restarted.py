"""The CodeDeploy agent, or its instance, was restarted in the middle of an event."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import again, alike, first, look
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "agent-restarted")
    if found is None:
        return None
    return Match("certain", found.where, (*found.evidence, alike(case, found)), (
        f"See what restarted it: {look(found)}, then journalctl -u codedeploy-agent -n 50 and last -x reboot | head",
        "Let nothing update or restart the agent (or reboot the host) while CodeDeploy deploys: pin its version in the association that installs it.",
        f"Then release again: {again(case)}",
    ), found.at, f"The agent on {found.target.id} was restarted during {found.event.name}")


CAUSE = Cause(
    id="deployment-agent-restarted",
    area="deployment",
    title="The agent was restarted in the middle of an event",
    document=Document("Terminating or rebooting an Amazon EC2 Auto Scaling instance might cause deployments to fail",
                      "https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-auto-scaling.html#troubleshooting-auto-scaling-reboot"),
    check=check,
    rank=8,
    source="https://github.com/aws/aws-codedeploy-agent/blob/a93dbcd2c9a5f28b5a25d47cd6a3800f46a136f8/src/command_poller/crash_recovery.rs",
)
