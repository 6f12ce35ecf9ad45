"""The gate's limit came before everything that it asks for was proven."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = r"Not proven within (?P<limit>[^:]+): (?P<rest>.*)"


def check(case: Case) -> Match | None:
    """In the words of functions/decide_gate.py."""
    action = signs.gate(case)
    found = signs.found_in(action, _WORDS) if action else None
    if action is None or found is None:
        return None
    return signs.match(action, f"The release was not proven within {found['limit']}", (
        f"See what it waited for, above, and how it stands now: make status ENV={action.environment or case.environment}",
        "If more time would have done, raise GateLimitSeconds in parameters/pipeline.yaml, then: make deploy ENV=pipeline"), evidence=(signs.verdict(action),))


CAUSE = Cause(
    id="pipeline-gate-unproven",
    area="pipeline",
    title="The gate's limit came first",
    document=Document("A gate of our own", "docs/decisions/0003-a-gate-of-our-own.md"),
    check=check,
    rank=60,
    source="functions/decide_gate.py",
)
