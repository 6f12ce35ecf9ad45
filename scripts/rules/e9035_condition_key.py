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
    next_step = "write a key of the action's row in the service authorization reference"
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
        return _rule.unknown(service, keys, "condition_keys", f"{key} is no condition key: none begins with {service}:", r"[a-z0-9-]+", key)
    for entry in known:
        # kms:EncryptionContext:${EncryptionContextKey}, s3:ExistingObjectTag/<key>: what is in brackets is one's own.
        pattern = "".join(".+" if part[:1] in ("$", "<") else re.escape(part) for part in re.split(r"(\$\{[^}]*\}|<[^>]*>)", entry))
        if re.fullmatch(pattern, key, re.IGNORECASE):
            return ""
    # Keys of all services are often written with the service's own prefix.
    names = {_own(entry): entry for entry in known} | {f"{service}:{_own(entry).removeprefix('aws:')}": entry for entry in keys["aws"]}
    said = f"{key} is no condition key, so it is never there and nobody is told"
    meant = names.get(_rule.near(_own(key), names))
    return f"{said}; did you mean {meant}?" if meant else _rule.unknown(key, known, "condition_keys", said)


def _own(key: str) -> str:
    """A key's name, without what is one's own in it: s3:ExistingObjectTag of s3:ExistingObjectTag/<key>."""
    return re.split(r"[/$<]", key)[0].rstrip(":")
