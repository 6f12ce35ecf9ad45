"""The templates as AWS gets them: for each environment of parameters/, root and children with their parameters put in and conditions decided.

A policy can then say "deletion protection in prod" and mean the value, wherever it comes from. What only a deployment knows (outputs of other
stacks, attributes, a Fn::If on such a value) stays as the function that it is.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.checks.tree import mapping
from scripts.core import documents, references, settings
from scripts.core.errors import CommandError
from scripts.core.templates import as_text

_STACK = "AWS::CloudFormation::Stack"
_NO_VALUE = {"Ref": "AWS::NoValue"}
_VARIABLE = re.compile(r"\$\{(!?[\w.:]+)\}")
_FUNCTIONS = ("Ref", "Fn::")
# `Ref` of a parameter without a value that is known.
_UNKNOWN = object()


@dataclass(frozen=True, eq=False)
class Resolved:
    """One template with one set of values. `path` is the template's, relative to the project; `environment` is "" for one that none deploys."""

    path: str
    environment: str
    region: str
    document: Mapping[str, Any]


def documents_of(root: Path) -> Iterator[Resolved]:
    """Every template at least once: for each environment in each Region whose values are its own, else with its parameters' defaults.

    A file that cannot be read is left out: other checks say so.
    """
    cache: dict[str, Any] = {}
    seen: set[str] = set()
    for name in settings.names(root):
        try:
            environment = settings.load(root, name, local=False)
        except CommandError:
            continue
        for region in [environment.regions[0], *(other for other in environment.regions[1:] if environment.region_parameters.get(other))]:
            given = {key: value for key, value in environment.parameters_in(region).items() if not references.find(value)}
            pseudo = {"AWS::Region": region, "AWS::AccountId": environment.account, "AWS::Partition": "aws"}
            for path, document in _tree(root, f"templates/{environment.template}.yaml", given, pseudo, cache):
                seen.add(path)
                yield Resolved(path, name, region, document)
    for file in sorted(root.glob("templates/**/*.yaml")):
        path = file.relative_to(root).as_posix()
        if path not in seen:
            template = _read(root, path, cache)
            if template is not None:
                yield Resolved(path, "", "", _Values(template, None, {}).document())


def _read(root: Path, path: str, cache: dict[str, Any]) -> Any:
    if path not in cache:
        try:
            template = documents.read(root / path, documents.TemplateLoader, root)
        except CommandError:
            template = None
        cache[path] = template if isinstance(template, dict) and isinstance(template.get("Resources"), dict) else None
    return cache[path]


