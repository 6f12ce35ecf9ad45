"""An instance's clock is wrong, so that AWS takes its signatures for expired."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import alike, first, look, replace_host
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "clock")
    if found is None:
        return None
    return Match("certain", found.where, (*found.evidence, alike(case, found)), (
        f"See how far it is off: {look(found)}, then chronyc tracking",
        "Set it: sudo systemctl restart chronyd (Amazon's time service is 169.254.169.123), then sudo systemctl restart codedeploy-agent",
        f"Or replace the instance: {replace_host(found.deployment.region, found.target.id)}",
    ), found.at, f"The clock of {found.target.id} is wrong")


CAUSE = Cause(
    id="deployment-agent-clock-wrong",
    area="deployment",
    title="An instance's clock is wrong",
    document=Document("Troubleshooting InvalidSignatureException: Signature expired",
                      "https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-ec2-instances.html#troubleshooting-instance-time-failures"),
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-ec2-instances.html#troubleshooting-instance-time-failures",
)
