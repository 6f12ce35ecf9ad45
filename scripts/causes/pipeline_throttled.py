"""AWS throttled the call that an action makes."""

from __future__ import annotations

import re

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = re.compile(r"\bThrottl(?:ing|ed)(?:Exception)?\b|Rate exceeded|TooManyRequestsException|RequestLimitExceeded|SlowDown")


def check(case: Case) -> Match | None:
    """The services' codes for it; of an action that began something only where its own code says so."""
    for action in signs.failed(case):
        if action.provider != "Lambda" and _WORDS.search(action.code if action.external else f"{action.code}: {action.message}"):
            return signs.match(action, f"AWS throttled {action.name}", (
                "Wait a minute: nothing else is wrong.", signs.again(case, action),
                "If it comes back: see in CloudTrail who makes so many calls, and ask for more in Service Quotas"))
    return None


CAUSE = Cause(
    id="pipeline-throttled",
    area="pipeline",
    title="AWS throttled a call",
    document=Document("Common errors", "https://docs.aws.amazon.com/codepipeline/latest/APIReference/CommonErrors.html"),
    check=check,
    rank=15,
    source="https://docs.aws.amazon.com/codepipeline/latest/APIReference/CommonErrors.html",
)
