"""The gate cannot be passed as it is configured."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = r"do not fit into the gate's limit|that is over 24 hours|could not decide"


def check(case: Case) -> Match | None:
    """In the words of functions/decide_gate.py."""
    action = signs.gate(case)
    found = signs.found_in(action, _WORDS) if action else None
    if action is None or found is None:
        return None
    return signs.match(action, "The gate's times do not fit, or it could not decide", (
        "Correct the bake, SettleSeconds and GateLimitSeconds in parameters/pipeline.yaml, then: make deploy ENV=pipeline",
        f"If it could not decide, its log says where: aws logs tail /aws/lambda/{action.configuration.get('FunctionName', '<function>')} --since 2h"),
        evidence=(signs.verdict(action),))


CAUSE = Cause(
    id="pipeline-gate-misconfigured",
    area="pipeline",
    title="The gate is misconfigured",
    document=Document("A gate of our own", "docs/decisions/0003-a-gate-of-our-own.md"),
    check=check,
    rank=40,
    source="functions/decide_gate.py",
)
