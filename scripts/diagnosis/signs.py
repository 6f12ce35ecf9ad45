"""What the pipeline's own words say, for the causes that look at actions: which failed, what was refused, what Enter and Gate answered. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scripts.diagnosis.case import Action, Case
from scripts.diagnosis.judge import Match

NOT_AUTHORIZED = re.compile(
    r"(?:User: )?(?P<who>[^\s\"',]+) is not authorized to perform:? (?P<action>[A-Za-z0-9-]+:[A-Za-z*]+|AssumeRole|[a-z_]+)"
    r"(?: on (?:resource:? |(?:action )?role )(?P<resource>[^\s\"',)]+))?")
"""IAM's refusal, as services pass it on: IAM User Guide, "Troubleshoot access denied error messages"; and CodePipeline's own of AssumeRole."""
_BUCKET = re.compile(r"S3(?: artifact)? bucket (?:named )?['<]?([a-z0-9][a-z0-9.-]+[a-z0-9])")
_NO_CONNECTION = re.compile(r"Unable to use Connection: (\S+?)\.? The provided role does not have sufficient permissions")
_S3_DENIED = re.compile(r"provided role does not have (?:sufficient )?permissions|permissions required to access the Amazon S3 bucket"
                        r"|is getting S3 access denied|Amazon S3; Status Code: 403|Upload to S3 failed with the following error: Access Denied")
"""The page "Troubleshooting CodePipeline" has its title from the third; the last is what a connection's source says (aws-cdk issue 13557); the others are in
AWS re:Post's article on access denied."""
_SERVICE = re.compile(r"^(?:codepipeline\.amazonaws\.com|CodePipeline|AWSCodePipeline)$")
PIPELINE_TYPE = "AWS::CodePipeline::Pipeline"


def failed(case: Case, *providers: str) -> tuple[Action, ...]:
    """The failed actions, oldest first; of these providers where some are named."""
    return tuple(action for action in case.actions if action.status == "Failed" and (not providers or action.provider in providers))


def place(action: Action) -> str:
    """`<Stage>/<Action>`, with the Region."""
    return f"{action.stage}/{action.name}" + (f" ({action.region})" if action.region else "")


def said(action: Action) -> str:
    """What the action says of its failure, in a line."""
    return f"{action.stage}/{action.name}: " + f"{action.code}: {action.message}".strip(": ")


def at(action: Action) -> float:
    """When it ended."""
    return action.ended if action.ended is not None else action.started


def again(case: Case, action: Action) -> str:
    """The command that runs an execution's failed actions again."""
    return (f"Then retry the stage: aws codepipeline retry-stage-execution --pipeline-name {case.service} --stage-name {action.stage} "
            f"--pipeline-execution-id {execution(case)} --retry-mode FAILED_ACTIONS")


def execution(case: Case) -> str:
    """The execution's id, for a command."""
    return case.execution.id if case.execution else "<execution>"


def commit(case: Case) -> str:
    """The release's commit, for a command."""
    return case.execution.commit[:12] if case.execution and case.execution.commit else "<commit>"


def match(action: Action, title: str, fix: Sequence[str], *, certainty: str = "certain", evidence: Sequence[str] = ()) -> Match:
    """A match about one action, with what it says as the first evidence."""
    return Match(certainty, place(action), (said(action), *evidence), tuple(fix), at(action), title)


@dataclass(frozen=True)
class Refusal:
    """A permission that is missing. `kind`: assume (another role), own-role (CodePipeline itself cannot take the pipeline's), kms, bucket, connection, other.

    `who` is a role's name, `needs` IAM's name of the action ("" where AWS does not say), `resource` an ARN or a bucket.
    """

    kind: str
    where: str
    at: float
    words: str
    who: str
    needs: str
    resource: str
    action: Action | None = None


def refusals(case: Case) -> Iterator[Refusal]:
    """What failed for want of a permission, oldest first: actions that began nothing themselves, and the pipeline's own stack resource."""
    for action in failed(case):
        if found := _refusal(action.message):
            yield Refusal(found[0], place(action), at(action), said(action), *found[1:], action)
    for stack in case.stacks:
        for event in stack.failures:
            if event.type == PIPELINE_TYPE and (found := _refusal(event.reason)):
                yield Refusal(found[0], f"{stack.region}/{stack.name}", event.at, f"{event.logical_id}: {event.reason}", *found[1:])


def refused(case: Case, kind: str) -> Refusal | None:
    """The first refusal of a kind."""
    return next((one for one in refusals(case) if one.kind == kind), None)


def _refusal(text: str) -> tuple[str, str, str, str] | None:
    """(kind, who, action, resource) of a text, or None where it speaks of no missing permission."""
    told = NOT_AUTHORIZED.search(text)
    who, needs, resource = (told["who"], told["action"], (told["resource"] or "").rstrip(".")) if told else ("", "", "")
    if connection := _NO_CONNECTION.search(text):
        return "connection", role_name(who), needs or "codeconnections:UseConnection", resource or connection[1]
    if "kms:" in text or re.search(r"\bKMS\b.*(?:denied|not authorized|not allowed)|AccessDenied\w* .*\bKMS\b", text):
        return "kms", role_name(who), needs, resource
    if needs in ("AssumeRole", "sts:AssumeRole"):
        return ("own-role" if _SERVICE.match(who) else "assume"), role_name(who), "sts:AssumeRole", resource
    if _S3_DENIED.search(text) or needs.startswith("s3:"):
        bucket = _BUCKET.search(text)
        role = re.search(r"service role <?(arn:[^\s>]+)>? is getting S3 access denied", text)
        return "bucket", role_name(who or (role[1] if role else "")), needs, resource or (bucket[1] if bucket else "")
    return ("other", role_name(who), needs, resource) if told else None


def role_name(arn: str) -> str:
    """The name of the role in an ARN of a role or of a session of it; other texts as they are."""
    found = re.search(r":assumed-role/([^/\s]+)", arn) or re.search(r":role/(?:\S*/)?([^/\s]+)$", arn)
    return found[1] if found else arn


# Enter and Gate: the words are functions/decide_entry.py's and functions/decide_gate.py's; the tests run those


def gate(case: Case) -> Action | None:
    """The first gate that said no."""
    return next((action for action in failed(case, "Lambda") if "does not pass." in action.message or "Not proven within" in action.message), None)


def enter(case: Case) -> Action | None:
    """The first Enter that said no."""
    return next((action for action in failed(case, "Lambda") if action.name == "Enter"), None)


def verdict(action: Action) -> str:
    """What a gate or Enter said, without the words about what happens next."""
    text = re.sub(r"^\S+ \S+: (?:release \w+ does not pass\. )?", "", action.message)
    return re.split(r" (?:\S+ goes back to its last good release by itself|Mend it and push a new commit)", text)[0]


def found_in(action: Action, words: str) -> re.Match[str] | None:
    """What a pattern finds in an action's message."""
    return re.search(words, action.message)
