"""E9033: a policy that allows everything, or everything but something."""

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


class EverythingAllowed(_rule.Rule):
    id = "E9033"
    shortdesc = "Policy allows every action"
    description = (
        "Allow of * on * makes a role an administrator. NotAction with Allow allows all that it does not name, what AWS adds tomorrow too; "
        "meant is mostly Effect: Deny."
    )
    source_url = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notaction.html"
    next_step = "name the actions and the resources that are needed"
    tags = ("resources", "iam")
    resource_types = _policies.TYPES

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        for kind, document in _policies.documents(cfn, resource):
            # In a key's policy * is that key, and a resource's policy is about the resource.
            if kind != "identity":
                continue
            statements = list(_policies.statements(cfn, document))
            # A permissions boundary allows all and then denies: it grants nothing by itself.
            boundary = cfn.template["Resources"][resource.path[1]]["Type"] == "AWS::IAM::ManagedPolicy"
            if boundary and any(statement.value.get("Effect") == "Deny" for statement in statements):
                continue
            for statement in statements:
                if statement.value.get("Effect") != "Allow":
                    continue
                if "NotAction" in statement.value:
                    yield (*statement.path, "NotAction"), "Allow with NotAction allows every other action there is; name the actions, or make it a Deny"
                everywhere = any(entry.value == "*" for entry in _policies.said(cfn, statement, "Resource"))
                for action in _policies.said(cfn, statement, "Action"):
                    if action.value in ("*", "*:*") and everywhere:
                        yield action.path, "every action on every resource: whoever has this role has the account; name the actions that it needs"
