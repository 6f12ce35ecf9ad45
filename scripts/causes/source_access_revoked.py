"""The provider does not let AWS in: the token or the app's installation was revoked, or never covered this repository."""

from __future__ import annotations

import re

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = re.compile(r"Could not access the \w+ repository|Unable to connect to the \w+ repository|access token might be invalid|Bad credentials"
                    r"|[Rr]epository \S+ not found|does not have access to (?:the )?repository|Resource not accessible by integration", re.IGNORECASE)


def check(case: Case) -> Match | None:
    """The words that CodePipeline's guide has for its own GitHub action (OAuth app), and GitHub's.

    ? What a connection says of a repository that its app may not see is documented nowhere but as source-branch-missing has it.
    """
    for action in signs.failed(case, "CodeStarSourceConnection", "GitHub"):
        if _WORDS.search(action.message):
            repository = action.configuration.get("FullRepositoryId", "the repository")
            return signs.match(action, f"AWS has no access to {repository}: token invalid, app not installed for it, or repository gone", (
                f"See that {repository} exists under this name, and that AWS's app is installed for it: https://github.com/settings/installations",
                "Else make a new connection, write its ARN into parameters/pipeline.yaml (ConnectionArn), then: make deploy ENV=pipeline",
                signs.again(case, action)))
    return None


CAUSE = Cause(
    id="source-access-revoked",
    area="source",
    title="AWS has no access to the repository: token invalid, app not installed for it, or repository gone",
    document=Document("GitHub (via GitHub App) source action: Unable to complete the connection for a repository",
                      "https://docs.aws.amazon.com/codepipeline/latest/userguide/troubleshooting.html#troubleshooting-connections-GitHub-admin"),
    check=check,
    rank=9,
    source="https://docs.aws.amazon.com/codepipeline/latest/userguide/appendix-github-oauth.html#troubleshooting-gs2",
)
