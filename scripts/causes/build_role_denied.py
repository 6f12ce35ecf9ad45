"""The build's role lacks a permission."""

from __future__ import annotations

from scripts.diagnosis.build_signs import COMMAND_PHASES, NOT_AUTHORIZED, match, sign
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """AWS's refusal, which names the action, in a phase's message or in a command's output."""
    found = sign(case, NOT_AUTHORIZED, ("QUEUED", "PROVISIONING", "DOWNLOAD_SOURCE", *COMMAND_PHASES, "UPLOAD_ARTIFACTS", "FINALIZING"))
    if found is None:
        return None
    action, resource = found.groups
    return match(found, f"The build role lacks a permission: {action}", (
        f"Allow {action}{f' on {resource}' if resource else ''} for {found.build.role or 'the build role'} (templates/pipeline), "
        "then: make deploy ENV=pipeline",
        f"aws iam simulate-principal-policy --policy-source-arn {found.build.role or '<role>'} --action-names {action}"))


CAUSE = Cause(
    id="build-role-denied",
    area="build",
    title="The build role lacks a permission",
    document=Document("Using identity-based policies for AWS CodeBuild", "https://docs.aws.amazon.com/codebuild/latest/userguide/auth-and-access-control-iam-identity-based-access-control.html"),
    check=check,
    rank=15,
    source="https://github.com/YumaInaura/YumaInaura/issues/3354",
)
