"""docker build failed in one of its steps."""

from __future__ import annotations

import re

from scripts.diagnosis.build_signs import TROUBLESHOOTING, match, sign
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match

_STEP = re.compile(r"The command '(?:/bin/sh -c )?(.+)' returned a non-zero code|failed to solve: process \"(?:/bin/sh -c )?(.+?)\" did not complete|"
                   r"((?:COPY|ADD) failed: .+)|(Dockerfile parse error .+)|(failed to read dockerfile: .+)")
_WHOLE = re.compile(r"^FAILED: docker build of ")


def check(case: Case) -> Match | None:
    """Docker's own sentence about the step, of either builder, or image.sh's about the whole."""
    found = sign(case, _STEP) or sign(case, _WHOLE)
    if found is None:
        return None
    step = " ".join(group for group in found.groups if group)
    return match(found, f"docker build failed at: {step[:120]}" if step else "docker build failed", (
        "Read the lines above: they are what the step wrote. Mend the Dockerfile or what the step runs, try `docker build app`, and push again.",))


CAUSE = Cause(
    id="build-docker-build-failed",
    area="build",
    title="docker build failed",
    document=TROUBLESHOOTING,
    check=check,
    rank=20,
    source="https://docs.docker.com/reference/cli/docker/buildx/build/",
)
