"""E9031: a role given to a service that it does not trust."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfnlint.rules import RuleMatch

if TYPE_CHECKING:
    from scripts.rules import _nested, _policies, _principals, _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _nested
    import _policies
    import _principals
    import _rule
    import _values


class RoleForItsUse(_rule.Rule):
    id = "E9031"
    shortdesc = "Role does not trust the service that it is given to"
    description = (
        "A service can use a role only if the role trusts it: a pipeline, a project, a function or a group with another's role is refused, or fails "
        "at its first run."
    )
    source_url = "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create_for-service.html"
    next_step = "let the role trust the service in AssumeRolePolicyDocument, or give a role that does"
    tags = ("resources", "iam")

    def match(self, cfn: Any) -> list[Any]:
        top = _nested.root(cfn) or _nested.Node(cfn.template, Path())
        return [RuleMatch(list(path), message) for path, message in dict.fromkeys(self._walk(cfn, top, ()))]

    def _walk(self, cfn: Any, node: _nested.Node, at: _values.Path) -> Iterable[tuple[_values.Path, str]]:
        for name, resource in _values.section(node.template, "Resources").items():
            for keys, services in _rule.table("role_uses")["uses"].get(_values.type_of(resource), {}).items():
                for path, value in _found(resource.get("Properties"), keys.split("."), ("Resources", name, "Properties")):
                    role = _nested.origin(node, value)
                    # What a child is at fault for by itself is said when the child is linted.
                    if role is None or (node.within and role[0] == node):
                        continue
                    trusted = _trusted(cfn, role[0].template["Resources"][role[1]])
                    if trusted is not None and not trusted & set(services):
                        who = ", ".join(sorted(trusted)) or "no service"
                        yield at or path, f"{role[1]} trusts {who}, but {name} is run by {services[0]}; let the role trust that, or give {name} its own role"
        for inner in _nested.children(node):
            yield from self._walk(cfn, inner, at or ("Resources", inner.within[1] if inner.within else ""))


def _found(value: Any, keys: list[str], path: _values.Path) -> Iterable[tuple[_values.Path, Any]]:
    """Values under a chain of keys, through lists and both branches of Fn::If."""
    if isinstance(value, dict) and isinstance(value.get("Fn::If"), list):
        for index in (1, 2):
            if index < len(value["Fn::If"]):
                yield from _found(value["Fn::If"][index], keys, (*path, "Fn::If", index))
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _found(entry, keys, (*path, index))
    elif not keys:
        yield path, value
    elif isinstance(value, dict) and keys[0] in value:
        yield from _found(value[keys[0]], keys[1:], (*path, keys[0]))


def _trusted(cfn: Any, role: Any) -> set[str] | None:
    """Services that a role trusts; None where they cannot all be told, or anybody is trusted."""
    document = _values.mapping(role.get("Properties")).get("AssumeRolePolicyDocument") if _values.type_of(role) == "AWS::IAM::Role" else None
    if not isinstance(document, dict):
        return None
    found: set[str] = set()
    for _, statement in _found(document, ["Statement"], ()):
        if not isinstance(statement, dict) or statement.get("Effect") != "Allow" or statement.get("Principal") == "*":
            return None
        for _, service in _found(statement, ["Principal", "Service"], ()):
            texts = _policies.shapes(cfn, service)
            if any(_policies.UNKNOWN in text for text in texts):
                return None
            found |= {_principals.plain(text) for text in texts}
    return found
