"""A release waits for the one before it: one at a time."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The ledger's record or the door's reason; only where nothing fails."""
    held = next((hold for hold in case.holds if hold.kind == "door" and hold.waiting), None)
    if held is None or case.about != "nothing":
        return None
    waits = tuple(f"execution {each} waits" for each in held.waiting)
    by = f" by {held.by}" if held.by else ""
    return Match("certain", held.where, (f"{held.where}{by}: {held.reason}", *waits), (
        f"Nothing to do: it goes on when the other is through: make status ENV={case.environment}",
    ), held.since)


CAUSE = Cause(
    id="hold-one-at-a-time",
    area="hold",
    title="Another release is in the environment: one at a time",
    document=Document("The door is a stage transition", "docs/decisions/0004-the-door-is-a-stage-transition.md"),
    check=check,
    rank=30,
    failing=False,
    source="functions/decide_rollback.py",
)
