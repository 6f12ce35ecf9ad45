"""A CloudFormation template as data: its parameters, its children, what it keeps when it is deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.core import documents
from scripts.core.errors import WrongUse

NESTED_STACK = "AWS::CloudFormation::Stack"


@dataclass(frozen=True)
class ParameterSpec:
    """One entry of a template's Parameters section. `default` is None when a value is required."""

    name: str
    type: str
    default: str | None = None
    allowed_values: tuple[str, ...] = ()
    allowed_pattern: str | None = None
    constraint: str = ""
    min_value: str | None = None
    max_value: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    no_echo: bool = False


@dataclass(frozen=True)
class Child:
    """A nested stack with a relative TemplateURL; start and end are the value's place in the text, in characters."""

    logical_id: str
    location: str
    start: int
    end: int


@dataclass(frozen=True)
class Kept:
    """A resource that stays when its stack is deleted."""

    logical_id: str
    type: str
    policy: str


@dataclass(frozen=True)
class Template:
    """A template file, read."""

    path: Path
    text: str
    parameters: Mapping[str, ParameterSpec]
    children: tuple[Child, ...]
    outputs: tuple[str, ...]
    resource_count: int


def load(path: Path, root: Path | None = None) -> Template:
    """The template in a file. WrongUse when it is missing, not YAML or has no resources."""
    document = documents.read(path, documents.TemplateLoader, root)
    text = path.read_text(encoding="utf-8")
    if not isinstance(document, dict) or not isinstance(document.get("Resources"), dict):
        raise WrongUse(
            f"{path.name} is not a CloudFormation template", "it has no Resources section", "make validate shows what is missing"
        )
    return Template(
        path=path,
        text=text,
        parameters=parameter_specs(document),
        children=children(text),
        outputs=tuple(document.get("Outputs") or {}),
        resource_count=len(document["Resources"]),
    )


def parameter_specs(document: Mapping[str, Any]) -> dict[str, ParameterSpec]:
    """The Parameters section, every value as the text that CloudFormation would see."""
    return {name: _parameter_spec(name, spec) for name, spec in (document.get("Parameters") or {}).items()}


def _parameter_spec(name: str, spec: Mapping[str, Any]) -> ParameterSpec:
    def optional(key: str) -> str | None:
        return as_text(spec[key]) if key in spec else None

    return ParameterSpec(
        name=name,
        type=str(spec.get("Type", "String")),
        default=optional("Default"),
        allowed_values=tuple(as_text(value) for value in spec.get("AllowedValues", ())),
        allowed_pattern=optional("AllowedPattern"),
        constraint=str(spec.get("ConstraintDescription", "")),
        min_value=optional("MinValue"),
        max_value=optional("MaxValue"),
        min_length=int(spec["MinLength"]) if "MinLength" in spec else None,
        max_length=int(spec["MaxLength"]) if "MaxLength" in spec else None,
        no_echo=as_text(spec.get("NoEcho", "false")) == "true",
    )


def as_text(value: Any) -> str:
    """A YAML scalar or list as CloudFormation takes it: booleans in lower case, lists joined by commas."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return ",".join(as_text(item) for item in value)
    return str(value)


def children(text: str) -> tuple[Child, ...]:
    """The nested stacks whose TemplateURL is a path in the tree, with the place of each value in the text."""
    found = []
    for logical_id, resource in _mapping(_mapping(yaml.compose(text, Loader=yaml.SafeLoader)).get("Resources")).items():
        fields = _mapping(resource)
        kind = fields.get("Type")
        url = _mapping(fields.get("Properties")).get("TemplateURL")
        if not (isinstance(kind, yaml.ScalarNode) and kind.value == NESTED_STACK and isinstance(url, yaml.ScalarNode)):
            continue
        if url.tag != "tag:yaml.org,2002:str" or url.value.startswith(("https://", "http://", "s3://")):
            continue
        found.append(Child(logical_id, url.value, url.start_mark.index, url.end_mark.index))
    return tuple(found)


def kept(document: Mapping[str, Any]) -> tuple[Kept, ...]:
    """The resources whose DeletionPolicy leaves them behind when the stack is deleted."""
    return tuple(
        Kept(logical_id, str(resource.get("Type", "")), policy)
        for logical_id, resource in (document.get("Resources") or {}).items()
        if (policy := str(resource.get("DeletionPolicy", ""))) in {"Retain", "RetainExceptOnCreate", "Snapshot"}
    )


def _mapping(node: yaml.Node | None) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}
