"""The repository that the pipeline names is gone, or has another name."""

from __future__ import annotations

import re

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_NO_BRANCH = re.compile(r"No Branch \[[^\]]*\] found for FullRepositoryName \[(?P<repository>[^\]]*)\]")


def check(case: Case) -> Match | None:
    """Possible wherever AWS finds no branch: it has the same words for a repository that it cannot see."""
    for action in signs.failed(case, "CodeStarSourceConnection"):
        if found := _NO_BRANCH.search(action.message):
            return signs.match(action, f"The repository {found['repository']} may be gone, renamed, or closed to AWS's app", (
                f"Look: git ls-remote https://github.com/{found['repository']}",
                "If it has another name, correct RepositoryId in parameters/pipeline.yaml, then: make deploy ENV=pipeline"), certainty="possible")
    return None


CAUSE = Cause(
    id="source-repository-missing",
    area="source",
    title="The repository is gone, renamed, or closed to AWS's app",
    document=Document("CodeStarSourceConnection action reference", "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-CodestarConnectionSource.html"),
    check=check,
    rank=20,
    source="https://github.com/aws/copilot-cli/issues/5507",
)
