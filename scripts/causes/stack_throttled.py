"""A service took no more calls for a while."""

from __future__ import annotations

import re

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match
from scripts.diagnosis.stack_signs import TROUBLESHOOTING, deploy, match, sign

_RATE = re.compile(r"Rate exceeded|RequestLimitExceeded|Request limit exceeded|Throttling(?:Exception)?\b|TooManyRequestsException")


def check(case: Case) -> Match | None:
    """The handler's code, or the services' words."""
    found = sign(case, _RATE, ("Throttling",))
    return None if found is None else match(found, f"{found.event.logical_id}: AWS throttled the calls for it", (
        f"Nothing is wrong with it: {deploy(case, found.stack)} again.",
        "If it happens again, deploy one environment or Region after another, or let resources depend on each other so that fewer are made at once."))


CAUSE = Cause(
    id="stack-throttled",
    area="stack",
    title="AWS throttled the calls for a resource",
    document=TROUBLESHOOTING,
    check=check,
    rank=8,
    source="https://github.com/aws/aws-cdk/issues/9882",
)
