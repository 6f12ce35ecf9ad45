"""The service role that the stack was made with is gone."""

from __future__ import annotations

import re

from scripts.diagnosis.case import Case, Stack
from scripts.diagnosis.judge import Cause, Document, Match
from scripts.diagnosis.stack_signs import delete, deleting, deploy, destroy, facts, match, sign, where

_ROLE = re.compile(r"Role (arn:\S+:role/\S+) is invalid or cannot be assumed")


def check(case: Case) -> Match | None:
    """CloudFormation's words, in the stack's own reason or in a resource's."""
    found = sign(case, _ROLE)
    if found is not None:
        return match(found, f"The role {found.groups[0]} does not exist any more, or cannot be assumed", _fix(case, found.stack, found.groups[0]))
    for stack in case.stacks:
        if said := _ROLE.search(stack.reason):
            return Match("certain", where(stack), facts(stack), _fix(case, stack, said.group(1)), stack.ended,
                         f"The role {said.group(1)} does not exist any more, or cannot be assumed")
    return None


def _fix(case: Case, stack: Stack, role: str) -> tuple[str, ...]:
    again = "Make it again with the same name and let cloudformation.amazonaws.com assume it, "
    return (f"aws iam get-role --role-name {role.rpartition('/')[2]}",
            again + (f"then: {destroy(case, stack)}; or give another for this operation: {delete(stack)} --role-arn <role>" if deleting(stack) else
                     f"then: {deploy(case, stack)}; or give the stack another with an update of it (aws cloudformation update-stack … --role-arn <role>)"),
            "A role that another stack makes goes with that stack: delete stacks in the reverse order.")


CAUSE = Cause(
    id="stack-role-missing",
    area="stack",
    title="The stack's service role does not exist any more, or cannot be assumed",
    document=Document("CloudFormation service role", "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-iam-servicerole.html"),
    check=check,
    source="https://github.com/aws/aws-cdk/issues/10116",
)
