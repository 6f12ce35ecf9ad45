"""An instance does not answer at all: neither CodeDeploy's agent nor Systems Manager's."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import INSTANCE_TROUBLE, over_at, replace_host, silent
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """Silent, runs for EC2, and Systems Manager lost it."""
    for deployment, target in silent(case):
        if target.instance and target.instance.state == "running" and target.instance.ssm_ping in ("ConnectionLost", "Inactive"):
            return Match(
                "likely", deployment.where,
                (f"{target.id} took up no event of {deployment.id}", f"EC2 says {target.instance.state}, Systems Manager {target.instance.ssm_ping}",
                 *((f"health for Auto Scaling: {target.instance.health}",) if target.instance.health else ())),
                (f"See whether it hangs: aws ec2 get-console-output --region {deployment.region} --instance-id {target.id} --latest --output text | tail -50",
                 f"Replace it: {replace_host(deployment.region, target.id)}"),
                min((event.ended for event in target.events if event.ended), default=over_at(deployment)), f"{target.id} does not answer")
    return None


CAUSE = Cause(
    id="deployment-host-unreachable",
    area="deployment",
    title="An instance does not answer",
    document=INSTANCE_TROUBLE,
    check=check,
    rank=15,
    source="https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_InstanceInformation.html",
)
