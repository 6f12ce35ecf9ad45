"""The template makes IAM resources or has a macro, and that was not acknowledged."""

from __future__ import annotations

import re

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match
from scripts.diagnosis.stack_signs import deploy, match, sign

_NEEDS = re.compile(r"[Rr]equires capabilities ?: ?\[([A-Z_, ]+)\]")


def check(case: Case) -> Match | None:
    """CloudFormation's words."""
    found = sign(case, _NEEDS)
    return None if found is None else match(found, f"{found.groups[0]} was not acknowledged", (
        f"{deploy(case, found.stack)} acknowledges it; by hand add --capabilities {found.groups[0].replace(',', ' ')} to the command.",))


CAUSE = Cause(
    id="stack-capability-missing",
    area="stack",
    title="A capability was not acknowledged",
    document=Document("Acknowledging IAM resources in CloudFormation templates", "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/control-access-with-iam.html#using-iam-capabilities"),
    check=check,
    source="https://github.com/envato/stack_master/issues/138",
)
