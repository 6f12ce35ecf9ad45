"""E9036: a wildcard where the operator knows none."""

from __future__ import annotations

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

_EXACT = re.compile(r"(ForAnyValue:|ForAllValues:)?String(Not)?Equals(IgnoreCase)?(IfExists)?")


class WildcardWithoutLike(_rule.Rule):
    id = "E9036"
    shortdesc = "Wildcard in a condition that compares exactly"
    description = "StringEquals takes * for an asterisk. IAM accepts it, and the condition is never true; StringLike or ArnLike is meant."
    source_url = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_String"
    next_step = "use StringLike or ArnLike, or write the value without the *"
    tags = ("resources", "iam")
    resource_types = _policies.TYPES

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        for _, document in _policies.documents(cfn, resource):
            for statement in _policies.statements(cfn, document):
                for operator, key, test in _policies.tests(cfn, statement):
                    if not _EXACT.fullmatch(operator):
                        continue
                    for entry in _policies.listed(cfn, test.value, test.path, test.conditions):
                        if "*" in entry.value:
                            like = operator.replace("Equals", "Like").replace("IgnoreCase", "")
                            text = entry.value.replace(_policies.UNKNOWN, "…")
                            yield entry.path, f"{operator} takes the * of {text} for an asterisk, so {key} never has that value; use {like}"
