"""A newer execution overtook this one while it waited: no failure."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The execution's status says it."""
    execution = case.execution
    if case.about != "execution" or execution is None or execution.status != "Superseded":
        return None
    newer = f"; {execution.superseded_by} went on" if execution.superseded_by else ""
    look = f"Look at the newer one: make why ENV={case.environment}" + (f" EXECUTION={execution.superseded_by}" if execution.superseded_by else "")
    return Match("certain", case.service, (f"execution {execution.id} is Superseded{newer}",), (f"Nothing to do: its commit is part of what went on. {look}",),
                 execution.ended, "A newer execution took its place")


CAUSE = Cause(
    id="pipeline-superseded",
    area="pipeline",
    title="A newer execution took its place",
    document=Document("How pipeline executions work", "https://docs.aws.amazon.com/codepipeline/latest/userguide/concepts-how-it-works.html"),
    check=check,
    failing=False,
    source="https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_PipelineExecutionSummary.html",
)
