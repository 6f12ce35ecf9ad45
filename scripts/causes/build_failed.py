"""A build failed in a way that no other cause knows."""

from __future__ import annotations

from scripts.diagnosis.build_signs import TROUBLESHOOTING, Sign, failed, match
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """Any failed build that did not end with a command."""
    for build, phase in failed(case):
        if phase.code != "COMMAND_EXECUTION_ERROR":
            said = ": ".join(part for part in (phase.code, phase.message) if part)
            return match(Sign(build, phase, "", ()), f"The build failed in {phase.name}{f': {said[:140]}' if said else ''}", (
                f"aws codebuild batch-get-builds --region {build.region} --ids {build.id}",), certainty="likely")
    return None


CAUSE = Cause(
    id="build-failed",
    area="build",
    title="The build failed",
    document=TROUBLESHOOTING,
    check=check,
    rank=95,
    source="https://docs.aws.amazon.com/codebuild/latest/APIReference/API_PhaseContext.html",
)
