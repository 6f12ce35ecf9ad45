"""The pipeline's own role is gone, perhaps with its stack, or does not trust CodePipeline."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """AWS's refusal of sts:AssumeRole to the service itself."""
    one = signs.refused(case, "own-role")
    if one is None:
        return None
    name = signs.role_name(one.resource) or "the pipeline's role"
    fix = [f"See whether it is there, and trusts codepipeline.amazonaws.com: aws iam get-role --role-name {name}",
           "Its stack makes it again: make deploy ENV=pipeline"]
    return Match("certain", one.where, (one.words,), (*fix, *([signs.again(case, one.action)] if one.action else [])), one.at,
                 f"CodePipeline cannot take the role {name}: it is gone, or does not trust CodePipeline")


CAUSE = Cause(
    id="permission-pipeline-role-missing",
    area="pipeline",
    title="CodePipeline cannot take the pipeline's role: it is gone, or does not trust it",
    document=Document("The CodePipeline service role", "https://docs.aws.amazon.com/codepipeline/latest/userguide/how-to-custom-role.html"),
    check=check,
    rank=9,
    source="https://github.com/hashicorp/terraform-provider-aws/issues/13103",
)
