"""The branch that the pipeline releases is not in the repository."""

from __future__ import annotations

import re

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_NO_BRANCH = re.compile(r"No Branch \[(?P<branch>[^\]]*)\] found for FullRepositoryName \[(?P<repository>[^\]]*)\]")


def check(case: Case) -> Match | None:
    """CodePipeline's words."""
    for action in signs.failed(case, "CodeStarSourceConnection"):
        if found := _NO_BRANCH.search(action.message):
            branch, repository = found["branch"], found["repository"]
            return signs.match(action, f"There is no branch {branch} in {repository}", (
                f"See which branches there are: git ls-remote --heads https://github.com/{repository}",
                f"Push the branch (git push origin HEAD:{branch}), or correct BranchName and RepositoryId in parameters/pipeline.yaml, "
                "then: make deploy ENV=pipeline",
                f"If it is there, AWS's app was not installed for {repository}: https://github.com/settings/installations"),
                evidence=("AWS says the same of a repository that is not there, or that its app may not see",))
    return None


CAUSE = Cause(
    id="source-branch-missing",
    area="source",
    title="The branch is not in the repository",
    document=Document("CodeStarSourceConnection action reference", "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-CodestarConnectionSource.html"),
    check=check,
    source="https://github.com/aws/copilot-cli/issues/5507",
)
