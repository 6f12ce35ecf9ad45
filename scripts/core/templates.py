"""A CloudFormation template as data: its parameters, its children, what it keeps when it is deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeGuard

import yaml

from scripts.core import documents
from scripts.core.errors import WrongUse

NESTED_STACK = "AWS::CloudFormation::Stack"
_FUNCTION, _CANARY = "AWS::Lambda::Function", "AWS::Synthetics::Canary"
# What a canary's S3Bucket says in the tree: a template has no other way to name a folder of code (its Code has no short form).
PACKAGED = "packaged"


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
class Code:
    """A folder of code that a resource runs. `key` is the place (start, end) in the text that names the folder.

    A function has `Code: <folder>`, and the whole mapping stands in its place afterwards: `bucket` is None. A canary has
    `Code: {Handler: …, S3Bucket: packaged, S3Key: <folder>}`, and both values are replaced.
    """

    logical_id: str
    type: str
    location: str
    bucket: tuple[int, int] | None
    key: tuple[int, int]


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
    codes: tuple[Code, ...]
    outputs: tuple[str, ...]
    resource_count: int


def load(path: Path, root: Path | None = None) -> Template:
    """The template in a file. WrongUse when it is missing, not YAML or has no resources."""
    return _read(path, documents.text_of(path, root), documents.shown(path, root))


@lru_cache(maxsize=256)
def _read(path: Path, text: str, shown: str) -> Template:
    """Every environment asks for the same few templates, with and without the local overlay: each text is read once."""
    document = documents.parse(text, shown, documents.TemplateLoader)
    if not isinstance(document, dict) or not isinstance(document.get("Resources"), dict):
        raise WrongUse(
            f"{path.name} is not a CloudFormation template", "it has no Resources section", "make validate shows what is missing"
        )
    return Template(
        path=path,
        text=text,
        parameters=parameter_specs(document),
        children=children(text),
        codes=codes(text),
        outputs=tuple(document["Outputs"]) if isinstance(document.get("Outputs"), dict) else (),
        resource_count=len(document["Resources"]),
    )


def parameter_specs(document: Mapping[str, Any]) -> dict[str, ParameterSpec]:
    """The Parameters section, every value as the text that CloudFormation would see. WrongUse when it has another shape."""
    declared = document.get("Parameters") or {}
    if not isinstance(declared, dict):
        raise WrongUse("Parameters is not a mapping", "it must hold a mapping for each parameter", "make validate shows where it stands")
    return {name: _parameter_spec(name, spec) for name, spec in declared.items()}


def _parameter_spec(name: str, spec: Any) -> ParameterSpec:
    shapes: dict[str, Any] = {"AllowedValues": list, "MinLength": (int, str), "MaxLength": (int, str)}
    wrong = [key for key, kind in shapes.items() if key in spec and not isinstance(spec[key], kind)] if isinstance(spec, dict) else ["the parameter"]
    wrong += [key for key in ("MinLength", "MaxLength") if not wrong and not as_text(spec.get(key, 0)).isdigit()]
    if wrong:
        reason = f"{', '.join(wrong)} has another shape than CloudFormation takes"
        raise WrongUse(f"the parameter {name} cannot be read", reason, "make validate shows where it stands")

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
    for logical_id, resource in _mapping(_mapping(yaml.compose(text, Loader=documents.SafeLoader)).get("Resources")).items():
        fields = _mapping(resource)
        kind = fields.get("Type")
        url = _mapping(fields.get("Properties")).get("TemplateURL")
        if isinstance(kind, yaml.ScalarNode) and kind.value == NESTED_STACK and _is_path(url):
            found.append(Child(logical_id, url.value, *_place(url)))
    return tuple(found)


def codes(text: str) -> tuple[Code, ...]:
    """The folders of code that resources name, with their places in the text. Code that is in S3 or inline already is left alone."""
    found = []
    for logical_id, resource in _mapping(_mapping(yaml.compose(text, Loader=documents.SafeLoader)).get("Resources")).items():
        fields = _mapping(resource)
        kind = fields.get("Type")
        code = _mapping(fields.get("Properties")).get("Code")
        if not isinstance(kind, yaml.ScalarNode):
            continue
        if kind.value == _FUNCTION and _is_path(code):
            found.append(Code(logical_id, kind.value, code.value, None, _place(code)))
        bucket, key = _mapping(code).get("S3Bucket"), _mapping(code).get("S3Key")
        if kind.value == _CANARY and _is_path(bucket) and bucket.value == PACKAGED and _is_path(key):
            found.append(Code(logical_id, kind.value, key.value, _place(bucket), _place(key)))
    return tuple(found)


def _is_path(node: yaml.Node | None) -> TypeGuard[yaml.ScalarNode]:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:str" and not node.value.startswith(("https://", "http://", "s3://"))


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.index, node.end_mark.index


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
