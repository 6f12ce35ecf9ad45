"""A resource, or one that it names, is not there."""

from __future__ import annotations

import re

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match
from scripts.diagnosis.stack_signs import TROUBLESHOOTING, deploy, match, sign

_GONE = re.compile(r"does not exist|NotFound(?:Exception)?\b|NoSuch\w+|could not be found", re.IGNORECASE)
_OTHER = re.compile(r"[Rr]ollback trigger|is invalid or cannot be assumed|customer master key|S3 error|"
                    r"do not exist in the template|bucket you tried|already exists")


def check(case: Case) -> Match | None:
    """The handler's code, or the services' words."""
    found = sign(case, _GONE, ("NotFound",), unless=_OTHER)
    return None if found is None else match(found, f"{found.event.logical_id}: {' '.join(found.event.reason.split())[:140]}", (
        "It was deleted or renamed outside of CloudFormation, or its id in parameters/ is wrong: make it again as it was, or mend the parameter.",
        f"What else changed: aws cloudformation detect-stack-drift --region {found.stack.region} --stack-name {found.stack.name}",
        f"Then: {deploy(case, found.stack)}"))


CAUSE = Cause(
    id="stack-resource-gone",
    area="stack",
    title="A resource that is needed does not exist",
    document=TROUBLESHOOTING,
    check=check,
    rank=25,
    source="https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/troubleshooting.html#troubleshooting-errors-update-rollback-failed",
)
