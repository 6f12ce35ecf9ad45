"""The gate saw an alarm fire while the release baked."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = r"Alarm (?P<name>\S+) of (?P<place>\S+) (?:is firing|was in ALARM)"


def check(case: Case) -> Match | None:
    """In the words of functions/decide_gate.py."""
    action = signs.gate(case)
    found = signs.found_in(action, _WORDS) if action else None
    if action is None or found is None:
        return None
    name, place = found["name"], found["place"]
    region = next((part for part in place.split("/") if part.count("-") >= 2), action.region)
    return signs.match(action, f"Alarm {name} of {place} fired while the release baked", (
        f"See the data points: aws cloudwatch describe-alarm-history --region {region} --alarm-name {name} --max-items 5 "
        "--alarm-types MetricAlarm CompositeAlarm",
        f"{action.environment or case.environment} goes back by itself; see how far it is: make status ENV={action.environment or case.environment}",
        "Mend the release and push a new commit: this one is refused from now on."), evidence=(signs.verdict(action),))


CAUSE = Cause(
    id="pipeline-gate-alarm",
    area="pipeline",
    title="An alarm fired while the release baked",
    document=Document("A gate of our own", "docs/decisions/0003-a-gate-of-our-own.md"),
    check=check,
    rank=40,
    source="functions/decide_gate.py",
)
