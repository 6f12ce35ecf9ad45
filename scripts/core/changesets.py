"""Change sets: make one over the whole tree of stacks, wait for it, read it, throw it away.

Every call names the stack beside the change set's ARN, although the API asks for it only beside a name: the one resource of DescribeChangeSet,
ExecuteChangeSet and DeleteChangeSet is the stack, and a caller whose policy names stacks was seen to be refused with the change set's ARN alone.
Sources: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscloudformation.html,
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeChangeSet.html,
https://github.com/widdix/complete-aws-iam-reference/issues/6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from scripts.core import changes, stacks
from scripts.core.changes import Change
from scripts.core.clock import Clock
from scripts.core.errors import CommandError, denied_action, error_code

# What DescribeChangeSet says when there is nothing to do; the second is for templates with a transform.
_EMPTY = ("The submitted information didn't contain changes", "No updates are to be performed")
# A preview of nested stacks cannot know values that do not exist yet, and stumbles over them (they stand as {{IntrinsicFunction:…}}).
_PREVIEW_LIMITS = ("IntrinsicFunction", "Fn::Select", "Fn::ImportValue")
# The same, for a stack that is being created: there a child's constraint meets the stand-in instead of the value.
_PREVIEW_LIMITS_OF_CREATE = (*_PREVIEW_LIMITS, "failed to satisfy constraint", "must match pattern", "must be one of")
_REFUSALS = frozenset(
    {"ValidationError", "InsufficientCapabilitiesException", "InsufficientCapabilities", "LimitExceededException", "LimitExceeded"}
)
_LONGEST_SECONDS = 600.0
_DISCARD_SECONDS = 120.0
# What StatusReason names when CloudFormation's validation before the deployment refused a change set; what it found, only DescribeEvents says.
VALIDATION = "AWS::EarlyValidation"


@dataclass(frozen=True)
class Request:
    """What to deploy as one root stack. Template by URL (nested) or by body (flat)."""

    stack_name: str
    region: str
    template_text: str
    template_url: str | None
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    nested: bool
    # None leaves rollback triggers out (a create); an empty tuple removes those the stack has.
    triggers: tuple[str, ...] | None = None
    monitor_minutes: int = 0
    no_shortcut: bool = False
    names_roles: bool = False
    # Whether the stack cannot be deleted once it is as asked for. What is protected stays so: only a destroy lifts it.
    protected: bool = False
    description: str = "made by make deploy"


@dataclass(frozen=True)
class ChangeSet:
    """A change set that can be executed."""

    id: str
    name: str
    stack_id: str
    kind: str
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = field(default=())


def is_unchanged(stack: stacks.Stack, deployed_text: str | None, request: Request) -> bool:
    """True when the stack already is what is asked for: same template (content-addressed, so the same tree), values and tags."""
    return (
        not request.no_shortcut
        and stack.status in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
        and deployed_text is not None
        and deployed_text.strip() == request.template_text.strip()
        and dict(stack.parameters) == dict(request.parameters)
        and dict(stack.tags) == dict(request.tags)
    )


def is_empty(status: str, reason: str) -> bool:
    """True when a FAILED change set failed because there is nothing to change."""
    return status == "FAILED" and any(text in reason for text in _EMPTY)


def create(cloudformation: Any, request: Request, create_stack: bool, clock: Clock, poll_seconds: float) -> ChangeSet | None:
    """A change set ready to execute; None when nothing changes. CommandError says why CloudFormation refused."""
    try:
        return _create(cloudformation, request, create_stack, request.nested, clock, poll_seconds)
    except _PreviewLimit as limit:
        made = _create(cloudformation, request, create_stack, False, clock, poll_seconds)
        note = f"CloudFormation cannot preview the nested stacks of this change ({limit}): only the root's own changes are shown"
        return made and ChangeSet(made.id, made.name, made.stack_id, made.kind, made.changes, (note, *filter(None, [limit.left])))


class _PreviewLimit(Exception):
    """The nested preview failed for want of values that exist only once the stacks do. `left`: what discard says."""

    def __init__(self, reason: str, left: str) -> None:
        super().__init__(reason)
        self.left = left


def _create(cloudformation: Any, request: Request, create_stack: bool, nested: bool, clock: Clock, poll_seconds: float) -> ChangeSet | None:
    kind = "CREATE" if create_stack else "UPDATE"
    name = f"handsoff-{clock.now():%Y%m%dT%H%M%S-%f}"
    try:
        made = cloudformation.create_change_set(**_call(request, kind, name, nested))
    except ClientError as error:
        if error_code(error) not in _REFUSALS:
            raise
        reason = error.response["Error"].get("Message", "")
        raise CommandError(
            f"{request.stack_name}: CloudFormation refused the change set",
            reason,
            "correct the template or the value it names; make validate checks both",
        ) from error
    identifier, stack_id = made["Id"], made["StackId"]
    final = _wait(cloudformation, identifier, stack_id, request, clock, poll_seconds)
    if final["Status"] == "CREATE_COMPLETE":
        return ChangeSet(identifier, name, stack_id, kind, _read(cloudformation, final), ())
    reason = final.get("StatusReason", "")
    below = nested_reasons(cloudformation, final)
    reasons = [text for text in below if not is_empty("FAILED", text)] or [reason or final["Status"]]
    found = validations(cloudformation, final) if any(VALIDATION in text for text in (reason, *below)) else []
    nothing_to_do = is_empty(final["Status"], reason)
    limits = _PREVIEW_LIMITS_OF_CREATE if create_stack else _PREVIEW_LIMITS
    limited = nested and not nothing_to_do and any(limit in text for text in reasons for limit in limits)
    if found:  # one that is no limit would come back in the deploy itself, when it costs a rollback
        limited = nested and VALIDATION not in reason and all(any(limit in text for limit in limits) for text in found)
    limited = limited and not _selects_what_is_not_there(cloudformation, final, frozenset(request.parameters.values()))
    # The empty stack of a create stays for the second try: it takes another change set, but not while it is being deleted.
    left = discard(cloudformation, identifier, stack_id, create_stack and not limited, clock, poll_seconds)
    if limited:
        raise _PreviewLimit((found or reasons)[-1], left)
    if nothing_to_do:
        return None
    # The innermost says most: the root's reason is only that a nested change set failed.
    raise CommandError(
        f"{request.stack_name}: the change set failed",
        "\n          ".join(found or reasons[-1:]),
        "correct what it names (make doctor tells which Availability Zones there are, and more), then deploy again; nothing was changed"
        + (f"; {left}" if left else ""),
    )


def _call(request: Request, kind: str, name: str, nested: bool) -> dict[str, Any]:
    call: dict[str, Any] = {
        "StackName": request.stack_name,
        "ChangeSetName": name,
        "ChangeSetType": kind,
        "Description": request.description,
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in request.parameters.items()],
        "Tags": [{"Key": key, "Value": value} for key, value in request.tags.items()],
        # Roles have no names of their own, but the deployer: CAPABILITY_NAMED_IAM is left out elsewhere, so that a named one is refused.
        "Capabilities": ["CAPABILITY_NAMED_IAM" if request.names_roles else "CAPABILITY_IAM"],
        "IncludeNestedStacks": nested,
    }
    if request.template_url:
        call["TemplateURL"] = request.template_url
    else:
        call["TemplateBody"] = request.template_text
    if request.triggers is not None:
        call["RollbackConfiguration"] = {
            "RollbackTriggers": [{"Arn": arn, "Type": "AWS::CloudWatch::CompositeAlarm"} for arn in request.triggers],
            "MonitoringTimeInMinutes": request.monitor_minutes if request.triggers else 0,
        }
    return call


def _wait(cloudformation: Any, identifier: str, stack_id: str, request: Request, clock: Clock, poll_seconds: float) -> dict[str, Any]:
    end = clock.seconds() + _LONGEST_SECONDS
    while True:
        described = describe(cloudformation, identifier, stack_id)
        if described["Status"] in {"CREATE_COMPLETE", "FAILED"}:
            return described
        if clock.seconds() > end:
            raise CommandError(
                f"{request.stack_name}: the change set is not ready after {_LONGEST_SECONDS:.0f} s",
                described["Status"],
                "run the same command again",
            )
        clock.sleep(poll_seconds)


def describe(cloudformation: Any, identifier: str, stack_id: str) -> dict[str, Any]:
    """DescribeChangeSet, all pages in one. `stack_id` is "" where nobody has said whose it is."""
    which = {"ChangeSetName": identifier, **({"StackName": stack_id} if stack_id else {})}
    whole: dict[str, Any] = cloudformation.describe_change_set(**which)
    token = whole.get("NextToken")
    while token:
        page = cloudformation.describe_change_set(**which, NextToken=token)
        whole["Changes"] = [*whole.get("Changes", []), *page.get("Changes", [])]
        token = page.get("NextToken")
    return whole


def _read(cloudformation: Any, described: Mapping[str, Any]) -> tuple[Change, ...]:
    found = []
    for item in described.get("Changes", ()):
        change = item.get("ResourceChange")
        if not change:
            continue
        nested = _below(cloudformation, change)
        found.append(changes.from_description(change, None if nested is None else _read(cloudformation, nested)))
    return tuple(found)


def _below(cloudformation: Any, change: Mapping[str, Any]) -> dict[str, Any] | None:
    """The change set of a nested stack. None where CloudFormation did not look inside, or does not let the caller.

    AWS does not say that a nested stack which is only going to be made has a name yet: one that may not be read without it is left closed.
    """
    if not change.get("ChangeSetId"):
        return None
    stack_id = nested_stack(change)
    try:
        return describe(cloudformation, change["ChangeSetId"], stack_id)
    except ClientError as error:
        if stack_id or not denied_action(error):
            raise
        return None


def nested_stack(change: Mapping[str, Any]) -> str:
    """The ARN of the nested stack that a ResourceChange is of; "" where it has none yet."""
    physical_id = str(change.get("PhysicalResourceId") or "")
    return physical_id if physical_id.startswith("arn:") else ""


def nested_reasons(cloudformation: Any, described: Mapping[str, Any]) -> list[str]:
    """Why nested change sets failed, outermost first: the root says only that one of them did."""
    reasons = []
    for item in described.get("Changes", ()):
        nested = _below(cloudformation, item.get("ResourceChange") or {})
        if nested and nested["Status"] == "FAILED":
            below = nested_reasons(cloudformation, nested)
            reasons += [f"{item['ResourceChange'].get('LogicalResourceId', '')}: {nested.get('StatusReason', '')}", *below]
    return reasons


def _selects_what_is_not_there(cloudformation: Any, described: Mapping[str, Any], given: frozenset[str]) -> bool:
    """True where Fn::Select fails in a nested stack that gets nothing but the root's own values: of Availability Zones, say, there are fewer.

    In one that gets another stack's outputs it is the preview's fault: a list of five is one stand-in there, and has no second item.
    """
    for item in described.get("Changes", ()):
        nested = _below(cloudformation, item.get("ResourceChange") or {})
        if nested and nested["Status"] == "FAILED":
            values = [parameter.get("ParameterValue", "") for parameter in nested.get("Parameters", ())]
            if "Fn::Select" in nested.get("StatusReason", "") and values and given.issuperset(values):
                return True
            if _selects_what_is_not_there(cloudformation, nested, given):
                return True
    return False


def validations(cloudformation: Any, described: Mapping[str, Any]) -> list[str]:
    """What CloudFormation's validation found wrong with a failed change set, and with those of its nested stacks.

    Each begins with the logical ids that lead to the resource. Where DescribeEvents tells nothing or is refused, that is said with the change set's
    own reason.
    """
    found, reason = [], described.get("StatusReason", "")
    if VALIDATION in reason:
        try:
            found = failed_validations(cloudformation, described["ChangeSetId"], described.get("StackId", ""))
        except (BotoCoreError, ClientError) as error:
            denied = denied_action(error) if isinstance(error, ClientError) else None
            found = [f"{reason} What it found could not be read: {f'access denied: {denied} (allow that)' if denied else error}"]
        found = found or [reason]
    for item in described.get("Changes", ()):
        change = item.get("ResourceChange") or {}
        nested = _below(cloudformation, change)
        if nested and nested["Status"] == "FAILED":
            found += [f"{change.get('LogicalResourceId', '')}/{text}" for text in validations(cloudformation, nested)]
    return found


def failed_validations(cloudformation: Any, identifier: str, stack_id: str) -> list[str]:
    """`Resource (type) at /its/path: what is wrong`, for each validation that failed one change set; what only warns, fails none. Raises ClientError.

    Sources: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/validate-stack-deployments.html,
    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_OperationEvent.html.
    """
    which = {"ChangeSetName": identifier, **({"StackName": stack_id} if stack_id else {})}
    found: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = cloudformation.describe_events(**which, Filters={"FailedEvents": True}, **token)
        for event in page.get("OperationEvents", ()):
            if event.get("EventType") == "VALIDATION_ERROR" and event.get("ValidationFailureMode") != "WARN":
                resource = f"{event.get('LogicalResourceId', 'the template')} ({event.get('ResourceType') or event.get('ValidationName', '')})"
                path = f" at {event['ValidationPath']}" if event.get("ValidationPath") else ""
                found.append(f"{resource}{path}: {event.get('ValidationStatusReason') or event.get('ValidationName', '')}")
        if not page.get("NextToken"):
            return found
        token = {"NextToken": page["NextToken"]}


def discard(
    cloudformation: Any, identifier: str, stack_id: str, created_stack: bool, clock: Clock, poll_seconds: float, wholly: bool = False
) -> str:
    """Deletes a change set (and with it those of nested stacks), and the empty stack that was made to hold it. "", or what is left behind and why.

    While a nested one is still being made it is refused, though the root has failed already; so it is asked for until it takes. The empty stack goes
    after the change set: with it would go what knows of the nested stacks in review. `wholly` waits for that, too: for a caller who deletes the stack.
    """
    end = clock.seconds() + _DISCARD_SECONDS
    while not _deleted(cloudformation, identifier, stack_id, created_stack or wholly):
        if clock.seconds() >= end:
            return (
                f"the change set {identifier} is left behind, with stacks in review that it made: CloudFormation did not delete it "
                f"within {_DISCARD_SECONDS:.0f} s (later: aws cloudformation delete-change-set --region {identifier.split(':')[3]} "
                f"--stack-name {stack_id} --change-set-name {identifier})"
            )
        clock.sleep(poll_seconds)
    if created_stack:
        stack = stacks.find(cloudformation, stack_id)
        if stack and stack.status == "REVIEW_IN_PROGRESS":
            cloudformation.delete_stack(StackName=stack_id)
    return ""


def _deleted(cloudformation: Any, identifier: str, stack_id: str, wholly: bool) -> bool:
    """Asks for a change set's deletion. True once it is under way; `wholly`: once the change set is gone, and its nested stacks in review with it."""
    try:
        cloudformation.delete_change_set(ChangeSetName=identifier, StackName=stack_id)
        listed = cloudformation.list_change_sets(StackName=stack_id).get("Summaries", ()) if wholly else ()
    except ClientError as error:
        if error_code(error) not in {"ChangeSetNotFound", "ChangeSetNotFoundException", "InvalidChangeSetStatus", "ValidationError"}:
            raise
        return error_code(error) != "InvalidChangeSetStatus"
    return identifier not in [one["ChangeSetId"] for one in listed]


def execute(cloudformation: Any, change_set: ChangeSet) -> None:
    cloudformation.execute_change_set(ChangeSetName=change_set.id, StackName=change_set.stack_id)
