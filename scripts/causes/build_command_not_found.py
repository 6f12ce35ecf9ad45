"""A command of the buildspec is not in the build image."""

from __future__ import annotations

import re

from scripts.diagnosis.build_signs import TROUBLESHOOTING, Sign, commands, match, output
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match

_SHELL = re.compile(r"(?:^|[:\s])([\w./+-]+): (?:command )?not found")


def check(case: Case) -> Match | None:
    """Exit status 127, which shells give for a command that they do not find."""
    for build, phase in commands(case):
        if not phase.message.endswith("exit status 127"):
            continue
        line = next((line for line in output(build) if _SHELL.search(line)), "")
        shell = _SHELL.search(line)
        name = shell.group(1) if shell else ""
        return match(Sign(build, phase, line, ()), f"{name or 'A command'} is not in the build image {build.image}", (
            f"Install {name or 'it'} in the buildspec's install phase, use an image that has it (BuildImage in parameters/pipeline.yaml), or mend its name.",))
    return None


CAUSE = Cause(
    id="build-command-not-found",
    area="build",
    title="A command is not in the build image",
    document=TROUBLESHOOTING,
    check=check,
    rank=15,
    source="https://github.com/acantril/learn-cantrill-io-labs/issues/155",
)
