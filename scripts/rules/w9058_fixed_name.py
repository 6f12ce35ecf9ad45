"""W9058: a physical name that collides."""

from __future__ import annotations

import json
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


class FixedName(_rule.Rule):
    id = "W9058"
    shortdesc = "Physical name is the same in every stack"
    description = (
        "A name without any part of the stack's own (a parameter, the stack's name) can be there once: a second stack, a second service or, for what is the "
        "account's and not a Region's (roles, buckets), a second Region is refused with AlreadyExists. It cannot be replaced either."
    )
    source_url = "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-name.html"
    next_step = "leave the name out, or put ${AWS::StackName} or a parameter into it"
    tags = ("resources",)
    resource_types = tuple(json.loads((Path(__file__).parent / "data" / "fixed_names.json").read_text(encoding="utf-8"))["types"])

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        name, everywhere = _rule.table("fixed_names")["types"][cfn.template["Resources"][resource.path[1]]["Type"]]
        for value in _values.members(cfn, resource, name):
            own = _policies.mentioned(value.value) - {"AWS::Partition", "AWS::URLSuffix"}
            apart = own - {"AWS::AccountId"} - (set() if everywhere else {"AWS::Region"})
            if isinstance(value.value, str) and not value.value.startswith("{{resolve:"):
                where = "in the account, whatever the Region" if everywhere else "in the account and Region"
                yield value.path, f"{name} {value.value} can be there once {where}; leave it out, or put a parameter or ${{AWS::StackName}} in it"
            elif own and not apart and isinstance(value.value, dict) and "Fn::Sub" in value.value:
                yield value.path, f"{name} is the same in every stack of this account; put a parameter or ${{AWS::StackName}} in it"
