"""Too many of the release's answers to the test load were wrong."""

from __future__ import annotations

import re

from scripts.diagnosis.build_signs import match, output, sign
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_LOAD = re.compile(r"^FAILED: more than (\S+) % of the answers of (.+) were wrong")
_TALLY = re.compile(r"^load: \S+: \d+ requests, \d+ wrong")


def check(case: Case) -> Match | None:
    """What buildspecs/load.py says, with what was wrong."""
    found = sign(case, _LOAD)
    if found is None:
        return None
    percent, regions = found.groups
    tallies = tuple(line for line in output(found.build) if _TALLY.search(line))[-4:]
    return match(found, f"Under load more than {percent} % of the answers of {regions} were wrong", (
        "What was wrong is in the lines above (statuses, time-outs, another commit's answers). Mend the release and push again.",), extra=tallies)


CAUSE = Cause(
    id="build-load-failed",
    area="build",
    title="Under load, too many of the release's answers were wrong",
    document=Document("Build specification reference", "https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html"),
    check=check,
    rank=8,
    source="https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html",
)
