"""The build's disk is full."""

from __future__ import annotations

import re

from scripts.diagnosis.build_signs import match, sign
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_FULL = re.compile(r"no space left on device", re.IGNORECASE)


def check(case: Case) -> Match | None:
    """The kernel's words."""
    found = sign(case, _FULL)
    if found is None:
        return None
    return match(found, "", (
        "Use a larger compute type (BuildComputeType in parameters/pipeline.yaml, then: make deploy ENV=pipeline), or make the image and its layers smaller.",))


CAUSE = Cause(
    id="build-disk-full",
    area="build",
    title="The build's disk is full",
    document=Document("Build environment compute modes and types", "https://docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-compute-types.html"),
    check=check,
    rank=5,
    source="https://docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-compute-types.html",
)
