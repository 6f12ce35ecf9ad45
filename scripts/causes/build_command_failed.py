"""A command of the buildspec ended with an error, and nothing says more."""

from __future__ import annotations

import re

from scripts.diagnosis.build_signs import TROUBLESHOOTING, Sign, commands, match, output
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match

_COMMAND = re.compile(r"Error while executing command: (.+)\. Reason: (exit status \d+)")


def check(case: Case) -> Match | None:
    """Any command that failed: what the script itself says of it, else the command and its exit status."""
    for build, phase in commands(case):
        said = next((line for line in reversed(output(build)) if line.startswith("FAILED: ")), "")
        command = _COMMAND.search(phase.message)
        title = said.removeprefix("FAILED: ") or (f"{command.group(1)} ended with {command.group(2)}" if command else "")
        return match(Sign(build, phase, said, ()), title[:160], (
            "Read the lines above: they are the last that the command wrote. Mend it and push again.",
            f"The whole log: {build.log_link or f'aws codebuild batch-get-builds --region {build.region} --ids {build.id}'}"))
    return None


CAUSE = Cause(
    id="build-command-failed",
    area="build",
    title="A command of the buildspec failed",
    document=TROUBLESHOOTING,
    check=check,
    rank=90,
    source="https://github.com/acantril/learn-cantrill-io-labs/issues/155",
)
