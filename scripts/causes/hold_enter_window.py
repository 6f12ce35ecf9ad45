"""The deployment window did not open in time for the release: no failure."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = r"Not let in .*?deployment window \((?P<window>[^)]*)\) is closed until"


def check(case: Case) -> Match | None:
    """In the words of functions/decide_entry.py."""
    action = signs.enter(case)
    found = signs.found_in(action, _WORDS) if action else None
    if action is None or found is None:
        return None
    environment = action.environment or case.environment
    return signs.match(action, f"The deployment window did not open in time ({environment})", (
        f"Wait for the window ({found['window']}) and retry then; or let this release in: "
        f'make override ENV={environment} RELEASE={signs.commit(case)} REASON="…"',
        signs.again(case, action)), evidence=(signs.verdict(action),))


CAUSE = Cause(
    id="hold-enter-window",
    area="hold",
    title="The deployment window did not open in time",
    document=Document("The door is a stage transition", "docs/decisions/0004-the-door-is-a-stage-transition.md"),
    check=check,
    rank=20,
    failing=False,
    source="functions/decide_entry.py",
)
