"""A rollback is going on: the door is shut until it is done."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The ledger's record or the door's reason; only where nothing fails."""
    held = next((hold for hold in case.holds if hold.kind == "rollback"), None)
    if held is None or case.about != "nothing":
        return None
    waits = tuple(f"execution {each} waits" for each in held.waiting)
    by = f" by {held.by}" if held.by else ""
    return Match("certain", held.where, (f"{held.where}{by}: {held.reason}", *waits), (
        f"Nothing to do; see how far it is: make status ENV={case.environment}",
        "A release that waits goes on by itself afterwards, where the environment is not blocked.",
    ), held.since)


CAUSE = Cause(
    id="hold-rollback-under-way",
    area="hold",
    title="A rollback is going on",
    document=Document("The door is a stage transition", "docs/decisions/0004-the-door-is-a-stage-transition.md"),
    check=check,
    rank=5,
    failing=False,
    source="functions/decide_rollback.py",
)
