"""A condition of a stage stopped the execution: no failure of an action."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The stage's state names the condition and its rules."""
    held = next((hold for hold in case.holds if hold.kind == "condition"), None)
    if held is None or case.about != "execution":
        return None
    end = case.execution.ended if case.execution else None
    return Match("certain", held.where, (f"{held.where}: {held.reason}",), (
        "See what the rule watches, then: " f"aws codepipeline list-rule-executions --pipeline-name {case.service}",
        f"To go on in spite of it: aws codepipeline override-stage-condition --pipeline-name {case.service} --stage-name {held.where} "
        f"--pipeline-execution-id {signs.execution(case)} --condition-type <BEFORE_ENTRY or ON_SUCCESS>"), end,
        f"A condition of the stage {held.where} was not met")


CAUSE = Cause(
    id="pipeline-condition-failed",
    area="pipeline",
    title="A condition of a stage was not met",
    document=Document("How do stage conditions work?", "https://docs.aws.amazon.com/codepipeline/latest/userguide/concepts-how-it-works-conditions.html"),
    check=check,
    rank=5,
    failing=False,
    source="https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_StageConditionState.html",
)
