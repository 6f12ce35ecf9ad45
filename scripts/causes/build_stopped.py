"""Somebody stopped the build."""

from __future__ import annotations

from scripts.diagnosis.build_signs import Sign, failed, match
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The status STOPPED."""
    for build, phase in failed(case):
        if build.status == "STOPPED":
            return match(Sign(build, phase, "", ()), f"The build was stopped in {phase.name}", (
                "Who did it: aws cloudtrail lookup-events --lookup-attributes AttributeKey=EventName,AttributeValue=StopBuild "
                f"--region {build.region}", "Retry the stage, or push again."))
    return None


CAUSE = Cause(
    id="build-stopped",
    area="build",
    title="The build was stopped",
    document=Document("StopBuild", "https://docs.aws.amazon.com/codebuild/latest/APIReference/API_StopBuild.html"),
    check=check,
    source="https://docs.aws.amazon.com/codebuild/latest/APIReference/API_StopBuild.html",
)
