"""The rollback function stopped the execution: its environment goes back."""

from __future__ import annotations

from scripts.diagnosis import fired
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

STOP_WORD = "Handsoff:"
"""functions/decide_rollback.py."""


def check(case: Case) -> Match | None:
    """It is Stopped for the rollback function's reason; why, the ledger says."""
    execution = case.execution
    if case.about != "execution" or execution is None or not execution.stop_reason.startswith(STOP_WORD):
        return None
    record, bad = case.ledger or {}, (case.release or {}).get("bad")
    why = [f"{execution.commit[:12]} is marked bad: {bad.get('reason')}"] if isinstance(bad, dict) else []
    why += [f"{what}: {told.get('reason')}" for what in ("rollback", "blocked")
            if isinstance(told := record.get(what), dict) and told.get("reason") and fired.taken_back(case, told)]
    log = [text for entry in case.log if entry.get("kind") in ("rollback", "refused") and execution.commit[:12] in (text := str(entry.get("text", "")))][:2]
    blocked = isinstance(record.get("blocked"), dict)
    fix = ["Mend what the reason above names, and push a new commit: a release that was taken back stays refused."]
    fix += [f'When it is understood, open the environment: make unblock ENV={case.environment} REASON="…"'] if blocked else []
    return Match("certain", case.environment, (f"execution {execution.id}: {execution.stop_reason}", *why, *(text for text in log if text)), tuple(fix),
                 execution.ended,
                 execution.stop_reason.removeprefix(STOP_WORD).strip() + ": the rollback function stopped the execution")


CAUSE = Cause(
    id="pipeline-stopped-by-rollback",
    area="pipeline",
    title="The rollback function stopped the execution",
    document=Document("Stop a pipeline execution", "https://docs.aws.amazon.com/codepipeline/latest/userguide/pipelines-stop.html"),
    check=check,
    rank=80,
    source="https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_StopExecutionTrigger.html",
)
