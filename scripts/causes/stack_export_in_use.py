"""Another stack imports an output that would change or go."""

from __future__ import annotations

import re

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match
from scripts.diagnosis.stack_signs import deploy, match, sign

_USED = re.compile(r"Export (\S+) cannot be (deleted|updated) as it is in use by (\S+?)\.?(?:\s|$)")


def check(case: Case) -> Match | None:
    """CloudFormation's words, which name the stack that imports."""
    found = sign(case, _USED)
    if found is None:
        return None
    export, verb, user = found.groups
    return match(found, f"The export {export} cannot be {verb}: {user} imports it", (
        f"aws cloudformation list-imports --region {found.stack.region} --export-name {export}",
        f"First change {user} so that it does not import {export}, then: {deploy(case, found.stack)}"))


CAUSE = Cause(
    id="stack-export-in-use",
    area="stack",
    title="An export is in use by another stack",
    document=Document("Get exported outputs from a deployed stack", "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-stack-exports.html"),
    check=check,
    source="https://github.com/serverless/serverless/issues/3589",
)
