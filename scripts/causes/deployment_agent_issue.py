"""CodeDeploy says that its agent is the trouble."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import CODES, ended_with, over_at
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """AGENT_ISSUE."""
    found = ended_with(case, "AGENT_ISSUE")
    if found is None:
        return None
    return Match("certain", found.where, (f"{found.id} ended with {found.code}: {found.message}",), (
        "Make sure that the agent is installed and runs on all instances of the group: sudo systemctl status codedeploy-agent",
        f"aws deploy list-deployment-targets --region {found.region} --deployment-id {found.id} --target-filters TargetStatus=Failed names the instances.",
    ), over_at(found), "The CodeDeploy agent is the trouble")


CAUSE = Cause(
    id="deployment-agent-issue",
    area="deployment",
    title="CodeDeploy says that its agent is the trouble",
    document=CODES,
    check=check,
    rank=60,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/error-codes.html",
)
