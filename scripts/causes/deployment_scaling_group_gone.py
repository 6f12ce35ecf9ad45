"""The Auto Scaling group that the deployment group names does not exist any more."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import SCALING_TROUBLE, ended_with, failed, over_at
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """The group names an Auto Scaling group that is not there; or the code of a wrong configuration says so.

    UNABLE_TO_SEND_ASG is in AWS's page of error codes and not in its API's list of them.
    """
    for one in failed(case):
        if one.settings and one.settings.missing_scaling_groups and one.code in ("NO_INSTANCES", "AUTO_SCALING_CONFIGURATION", "AUTOSCALING_VALIDATION_ERROR"):
            names = ", ".join(one.settings.missing_scaling_groups)
            return Match(
                "certain", one.where, (f"{one.id} ended with {one.code}: {one.message}", f"Auto Scaling has no group {names}; {one.group} names it"),
                (f"Make it again, and the deployment group with it: make deploy ENV={case.environment}",
                 "An Auto Scaling group that was replaced has another name: let the same stack make both, so that they change together."),
                over_at(one), f"The Auto Scaling group {names} is gone")
    found = ended_with(case, "AUTO_SCALING_CONFIGURATION", "AUTOSCALING_VALIDATION_ERROR", "UNABLE_TO_SEND_ASG")
    if found is None:
        return None
    return Match(
        "likely", found.where, (f"{found.id} ended with {found.code}: {found.message}",),
        (f"See what the group names: aws deploy get-deployment-group --region {found.region} --application-name {found.application} "
         f"--deployment-group-name {found.group} --query deploymentGroupInfo.autoScalingGroups", f"Put it back: make deploy ENV={case.environment}"),
        over_at(found), "CodeDeploy cannot use the Auto Scaling group")


CAUSE = Cause(
    id="deployment-scaling-group-gone",
    area="deployment",
    title="The Auto Scaling group is gone",
    document=SCALING_TROUBLE,
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_ErrorInformation.html",
)
