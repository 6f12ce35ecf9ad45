"""Docker is not there in the build: the project is not privileged."""

from __future__ import annotations

import re

from scripts.diagnosis.build_signs import failed, match, sign
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_DAEMON = re.compile(r"Cannot connect to the Docker daemon at|failed to connect to the docker API at|dial unix /var/run/docker\.sock")


def check(case: Case) -> Match | None:
    """Docker's client finds no daemon; a project that is not privileged has none."""
    found = sign(case, _DAEMON)
    if found is None:
        return None
    if found.build.privileged:
        return match(found, "Docker does not run in the build, though it is privileged", (
            "The image starts Docker itself: use one of CodeBuild's own images, or start dockerd in the install phase.",), certainty="likely")
    return match(found, "Docker does not run in the build: the project is not privileged", (
        "Set PrivilegedMode: true on the project's Environment (templates/pipeline/build.yaml), then: make deploy ENV=pipeline",),
        extra=("privilegedMode: false",))


def _clears(case: Case) -> str | None:
    builds = [build for build, _ in failed(case)]
    return "the build ran privileged, and Docker's client did not miss its daemon" if builds and all(build.privileged for build in builds) else None


CAUSE = Cause(
    id="build-docker-not-running",
    area="build",
    title="Docker does not run in the build",
    document=Document("Error: Cannot connect to the Docker daemon when running a build",
                      "https://docs.aws.amazon.com/codebuild/latest/userguide/troubleshooting.html#troubleshooting-cannot-connect-to-docker-daemon"),
    check=check,
    clears=_clears,
    source="https://docs.aws.amazon.com/codebuild/latest/userguide/troubleshooting.html#troubleshooting-cannot-connect-to-docker-daemon",
)
