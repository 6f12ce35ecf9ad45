"""A property or parameter has a value that the service does not take."""

from __future__ import annotations

import re

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match
from scripts.diagnosis.stack_signs import TROUBLESHOOTING, deploy, match, sign

_INVALID = re.compile(
    r"Properties validation failed for resource|Model validation failed|Parameter validation failed|Parameters: \[.+\] (?:must have values|do not exist)|"
    r"Encountered unsupported property|Value of property \S+ must be|failed to satisfy constraint|Unresolved resource dependencies|Template format error|"
    r"Unsupported property|[Tt]emplate validation error|must be one of|does not match pattern|Must be a valid")
_OTHER = re.compile(r"already exists|not authorized to perform|[Rr]equires capabilities|Rate exceeded|still contains|is not empty|does not exist|in use|"
                    r"dependent object|LimitExceeded|quota")


def check(case: Case) -> Match | None:
    """CloudFormation's own validation, or the handler's code."""
    found = sign(case, _INVALID, ("InvalidRequest", "NotUpdatable"), unless=_OTHER)
    return None if found is None else match(found, f"{found.event.logical_id}: {' '.join(found.event.reason.split())[:140]}", (
        "Mend the property or the parameter that the reason names, in templates/ or parameters/.", f"make validate; {deploy(case, found.stack)}"))


CAUSE = Cause(
    id="stack-property-invalid",
    area="stack",
    title="A property or parameter is invalid",
    document=TROUBLESHOOTING,
    check=check,
    rank=30,
    source="https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/troubleshooting.html#troubleshooting-errors-invalid-value-or-unsupported-resource-property",
)
