"""E9049: an encrypted topic that its publishers cannot encrypt for."""

from __future__ import annotations

import fnmatch
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


class TopicKey(_rule.Rule):
    id = "E9049"
    shortdesc = "Key of a topic does not let its publishers in"
    description = (
        "A service that publishes to an encrypted topic needs kms:GenerateDataKey* and kms:Decrypt on the key, by the key's own policy. AWS's own key "
        "alias/aws/sns gives it to no service: events and alarms are dropped, and nobody is told."
    )
    source_url = "https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html#compatibility-with-aws-services"
    next_step = "take a key of your own, and allow each publisher kms:GenerateDataKey* and kms:Decrypt in its policy"
    tags = ("resources", "sns", "kms")
    resource_types = ("AWS::SNS::TopicPolicy",)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        publishers = {
            service.value
            for _, document in _policies.documents(cfn, resource)
            for statement in _policies.statements(cfn, document)
            if statement.value.get("Effect") == "Allow"
            and any(fnmatch.fnmatchcase("sns:publish", action.value.lower()) for action in _policies.said(cfn, statement, "Action"))
            for service in _policies.services(cfn, statement)
            if _policies.UNKNOWN not in service.value
        }
        for name in sorted(_policies.mentioned(resource.value.get("Topics"))):
            topic = _values.mapping(cfn.template["Resources"].get(name))
            if topic.get("Type") != "AWS::SNS::Topic" or not isinstance(topic.get("Properties"), dict):
                continue
            holder = _values.Branch(topic["Properties"], ("Resources", name, "Properties"))
            for key in _values.members(cfn, holder, "KmsMasterKeyId"):
                if publishers and "alias/aws/sns" in _policies.shapes(cfn, key.value):
                    yield key.path, f"alias/aws/sns lets no service encrypt, so {', '.join(sorted(publishers))} cannot publish; take a key of your own"
                taken = _policies.target(key.value)
                if taken and _values.type_of(cfn.template["Resources"].get(taken[0])) == "AWS::KMS::Key":
                    for service in sorted(publishers - _let_in(cfn, taken[0], publishers)):
                        yield (
                            key.path,
                            f"the policy of {taken[0]} does not let {service} in, so what it says is dropped; allow it kms:GenerateDataKey* and kms:Decrypt",
                        )


def _let_in(cfn: Any, key: str, publishers: set[str]) -> set[str]:
    """Services that a key's policy allows to make data keys: those that it names, and all publishers where it lets anybody."""
    found: set[str] = set()
    for resource in _rule.resources(cfn, "AWS::KMS::Key"):
        if resource.path[1] != key:
            continue
        for _, document in _policies.documents(cfn, resource):
            for statement in _policies.statements(cfn, document):
                actions = [action.value.lower() for action in _policies.said(cfn, statement, "Action")]
                if statement.value.get("Effect") == "Allow" and any(fnmatch.fnmatchcase("kms:generatedatakey", action) for action in actions):
                    named = {service.value for service in _policies.services(cfn, statement)}
                    everybody = _policies.UNKNOWN in named or (_policies.anybody(cfn, statement) and "Condition" not in statement.value)
                    found |= publishers if everybody else named
    return found