def _tree(root: Path, path: str, given: Mapping[str, Any], pseudo: Mapping[str, str], cache: dict[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    template = _read(root, path, cache)
    if template is None:
        return
    document = _Values(template, given, pseudo).document()
    yield path, document
    for resource in document["Resources"].values():
        properties = resource.get("Properties")
        if resource.get("Type") == _STACK and isinstance(properties, dict) and isinstance(properties.get("TemplateURL"), str):
            child = posixpath.normpath(posixpath.join(posixpath.dirname(path), properties["TemplateURL"]))
            yield from _tree(root, child, mapping(properties.get("Parameters")), pseudo, cache)


class _Values:
    """One template's values. `given` None: nobody deploys it, every parameter has its default."""

    def __init__(self, template: Mapping[str, Any], given: Mapping[str, Any] | None, pseudo: Mapping[str, str]) -> None:
        self.template, self.pseudo = template, pseudo
        self.parameters = {name: self._parameter(name, spec, given) for name, spec in mapping(template.get("Parameters")).items()}
        self._conditions: dict[str, bool | None] = {}

    def document(self) -> dict[str, Any]:
        """The template with what is known put in; resources whose condition is false are gone."""
        resources = {
            name: self.value(resource)
            for name, resource in self.template["Resources"].items()
            if isinstance(resource, dict) and self.condition(resource.get("Condition")) is not False
        }
        return {**self.template, "Resources": resources}

    def _parameter(self, name: str, spec: Any, given: Mapping[str, Any] | None) -> Any:
        spec = spec if isinstance(spec, dict) else {}
        value = (given or {}).get(name, _UNKNOWN)
        if value is _UNKNOWN and (given is None or name not in given) and "Default" in spec:
            value = spec["Default"]
        if value is _UNKNOWN or isinstance(value, dict):
            return _UNKNOWN
        if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
            return _UNKNOWN
        text = as_text(value)
        if str(spec.get("Type", "")).startswith(("List<", "CommaDelimitedList")):
            return text.split(",") if text else []
        return text

    def condition(self, name: Any) -> bool | None:
        """A condition's value, None where it is not known."""
        if not isinstance(name, str):
            return None
        if name not in self._conditions:
            self._conditions[name] = None  # one that names itself is never known
            self._conditions[name] = self._decide(mapping(self.template.get("Conditions")).get(name))
        return self._conditions[name]

    def _decide(self, test: Any) -> bool | None:
        if not isinstance(test, dict) or len(test) != 1:
            return None
        ((function, of),) = test.items()
        if function == "Condition":
            return self.condition(of)
        if function == "Fn::Equals" and isinstance(of, list) and len(of) == 2:
            one, other = self.value(of[0]), self.value(of[1])
            return None if _is_function(one) or _is_function(other) else as_text(one) == as_text(other)
        parts = [self._decide(part) for part in of] if isinstance(of, list) else []
        if function == "Fn::Not" and parts:
            return None if parts[0] is None else not parts[0]
        if function == "Fn::And":
            return False if False in parts else None if None in parts else True
        if function == "Fn::Or":
            return True if True in parts else None if None in parts else False
        return None

    def value(self, node: Any) -> Any:
        """The node with everything known put in, and AWS::NoValue gone."""
        if isinstance(node, list):
            return [item for item in map(self.value, node) if item != _NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((function, of),) = node.items()
            if function == "Ref":
                return self._ref(of, node)
            if isinstance(function, str) and function.startswith("Fn::"):
                return self._function(function, of)
        return {key: value for key, value in ((key, self.value(item)) for key, item in node.items()) if value != _NO_VALUE}

    def _ref(self, name: Any, node: dict[str, Any]) -> Any:
        known = self.pseudo.get(str(name), self.parameters.get(str(name), _UNKNOWN))
        return node if known is _UNKNOWN else known

    def _function(self, function: str, of: Any) -> Any:
        if function == "Fn::If" and isinstance(of, list) and len(of) == 3:
            decided = self.condition(of[0])
            return {function: [of[0], self.value(of[1]), self.value(of[2])]} if decided is None else self.value(of[1] if decided else of[2])
        if function == "Fn::Sub":
            return self._sub(of)
        parts = self.value(of)
        if function == "Fn::Join" and _plain_pair(parts) and isinstance(parts[1], list):
            if not any(_is_function(part) for part in parts[1]):
                return str(parts[0]).join(as_text(part) for part in parts[1])
        elif function == "Fn::Split" and _plain_pair(parts) and isinstance(parts[1], str):
            return parts[1].split(str(parts[0]))
        elif function == "Fn::Select" and isinstance(parts, list) and len(parts) == 2 and isinstance(parts[1], list):
            place = as_text(parts[0])
            if place.isdigit() and int(place) < len(parts[1]):
                return parts[1][int(place)]
        elif function == "Fn::FindInMap" and isinstance(parts, list) and len(parts) == 3 and not any(_is_function(part) for part in parts):
            found: Any = mapping(self.template.get("Mappings"))
            for part in parts:
                found = mapping(found).get(as_text(part), _UNKNOWN)
            if found is not _UNKNOWN:
                return found
        return {function: parts}

    def _sub(self, of: Any) -> Any:
        text, extra = (of[0], self.value(of[1])) if isinstance(of, list) and len(of) == 2 else (of, {})
        if not isinstance(text, str) or not isinstance(extra, dict):
            return {"Fn::Sub": of}
        open_ = False

        def put(match: re.Match[str]) -> str:
            nonlocal open_
            name = match.group(1)
            if name.startswith("!"):
                return match.group()
            known = extra.get(name, self.pseudo.get(name, self.parameters.get(name, _UNKNOWN)))
            if known is _UNKNOWN or isinstance(known, (dict, list)):
                open_ = True
                return match.group()
            return as_text(known)

        done = _VARIABLE.sub(put, text)
        if open_:
            return {"Fn::Sub": [done, extra]} if extra else {"Fn::Sub": done}
        return done.replace("${!", "${")


def _plain_pair(parts: Any) -> bool:
    return isinstance(parts, list) and len(parts) == 2 and not _is_function(parts[0])


def _is_function(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and str(next(iter(value))).startswith(_FUNCTIONS)
