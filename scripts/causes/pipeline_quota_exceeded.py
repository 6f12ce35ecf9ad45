"""A service quota of the account is reached."""

from __future__ import annotations

import re

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = re.compile(r"(?:[A-Za-z]*Limit|ServiceQuota|Quota)s?Exceeded(?:Exception)?|exceeded? the (?:service )?(?:quota|limit)"
                    r"|reached the (?:maximum|limit)", re.IGNORECASE)
# With a cause of their own.
_OTHERS = re.compile(r"DeploymentLimitExceeded|AccountLimitExceeded|builds? in queue|TooManyRequests|already (?:deploying|has an active)")


def check(case: Case) -> Match | None:
    """A code that ends in LimitExceeded or QuotaExceeded, or words to that effect."""
    for action in signs.failed(case):
        text = f"{action.code}: {action.message}"
        if action.provider != "Lambda" and not action.external and _WORDS.search(text) and not _OTHERS.search(text):
            service = {"CodeBuild": "codebuild", "CodeDeploy": "codedeploy"}.get(action.provider, "codepipeline")
            return signs.match(action, f"A quota of {service} is reached in {action.region or case.region}", (
                f"See the quotas and ask for more: aws service-quotas list-service-quotas --service-code {service} --region {action.region or case.region}",
                signs.again(case, action)))
    return None


CAUSE = Cause(
    id="pipeline-quota-exceeded",
    area="pipeline",
    title="A service quota is reached",
    document=Document("AWS service quotas", "https://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html"),
    check=check,
    rank=20,
    source="https://docs.aws.amazon.com/codepipeline/latest/APIReference/CommonErrors.html",
)
