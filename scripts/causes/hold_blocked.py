"""The environment is blocked by a rollback, until a person lifts it."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The ledger's record or the door's reason; only where nothing fails."""
    held = next((hold for hold in case.holds if hold.kind == "block"), None)
    if held is None or case.about != "nothing":
        return None
    waits = tuple(f"execution {each} waits" for each in held.waiting)
    by = f" by {held.by}" if held.by else ""
    return Match("certain", held.where, (f"{held.where}{by}: {held.reason}", *waits), (
        f"Read what happened: make history ENV={case.environment}", f'When it is understood: make unblock ENV={case.environment} REASON="…"',
    ), held.since)


CAUSE = Cause(
    id="hold-blocked",
    area="hold",
    title="The environment is blocked by a rollback",
    document=Document("The door is a stage transition", "docs/decisions/0004-the-door-is-a-stage-transition.md"),
    check=check,
    rank=8,
    failing=False,
    source="functions/decide_rollback.py",
)
