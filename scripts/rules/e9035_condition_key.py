"""E9035: a condition key that does not exist."""

from __future__ import annotations

import functools
import re
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


class ConditionKey(_rule.Rule):
    id = "E9035"
    shortdesc = "Condition key does not exist"
    description = (
        "IAM accepts condition keys that do not exist. The key is then never there: what is allowed on that condition is never allowed, and a Deny with "
        "a negated or an IfExists operator is always or never in force."
    )
    source_url = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html"
    tags = ("resources", "iam")
    resource_types = _policies.TYPES

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        for _, document in _policies.documents(cfn, resource):
            for statement in _policies.statements(cfn, document):
                for _, key, test in _policies.tests(cfn, statement):
                    wrong = _wrong(key)
                    if wrong:
                        yield test.path, wrong


@functools.cache
def _wrong(key: str) -> str:
    """What is wrong with a condition key, or empty. Case does not count; keys of identity providers (token.actions.githubusercontent.com:sub) are theirs."""
    service, colon, _ = key.partition(":")
    keys = _rule.table("condition_keys")["keys"]
    # IoT's own policies know variables of its own beside IAM's keys.
    if "." in service or "$" in key or service.lower() == "iot":
        return ""
    if not colon:
        return f"{key} is no condition key: it has no prefix, as in aws:{key}"
    known = keys.get(service.lower())
    if known is None:
        near = _rule.meant(service, keys)
        return f"{key} is no condition key: none begins with {service}:; {near if near.startswith('did') else 'look it up in the authorization reference'}"
    for entry in known:
        # kms:EncryptionContext:${EncryptionContextKey}, s3:ExistingObjectTag/<key>: what is in brackets is one's own.
        pattern = "".join(".+" if part[:1] in ("$", "<") else re.escape(part) for part in re.split(r"(\$\{[^}]*\}|<[^>]*>)", entry))
        if re.fullmatch(pattern, key, re.IGNORECASE):
            return ""
    return f"{key} is no condition key, so it is never there and nobody is told; {_rule.meant(key, known)}"
