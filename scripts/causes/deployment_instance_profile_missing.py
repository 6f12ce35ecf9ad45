"""An instance has no instance profile: its CodeDeploy agent has no credentials, and so takes up no event."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import over_at, replace_host, silent
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """Silent, runs, and EC2 names no instance profile."""
    for deployment, target in silent(case):
        if target.instance and target.instance.state == "running" and not target.instance.profile:
            region = deployment.region
            return Match(
                "certain", deployment.where, (f"{target.id} took up no event of {deployment.id}", "EC2 says that it has no instance profile",
                                              "without one the agent says: Missing credentials - please check if this instance was started with an IAM "
                                              "instance profile"),
                (f"Give it the one of its launch template, then restart its agent: aws ec2 associate-iam-instance-profile --region {region} "
                 f"--instance-id {target.id} --iam-instance-profile Name=<profile>",
                 f"Or replace it: {replace_host(region, target.id)}; if the launch template has none: make deploy ENV={case.environment}"),
                min((event.ended for event in target.events if event.ended), default=over_at(deployment)), f"{target.id} has no instance profile")
    return None


CAUSE = Cause(
    id="deployment-instance-profile-missing",
    area="deployment",
    title="An instance has no instance profile",
    document=Document("CodeDeploy plugin CommandPoller missing credentials error",
                      "https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-deployments.html#troubleshooting-agent-commandpoller-error"),
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-deployments.html#troubleshooting-agent-commandpoller-error",
)
