"""Another deployment of the group was under way: CodeDeploy takes one at a time."""

from __future__ import annotations

import re

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import again
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """A CodeDeploy action failed with DeploymentLimitExceededException's words."""
    for action in case.actions:
        found = re.search(r"is already deploying deployment(?: '?(d-[A-Z0-9]+))?", action.message)
        if action.provider != "CodeDeploy" or (not found and "DeploymentLimitExceeded" not in f"{action.code} {action.message}"):
            continue
        named = found.group(1) if found else None  # CodePipeline's guide has the words without a name too
        other = named or "<id>"
        region = action.region or case.region
        return Match(
            "certain", f"{region}/{action.stage}", (f"{action.stage}/{action.name}: {action.message or action.code}",),
            (f"See what it is: aws deploy get-deployment --region {region} --deployment-id {other} --query 'deploymentInfo.[status,creator,description]'",
             f"Let it end, or stop it: aws deploy stop-deployment --region {region} --deployment-id {other}",
             f"Then release again: {again(case)}"), action.ended or action.started, f"{other} was deploying to the same group" if named else "")
    return None


CAUSE = Cause(
    id="deployment-concurrent",
    area="deployment",
    title="Another deployment was under way",
    document=Document("CodeDeploy quotas", "https://docs.aws.amazon.com/codedeploy/latest/userguide/limits.html"),
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_CreateDeployment.html",
)
