"""An instance of the group is stopped: CodeDeploy deploys to it all the same, and counts it as failed."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import HEALTH, over_at, replace_host, silent
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """Silent, and EC2 says that it is stopped."""
    for deployment, target in silent(case):
        if target.instance and target.instance.state in ("stopping", "stopped"):
            return Match(
                "certain", deployment.where,
                (f"{target.id} took up no event of {deployment.id}; EC2 says {target.instance.state}", "a stopped instance counts like a failed one"),
                (f"Start it: aws ec2 start-instances --region {deployment.region} --instance-ids {target.id}",
                 f"Or replace it: {replace_host(deployment.region, target.id)}"),
                min((event.ended for event in target.events if event.ended), default=over_at(deployment)), f"{target.id} is stopped")
    return None


CAUSE = Cause(
    id="deployment-instance-stopped",
    area="deployment",
    title="An instance is stopped",
    document=HEALTH,
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/instances-health.html",
)
