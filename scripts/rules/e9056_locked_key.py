"""E9056: a key that nobody can manage."""

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


class LockedKey(_rule.Rule):
    id = "E9056"
    shortdesc = "Key policy lets nobody manage the key"
    description = (
        "KMS refuses a policy by which whoever makes the key could not change the policy again (MalformedPolicyDocumentException). With "
        "BypassPolicyLockoutSafetyCheck it accepts, and only AWS Support can open the key."
    )
    source_url = "https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html#prevent-unmanageable-key"
    next_step = "add a statement that allows the account's root kms:*"
    tags = ("resources", "kms")
    resource_types = ("AWS::KMS::Key", "AWS::KMS::ReplicaKey")

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        for _, document in _policies.documents(cfn, resource):
            if not isinstance(document.value, dict) or not isinstance(document.value.get("Statement"), list | dict):
                continue
            if not any(_manages(cfn, statement) for statement in _policies.statements(cfn, document)):
                yield document.path, "no statement lets an account or a role kms:PutKeyPolicy, so nobody could ever change this policy; add the account's root"


def _manages(cfn: Any, statement: _values.Branch) -> bool:
    if statement.value.get("Effect") != "Allow" or "NotAction" in statement.value or "NotPrincipal" in statement.value:
        return bool(statement.value.get("Effect") == "Allow")
    principal = statement.value.get("Principal")
    if isinstance(principal, dict) and "AWS" not in principal and not any(str(key).startswith("Fn::") for key in principal):
        return False
    actions = [action.value.lower() for action in _policies.said(cfn, statement, "Action")]
    return any(_policies.UNKNOWN in action or fnmatch.fnmatchcase("kms:putkeypolicy", action) for action in actions)
