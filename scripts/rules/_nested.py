"""Nested stacks whose TemplateURL is a file of the tree: the child's template, and where a value comes from across stacks."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfnlint.decode import cfn_yaml

if TYPE_CHECKING:
    from scripts.rules import _policies, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _policies
    import _values

# A stack within a stack within a stack: deeper trees are cut off, so that one that holds itself ends.
_DEEPEST = 6


@dataclass(frozen=True)
class Node:
    """A template in a tree of stacks. `given`: what its parent passes for its parameters; `within`: the parent and the stack's logical id there."""

    template: dict[str, Any] = field(hash=False, compare=False)
    file: Path
    within: tuple[Node, str] | None = None
    depth: int = 0

    @property
    def given(self) -> dict[str, Any]:
        if self.within is None:
            return {}
        parent, name = self.within
        return _values.mapping(_values.mapping(parent.template["Resources"][name].get("Properties")).get("Parameters"))


def root(cfn: Any) -> Node | None:
    """The template that is linted, as the root of its stacks; None where it has no file."""
    return Node(cfn.template, Path(cfn.filename).resolve()) if cfn.filename else None


def file_of(node: Node, name: str) -> Path | None:
    """The file that a stack's TemplateURL names, existing or not; None for a URL, an intrinsic function or another resource."""
    resource = _values.section(node.template, "Resources").get(name)
    if _values.type_of(resource) != "AWS::CloudFormation::Stack":
        return None
    url = _values.mapping(_values.mapping(resource).get("Properties")).get("TemplateURL")
    if not isinstance(url, str) or "://" in url or "{{resolve:" in url:
        return None
    return (node.file.parent / url).resolve()


def child(node: Node, name: str) -> Node | None:
    """The template of a nested stack, where it is a file of the tree that can be read."""
    file = file_of(node, name)
    if file is None or not file.is_file() or node.depth >= _DEEPEST:
        return None
    template = _read(file, file.stat().st_mtime_ns)
    return Node(template, file, (node, name), node.depth + 1) if template else None


def children(node: Node) -> Iterator[Node]:
    """The nested stacks of a template, without theirs."""
    for name, resource in _values.section(node.template, "Resources").items():
        if _values.type_of(resource) == "AWS::CloudFormation::Stack":
            found = child(node, name)
            if found:
                yield found


def origin(node: Node, value: Any, hops: int = 0) -> tuple[Node, str, str] | None:
    """The resource that a value is taken from, through parameters and outputs: its template, logical id and attribute. None where it cannot be said."""
    taken = _policies.target(value)
    if taken is None or hops > 2 * _DEEPEST:
        return None
    name, attribute = taken
    if name in _values.section(node.template, "Parameters"):
        return origin(node.within[0], node.given[name], hops + 1) if node.within and name in node.given else None
    if name not in _values.section(node.template, "Resources"):
        return None
    if attribute.startswith("Outputs."):
        inner = child(node, name)
        output = _values.section(inner.template, "Outputs").get(attribute.removeprefix("Outputs.")) if inner else None
        return origin(inner, output.get("Value"), hops + 1) if inner and output else None
    return node, name, attribute


@functools.cache
def _read(file: Path, _changed: int) -> dict[str, Any] | None:
    try:
        template: Any = cfn_yaml.load(str(file))
    except Exception:  # Whatever is wrong with the child, cfn-lint says it when it reads the child.
        return None
    return template if isinstance(template, dict) else None
