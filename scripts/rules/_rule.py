"""What all rules share: the base class, tables, and resources of a type with the conditions under which they exist."""

from __future__ import annotations

import difflib
import functools
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch

if TYPE_CHECKING:
    from scripts.rules import _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _values


class Rule(CloudFormationLintRule):  # type: ignore[misc]  # cfn-lint has no types
    """A rule over the resources of some types; a subclass says which and writes `check`.

    `resource_types`: the CloudFormation types that `check` is called with. A rule over something else overrides `match`.
    """

    resource_types: tuple[str, ...] = ()

    def match(self, cfn: Any) -> list[Any]:
        return [
            RuleMatch(list(path), message)
            for kind in self.resource_types
            for resource in resources(cfn, kind)
            for path, message in dict.fromkeys(self.check(cfn, resource))
        ]

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        """What is wrong with the resource's properties: the place in the template, and a message that says the thing, the reason and the next step."""
        raise NotImplementedError


def resources(cfn: Any, kind: str) -> Iterator[_values.Branch]:
    """Properties of each resource of a type, each branch of a conditional Properties apart. `kind` is as `AWS::CodeBuild::Project`."""
    for name, resource in cfn.get_resources(kind).items():
        if not isinstance(resource, dict):
            continue
        named = resource.get("Condition")
        conditions = {named: True} if isinstance(named, str) else {}
        for branch in _values.branches(cfn, resource.get("Properties"), ("Resources", name, "Properties"), conditions):
            if isinstance(branch.value, dict):
                yield branch


def platforms(cfn: Any, holder: _values.Branch, key: str) -> set[str]:
    """Compute platforms that a CodeDeploy application may be for, by a property that names it; none where it is not of this template."""
    found: set[str] = set()
    for named in _values.members(cfn, holder, key):
        own = named.value.get("Ref") if isinstance(named.value, dict) else None
        for application in resources(cfn, "AWS::CodeDeploy::Application"):
            written = {text.value for text in _values.literals(cfn, application, "ApplicationName")}
            if application.path[1] == own or (isinstance(named.value, str) and named.value in written):
                if "ComputePlatform" not in application.value:
                    found.add("Server")
                found |= {text.value for text in _values.literals(cfn, application, "ComputePlatform")}
    return found


@functools.cache
def table(name: str) -> dict[str, Any]:
    """A table of data/, with its `source` and `date`."""
    loaded: dict[str, Any] = json.loads((Path(__file__).parent / "data" / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def meant(word: str, known: Iterable[str]) -> str:
    """The end of a message about a word that is not known: the one that is probably meant, or those that there are."""
    words: Sequence[str] = sorted(known)
    folded = {entry.lower(): entry for entry in words}
    near = difflib.get_close_matches(word.lower(), list(folded), n=1, cutoff=0.75)
    if near:
        return f"did you mean {folded[near[0]]}?"
    return f"use one of {', '.join(words)}" if words else "remove it"
