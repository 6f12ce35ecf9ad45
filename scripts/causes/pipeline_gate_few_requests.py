"""Too few requests came while the release baked to prove anything."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = r"(?P<place>\S+) had (?P<count>\d+) of the (?P<wanted>\d+) requests"


def check(case: Case) -> Match | None:
    """In the words of functions/decide_gate.py."""
    action = signs.gate(case)
    found = signs.found_in(action, _WORDS) if action else None
    if action is None or found is None:
        return None
    environment = action.environment or case.environment
    which = "GammaMinimumRequests" if environment == "gamma" else "ProdMinimumRequests"
    fix = ("See that the tests' load reached it (GammaLoadSeconds, GammaLoadRate of parameters/pipeline.yaml)" if environment == "gamma" else
           "See that callers reach it, and that the canary runs")
    return signs.match(action, f"{found['place']} had {found['count']} of the {found['wanted']} requests that prove anything", (
        fix, f"If so few are normal, lower {which} or lengthen the bake in parameters/pipeline.yaml, then: make deploy ENV=pipeline"),
        evidence=(signs.verdict(action),))


CAUSE = Cause(
    id="pipeline-gate-few-requests",
    area="pipeline",
    title="Too few requests came while the release baked",
    document=Document("A gate of our own", "docs/decisions/0003-a-gate-of-our-own.md"),
    check=check,
    rank=40,
    source="functions/decide_gate.py",
)
