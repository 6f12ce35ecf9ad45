"""E9034: any role may be passed to any service."""

from __future__ import annotations

import fnmatch
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


class PassAnyRole(_rule.Rule):
    id = "E9034"
    shortdesc = "iam:PassRole on every role without iam:PassedToService"
    description = "Who may pass any role to any service can take the rights of the strongest role of the account: start something with it, and let that act."
    source_url = "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html"
    next_step = "name the roles in Resource, or add a condition on iam:PassedToService"
    tags = ("resources", "iam")
    resource_types = _policies.TYPES

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        for kind, document in _policies.documents(cfn, resource):
            if kind != "identity":
                continue
            for statement in _policies.statements(cfn, document):
                if statement.value.get("Effect") != "Allow":
                    continue
                keys = {key.lower() for _, key, _ in _policies.tests(cfn, statement)}
                every = [entry for entry in _policies.said(cfn, statement, "Resource") if re.fullmatch(r"\*|arn:[^:]*:iam::[^:]*:(role/)?\*", entry.value)]
                if not every or keys & {"iam:passedtoservice", "iam:associatedresourcearn"}:
                    continue
                for action in _policies.said(cfn, statement, "Action"):
                    if action.value != "*" and fnmatch.fnmatchcase("iam:passrole", action.value.lower()):
                        yield action.path, f"{action.value} on every role: name the roles, or add a condition on iam:PassedToService"
