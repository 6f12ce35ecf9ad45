"""No event ran on an instance, and nothing more is known of why."""

from __future__ import annotations

from scripts.causes import (
    deployment_agent_cut_off,
    deployment_agent_not_installed,
    deployment_agent_not_running,
    deployment_host_unreachable,
    deployment_instance_profile_missing,
    deployment_instance_stopped,
)
from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import answered, look_at, over_at, silent
from scripts.diagnosis.judge import Cause, Document, Match

_MORE_EXACT = (deployment_agent_cut_off, deployment_agent_not_installed, deployment_agent_not_running, deployment_host_unreachable,
               deployment_instance_profile_missing, deployment_instance_stopped)


def check(case: Case) -> Match | None:
    """An instance whose agent took up no event, what AWS calls "all lifecycle events skipped", where nothing that was read says why."""
    if any(cause.check(case) is not None for cause in _MORE_EXACT):
        return None
    for deployment, target in silent(case):
        quiet = [one for where, one in silent(case) if where is deployment]
        skipped = all(event.status == "Skipped" for event in target.events)
        said = next((event.message for event in target.events if event.message), "")
        return Match(
            "likely", deployment.where,
            ((f"every lifecycle event of {deployment.id} was skipped on {target.id}" if skipped else f"{target.id} took up no event of {deployment.id}")
             + (f": {said}" if said else ""),
             f"{len(quiet)} of {len(deployment.targets)} instances are so; the agent ran events on {answered(deployment)}",
             "that means: no agent, one that does not run, no way to CodeDeploy, an instance without a role, or a clock that is far off"),
            (f"See which: {look_at(deployment.region, target.id)}, then sudo systemctl status codedeploy-agent and "
             "sudo tail -50 /var/log/aws/codedeploy-agent/codedeploy-agent.log",
             f"And its role: aws ec2 describe-instances --region {deployment.region} --instance-ids {target.id} "
             "--query 'Reservations[].Instances[].IamInstanceProfile'"),
            min((event.ended for event in target.events if event.ended), default=over_at(deployment)), f"No event ran on {target.id}")
    return None


CAUSE = Cause(
    id="deployment-events-skipped",
    area="deployment",
    title="Every lifecycle event was skipped",
    document=Document("Troubleshooting all lifecycle events skipped errors",
                      "https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-deployments.html#troubleshooting-skipped-lifecycle-events"),
    check=check,
    rank=70,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-deployments.html#troubleshooting-skipped-lifecycle-events",
)
