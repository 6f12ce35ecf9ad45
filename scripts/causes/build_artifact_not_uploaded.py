"""The build's artifact could not be put together, or not be uploaded."""

from __future__ import annotations

import re

from scripts.diagnosis.build_signs import TROUBLESHOOTING, cleared, match, sign
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match

_ANY = re.compile("")


def check(case: Case) -> Match | None:
    """UPLOAD_ARTIFACTS failed in a build whose commands did not."""
    found = sign(case, _ANY, ("UPLOAD_ARTIFACTS",))
    if found is None:
        return None
    if "no matching" in found.phase.message:
        return match(found, f"The build made no artifact: {found.phase.message}", (
            "The files that `artifacts` of the buildspec names are not there after the build: mend base-directory or files, or what should have made them.",))
    return match(found, f"The build's artifact could not be uploaded: {found.phase.message[:120]}", (
        f"Check that {found.build.role or 'the build role'} may write to the artifact bucket and use its key {found.build.key}, "
        f"and that the bucket is in {found.build.region}.",))


CAUSE = Cause(
    id="build-artifact-not-uploaded",
    area="build",
    title="The build's artifact could not be uploaded",
    document=TROUBLESHOOTING,
    check=check,
    rank=20,
    clears=lambda case: cleared(case, ("UPLOAD_ARTIFACTS",), "the artifact phase succeeded"),
    source="https://github.com/aws-samples/amazon-ecs-fargate-cdk-cicd/issues/13",
)
