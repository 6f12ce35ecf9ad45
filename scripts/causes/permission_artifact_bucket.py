"""A role of the pipeline may not read or write the artifact bucket."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """CodePipeline's words about the bucket or an artifact in it."""
    one = signs.refused(case, "bucket")
    if one is None:
        return None
    name = one.who or ("the role of the action" if one.action and one.action.environment else "the pipeline's role")
    fix = [f"Allow {one.needs or 's3:GetObject, s3:GetObjectVersion and s3:PutObject'} on {one.resource or 'the artifact bucket'} to {name}, in its policy and "
           "the bucket's; a role that was made again under the same name must be deployed again, since policies keep the old one's id",
           "An artifact that is not there is refused in the same words: see that the build left one, and that no lifecycle rule took it",
           f"The stacks grant it: make deploy ENV={one.action.environment if one.action and one.action.environment else 'pipeline'}"]
    return Match("certain", one.where, (one.words,), (*fix, *([signs.again(case, one.action)] if one.action else [])), one.at,
                 f"{name[0].upper()}{name[1:]} may not use the artifact bucket" + (f" ({one.needs})" if one.needs else ""))


CAUSE = Cause(
    id="permission-artifact-bucket",
    area="pipeline",
    title="A role may not read or write the artifact bucket",
    document=Document("Access Denied errors in CodePipeline", "https://repost.aws/knowledge-center/codepipeline-access-denied-errors"),
    check=check,
    rank=9,
    source="https://repost.aws/knowledge-center/codepipeline-access-denied-errors",
)
