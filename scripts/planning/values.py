"""A template's expressions, evaluated as far as they can be without asking AWS: pure.

A value is text, a list, a mapping, or one of three stand-ins: a Token (an expression that only CloudFormation can resolve; two equal ones mean
the same as long as what they name stays), UNKNOWN (it may become another value) and FRESH (it will: what it names is made anew).
Source: CloudFormation Template Reference Guide, "Intrinsic function reference".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scripts.core.templates import ParameterSpec, as_text

_IN_TEXT = re.compile(r"\$\{(!?)([^}]*)\}")


@dataclass(frozen=True)
class Token:
    """An expression by its text."""

    text: str


UNKNOWN = Token("unknown")
FRESH = Token("fresh")
NO_VALUE = Token("AWS::NoValue")


@dataclass(frozen=True)
class Scope:
    """What a template's expressions can name. `ref` and `attribute` answer for its resources."""

    document: Mapping[str, Any]
    specs: Mapping[str, ParameterSpec]
    parameters: Mapping[str, Any]
    pseudo: Mapping[str, str]
    ref: Callable[[str], Any]
    attribute: Callable[[str, str], Any]

    def value(self, node: Any) -> Any:
        """The node with every expression in it replaced by its value."""
        if isinstance(node, Mapping):
            if len(node) == 1:
                name, argument = next(iter(node.items()))
                if name == "Ref" or str(name).startswith("Fn::"):
                    return self._function(str(name), argument)
            found = {str(key): self.value(item) for key, item in node.items()}
            return {key: item for key, item in found.items() if item is not NO_VALUE}
        if isinstance(node, (list, tuple)):
            return [item for item in map(self.value, node) if item is not NO_VALUE]
        return node if isinstance(node, Token) else as_text(node)

    def condition(self, name: str) -> bool | None:
        """A condition by its name; None where it cannot be told."""
        return self._test((self.document.get("Conditions") or {}).get(name))

    def holds(self, item: Mapping[str, Any]) -> bool:
        """Whether a resource or an output is there: what cannot be told counts as there."""
        return "Condition" not in item or self.condition(str(item["Condition"])) is not False

    def _test(self, node: Any) -> bool | None:
        if not isinstance(node, Mapping) or len(node) != 1:
            return None
        name, argument = next(iter(node.items()))
        if name == "Condition":
            return self.condition(str(argument))
        if name == "Fn::Equals":
            left, right = map(self.value, argument)
            return left == right if not tokens(left) and not tokens(right) else None
        if name == "Fn::Not":
            inner = self._test(argument[0])
            return None if inner is None else not inner
        if name in ("Fn::And", "Fn::Or"):
            found = [self._test(item) for item in argument]
            decisive = name == "Fn::Or"
            return decisive if decisive in found else None if None in found else not decisive
        return None

    def _function(self, name: str, argument: Any) -> Any:
        if name == "Ref":
            return self._ref(str(argument))
        if name == "Fn::GetAtt":
            target, _, attribute = argument.partition(".") if isinstance(argument, str) else (str(argument[0]), "", ".".join(map(str, argument[1:])))
            return self.attribute(target, attribute)
        if name == "Fn::If":
            chosen = self.condition(str(argument[0]))
            if chosen is None:
                yes, no = self.value(argument[1]), self.value(argument[2])
                return yes if yes == no else UNKNOWN
            return self.value(argument[1] if chosen else argument[2])
        if name == "Fn::Sub":
            return self._sub(argument)
        return _combined(name, self.value(argument), self.document)

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in self.pseudo:
            return self.pseudo[name]
        if name not in self.specs:
            return self.ref(name) if name in (self.document.get("Resources") or {}) else Token(name)
        kind, value = self.specs[name].type, self.parameters.get(name, UNKNOWN)
        if kind.startswith("AWS::SSM::Parameter::Value") and not isinstance(value, Token):
            return Token(f"the parameter {value}")
        if (kind == "CommaDelimitedList" or kind.startswith("List<")) and isinstance(value, str):
            return [part.strip() for part in value.split(",")]
        return value

    def _sub(self, argument: Any) -> Any:
        text, own = (argument, {}) if isinstance(argument, str) else (argument[0], argument[1])
        parts: list[Any] = []
        end = 0
        for match in _IN_TEXT.finditer(text):
            parts.append(text[end : match.start()])
            name, end = match.group(2).strip(), match.end()
            if match.group(1):
                parts.append(f"${{{name}}}")
            elif name in own:
                parts.append(self.value(own[name]))
            elif "." in name:
                parts.append(self.attribute(*name.split(".", 1)))
            else:
                parts.append(self._ref(name))
        return _joined("", [*parts, text[end:]])


def tokens(value: Any) -> set[Token]:
    """Every stand-in inside a value."""
    if isinstance(value, Token):
        return {value}
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return {token for item in inner for token in tokens(item)}


def bind(specs: Mapping[str, ParameterSpec], given: Mapping[str, Any]) -> dict[str, Any]:
    """Every parameter with its value: the given one, else the default, else UNKNOWN."""
    return {name: given.get(name, UNKNOWN if spec.default is None else spec.default) for name, spec in specs.items()}


def as_parameter(value: Any) -> Any:
    """A value as a nested stack's parameter gets it: a list joined by commas."""
    if isinstance(value, list):
        return _joined(",", value)
    return value if isinstance(value, (str, Token)) else UNKNOWN


def _combined(name: str, value: Any, document: Mapping[str, Any]) -> Any:
    """A function whose arguments are evaluated already."""
    if UNKNOWN in tokens(value) and name != "Fn::Select":
        return UNKNOWN
    try:
        if name == "Fn::Join" and isinstance(value[1], list):
            return _joined(value[0], value[1])
        if name == "Fn::Split" and isinstance(value[1], str):
            return value[1].split(value[0])
        if name == "Fn::Select" and isinstance(value[1], list):
            return value[1][int(value[0])]
        if name == "Fn::FindInMap" and not tokens(value):
            return _texts(document["Mappings"][value[0]][value[1]][value[2]])
    except (KeyError, IndexError, TypeError, ValueError):
        return UNKNOWN
    return _opaque(name, value)


def _joined(delimiter: str, parts: list[Any]) -> Any:
    if all(isinstance(part, str) for part in parts):
        return delimiter.join(parts)
    return _opaque("join", [delimiter, *parts])


def _opaque(name: str, value: Any) -> Token:
    inside = tokens(value)
    if UNKNOWN in inside or FRESH in inside:
        return FRESH if FRESH in inside else UNKNOWN
    return Token(json.dumps([name, value], default=lambda token: {"token": token.text}, sort_keys=True))


def _texts(value: Any) -> Any:
    return [as_text(item) for item in value] if isinstance(value, list) else as_text(value)
