"""An instance has no CodeDeploy agent: nobody took its events up, and nothing installed an agent on it."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import answered, failed, look_at, over_at, replace_host, silent
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """Silent, running, never deployed to before, and the association that installs the agent failed on it or does not mean it."""
    found = [(one, target) for one, target in silent(case) if target.instance and target.instance.state == "running" and not target.instance.ran_before
             and target.instance.agent_package in ("Failed", "none")]
    if not found:
        return None
    deployment, target = found[0]
    assert target.instance is not None
    association = {"Failed": "the association that installs the agent failed on it", "none": "no association of Systems Manager installs the agent on it"}
    known = "" if target.instance.ssm_ping in ("", "none") else f"; Systems Manager says {target.instance.ssm_ping}"
    return Match(
        "certain" if target.instance.agent_package == "Failed" else "likely", deployment.where,
        (f"{target.id} took up no event of {deployment.id}; EC2 says {target.instance.state}{known}", association[target.instance.agent_package],
         f"{len(found)} of {deployment.targets_total or len(deployment.targets)} instances are so",
         *(("Systems Manager does not know the instance: its agent, its role (AmazonSSMManagedInstanceCore) or its way out is missing",)
           if target.instance.ssm_ping == "none" else ())),
        (f"See what Systems Manager did there: aws ssm describe-instance-associations-status --region {deployment.region} --instance-id {target.id}",
         f"See for yourself: {look_at(deployment.region, target.id)}, then sudo systemctl status codedeploy-agent",
         f"Install it everywhere: make deploy ENV={case.environment}; or replace the instance: {replace_host(deployment.region, target.id)}"),
        min((event.ended or event.started or over_at(deployment) for event in target.events if event.status == "Failed"), default=over_at(deployment)),
        f"The CodeDeploy agent is not installed on {target.id}")


def clears(case: Case) -> str | None:
    """The agents answered."""
    for one in failed(case):
        if one.targets and not silent(case) and (count := answered(one)):
            return f"the agent ran events on {count} of {len(one.targets)} instances of {one.id}"
    return None


CAUSE = Cause(
    id="deployment-agent-not-installed",
    area="deployment",
    title="The CodeDeploy agent is not installed",
    document=Document("Install the CodeDeploy agent",
                      "https://docs.aws.amazon.com/codedeploy/latest/userguide/codedeploy-agent-operations-install.html"),
    check=check,
    rank=20,
    clears=clears,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-ec2-instances.html#troubleshooting-sds-agent",
)
