"""A bucket that is to be deleted holds objects."""

from __future__ import annotations

import re

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match
from scripts.diagnosis.stack_signs import TROUBLESHOOTING, deleting, deploy, destroy, match, retain, sign

_FULL = re.compile(r"bucket you tried to delete is not empty|BucketNotEmpty", re.IGNORECASE)


def check(case: Case) -> Match | None:
    """S3's words."""
    found = sign(case, _FULL)
    if found is None:
        return None
    bucket = found.event.physical_id or "<bucket>"
    title = f"The bucket {bucket} is not empty and cannot be deleted"
    empty = f"Nothing brings its objects back. To delete the current ones: aws s3 rm s3://{bucket} --recursive; versions too: the bucket's Empty in the console"
    if deleting(found.stack):
        return match(found, title, (f"{empty}. Then: {destroy(case, found.stack)}", *retain(found)))
    return match(found, title, (
        f"{empty}. Then: {deploy(case, found.stack)}", "To keep it: give it DeletionPolicy and UpdateReplacePolicy: Retain in its template, and deploy that"))


CAUSE = Cause(
    id="stack-bucket-not-empty",
    area="stack",
    title="A bucket is not empty and cannot be deleted",
    document=TROUBLESHOOTING,
    check=check,
    source="https://github.com/F5Networks/f5-aws-cloudformation/issues/52",
)
