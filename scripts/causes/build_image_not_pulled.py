"""The image that the build runs in could not be pulled."""

from __future__ import annotations

from scripts.diagnosis.build_signs import cleared, coded, match
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """CodeBuild's own status code, while it provisions. A pull limit is another cause."""
    found = coded(case, "BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE")
    if found is None or "toomanyrequests" in found.line:
        return None
    return match(found, f"The build image {found.build.image} could not be pulled".replace("  ", " "), (
        "Check that the image exists, that it is for this architecture, and that the role may pull it: "
        "parameters/pipeline.yaml (BuildImage), then: make deploy ENV=pipeline",
        f"aws codebuild batch-get-projects --region {found.build.region} --names {found.build.project} --query 'projects[0].environment'"))


CAUSE = Cause(
    id="build-image-not-pulled",
    area="build",
    title="The build image could not be pulled",
    document=Document("Error: BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE when using a custom build image",
                      "https://docs.aws.amazon.com/codebuild/latest/userguide/troubleshooting.html#troubleshooting-unable-to-pull-image"),
    check=check,
    clears=lambda case: cleared(case, ("PROVISIONING",), "the build image was pulled: the build went past PROVISIONING"),
    source="https://docs.aws.amazon.com/codebuild/latest/userguide/troubleshooting.html#troubleshooting-unable-to-pull-image",
)
