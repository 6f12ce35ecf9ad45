"""CodeBuild itself failed."""

from __future__ import annotations

from scripts.diagnosis.build_signs import TROUBLESHOOTING, Sign, failed, match
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """A phase with the status FAULT."""
    for build, phase in failed(case):
        if phase.status == "FAULT":
            return match(Sign(build, phase, "", ()), f"CodeBuild itself failed in {phase.name}", (
                "Retry the stage. If it fails again, look at https://health.aws.amazon.com/ and open a support case with the build's id.",))
    return None


CAUSE = Cause(
    id="build-fault",
    area="build",
    title="CodeBuild itself failed",
    document=TROUBLESHOOTING,
    check=check,
    rank=25,
    source="https://docs.aws.amazon.com/codebuild/latest/APIReference/API_BuildPhase.html",
)
