"""The function of an action never answered."""

from __future__ import annotations

import re

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = re.compile(r"Lambda function (?P<name>[\w-]*) ?failed to return a result")


def check(case: Case) -> Match | None:
    """CodePipeline's words after the 20 minutes that its quotas give a function to answer."""
    for action in signs.failed(case, "Lambda"):
        if found := _WORDS.search(action.message):
            name = found["name"] or action.configuration.get("FunctionName", "")
            return signs.match(action, f"The function {name} gave no answer in 20 minutes", (
                f"Read why it failed: aws logs tail /aws/lambda/{name} --since 2h (or the log group that its stack names)",
                "It may lack codepipeline:PutJobSuccessResult, or its way to CodePipeline: templates/pipeline/control.yaml grants both. "
                "Deploy it again: make deploy ENV=pipeline",
                signs.again(case, action)))
    return None


CAUSE = Cause(
    id="pipeline-function-silent",
    area="pipeline",
    title="A function of the pipeline gave no answer",
    document=Document("AWS Lambda invoke action reference", "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-Lambda.html"),
    check=check,
    source="https://github.com/amazon-archives/cloudformation-validation-pipeline/issues/3",
)
