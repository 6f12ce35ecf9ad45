"""A template, mostly of a nested stack, cannot be read."""

from __future__ import annotations

import re

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match
from scripts.diagnosis.stack_signs import deploy, match, sign

_TEMPLATE = re.compile(r"S3 error: |TemplateURL must (?:be a supported URL|reference a valid S3 object)|Template may not exceed \d+ bytes")


def check(case: Case) -> Match | None:
    """What S3 said, or CloudFormation about the URL."""
    found = sign(case, _TEMPLATE)
    return None if found is None else match(found, f"The template of {found.event.logical_id} cannot be read: {' '.join(found.event.reason.split())[:80]}", (
        "The caller needs s3:GetObject (and kms:Decrypt) on the template's object, and the object must be there: lifecycle rules, another bucket or Region?",
        f"{deploy(case, found.stack)} packages the templates anew."))


CAUSE = Cause(
    id="stack-template-unreadable",
    area="stack",
    title="A template cannot be read",
    document=Document("Nested stacks", "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-nested-stacks.html"),
    check=check,
    rank=5,
    source="https://github.com/awslabs/sagemaker-explaining-credit-decisions/issues/1",
)
