"""The environment was frozen by hand for longer than a release waits: no failure."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = r"Not let in .*?is frozen by hand \((?P<why>.*?)\)"


def check(case: Case) -> Match | None:
    """In the words of functions/decide_entry.py."""
    action = signs.enter(case)
    found = signs.found_in(action, _WORDS) if action else None
    if action is None or found is None:
        return None
    environment = action.environment or case.environment
    return signs.match(action, f"The environment is frozen by hand ({environment})", (
        f'Ask who froze it ({found["why"]}), then open it: make unblock ENV={environment} REASON="…"',
        signs.again(case, action)), evidence=(signs.verdict(action),))


CAUSE = Cause(
    id="hold-enter-frozen",
    area="hold",
    title="The environment is frozen by hand",
    document=Document("The door is a stage transition", "docs/decisions/0004-the-door-is-a-stage-transition.md"),
    check=check,
    rank=15,
    failing=False,
    source="functions/decide_entry.py",
)
