"""The code does not compile."""

from __future__ import annotations

import re

from scripts.diagnosis.build_signs import TROUBLESHOOTING, match, sign
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match

_COMPILER = re.compile(
    r"(?:Syntax|Indentation|Tab)Error: |^\S+\.(?:c|cc|cpp|h|rs|java|scala|swift):\d+(?::\d+)?: (?:fatal )?error|error(?:\[E\d+\])?: aborting due to|"
    r"error TS\d+: |COMPILATION ERROR|error CS\d+: |^(?:\./)?\S+\.go:\d+:\d+: ")


def check(case: Case) -> Match | None:
    """A compiler's or interpreter's own words in the failed phase."""
    found = sign(case, _COMPILER)
    if found is None:
        return None
    return match(found, f"The code does not compile: {found.line.strip()[:120]}", (
        "Mend the line that the compiler names (above), compile where you work, and push again.",))


CAUSE = Cause(
    id="build-compile-failed",
    area="build",
    title="The code does not compile",
    document=TROUBLESHOOTING,
    check=check,
    rank=8,
    source="https://docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-cmd.html",
)
