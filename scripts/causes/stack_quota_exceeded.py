"""A quota of the account is reached."""

from __future__ import annotations

import re

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match
from scripts.diagnosis.stack_signs import TROUBLESHOOTING, deploy, match, sign

_QUOTA = re.compile(r"(?:limit|quota)\w* .{0,80}exceeded|exceeded .{0,80}(?:limit|quota)|maximum number of|LimitExceeded|QuotaExceeded|Limit exceeded",
                    re.IGNORECASE)
_RATE = re.compile(r"RequestLimitExceeded|Request limit exceeded|Rate exceeded|Throttl", re.IGNORECASE)


def check(case: Case) -> Match | None:
    """The handler's code, or the services' words; not a limit of calls per second."""
    found = sign(case, _QUOTA, ("ServiceLimitExceeded",), unless=_RATE)
    if found is None:
        return None
    service = found.event.type.split("::")[1].lower() if "::" in found.event.type else "<service>"
    return match(found, f"{found.event.logical_id}: a quota of {service} is reached", (
        f"aws service-quotas list-service-quotas --region {found.stack.region} --service-code {service}",
        "Ask for more there (aws service-quotas request-service-quota-increase), or remove what is unused, then: " + deploy(case, found.stack)))


CAUSE = Cause(
    id="stack-quota-exceeded",
    area="stack",
    title="A quota is reached",
    document=TROUBLESHOOTING,
    check=check,
    source="https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/troubleshooting.html#troubleshooting-errors-limit-exceeded",
)
