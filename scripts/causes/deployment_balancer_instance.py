"""The target group does not take an instance."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import ALL_CODES, ended_with, first, over_at
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """ELB_INVALID_INSTANCE, or Elastic Load Balancing's InvalidTarget for an instance that is put back."""
    over, found = ended_with(case, "ELB_INVALID_INSTANCE"), first(case, "elb-instance")
    one = over or (found.deployment if found else None)
    if one is None:
        return None
    instance = found.target.id if found else "<instance>"
    return Match(
        "certain", one.where, (found.line if found else f"{one.id} ended with {one.code}: {one.message}",),
        (f"Is it running, and in the target group's VPC? aws ec2 describe-instances --region {one.region} --instance-ids {instance} "
         "--query 'Reservations[].Instances[].[State.Name,VpcId]'",
         "Target groups of type ip or lambda take no instances: TargetType must be instance."),
        found.at if found else over_at(one), "The target group does not take the instance")


CAUSE = Cause(
    id="deployment-balancer-instance",
    area="deployment",
    title="The target group does not take an instance",
    document=ALL_CODES,
    check=check,
    rank=12,
    source="https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RegisterTargets.html",
)
