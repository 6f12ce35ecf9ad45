"""A release that was found bad was refused."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = r"Release (?P<commit>\w+) is marked bad \((?P<why>.*?)\) and is never deployed again"


def check(case: Case) -> Match | None:
    """In the words of functions/decide_entry.py."""
    action = signs.enter(case)
    found = signs.found_in(action, _WORDS) if action else None
    if action is None or found is None:
        return None
    return signs.match(action, f"Release {found['commit']} is marked bad and is never deployed again", (
        f"Why it is: {found['why']}", "Mend that, and push a new commit: git revert counts as one."), evidence=(signs.verdict(action),))


CAUSE = Cause(
    id="pipeline-enter-release-bad",
    area="pipeline",
    title="The release is marked bad",
    document=Document("The door is a stage transition", "docs/decisions/0004-the-door-is-a-stage-transition.md"),
    check=check,
    rank=9,
    source="functions/decide_entry.py",
)
