"""An instance was not set up to its end: its user data did not finish, or Docker does not run."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import alike, first, look, replace_host
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "host-not-ready")
    if found is None:
        return None
    return Match("certain", found.where, (*found.evidence, alike(case, found)), (
        f"See how it came up: {look(found)}, then sudo tail -50 /var/log/cloud-init-output.log and journalctl -u docker -n 50",
        f"Replace it: {replace_host(found.deployment.region, found.target.id)}",
    ), found.at, f"{found.target.id} is not set up: user data or Docker")


CAUSE = Cause(
    id="deployment-host-not-ready",
    area="deployment",
    title="An instance is not set up",
    document=Document("Run commands when you launch an EC2 instance with user data input", "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html"),
    check=check,
    source="https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html",
)
