"""The pipeline's role may not use the connection to the repository."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """CodePipeline's words; the IAM action has two names, and the policy must have the one of the connection's ARN."""
    one = signs.refused(case, "connection")
    if one is None:
        return None
    arn = one.action.configuration.get("ConnectionArn", one.resource) if one.action else one.resource
    needs = f"{'codestar-connections' if ':codestar-connections:' in arn else 'codeconnections'}:UseConnection"
    return Match("certain", one.where, (one.words,), (
        f"Allow {needs} on {arn} to {one.who or 'the role of the pipeline'} (templates/pipeline/access.yaml has it), then: make deploy ENV=pipeline",
        *([signs.again(case, one.action)] if one.action else [])), one.at, f"The pipeline's role lacks {needs}")


CAUSE = Cause(
    id="permission-connection",
    area="pipeline",
    title="The pipeline's role may not use the connection",
    document=Document("Add permissions to the CodePipeline service role", "https://docs.aws.amazon.com/codepipeline/latest/userguide/how-to-custom-role.html"),
    check=check,
    rank=9,
    source="https://repost.aws/knowledge-center/codepipeline-access-denied-errors",
)
