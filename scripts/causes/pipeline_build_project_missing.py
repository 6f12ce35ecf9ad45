"""The CodeBuild project that an action names is gone."""

from __future__ import annotations

import re

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = re.compile(r"Project cannot be found(?:: (?P<arn>\S+))?")


def check(case: Case) -> Match | None:
    """CodeBuild's refusal of StartBuild, as the action tells it."""
    for action in signs.failed(case, "CodeBuild"):
        if not action.external and (found := _WORDS.search(action.message)):
            name = action.configuration.get("ProjectName") or (found["arn"] or "").rsplit("/", 1)[-1]
            return signs.match(action, f"The build project {name} does not exist", (
                "The pipeline's stack makes it: make deploy ENV=pipeline", signs.again(case, action)))
    return None


CAUSE = Cause(
    id="pipeline-build-project-missing",
    area="pipeline",
    title="The build project does not exist",
    document=Document("CodeBuild StartBuild: errors", "https://docs.aws.amazon.com/codebuild/latest/APIReference/API_StartBuild.html"),
    check=check,
    source="https://docs.aws.amazon.com/codebuild/latest/APIReference/API_StartBuild.html",
)
