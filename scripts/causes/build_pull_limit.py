"""Docker Hub's limit of pulls is reached."""

from __future__ import annotations

import re

from scripts.diagnosis.build_signs import COMMAND_PHASES, match, sign
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_LIMIT = re.compile(r"toomanyrequests|You have reached your (?:unauthenticated )?pull rate limit", re.IGNORECASE)


def check(case: Case) -> Match | None:
    """Docker Hub's own word, for the build image or for an image that the build pulls."""
    found = sign(case, _LIMIT, (*COMMAND_PHASES, "PROVISIONING"))
    if found is None:
        return None
    return match(found, "", (
        "Take base images from another registry (public.ecr.aws/docker/library/…, or a copy in your ECR): "
        "BaseImage in parameters/pipeline.yaml, then: make deploy ENV=pipeline",
        "The limit is over six hours and per address, which CodeBuild's builds share: a retry may go through."))


CAUSE = Cause(
    id="build-pull-limit",
    area="build",
    title="Docker Hub's pull limit is reached",
    document=Document("Error: BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE: toomanyrequests",
                      "https://docs.aws.amazon.com/codebuild/latest/userguide/troubleshooting.html#troubleshooting-unable-to-pull-image"),
    check=check,
    rank=5,
    source="https://github.com/aws-samples/aws-modern-application-workshop/issues/237",
)
