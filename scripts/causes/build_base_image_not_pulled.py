"""An image that the build needs could not be pulled."""

from __future__ import annotations

import re

from scripts.diagnosis.build_signs import match, output, sign
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_PULL = re.compile(
    r"pull access denied for ([^\s,]+)|manifest for (\S+) not found|failed to resolve source metadata for ([^\s:]+(?::[^\s:]+)?)|"
    r"^FAILED: cannot pull (\S+?)\.?$|"
    r"failed to solve: ([^\s:]+:[^\s:]+): (?:not found|failed to|pull access)|manifest unknown|"
    r"(?:Get|Head) \"https?://([^/\"]+)/v2/")


def check(case: Case) -> Match | None:
    """Docker's words about an image that is not there, not allowed, or not reachable. A pull limit is another cause."""
    found = sign(case, _PULL)
    if found is None or any("toomanyrequests" in line.lower() for line in output(found.build)):
        return None
    image = next((group for group in found.groups if group), "")
    return match(found, f"The image {image} could not be pulled" if image else "", (
        "Check its name, tag and architecture, and that the build may reach and read its registry: BaseImage in "
        "parameters/pipeline.yaml, then: make deploy ENV=pipeline",
        f"docker manifest inspect {image or '<image>'}"))


CAUSE = Cause(
    id="build-base-image-not-pulled",
    area="build",
    title="An image that the build needs could not be pulled",
    document=Document("docker pull", "https://docs.docker.com/reference/cli/docker/image/pull/"),
    check=check,
    rank=12,
    source="https://github.com/aws/chalice/issues/799",
)
