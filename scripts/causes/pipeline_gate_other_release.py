"""Something else than the release runs where its gate is to vouch for it."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = "|".join((
    r"(?P<place>\S+) runs release (?P<other>\w+) \(deployment (?P<id>\S+?)\)",
    r"(?P<given>\S+) is being given release (?P<next>\w+) \(deployment (?P<next_id>\S+?)\)",
    r"newest deployment of (?P<failed>\S+), (?P<failed_id>[^,]+), ended",
    r"(?P<empty>\S+) has no (?:successful deployment|deployment group)",
))


def check(case: Case) -> Match | None:
    """In the words of functions/decide_gate.py."""
    action = signs.gate(case)
    found = signs.found_in(action, _WORDS) if action else None
    if action is None or found is None:
        return None
    place = found["place"] or found["given"] or found["failed"] or found["empty"]
    deployment = found["id"] or found["next_id"] or found["failed_id"]
    look = f"See what brought it: make why ENV={action.environment or case.environment} DEPLOYMENT={deployment}" if deployment else (
        f"See what is there: make status ENV={action.environment or case.environment}")
    return signs.match(action, f"{place} does not run the release that the gate is to vouch for", (
        look, "It was taken back, or deployed over by hand: push a new commit."), evidence=(signs.verdict(action),))


CAUSE = Cause(
    id="pipeline-gate-other-release",
    area="pipeline",
    title="Something else than the release runs",
    document=Document("A gate of our own", "docs/decisions/0003-a-gate-of-our-own.md"),
    check=check,
    rank=40,
    source="functions/decide_gate.py",
)
