"""The function of an action is gone."""

from __future__ import annotations

import re

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = re.compile(r"(?:ResourceNotFoundException|Function not found)", re.IGNORECASE)


def check(case: Case) -> Match | None:
    """Lambda's refusal of Invoke. ? How the action passes it on is documented nowhere."""
    for action in signs.failed(case, "Lambda"):
        if _WORDS.search(f"{action.code}: {action.message}"):
            name = action.configuration.get("FunctionName", "the function")
            return signs.match(action, f"The function {name} does not exist", (
                "The pipeline's stack makes it: make deploy ENV=pipeline", signs.again(case, action)))
    return None


CAUSE = Cause(
    id="pipeline-function-missing",
    area="pipeline",
    title="A function of the pipeline does not exist",
    document=Document("Lambda Invoke: errors", "https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html"),
    check=check,
    source="https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html",
)
