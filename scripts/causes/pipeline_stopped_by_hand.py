"""A person stopped the execution: no failure."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

STOP_WORD = "Handsoff:"
"""How the reason begins with which the rollback function stops executions (functions/decide_rollback.py)."""


def check(case: Case) -> Match | None:
    """It is Stopped, and not for the rollback function's reason."""
    execution = case.execution
    if case.about != "execution" or execution is None or execution.status not in ("Stopped", "Stopping") or execution.stop_reason.startswith(STOP_WORD):
        return None
    left = tuple(f"{signs.place(action)} was abandoned" + (f": {action.external} may go on by itself" if action.external else "")
                 for action in case.actions if action.status == "Abandoned")
    return Match("certain", case.service, (f"execution {execution.id} was stopped: {execution.stop_reason or 'no reason was given'}", *left), (
        "Who it was: aws cloudtrail lookup-events --lookup-attributes AttributeKey=EventName,AttributeValue=StopPipelineExecution",
        f"To go on: aws codepipeline start-pipeline-execution --name {case.service}"), execution.ended, "The execution was stopped by hand")


CAUSE = Cause(
    id="pipeline-stopped-by-hand",
    area="pipeline",
    title="The execution was stopped by hand",
    document=Document("Stop a pipeline execution", "https://docs.aws.amazon.com/codepipeline/latest/userguide/pipelines-stop.html"),
    check=check,
    failing=False,
    source="https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_StopExecutionTrigger.html",
)
