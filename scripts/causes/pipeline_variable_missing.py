"""An action refers to a variable that has no value."""

from __future__ import annotations

import re

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_VARIABLE = re.compile(r"#\{(?P<name>[\w.@-]+)\}")


def check(case: Case) -> Match | None:
    """The action failed before it began, and names the variable, or has one in a value that it could not use."""
    for action in signs.failed(case):
        if not action.external and (found := _VARIABLE.search(action.message)):
            return signs.match(action, f"The variable #{{{found['name']}}} has no value", (
                f"See what the action before it gives: aws codepipeline list-action-executions --pipeline-name {case.service} "
                f"--filter pipelineExecutionId={signs.execution(case)} --query 'actionExecutionDetails[].output.outputVariables'",
                "Export it in the buildspec (env: exported-variables), or correct its name in templates/pipeline/stages.yaml, then: make deploy ENV=pipeline"))
    return None


CAUSE = Cause(
    id="pipeline-variable-missing",
    area="pipeline",
    title="A variable of the pipeline has no value",
    document=Document("Variables", "https://docs.aws.amazon.com/codepipeline/latest/userguide/reference-variables.html"),
    check=check,
    source="https://docs.aws.amazon.com/codepipeline/latest/userguide/actions-variables.html",
)
