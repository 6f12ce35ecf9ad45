"""No instance carries the tags that the deployment group asks for."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import ended_with, over_at
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """NO_INSTANCES of a group that finds its instances by tags."""
    found = ended_with(case, "NO_INSTANCES")
    if found is None or found.settings is None or not found.settings.tag_filters:
        return None
    filters = found.settings.tag_filters
    wanted = " ".join(f"Name=tag:{key},Values={value}" for key, _, value in (one.partition("=") for one in filters))
    return Match(
        "certain", found.where, (f"{found.id} ended with {found.code}: {found.message}", f"the group asks for instances with {', '.join(filters)}"),
        (f"See who carries them (upper and lower case count): aws ec2 describe-instances --region {found.region} --filters {wanted} "
         "--query 'Reservations[].Instances[].InstanceId'",
         f"Tag the instances: aws ec2 create-tags --region {found.region} --resources <instance ids> --tags Key={filters[0].partition('=')[0]},Value=…",
         "Tagging an instance does not deploy to it: CodeDeploy looks for instances when a deployment begins. So then deploy again: "
         f"aws deploy create-deployment --region {found.region} --application-name {found.application} --deployment-group-name {found.group} …"),
        over_at(found), "No instance has the tags of the deployment group")


CAUSE = Cause(
    id="deployment-no-instances-tagged",
    area="deployment",
    title="No instance has the deployment group's tags",
    document=Document("Tagging instances for deployment groups", "https://docs.aws.amazon.com/codedeploy/latest/userguide/instances-tagging.html"),
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-ec2-instances.html#troubleshooting-EC2-tags",
)
