"""E9048: a target that an event rule may not reach."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.rules import _policies, _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _policies
    import _rule
    import _values


class TargetPermission(_rule.Rule):
    id = "E9048"
    shortdesc = "Rule may not reach its target"
    description = (
        "A function, a topic or a queue of the same template takes events only from whom its policy lets: without a permission for events.amazonaws.com "
        "EventBridge drops each event, and counts it in FailedInvocations."
    )
    source_url = "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html"
    next_step = "let events.amazonaws.com reach the target, for this rule"
    tags = ("resources", "events")
    resource_types = ("AWS::Events::Rule",)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        rule = str(resource.path[1])
        for targets in _values.members(cfn, resource, "Targets"):
            for entry in _values.entries(cfn, targets.value, targets.path, targets.conditions):
                if not isinstance(entry.value, dict) or "RoleArn" in entry.value or "RoleArn" in resource.value:
                    continue
                for arn in _values.members(cfn, entry, "Arn"):
                    taken = _policies.target(arn.value)
                    kind = _values.type_of(cfn.template["Resources"].get(taken[0])) if taken else ""
                    if not taken or kind not in _HOW:
                        continue
                    if not _HOW[kind](cfn, taken[0], rule):
                        yield arn.path, f"nothing in this template lets {rule} reach {taken[0]}: {_MISSING[kind]}"


def _function(cfn: Any, function: str, rule: str) -> bool:
    """Whether a permission lets EventBridge invoke a function, for this rule or for all."""
    for name, permission in cfn.get_resources("AWS::Lambda::Permission").items():
        properties = _values.mapping(permission.get("Properties"))
        named = _policies.mentioned(properties.get("FunctionName"))
        if properties.get("Principal") not in ("events.amazonaws.com", "*") and isinstance(properties.get("Principal"), str):
            continue
        source = properties.get("SourceArn")
        taken = _policies.mentioned(source) & set(cfn.get_resources("AWS::Events::Rule"))
        if name and (not named or function in named) and (not taken or rule in taken):
            return True
    return False


def _policy(kind: str) -> Any:
    def allowed(cfn: Any, name: str, _rule_name: str) -> bool:
        whose = "Topics" if kind == "AWS::SNS::TopicPolicy" else "Queues"
        policies = [
            entry
            for entry in _rule.resources(cfn, kind)
            if not _policies.mentioned(entry.value.get(whose)) or name in _policies.mentioned(entry.value.get(whose))
        ]
        for policy in policies:
            for _, document in _policies.documents(cfn, policy):
                for statement in _policies.statements(cfn, document):
                    services = [service.value for service in _policies.services(cfn, statement)]
                    anybody = _policies.anybody(cfn, statement)
                    if statement.value.get("Effect") == "Allow" and (
                        anybody or any(entry in ("events.amazonaws.com", _policies.UNKNOWN) for entry in services)
                    ):
                        return True
        # Without a policy at all, an owner may set one by hand; EventBridge's console does. In a template nobody does.
        return False

    return allowed


_HOW = {"AWS::Lambda::Function": _function, "AWS::SNS::Topic": _policy("AWS::SNS::TopicPolicy"), "AWS::SQS::Queue": _policy("AWS::SQS::QueuePolicy")}
_MISSING = {
    "AWS::Lambda::Function": "add an AWS::Lambda::Permission for events.amazonaws.com with SourceArn !GetAtt of the rule",
    "AWS::SNS::Topic": "add an AWS::SNS::TopicPolicy that lets events.amazonaws.com sns:Publish",
    "AWS::SQS::Queue": "add an AWS::SQS::QueuePolicy that lets events.amazonaws.com sqs:SendMessage",
}
