"""An alarm fired in the environment before the release came, so it was not let in."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = r"Not let in .*?Alarm (?P<name>\S+) of (?P<place>\S+) is firing"


def check(case: Case) -> Match | None:
    """In the words of functions/decide_entry.py."""
    action = signs.enter(case)
    found = signs.found_in(action, _WORDS) if action else None
    if action is None or found is None:
        return None
    environment = action.environment or case.environment
    return signs.match(action, f"Alarm {found['name']} of {found['place']} fires, so no release is let in", (
        f"See what is wrong there, which is not this release's doing: make status ENV={environment}",
        f'If this release is the remedy, let it in: make override ENV={environment} RELEASE={signs.commit(case)} REASON="…"',
        signs.again(case, action)), evidence=(signs.verdict(action),))


CAUSE = Cause(
    id="pipeline-enter-alarm",
    area="pipeline",
    title="An alarm fired before the release was let in",
    document=Document("The door is a stage transition", "docs/decisions/0004-the-door-is-a-stage-transition.md"),
    check=check,
    rank=35,
    source="functions/decide_entry.py",
)
