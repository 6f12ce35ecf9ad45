"""A person disabled the transition into a stage."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The ledger's record or the door's reason; only where nothing fails."""
    held = next((hold for hold in case.holds if hold.kind == "transition"), None)
    if held is None or case.about != "nothing":
        return None
    waits = tuple(f"execution {each} waits" for each in held.waiting)
    by = f" by {held.by}" if held.by else ""
    return Match("certain", held.where, (f"{held.where}{by}: {held.reason}", *waits), (
        f"When the reason is gone: aws codepipeline enable-stage-transition --pipeline-name {case.service} --stage-name {held.where} --transition-type Inbound",
    ), held.since)


CAUSE = Cause(
    id="hold-transition-disabled",
    area="hold",
    title="A person disabled the transition into a stage",
    document=Document("Working with stage transitions in CodePipeline", "https://docs.aws.amazon.com/codepipeline/latest/userguide/transitions.html"),
    check=check,
    failing=False,
    source="https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_TransitionState.html",
)
