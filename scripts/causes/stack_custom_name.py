"""A change replaces a resource that has a name of its own, and the old one has the name."""

from __future__ import annotations

import re

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match
from scripts.diagnosis.stack_signs import deploy, match, sign

_NAMED = re.compile(r"cannot update a stack when a custom-named resource requires replacing\. Rename (.+?) and update the stack again")


def check(case: Case) -> Match | None:
    """CloudFormation's words."""
    found = sign(case, _NAMED)
    if found is None:
        return None
    name = found.groups[0]
    return match(found, f"{found.event.logical_id} ({name}) has a name of its own, and the change would replace it", (
        f"Rename {name} in the template, or leave the property that replaces it (aws cloudformation describe-change-set shows which) as it was.",
        "A replacement of something that holds data loses the data: see the upgrade notes in CHANGELOG.md first. Then: " + deploy(case, found.stack)))


CAUSE = Cause(
    id="stack-custom-name",
    area="stack",
    title="A resource with a name of its own would have to be replaced",
    document=Document("Name type", "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-name.html"),
    check=check,
    source="https://github.com/convox/rack/issues/2941",
)
