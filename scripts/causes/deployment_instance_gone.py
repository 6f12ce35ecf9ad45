"""An instance was terminated while it was deployed to."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import GONE_STATES, GONE_WORDS, again, failed, first
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """An event failed on an instance that is there no more."""
    found = first(case, "host-gone")
    if found is None:
        return None
    one = found.target.instance
    group = one.group if one and one.group else next(iter(found.deployment.settings.scaling_groups), "<group>") if found.deployment.settings else "<group>"
    told = GONE_WORDS in found.event.message
    return Match(
        "certain" if told else "likely", found.where,
        (found.line, *(["CodeDeploy says that it was terminated"] if told else []), *([f"EC2 says {one.state}"] if one and one.state else [])),
        (f"See who ended it: aws autoscaling describe-scaling-activities --region {found.deployment.region} --auto-scaling-group-name {group} --max-items 5",
         "AZRebalance, a scale-in, a Spot interruption or a health check may end an instance at any moment: the release itself may be good.",
         f"Release again once the fleet is whole: {again(case)}"), found.at, f"{found.target.id} was terminated in mid-deployment")


def clears(case: Case) -> str | None:
    """EC2 still has the instances."""
    for one in failed(case):
        known = [target.instance for target in one.targets if target.instance and target.instance.state]
        if known and not any(instance.state in GONE_STATES for instance in known):
            return f"the {len(known)} instances on which {one.id} did not succeed are still there"
    return None


CAUSE = Cause(
    id="deployment-instance-gone",
    area="deployment",
    title="An instance was terminated in mid-deployment",
    document=Document("Deployments do not fail for up to an hour when an instance is terminated during a deployment",
                      "https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-ec2-instances.html#troubleshooting-one-hour-timeout"),
    check=check,
    rank=8,
    clears=clears,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-auto-scaling.html#troubleshooting-auto-scaling-reboot",
)
