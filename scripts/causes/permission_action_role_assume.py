"""The pipeline's role may not assume the role of an action, or that role does not trust it, or is gone."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """AWS's refusal of sts:AssumeRole to the pipeline's role."""
    one = signs.refused(case, "assume")
    if one is None:
        return None
    name = signs.role_name(one.resource) or "the action's role"
    environment = one.action.environment if one.action and one.action.environment else case.environment
    fix = [f"See whether it is there and whom it trusts: aws iam get-role --role-name {name}",
           f"The environment's stack makes it: make deploy ENV={environment}, and then the pipeline, which names it: make deploy ENV=pipeline"]
    return Match("certain", one.where, (one.words,), (*fix, *([signs.again(case, one.action)] if one.action else [])), one.at,
                 f"{one.who or 'The pipeline role'} cannot assume {name}")


CAUSE = Cause(
    id="permission-action-role-assume",
    area="pipeline",
    title="The pipeline's role cannot assume an action's role",
    document=Document("Create a pipeline that uses resources from another account", "https://docs.aws.amazon.com/codepipeline/latest/userguide/pipelines-create-cross-account.html"),
    check=check,
    source="https://github.com/hashicorp/terraform-provider-aws/issues/13103",
)
