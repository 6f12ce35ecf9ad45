"""CodeDeploy's service role does not exist, or CodeDeploy may not assume it."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import CODES, ended_with, over_at
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """IAM_ROLE_MISSING; or IAM_ROLE_PERMISSIONS of a role that IAM does not have."""
    found = ended_with(case, "IAM_ROLE_MISSING", "IAM_ROLE_PERMISSIONS")
    if found is None or (found.code == "IAM_ROLE_PERMISSIONS" and not (
            found.settings and found.settings.role_problem) and "assume" not in found.message.lower()):
        return None
    role = found.settings.role.rpartition("/")[2] if found.settings else ""
    problem = (found.settings.role_problem,) if found.settings and found.settings.role_problem else ()
    return Match(
        "certain", found.where, (f"{found.id} ended with {found.code}: {found.message}", *problem, *((f"the group's service role is {role}",) if role else ())),
        (f"Make it again: make deploy ENV={case.environment} (the stack owns it: never delete a role before the deployment group)",
         f"Look at its trust: aws iam get-role --role-name {role or '<role>'} --query Role.AssumeRolePolicyDocument: it must let codedeploy.amazonaws.com in",
         f"If another role is to serve: aws deploy update-deployment-group --region {found.region} --application-name {found.application} "
         f"--current-deployment-group-name {found.group} --service-role-arn <arn>"),
        over_at(found), "CodeDeploy's service role is missing")


CAUSE = Cause(
    id="deployment-role-missing",
    area="deployment",
    title="CodeDeploy's service role is missing",
    document=CODES,
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/error-codes.html",
)
