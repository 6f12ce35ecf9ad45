"""The build's memory is used up."""

from __future__ import annotations

import re

from scripts.diagnosis.build_signs import COMMAND_PHASES, match, sign
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_DEAD = re.compile(r"Build container found dead before completing the build")
_KILLED = re.compile(r"exit status 137$|returned a non-zero code: 137|exit code: 137")
_FIX = ("Use a larger compute type: BuildComputeType in parameters/pipeline.yaml, then: make deploy ENV=pipeline",
        "Or let fewer things run at once in the build.")


def check(case: Case) -> Match | None:
    """CodeBuild's words about a container that died; a command that was killed is a sign of it."""
    found = sign(case, _DEAD, ("PROVISIONING", *COMMAND_PHASES))
    if found:
        return match(found, "", (*_FIX, *(() if found.phase.name != "PROVISIONING" else (
            "While it provisions, AWS says the same of an image that it does not support, and of one that sets HTTP_PROXY or HTTPS_PROXY.",))))
    killed = sign(case, _KILLED)
    return None if killed is None else match(killed, "A command was killed, most likely for want of memory", _FIX, certainty="likely")


CAUSE = Cause(
    id="build-out-of-memory",
    area="build",
    title="The build ran out of memory",
    document=Document("Error: Build container found dead before completing the build",
                      "https://docs.aws.amazon.com/codebuild/latest/userguide/troubleshooting.html#windows-server-core-version"),
    check=check,
    rank=12,
    source="https://docs.aws.amazon.com/codebuild/latest/userguide/troubleshooting.html#windows-server-core-version",
)
