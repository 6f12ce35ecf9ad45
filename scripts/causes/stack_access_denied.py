"""CloudFormation, or who called it, may not do what a resource needs."""

from __future__ import annotations

import re

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match
from scripts.diagnosis.stack_signs import TROUBLESHOOTING, deploy, match, sign

_DENIED = re.compile(r"not authorized to perform:? ([a-z0-9-]+:[A-Za-z*]+)|API: ([a-z0-9-]+:\w+) (?:Access Denied|User)")
_TEMPLATE = re.compile(r"S3 error: Access Denied")


def check(case: Case) -> Match | None:
    """The service's refusal, which names the action (S3 names its API)."""
    found = sign(case, _DENIED, ("AccessDenied", "UnauthorizedTaggingOperation"), unless=_TEMPLATE)
    if found is None:
        return None
    action = found.groups[0] or found.groups[1]
    who = found.stack.role or "the role or user that deploys (aws sts get-caller-identity names it)"
    return match(found, f"{found.event.logical_id} was refused: {action or 'a permission'} is missing", (
        f"Allow {action or 'what the reason names'} for {who}; templates/deployer.yaml is the role that deploys.", deploy(case, found.stack)))


CAUSE = Cause(
    id="stack-access-denied",
    area="stack",
    title="A resource was refused: a permission is missing",
    document=TROUBLESHOOTING,
    check=check,
    source="https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/troubleshooting.html#troubleshooting-errors-insufficient-iam-permissions",
)
