"""Templates as data: YAML with CloudFormation's short forms read into plain dictionaries, and the text beside them.

Intrinsic functions read as their long forms: `!Ref X` is `{"Ref": "X"}`, `!GetAtt A.B` is `{"Fn::GetAtt": ["A", "B"]}`, any other
`!Name` is `{"Fn::Name": …}`, and `!Condition X` is `{"Condition": "X"}`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Template:
    """One template file."""

    path: Path
    """Relative to the folder that the tree was read from."""
    text: str
    body: dict[str, Any]

    @property
    def is_root(self) -> bool:
        """Whether a person deploys it, and meets its parameters in the console."""
        return len(self.path.parts) == 1

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        return self.body.get("Parameters", {})

    def resources(self, *types: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Logical id and body of each resource, of those types where any are given."""
        for name, resource in self.body.get("Resources", {}).items():
            if not types or resource["Type"] in types:
                yield name, resource


Tree = dict[Path, Template]


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms; dates and such stay text, as CloudFormation reads them."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge keys are not CloudFormation's; leave them to be seen."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(text: str) -> Any:
    """The document in `text`, short forms and all."""
    return yaml.load(text, Loader=_Loader)


def read_tree(folder: Path) -> Tree:
    """Every template under `folder`, by its path in it."""
    tree = {}
    for path in sorted(folder.rglob("*.yaml")):
        text = path.read_text()
        tree[path.relative_to(folder)] = Template(path.relative_to(folder), text, read_yaml(text))
    return tree


def walk(value: Any) -> Iterator[Any]:
    """`value` and everything in it, outside in."""
    yield value
    if isinstance(value, dict):
        for item in value.values():
            yield from walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from walk(item)
