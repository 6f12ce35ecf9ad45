"""Another release was in the environment for longer than this one waits: one at a time."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = r"Not let in .*?One release at a time: another one is in (?P<stage>\w+)"


def check(case: Case) -> Match | None:
    """In the words of functions/decide_entry.py."""
    action = signs.enter(case)
    found = signs.found_in(action, _WORDS) if action else None
    if action is None or found is None:
        return None
    environment = action.environment or case.environment
    return signs.match(action, f"Another release is in the environment ({environment})", (
        f"Wait until the release in {found['stage']} is through: make status ENV={environment}",
        signs.again(case, action)), evidence=(signs.verdict(action),))


CAUSE = Cause(
    id="hold-enter-busy",
    area="hold",
    title="Another release is in the environment",
    document=Document("The door is a stage transition", "docs/decisions/0004-the-door-is-a-stage-transition.md"),
    check=check,
    rank=16,
    failing=False,
    source="functions/decide_entry.py",
)
