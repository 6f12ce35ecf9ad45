"""The release, or its environment, was given up while the gate baked."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = r"is marked bad|is blocked by a rollback|The ledger refuses"


def check(case: Case) -> Match | None:
    """In the words of functions/decide_gate.py."""
    action = signs.gate(case)
    found = signs.found_in(action, _WORDS) if action else None
    if action is None or found is None:
        return None
    environment = action.environment or case.environment
    return signs.match(action, "The release was marked bad, or its environment taken back, while it baked", (
        f"Why it was: make history ENV={environment}", "Mend it and push a new commit; the marked release stays refused.",
        f'If the environment is blocked: make unblock ENV={environment} REASON="…"'), evidence=(signs.verdict(action),))


CAUSE = Cause(
    id="pipeline-gate-rolled-back",
    area="pipeline",
    title="The release was given up while it baked",
    document=Document("A gate of our own", "docs/decisions/0003-a-gate-of-our-own.md"),
    check=check,
    rank=45,
    source="functions/decide_gate.py",
)
