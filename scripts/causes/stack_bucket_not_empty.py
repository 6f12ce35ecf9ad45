"""A bucket that is to be deleted holds objects."""

from __future__ import annotations

import re

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match
from scripts.diagnosis.stack_signs import TROUBLESHOOTING, delete, environment, match, sign

_FULL = re.compile(r"bucket you tried to delete is not empty|BucketNotEmpty", re.IGNORECASE)


def check(case: Case) -> Match | None:
    """S3's words."""
    found = sign(case, _FULL)
    if found is None:
        return None
    bucket = found.event.physical_id or "<bucket>"
    return match(found, f"The bucket {bucket} is not empty and cannot be deleted", (
        f"Nothing brings its objects back. To empty it, versions too: make destroy ENV={environment(case, found.stack)}; only the current ones: "
        f"aws s3 rm s3://{bucket} --recursive",
        f"To keep it: {delete(found.stack)} --retain-resources {found.event.logical_id}"))


CAUSE = Cause(
    id="stack-bucket-not-empty",
    area="stack",
    title="A bucket is not empty and cannot be deleted",
    document=TROUBLESHOOTING,
    check=check,
    source="https://github.com/F5Networks/f5-aws-cloudformation/issues/52",
)
