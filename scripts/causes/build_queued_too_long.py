"""The build waited in the queue until it was given up."""

from __future__ import annotations

from scripts.diagnosis.build_signs import Sign, cleared, failed, match
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The phase QUEUED, TIMED_OUT."""
    for build, phase in failed(case):
        if phase.status == "TIMED_OUT" and phase.name == "QUEUED":
            return match(Sign(build, phase, "", ()), f"The build waited more than {build.queued_minutes} minutes in the queue", (
                f"Others run, or hang: aws codebuild list-builds-for-project --region {build.region} --project-name {build.project}",
                "The number of builds at once is a quota of the compute type: aws service-quotas list-service-quotas --service-code codebuild "
                f"--region {build.region}"))
    return None


CAUSE = Cause(
    id="build-queued-too-long",
    area="build",
    title="The build was never started: it waited too long in the queue",
    document=Document("Quotas for AWS CodeBuild", "https://docs.aws.amazon.com/codebuild/latest/userguide/limits.html"),
    check=check,
    clears=lambda case: cleared(case, ("QUEUED",), "the build was started: it did not wait in the queue until its limit"),
    source="https://docs.aws.amazon.com/codebuild/latest/userguide/builds-working.html",
)
