"""The registry did not take the image: the build's role may not push."""

from __future__ import annotations

import re

from scripts.diagnosis.build_signs import TROUBLESHOOTING, match, sign
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match

_DENIED = re.compile(r"not authorized to perform:? (ecr:(?:InitiateLayerUpload|UploadLayerPart|CompleteLayerUpload|PutImage|BatchCheckLayerAvailability))"
                     r"(?: on resource:? (\S+))?")


def check(case: Case) -> Match | None:
    """ECR's refusal of a push, which names the action."""
    found = sign(case, _DENIED)
    if found is None:
        return None
    action, resource = found.groups
    return match(found, f"The build role may not push: {action} is denied", (
        f"Allow {action} on {resource or 'the repository'} for {found.build.role or 'the build role'} (templates/pipeline/build.yaml) "
        "and, where the repository is another account's, in its repository policy; then: make deploy ENV=pipeline",
        f"aws ecr get-repository-policy --repository-name {resource.partition(':repository/')[2] or '<repository>'} --region {found.build.region}"))


CAUSE = Cause(
    id="build-push-denied",
    area="build",
    title="The build role may not push to the image repository",
    document=TROUBLESHOOTING,
    check=check,
    rank=9,
    source="https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html",
)
