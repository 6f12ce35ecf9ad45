"""The instance cannot reach S3 to fetch the bundle."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import alike, first, look
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "bundle-unreachable")
    if found is None:
        return None
    return Match("certain", found.where, (*found.evidence, alike(case, found)), (
        f"See the way out of its subnet: {look(found)}, then curl -sI https://s3.{found.deployment.region}.amazonaws.com",
        "A private subnet needs a gateway endpoint for S3, or a NAT; a proxy must be named in the agent's configuration (proxy_uri).",
    ), found.at, f"{found.target.id} cannot reach S3")


CAUSE = Cause(
    id="deployment-bundle-unreachable",
    area="deployment",
    title="The instance cannot reach S3",
    document=Document("Troubleshooting all lifecycle events skipped errors",
                      "https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-deployments.html#troubleshooting-skipped-lifecycle-events"),
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-deployments.html#troubleshooting-skipped-lifecycle-events",
)
