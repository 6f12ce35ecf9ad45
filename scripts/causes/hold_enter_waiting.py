"""Enter waits: for the window, for an alarm to end, for the release before."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """Its own words, while it is under way."""
    for action in case.actions:
        if action.status == "InProgress" and action.provider == "Lambda" and "Waiting to enter" in action.message:
            commit = case.execution.commit[:12] if case.execution else "<commit>"
            environment = action.environment or case.environment
            return Match("certain", f"{action.stage}/{action.name}", (f"{action.stage}/{action.name}: {action.message}",), (
                "Nothing to do: it goes on by itself, or fails at its limit.",
                f'If it cannot wait, and nothing is rolled back: make override ENV={environment} RELEASE={commit} REASON="…"'), action.started)
    return None


CAUSE = Cause(
    id="hold-enter-waiting",
    area="hold",
    title="A release waits to be let in",
    document=Document("The door is a stage transition", "docs/decisions/0004-the-door-is-a-stage-transition.md"),
    check=check,
    rank=12,
    failing=False,
    source="functions/decide_entry.py",
)
