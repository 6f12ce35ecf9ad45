"""E9057: a stateful resource without a word on what becomes of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfnlint.rules import RuleMatch

if TYPE_CHECKING:
    from scripts.rules import _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _rule
    import _values


class KeptByPolicy(_rule.Rule):
    id = "E9057"
    shortdesc = "Stateful resource says neither what deleting nor what replacing does to it"
    description = (
        "The default deletes it, or fails the stack's deletion half way because it is not empty. cfn-lint's I3011 leaves out buckets, image repositories "
        "and others that this table has."
    )
    source_url = "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html"
    next_step = "write DeletionPolicy and UpdateReplacePolicy on the resource"
    tags = ("resources",)

    def match(self, cfn: Any) -> list[Any]:
        types = _rule.table("stateful")["types"]
        found = []
        for name, resource in _values.section(cfn.template, "Resources").items():
            if _values.type_of(resource) not in types:
                continue
            missing = [key for key in ("DeletionPolicy", "UpdateReplacePolicy") if key not in resource]
            if missing:
                found.append(
                    RuleMatch(
                        ["Resources", name], f"{name} holds {types[resource['Type']]}; say {' and '.join(missing)}: Retain, RetainExceptOnCreate or Delete"
                    )
                )
        return found
