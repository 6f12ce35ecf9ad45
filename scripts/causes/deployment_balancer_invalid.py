"""The load balancer or target group of the deployment group cannot be used."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import ended_with, over_at
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """ELASTIC_LOAD_BALANCING_INVALID or MISSING_ELB_INFORMATION."""
    found = ended_with(case, "ELASTIC_LOAD_BALANCING_INVALID", "MISSING_ELB_INFORMATION")
    if found is None:
        return None
    names = " ".join(group.name for group in found.settings.target_groups) if found.settings else ""
    return Match("certain", found.where, (f"{found.id} ended with {found.code}: {found.message}", *((f"the group names {names}",) if names else ())), (
        f"See what it names: aws deploy get-deployment-group --region {found.region} --application-name {found.application} "
        f"--deployment-group-name {found.group} "
        "--query deploymentGroupInfo.loadBalancerInfo",
        f"See whether it is there, and on a listener: aws elbv2 describe-target-groups --region {found.region} --names {names or '…'}; "
        f"then make deploy ENV={case.environment}",
    ), over_at(found), "The deployment group's target group cannot be used")


CAUSE = Cause(
    id="deployment-balancer-invalid",
    area="deployment",
    title="The target group cannot be used",
    document=Document("Set up a load balancer in Elastic Load Balancing for CodeDeploy Amazon EC2 deployments",
                      "https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-groups-create-load-balancer.html"),
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_ErrorInformation.html",
)
