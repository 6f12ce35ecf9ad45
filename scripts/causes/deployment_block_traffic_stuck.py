"""BlockTraffic does not come to its end: the target group waits for requests that do not."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import alike, clears_events, first, ran
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """BlockTraffic failed: it lasts as long as the deregistration delay, or until an hour is over."""
    found = first(case, "block")
    if found is None:
        return None
    groups = found.deployment.settings.target_groups if found.deployment.settings else ()
    slow = [f"{group.name} waits {group.deregistration_seconds} s for a target's requests to end (deregistration delay)" for group in groups
            if group.deregistration_seconds is not None]
    drains = [f"{group.name} says {health.state} {health.reason}".strip() for group in groups for health in group.targets if health.id == found.target.id]
    region, name = found.deployment.region, groups[0].name if groups else "<target group>"
    return Match(
        "certain", found.where, (found.line, *slow, *drains, alike(case, found)),
        (f"Shorten the delay: aws elbv2 modify-target-group-attributes --region {region} --target-group-arn \"$(aws elbv2 describe-target-groups "
         f"--region {region} --names {name} --query 'TargetGroups[0].TargetGroupArn' --output text)\" "
         "--attributes Key=deregistration_delay.timeout_seconds,Value=30; and in templates/environment/load-balancer.yaml, so that it stays so",
         "A balancer that takes a target out at once and never says so has lost it: is it in the target group under its instance id, and on one port only?"),
        found.event.started or found.at, f"{found.target.id} could not be taken out of the load balancer")


CAUSE = Cause(
    id="deployment-block-traffic-stuck",
    area="deployment",
    title="BlockTraffic does not end",
    document=Document("Integrating CodeDeploy with Elastic Load Balancing", "https://docs.aws.amazon.com/codedeploy/latest/userguide/integrations-aws-elastic-load-balancing.html"),
    check=check,
    clears=clears_events(["block"], ran("BlockTraffic")),
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html",
)
