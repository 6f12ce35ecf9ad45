"""The CodeDeploy application or deployment group that the pipeline names is gone."""

from __future__ import annotations

import re

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = re.compile(r"(?:ApplicationDoesNotExist|DeploymentGroupDoesNotExist)"
                    r"|No (?P<what>application|Deployment Group) found for name: (?P<name>[\w.+=@-]+)", re.IGNORECASE)


def check(case: Case) -> Match | None:
    """CodeDeploy's refusal of CreateDeployment, as the action tells it."""
    for action in signs.failed(case, "CodeDeploy"):
        if not action.external and (found := _WORDS.search(f"{action.code}: {action.message}")):
            what = (found["what"] or ("application" if "Application" in found[0] else "deployment group")).lower()
            name = found["name"] or action.configuration.get("ApplicationName" if what == "application" else "DeploymentGroupName", "")
            return signs.match(action, f"The {what} {name} does not exist in {action.region}", (
                f"Its stack makes it: make deploy ENV={action.environment or case.environment}",
                "The pipeline names it by the stack's outputs, so deploy that after it: make deploy ENV=pipeline", signs.again(case, action)))
    return None


CAUSE = Cause(
    id="pipeline-deployment-target-missing",
    area="pipeline",
    title="The application or deployment group does not exist",
    document=Document("CodeDeploy CreateDeployment: errors", "https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_CreateDeployment.html"),
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_CreateDeployment.html",
)
