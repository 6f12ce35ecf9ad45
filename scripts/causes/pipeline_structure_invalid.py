"""CodePipeline does not take the pipeline's definition."""

from __future__ import annotations

import re

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = re.compile(r"Invalid(?:Structure|ActionDeclaration|StageDeclaration|BlockerDeclaration)|HandlerErrorCode: InvalidRequest"
                    r"|must be unique within the pipeline|Pipeline (?:should|must)|is not declared as|ction configuration for action|artifactStores?")


def check(case: Case) -> Match | None:
    """The pipeline's resource failed in its stack, and not for a role or a Region."""
    for stack in case.stacks:
        for event in stack.failures:
            others = any(words in event.reason for words in ("AssumeRole", "is not available in region", "is not a valid AWS Region", "not authorized"))
            if event.type == signs.PIPELINE_TYPE and not others and _WORDS.search(event.reason):
                return Match("certain", f"{stack.region}/{stack.name}", (f"{event.logical_id} {event.status}: {event.reason}",), (
                    "Correct templates/pipeline/stages.yaml where the words above say, check it: make validate",
                    "Then deploy again: make deploy ENV=pipeline"), event.at)
    return None


CAUSE = Cause(
    id="pipeline-structure-invalid",
    area="pipeline",
    title="CodePipeline does not take the pipeline's definition",
    document=Document("Pipeline structure reference", "https://docs.aws.amazon.com/codepipeline/latest/userguide/reference-pipeline-structure.html"),
    check=check,
    rank=15,
    source="https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_CreatePipeline.html",
)
