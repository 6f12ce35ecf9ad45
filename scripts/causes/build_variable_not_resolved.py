"""A variable that comes from Parameter Store or Secrets Manager is not there."""

from __future__ import annotations

from scripts.diagnosis.build_signs import NOT_AUTHORIZED, coded, match
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """CodeBuild's own status code, where it is no refusal (that is the role's permission)."""
    found = coded(case, "Decrypted Variables Error")
    if found is None or NOT_AUTHORIZED.search(found.line):
        return None
    missing = found.line.rpartition("parameter does not exist: ")[2].split(",")[0] if "parameter does not exist" in found.line else ""
    return match(found, f"A variable of the build is not there: {missing or found.line[:100]}", (
        f"aws ssm get-parameter --region {found.build.region} --name {missing or '<name>'}",
        "Put the parameter or secret there, or mend its name in the project or in env: of the buildspec; then retry the stage."))


CAUSE = Cause(
    id="build-variable-not-resolved",
    area="build",
    title="A variable of the build could not be looked up",
    document=Document("Builds might fail when getting parameters from Amazon EC2 Parameter Store",
                      "https://docs.aws.amazon.com/codebuild/latest/userguide/troubleshooting.html#troubleshooting-parameter-store"),
    check=check,
    source="https://github.com/cloudposse/terraform-aws-cicd/issues/107",
)
