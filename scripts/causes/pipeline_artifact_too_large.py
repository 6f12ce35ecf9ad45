"""An artifact is larger than its action takes."""

from __future__ import annotations

import re

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = re.compile(r"[Aa]rtifact \[?(?P<name>[\w.-]*)\]?.*exceeds max(?:imum)? artifact size|EntityTooLarge"
                    r"|exceeds the maximum (?:allowed )?size", re.IGNORECASE)


def check(case: Case) -> Match | None:
    """CodePipeline's words, or S3's."""
    for action in signs.failed(case):
        if found := _WORDS.search(f"{action.code}: {action.message}"):
            name = found["name"] or "the artifact"
            return signs.match(action, f"{name} is too large for {action.name}", (
                "Let the build's artifacts name only what is deployed: appspec.yml, hooks and release.json (buildspecs/image.yaml, artifacts: files); "
                "the image goes by the registry", "If it is the source: keep large files out of the repository, or in Git LFS, which is not fetched"))
    return None


CAUSE = Cause(
    id="pipeline-artifact-too-large",
    area="pipeline",
    title="An artifact is too large",
    document=Document("Quotas in AWS CodePipeline", "https://docs.aws.amazon.com/codepipeline/latest/userguide/limits.html"),
    check=check,
    source="https://github.com/aws/aws-cdk/issues/10330",
)
