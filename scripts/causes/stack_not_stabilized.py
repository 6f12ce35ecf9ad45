"""A resource did not become ready in time."""

from __future__ import annotations

import re

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match
from scripts.diagnosis.stack_signs import TROUBLESHOOTING, deploy, match, sign

_STABLE = re.compile(r"did not stabilize|Exceeded attempts to wait|failed to stabilize|timed out waiting for|Resource timed out")


def check(case: Case) -> Match | None:
    """The handler's code, or CloudFormation's words."""
    found = sign(case, _STABLE, ("NotStabilized", "ServiceTimeout"))
    return None if found is None else match(found, f"{found.event.logical_id} did not become ready in time", (
        f"Look at {found.event.physical_id or 'the resource'} in its own service: what keeps it from being ready is said there.",
        f"Is the service all right in {found.stack.region}? https://health.aws.amazon.com/  Then: {deploy(case, found.stack)}"))


CAUSE = Cause(
    id="stack-not-stabilized",
    area="stack",
    title="A resource did not become ready in time",
    document=TROUBLESHOOTING,
    check=check,
    rank=20,
    source="https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/troubleshooting.html#troubleshooting-resource-did-not-stabilize",
)
