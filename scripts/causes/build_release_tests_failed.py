"""The functional tests of a release failed where it runs."""

from __future__ import annotations

import re

from scripts.diagnosis.build_signs import match, output, sign
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_TESTS = re.compile(r"^FAILED: tests against ([^;]+);")
_TEST = re.compile(r"^(?:FAIL|ERROR): \S+")


def check(case: Case) -> Match | None:
    """What buildspecs/tests.sh says, with the first tests that failed."""
    found = sign(case, _TESTS)
    if found is None:
        return None
    names = [line for line in output(found.build) if _TEST.search(line)][:4]
    return match(found, f"The release's tests failed against {found.groups[0].strip()}" + (f": {names[0]}" if names else ""), (
        "Mend the release, or the test in app/integration_tests, and push again. "
        "The environment keeps what it ran before, or goes back to it.",), extra=tuple(names[1:]))


CAUSE = Cause(
    id="build-release-tests-failed",
    area="build",
    title="The release's functional tests failed",
    document=Document("Build specification reference", "https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html"),
    check=check,
    rank=8,
    source="https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html",
)
