"""What CloudFormation knows of resource types: the registry's schemas, as cfn-lint carries them.

Only data of the cfn-lint package is read (one file per type, on demand); its code is not loaded.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localaws.cloudformation.template import UNKNOWN, TemplateError, attributes, text_of

_ALL_PROPERTIES_ARE_ATTRIBUTES = {
    "AWS::AutoScaling::AutoScalingGroup", "AWS::EC2::SecurityGroup", "AWS::EC2::Subnet", "AWS::EC2::VPC",
    "AWS::ElasticLoadBalancingV2::LoadBalancer", "AWS::SNS::Topic", "AWS::SSM::Parameter"}
"""Types whose properties Fn::GetAtt gives too (the list is the one by which cfn-lint judges, cut to the types made here)."""


class Schemas:
    """The schemas of one Region's resource types."""

    def __init__(self, region: str) -> None:
        found = importlib.util.find_spec("cfnlint")
        if found is None or not found.submodule_search_locations:
            raise RuntimeError("cfn-lint is not installed: CloudFormation's resource schemas come from it")
        self._folder = Path(next(iter(found.submodule_search_locations))) / "data" / "schemas"
        self._index: dict[str, str] = json.loads((self._folder / "providers" / f"{region}.json").read_text())
        self._read: dict[str, dict[str, Any]] = {}

    def known(self, kind: str) -> bool:
        """Tell whether AWS has the resource type in this Region."""
        return kind in self._index

    def of(self, kind: str) -> dict[str, Any]:
        """Return the schema of a known type."""
        if kind not in self._read:
            self._read[kind] = json.loads((self._folder / "resources" / f"{self._index[kind]}.json").read_text())
        return self._read[kind]

    def create_only(self, kind: str) -> tuple[tuple[str, ...], ...]:
        """Return the paths of the properties whose change replaces the resource."""
        pointers = self.of(kind).get("createOnlyProperties") or []
        return tuple(tuple(pointer.split("/")[2:]) for pointer in pointers)

    def names(self, kind: str) -> tuple[str, ...]:
        """Return the top-level properties that make up the resource's identity and may be given."""
        schema = self.of(kind)
        readonly = set(schema.get("readOnlyProperties") or [])
        return tuple(pointer.split("/")[2] for pointer in schema.get("primaryIdentifier") or [] if pointer not in readonly)

    def has_attribute(self, kind: str, attribute: str) -> bool:
        """Tell whether Fn::GetAtt of the type supports the attribute."""
        if kind == "AWS::CloudFormation::Stack":
            return attribute.startswith("Outputs.")
        schema = self.of(kind)
        readonly = {".".join(pointer.split("/")[2:]) for pointer in schema.get("readOnlyProperties") or []}
        if attribute in readonly or any(attribute.startswith(f"{name}.") for name in readonly):
            return True
        return kind in _ALL_PROPERTIES_ARE_ATTRIBUTES and attribute.split(".")[0] in schema["properties"]

    def tag_form(self, kind: str) -> str:
        """Return how the type writes its tags: 'list', 'map', or '' where it has none."""
        schema = self.of(kind)
        pointer = (schema.get("tagging") or {}).get("tagProperty") or "/properties/Tags"
        found = schema["properties"].get("Tags") if pointer == "/properties/Tags" else None
        if found is None or (schema.get("tagging") or {}).get("taggable") is False:
            return ""
        found = self._follow(schema, found)
        return "list" if found.get("type") == "array" else "map"

    def check(self, data: dict[str, Any]) -> None:
        """Raise TemplateError for resource types and attributes that a parsed template uses and AWS does not have."""
        resources = data["Resources"]
        if unknown := sorted({resource["Type"] for resource in resources.values() if not self.known(resource["Type"])}):
            raise TemplateError(f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]")
        for section in ("Resources", "Outputs"):
            for item in (data.get(section) or {}).values():
                for target, attribute in attributes(item):
                    if not self.has_attribute(resources[target]["Type"], attribute):
                        raise TemplateError(f"Template error: resource {target} does not support attribute type {attribute} "
                                            "in Fn::GetAtt")

    def problems(self, kind: str, properties: dict[str, Any]) -> list[str]:
        """Return what is wrong with resolved properties, in the words of the registry's validator; [] if nothing is.

        Unknown and missing keys, wrong containers, numbers and booleans that are none, values outside an enumeration.
        """
        schema = self.of(kind)
        readonly = {pointer.split("/")[2] for pointer in schema.get("readOnlyProperties") or [] if pointer.count("/") == 2}
        found = [f"#: extraneous key [{name}] is not permitted" for name in properties
                 if name in readonly and name in schema["properties"]]
        found += self._walk(schema, schema, properties, "#")
        choices = schema.get("requiredXor") or []
        if choices and sum(name in properties for name in choices) != 1:
            found.append(f"#: exactly one of [{', '.join(choices)}] is required")
        return found

    def _follow(self, root: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node:
            target: Any = root
            for part in node["$ref"].lstrip("#/").split("/"):
                target = target[part]
            node = target
        return node

    def _walk(self, root: dict[str, Any], node: dict[str, Any], value: Any, where: str) -> Iterator[str]:
        node = self._follow(root, node)
        if value is UNKNOWN:
            return
        kinds = node.get("type") or ("object" if "properties" in node else [])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if isinstance(value, dict):
            if kinds and "object" not in kinds:
                yield f"{where}: expected type: {_NAMES.get(kinds[0], kinds[0])}, found: JSONObject"
                return
            members, patterns = node.get("properties") or {}, node.get("patternProperties") or {}
            for name, item in value.items():
                if name in members:
                    yield from self._walk(root, members[name], item, f"{where}/{name}")
                elif matching := [sub for pattern, sub in patterns.items() if _matches(pattern, name)]:
                    yield from self._walk(root, matching[0], item, f"{where}/{name}")
                elif members and node.get("additionalProperties") is False:
                    yield f"{where}: extraneous key [{name}] is not permitted"
            for name in node.get("required") or []:
                if name not in value:
                    yield f"{where}: required key [{name}] not found"
        elif isinstance(value, list):
            if kinds and "array" not in kinds:
                yield f"{where}: expected type: {_NAMES.get(kinds[0], kinds[0])}, found: JSONArray"
                return
            for index, item in enumerate(value):
                yield from self._walk(root, node.get("items") or {}, item, f"{where}/{index}")
        else:
            yield from _scalar_problems(node, kinds, value, where)


_NAMES = {"object": "JSONObject", "array": "JSONArray", "string": "String", "integer": "Integer", "number": "Number",
          "boolean": "Boolean"}


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return True  # a pattern in the registry's dialect (\p{L}) that Python cannot read: such maps are free-form


def _scalar_problems(node: dict[str, Any], kinds: list[str], value: Any, where: str) -> Iterator[str]:
    text = text_of(value)
    if kinds and not set(kinds) & {"string", "integer", "number", "boolean"}:
        yield f"{where}: expected type: {_NAMES.get(kinds[0], kinds[0])}, found: String"
    elif kinds == ["boolean"] and text not in ("true", "false"):
        yield f"{where}: expected type: Boolean, found: String"
    elif kinds and set(kinds) <= {"integer", "number"} and not re.fullmatch(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", text):
        yield f"{where}: expected type: {_NAMES[kinds[0]]}, found: String"
    elif "enum" in node and text not in [text_of(allowed) for allowed in node["enum"]]:
        yield f"{where}: #: {text} is not a valid enum value"


@functools.lru_cache(maxsize=4)
def schemas(region: str) -> Schemas:
    """Return the schemas of a Region, read once."""
    return Schemas(region)
