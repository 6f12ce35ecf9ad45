"""An instance came up while the deployment ran: its launch hook installed the last good revision, and nothing brought it up to date."""

from __future__ import annotations

from scripts.diagnosis.case import Case, Deployment
from scripts.diagnosis.failures import over_at
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """A launch deployed another revision meanwhile, and no follow-on deployment of this one succeeded after it."""
    for one in sorted(case.deployments, key=lambda each: each.created):
        launches = [each for each in one.beside if each.creator == "autoscaling" and each.revision and each.revision != one.revision
                    and one.created <= each.created <= over_at(one)]
        if one.platform != "Server" or not launches or one.creator == "autoscaling":
            continue
        after = [each for each in one.beside if each.creator == "CodeDeployAutoUpdate" and each.revision == one.revision]
        if any(each.status == "Succeeded" for each in after):
            continue
        # Only where the release itself went well is what is left behind the trouble.
        certainty = "likely" if one.status == "Succeeded" and (_ignores(one) or after) else "possible"
        what = "the group ignores outdated instances" if _ignores(one) else "the update after it did not succeed" if after else "no update followed it"
        return Match(
            certainty, one.where,
            (f"{launches[0].id} (by Auto Scaling) installed {launches[0].revision} while {one.id} deployed {one.revision}", what),
            (f"Bring it up to date: aws deploy create-deployment --region {one.region} --application-name {one.application} "
             f"--deployment-group-name {one.group} "
             "--update-outdated-instances-only",
             "So that it happens by itself: OutdatedInstancesStrategy: UPDATE on the deployment group "
             f"(templates/environment/deployment.yaml), then make deploy ENV={case.environment}"),
            launches[0].created, "An instance that came up meanwhile has the old release")
    return None


def _ignores(one: Deployment) -> bool:
    return one.settings is not None and one.settings.outdated_strategy == "IGNORE"


CAUSE = Cause(
    id="deployment-scale-out-meanwhile",
    area="deployment",
    title="A scale-out in mid-deployment installed the old revision",
    document=Document("Scale-out events during a deployment", "https://docs.aws.amazon.com/codedeploy/latest/userguide/integrations-aws-auto-scaling.html#integrations-aws-auto-scaling-behaviors-mixed-environment"),
    check=check,
    rank=40,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/integrations-aws-auto-scaling.html#integrations-aws-auto-scaling-behaviors-mixed-environment",
)
