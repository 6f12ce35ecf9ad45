"""Something with the resource's name is there already."""

from __future__ import annotations

import re

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match
from scripts.diagnosis.stack_signs import TROUBLESHOOTING, deploy, match, sign

_EXISTS = re.compile(r"with identifier '([^']+)' already exists|[Ee]xport with name (\S+) is already exported|(?:^|message: \"|\s)([\w./:-]+) already exists")


def check(case: Case) -> Match | None:
    """The handler's code, or the words of services and of exports."""
    found = sign(case, _EXISTS, ("AlreadyExists",))
    if found is None:
        return None
    name = next((group for group in found.groups if group), "") or found.event.physical_id
    return match(found, f"{found.event.logical_id}: {name or 'a resource with that name'} exists already", (
        f"See whose it is: aws cloudformation describe-stack-resources --region {found.stack.region} --physical-resource-id {name or '<name>'}",
        "A stack that is gone left it, or another has it. Delete it or give this one another name (or import it), then: " + deploy(case, found.stack)))


CAUSE = Cause(
    id="stack-resource-exists",
    area="stack",
    title="A resource with that name exists already",
    document=TROUBLESHOOTING,
    check=check,
    source="https://github.com/aws-solutions/amazon-marketing-cloud-uploader-from-aws/issues/167",
)
