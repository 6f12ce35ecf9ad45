"""The tag is in the repository already, and its tags do not change."""

from __future__ import annotations

import re

from scripts.diagnosis.build_signs import match, sign
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_IMMUTABLE = re.compile(r"image tag '([^']+)' already exists in the '([^']+)' repository and cannot be overwritten because the (?:repository|tag) is immutable|"
                        r"tag invalid: .*?tag '([^']+)'.* immutable")


def check(case: Case) -> Match | None:
    """ECR's words about an immutable tag, or a registry's own with its code TAG_INVALID."""
    found = sign(case, _IMMUTABLE)
    if found is None:
        return None
    tag, repository = found.groups[0] or found.groups[2], found.groups[1] or "<repository>"
    return match(found, f"The tag {tag} exists already{f' in {found.groups[1]}' if found.groups[1] else ''} and cannot be overwritten", (
        f"aws ecr describe-images --region {found.build.region} --repository-name {repository} --image-ids imageTag={tag}",
        "Retry the build: buildspecs/image.sh goes on with an image that is there. For another image push a new commit: a release's tag never changes."))


CAUSE = Cause(
    id="build-tag-immutable",
    area="build",
    title="The image's tag exists already and cannot be overwritten",
    document=Document("Image tag mutability", "https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html"),
    check=check,
    rank=9,
    source="https://github.com/moby/buildkit/issues/3776",
)
