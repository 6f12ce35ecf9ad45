"""The CodeDeploy agent of an instance is installed and does not run: it took events up before, and no more."""

from __future__ import annotations

from scripts.diagnosis.case import Case, Deployment, Target
from scripts.diagnosis.failures import answered, failures, look_at, over_at, replace_host, silent
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """An agent that fell silent within this deployment, or since one before; where all of them are silent, their network is likelier."""
    found = [(one, target) for one, target in silent(case) if _installed(target) and (answered(one) or len(one.targets) == 1)]
    fell = [(one.deployment, one.target) for one in failures(case) if one.kind == "silent" and any(
        event.status == "Succeeded" and event.name not in ("BlockTraffic", "AllowTraffic") for event in one.target.events)]
    some = found or fell
    if not some:
        return None
    deployment, target = some[0]
    event = next((event for event in target.events if event.status == "Failed"), None)
    return Match(
        "likely", deployment.where,
        (f"{target.id} did not take up {event.name if event else 'any event'} of {deployment.id}" + (f": {event.message}" if event and event.message else ""),
         *_signs(deployment, target), f"the agent ran events on {answered(deployment)} of {len(deployment.targets)} instances"),
        (f"Start it: aws ssm send-command --region {deployment.region} --instance-ids {target.id} --document-name AWS-RunShellScript "
         "--parameters 'commands=[\"systemctl restart codedeploy-agent\",\"systemctl status codedeploy-agent\"]'",
         f"See why it stopped: {look_at(deployment.region, target.id)}, then sudo journalctl -u codedeploy-agent -n 50",
         f"Or replace the instance: {replace_host(deployment.region, target.id)}"),
        (event.ended or event.started) if event else over_at(deployment), f"The CodeDeploy agent does not run on {target.id}")


def _installed(target: Target) -> bool:
    one = target.instance
    return one is not None and one.state in ("", "running") and (bool(one.ran_before) or one.agent_package == "Success") \
        and one.ssm_ping not in ("ConnectionLost", "Inactive")


def _signs(deployment: Deployment, target: Target) -> list[str]:
    one = target.instance
    signs = []
    if one and one.ran_before:
        signs.append(f"{one.ran_before} succeeded on it earlier, so the agent is installed")
    elif one and one.agent_package == "Success":
        signs.append("Systems Manager installed the agent on it")
    if one and one.ssm_ping == "Online":
        signs.append("Systems Manager reaches the instance, so it runs and has a way out")
    return signs


CAUSE = Cause(
    id="deployment-agent-not-running",
    area="deployment",
    title="The CodeDeploy agent does not run",
    document=Document("Verify the CodeDeploy agent is running",
                      "https://docs.aws.amazon.com/codedeploy/latest/userguide/codedeploy-agent-operations-verify.html"),
    check=check,
    rank=25,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-ec2-instances.html#troubleshooting-sds-agent",
)
