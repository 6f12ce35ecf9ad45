"""Install found a file where it is to put one of its own."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import alike, first
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "file-exists")
    if found is None:
        return None
    return Match("certain", found.where, (*found.evidence, alike(case, found)), (
        "Let the appspec overwrite it: file_exists_behavior: OVERWRITE (or RETAIN to keep what is there); then push again.",
        f"For one deployment only: aws deploy create-deployment --region {found.deployment.region} --application-name {found.deployment.application} "
        f"--deployment-group-name {found.deployment.group} --file-exists-behavior OVERWRITE …",
        "CodeDeploy removes only what its own last deployment of this group copied: a file made by hand, or by another group, stays.",
    ), found.at, "A file that is to be installed is there already")


CAUSE = Cause(
    id="deployment-file-exists",
    area="deployment",
    title="A file that is to be installed exists already",
    document=Document("Deployment fails with: a specified file already exists at this location",
                      "https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-deployments.html#troubleshooting-same-files-different-app-name"),
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-deployments.html#troubleshooting-same-files-different-app-name",
)
