"""A Region did not answer the gate for so long that it gave up."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = r"(?P<region>[a-z]{2}(?:-[a-z]+)+-\d) has not answered for (?P<span>[^(]+)\(bound [^)]*\): (?P<error>.*)"


def check(case: Case) -> Match | None:
    """In the words of functions/decide_gate.py."""
    action = signs.gate(case)
    found = signs.found_in(action, _WORDS) if action else None
    if action is None or found is None:
        return None
    region, environment = found["region"], action.environment or case.environment
    return signs.match(action, f"{region} did not answer the gate for {found['span'].strip()}", (
        "If the error is a refusal: the control role of the environment lacks a permission or is gone. "
        f"Make them again: make deploy ENV={environment}, then: make deploy ENV=pipeline",
        "Else look at https://health.aws.amazon.com/health/status, and push again when the Region answers."), evidence=(signs.verdict(action),))


CAUSE = Cause(
    id="pipeline-gate-region-silent",
    area="pipeline",
    title="A Region did not answer the gate",
    document=Document("A gate of our own", "docs/decisions/0003-a-gate-of-our-own.md"),
    check=check,
    rank=40,
    source="functions/decide_gate.py",
)
