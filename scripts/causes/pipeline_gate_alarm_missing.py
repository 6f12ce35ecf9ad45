"""The gate found that an alarm which must watch is not there."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = r"Alarm (?P<name>\S+) of (?P<place>\S+) does not exist|(?P<none>\S+) names no alarm"


def check(case: Case) -> Match | None:
    """In the words of functions/decide_gate.py."""
    action = signs.gate(case)
    found = signs.found_in(action, _WORDS) if action else None
    if action is None or found is None:
        return None
    what = f"Alarm {found['name']} of {found['place']} does not exist" if found["name"] else f"{found['none']} names no alarm"
    environment = action.environment or case.environment
    return signs.match(action, what, (f"Its stack makes it again: make deploy ENV={environment}",
                                      "Then push again: the gate passes nothing that nobody watches."),
                       evidence=(signs.verdict(action),))


CAUSE = Cause(
    id="pipeline-gate-alarm-missing",
    area="pipeline",
    title="An alarm that must watch is not there",
    document=Document("A gate of our own", "docs/decisions/0003-a-gate-of-our-own.md"),
    check=check,
    rank=40,
    source="functions/decide_gate.py",
)
