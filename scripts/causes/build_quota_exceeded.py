"""CodeBuild takes no further build: a quota of the account."""

from __future__ import annotations

import re

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_QUOTA = re.compile(r"AccountLimitExceeded|Cannot have more than \d+ builds? in queue")


def check(case: Case) -> Match | None:
    """CodeBuild's refusal to start a build, as the action tells it: there is no build then."""
    for action in case.actions:
        if action.provider == "CodeBuild" and _QUOTA.search(f"{action.code} {action.message}"):
            region = action.region or case.region
            return Match(
                certainty="certain",
                where=f"{region}/{action.configuration.get('ProjectName', action.name)}",
                evidence=(f"{action.stage}/{action.name}: {action.code}: {action.message}",),
                fix=(f"Ask for more, or wait for running builds: aws service-quotas list-service-quotas --service-code codebuild --region {region}",
                     "Then retry the stage."),
                at=action.ended or action.started,
            )
    return None


CAUSE = Cause(
    id="build-quota-exceeded",
    area="build",
    title="CodeBuild takes no further build: the account's quota is reached",
    document=Document("Quotas for AWS CodeBuild", "https://docs.aws.amazon.com/codebuild/latest/userguide/limits.html"),
    check=check,
    source="https://docs.aws.amazon.com/codebuild/latest/APIReference/API_StartBuild.html",
)
