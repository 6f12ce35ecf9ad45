"""An action took longer than CodePipeline lets it."""

from __future__ import annotations

import re

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_HOURS = {"CodeDeploy": 5 * 24, "CloudFormation": 3 * 24, "Lambda": 24, "S3": 1.5}
"""How long an action of a provider may take: CodePipeline's quotas."""
_WORDS = re.compile(r"exceeded (?:its|the) (?:maximum )?(?:running time|timeout)|timed out|TimeoutException", re.IGNORECASE)


def check(case: Case) -> Match | None:
    """CodePipeline ended it; a build's own limit, and a gate's, have their own words.

    ? What it says then is documented nowhere, so an action that ran for its provider's whole time counts as well.
    """
    for action in signs.failed(case):
        if action.provider == "CodeBuild" or "does not pass" in action.message:
            continue
        ran = signs.at(action) - action.started
        if _WORDS.search(f"{action.code}: {action.message}") or ran >= _HOURS.get(action.provider, float("inf")) * 3600:
            minutes = int(ran / 60)
            deployment = action.external if action.provider == "CodeDeploy" else ""
            return signs.match(action, f"{action.name} took longer than it may", (
                *((f"See where it stands: make why ENV={case.environment} DEPLOYMENT={deployment}",) if deployment else ()),
                f"What it began goes on by itself ({action.external or 'nothing'}); stop it before you retry.", signs.again(case, action)),
                evidence=(f"it ran for {minutes} min",))
    return None


CAUSE = Cause(
    id="pipeline-action-timed-out",
    area="pipeline",
    title="An action took longer than it may",
    document=Document("Quotas in AWS CodePipeline", "https://docs.aws.amazon.com/codepipeline/latest/userguide/limits.html"),
    check=check,
    rank=30,
    source="https://docs.aws.amazon.com/codepipeline/latest/userguide/limits.html",
)
