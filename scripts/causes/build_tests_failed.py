"""The app's unit tests failed, in the build or in a stage of the Dockerfile."""

from __future__ import annotations

import re

from scripts.diagnosis.build_signs import TROUBLESHOOTING, match, output, sign
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match

_RUNNER = re.compile(
    r"^FAILED: the unit tests of app/|(?:^|[#\d. ]+)FAILED \((?:failures|errors)=\d+|"
    r"^=+ .*\b\d+ failed\b.* =+$|Tests run: \d+, (?:Failures: [1-9]|Failures: 0, Errors: [1-9])|"
    r"^Tests:\s+\d+ failed|^FAIL\t\S+")
_HERE = "FAILED: the unit tests of app/"
"""buildspecs/image.sh."""
_OF_A_RELEASE = re.compile(r"^FAILED: tests against ")
_TEST = re.compile(r"^(?:FAIL|ERROR): \S+|^FAILED \S+::|^--- FAIL: ")


def check(case: Case) -> Match | None:
    """The test runner's own words, with the first tests that failed. Tests of a deployed release are another cause."""
    found = sign(case, _RUNNER)
    if found is None or any(_OF_A_RELEASE.search(line) for line in output(found.build)):
        return None
    names = [line for line in output(found.build) if _TEST.search(line)][:4]
    here = ": python3 -m unittest discover -s app/tests -t app" if any(line.startswith(_HERE) for line in output(found.build)) else "."
    return match(found, f"Unit tests failed: {names[0]}" if names else "", (
        f"Mend what fails and push again. The tests run where you work, too{here}",), extra=tuple(names[1:]))


CAUSE = Cause(
    id="build-tests-failed",
    area="build",
    title="Unit tests of the app failed",
    document=TROUBLESHOOTING,
    check=check,
    source="https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html",
)
