"""CodeDeploy's service role lacks a permission."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import CODES, failed, over_at, permission_in
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """IAM_ROLE_PERMISSIONS, or its sister of Auto Scaling, of a role that is there."""
    for one in failed(case):
        if one.code not in ("IAM_ROLE_PERMISSIONS", "AUTO_SCALING_IAM_ROLE_PERMISSIONS"):
            continue
        if (one.settings and one.settings.role_problem) or "to assume the role" in one.message:
            continue
        action, role = permission_in(one.message), one.settings.role.rpartition("/")[2] if one.settings else ""
        return Match(
            "certain", one.where, (f"{one.id} ended with {one.code}: {one.message}", *((f"the group's service role is {role}",) if role else ())),
            (f"Give it {action or 'what the message names'}: its policy is in templates/environment/deployment.yaml (DeploymentRole); then "
             f"make deploy ENV={case.environment}",
             f"See what it has: aws iam list-role-policies --role-name {role or '<role>'}; a permissions boundary or an SCP can take away what a policy gives"),
            over_at(one), f"CodeDeploy's service role lacks {action}" if action else "CodeDeploy's service role lacks a permission")
    return None


def clears(case: Case) -> str | None:
    """The role was good enough to take instances out of the balancer, or to find them."""
    for one in failed(case):
        if one.targets_total and "ROLE" not in one.code:
            return f"with its service role CodeDeploy found {one.targets_total} instances"
    return None


CAUSE = Cause(
    id="deployment-role-permission",
    area="deployment",
    title="CodeDeploy's service role lacks a permission",
    document=CODES,
    check=check,
    clears=clears,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/error-codes.html",
)
