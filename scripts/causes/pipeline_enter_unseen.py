"""Something that must be seen before a release is let in could not be seen."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = r"(?P<region>[a-z]{2}(?:-[a-z]+)+-\d) has not answered|(?P<what>The \w+) could not be read" \
         r"|names no alarm|Alarm \S+ of \S+ does not exist|could not decide"


def check(case: Case) -> Match | None:
    """In the words of functions/decide_entry.py."""
    action = signs.enter(case)
    found = signs.found_in(action, _WORDS) if action else None
    if action is None or found is None:
        return None
    environment = action.environment or case.environment
    what = f"{found['region']} did not answer" if found["region"] else "Nobody watches, or nothing could be decided"
    what = f"{found['what']} could not be read" if found["what"] else what
    return signs.match(action, f"{what}, so no release is let in", (
        f"If the error is a refusal, or an alarm is gone: make deploy ENV={environment}, then: make deploy ENV=pipeline",
        "Else look at https://health.aws.amazon.com/health/status", signs.again(case, action)), evidence=(signs.verdict(action),))


CAUSE = Cause(
    id="pipeline-enter-unseen",
    area="pipeline",
    title="What must be seen before a release is let in was not",
    document=Document("The door is a stage transition", "docs/decisions/0004-the-door-is-a-stage-transition.md"),
    check=check,
    rank=45,
    source="functions/decide_entry.py",
)
