"""The pipeline was changed while the execution was under way, which ended it: no failure."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The execution's status says it."""
    execution = case.execution
    if case.about != "execution" or execution is None or execution.status != "Cancelled":
        return None
    why = execution.stop_reason or "the pipeline was updated while it was under way"
    return Match("certain", case.service, (f"execution {execution.id} is Cancelled: {why}",), (
        f"Start it again with the new definition: aws codepipeline start-pipeline-execution --name {case.service}",), execution.ended)


CAUSE = Cause(
    id="pipeline-definition-changed",
    area="pipeline",
    title="The pipeline's definition was changed while the execution was under way",
    document=Document("PipelineExecution: status Cancelled", "https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_PipelineExecution.html"),
    check=check,
    failing=False,
    source="https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_PipelineExecution.html",
)
