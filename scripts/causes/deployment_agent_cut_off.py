"""The agents are installed and cannot reach CodeDeploy: no instance took an event up, though Systems Manager reaches them."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import answered, failed, look_at, over_at, silent
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """All of two or more instances that were tried are silent, run, are reached by Systems Manager, and have the agent."""
    for deployment in failed(case):
        quiet = [target for one, target in silent(case) if one is deployment]
        there = [target for target in quiet if target.instance and target.instance.state in ("", "running") and target.instance.ssm_ping == "Online"
                 and target.instance.agent_package != "none" and (target.instance.ran_before or target.instance.agent_package != "Failed")]
        if len(there) < 2 or answered(deployment):
            continue
        region = deployment.region
        root = f"{case.service}-environment-{case.environment}"
        # The drift of a root stack says nothing of what is in its nested ones.
        network = (f"$(aws cloudformation describe-stack-resource --region {region} --stack-name {root} --logical-resource-id Network "
                   "--query StackResourceDetail.PhysicalResourceId --output text)")
        return Match(
            "likely", deployment.where,
            (f"no instance took up an event of {deployment.id}: {len(quiet)} were tried", f"Systems Manager reaches {len(there)} of them",
             *((f"{there[0].instance.ran_before} succeeded there earlier, so the agents are installed",)
               if there[0].instance and there[0].instance.ran_before else ())),
            (f"Ask from an instance: {look_at(region, there[0].id)}, then curl -sv https://codedeploy-commands.{region}.amazonaws.com and "
             "sudo tail -50 /var/log/aws/codedeploy-agent/codedeploy-agent.log",
             f"A subnet without a NAT needs the endpoints com.amazonaws.{region}.codedeploy-commands-secure and com.amazonaws.{region}.codedeploy, and "
             "enable_auth_policy: true in the agent's configuration",
             f"What changed in the environment's own network: aws cloudformation detect-stack-drift --region {region} --stack-name {network}, "
             f"then describe-stack-resource-drifts; or put it back: make deploy ENV={case.environment}"),
            min((event.ended for target in there for event in target.events if event.ended), default=over_at(deployment)),
            "The agents cannot reach CodeDeploy's endpoint")
    return None


CAUSE = Cause(
    id="deployment-agent-cut-off",
    area="deployment",
    title="The agents cannot reach CodeDeploy",
    document=Document("Use CodeDeploy with Amazon Virtual Private Cloud", "https://docs.aws.amazon.com/codedeploy/latest/userguide/vpc-endpoints.html"),
    check=check,
    rank=22,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/vpc-endpoints.html",
)
