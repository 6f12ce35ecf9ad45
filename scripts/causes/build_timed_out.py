"""The build took longer than it may."""

from __future__ import annotations

from scripts.diagnosis.build_signs import TROUBLESHOOTING, Sign, failed, match
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """A phase after the queue that is TIMED_OUT."""
    for build, phase in failed(case):
        if phase.status == "TIMED_OUT" and phase.name != "QUEUED":
            return match(Sign(build, phase, "", ()), f"The build took longer than its {build.timeout_minutes} minutes, in {phase.name}", (
                "Look at the last lines above for what hangs. If it needs the time: "
                "BuildTimeoutMinutes in parameters/pipeline.yaml, then: make deploy ENV=pipeline",),
                extra=tuple(f"{one.name}: {one.seconds:.0f} s" for one in build.phases if one.seconds >= 60))
    return None


def _clears(case: Case) -> str | None:
    builds = [build for build, _ in failed(case) if build.started and build.ended and build.timeout_minutes]
    if not builds:
        return None
    build = builds[0]
    return f"the build took {(build.ended or 0) - (build.started or 0):.0f} s of its {build.timeout_minutes} minutes"


CAUSE = Cause(
    id="build-timed-out",
    area="build",
    title="The build took longer than its limit",
    document=TROUBLESHOOTING,
    check=check,
    clears=_clears,
    source="https://docs.aws.amazon.com/codebuild/latest/APIReference/API_BuildPhase.html",
)
