"""The tests of a release, against an environment that has it, failed."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """A build that failed in an environment's stage. What the build itself says goes before it (causes of builds)."""
    for action in signs.failed(case, "CodeBuild"):
        if action.environment and action.external:
            build = next((one for one in case.builds if one.id == action.external), None)
            log = build.log[-12:] if build else ()
            log_link = build.log_link if build else ""
            link = f"Read the whole log: {log_link}" if log_link else f"Find its log: aws codebuild batch-get-builds --ids {action.external}"
            return signs.match(action, f"{action.name} of the release failed in {action.environment}", (
                link, f"The release runs in {action.environment} and fails there: mend it, or the test, and push again.", signs.again(case, action)),
                evidence=log)
    return None


CAUSE = Cause(
    id="pipeline-tests-failed",
    area="pipeline",
    title="The release's tests failed",
    document=Document("CodeBuild action reference", "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-CodeBuild.html"),
    check=check,
    rank=70,
    source="https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-CodeBuild.html",
)
