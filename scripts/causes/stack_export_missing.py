"""The stack imports an export that is not there."""

from __future__ import annotations

import re

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match
from scripts.diagnosis.stack_signs import match, sign

_MISSING = re.compile(r"No export named (\S+) found")


def check(case: Case) -> Match | None:
    """CloudFormation's words."""
    found = sign(case, _MISSING)
    return None if found is None else match(found, f"No stack in {found.stack.region} exports {found.groups[0]}", (
        f"aws cloudformation list-exports --region {found.stack.region}",
        "Deploy the stack that exports it first (in the same account and Region), or mend the name."))


CAUSE = Cause(
    id="stack-export-missing",
    area="stack",
    title="An export that the stack imports does not exist",
    document=Document("Fn::ImportValue", "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-importvalue.html"),
    check=check,
    source="https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-importvalue.html",
)
