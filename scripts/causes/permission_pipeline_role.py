"""The role that an action acts with lacks a permission."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """IAM's words, passed on by the action: who, what, on what."""
    one = signs.refused(case, "other")
    if one is None:
        return None
    where = f" on {one.resource}" if one.resource else ""
    return Match("certain", one.where, (one.words,), (
        f"Allow {one.needs}{where} to {one.who} in the template that makes this role, then deploy its stack: "
        f"make deploy ENV={one.action.environment if one.action and one.action.environment else 'pipeline'}",
        f"See what it may do: aws iam simulate-principal-policy --policy-source-arn <ARN of {one.who}> --action-names {one.needs}",
        *([signs.again(case, one.action)] if one.action else [])), one.at, f"{one.who} lacks {one.needs}{where}")


CAUSE = Cause(
    id="permission-pipeline-role",
    area="pipeline",
    title="A role of the pipeline lacks a permission",
    document=Document("Troubleshoot access denied error messages", "https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html"),
    check=check,
    rank=12,
    source="https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html",
)
