"""Where a value of a template comes from: through conditions, joins and splits, into the stacks below and from the stack above. Not a check."""

from __future__ import annotations

import functools
import itertools
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.checks.tree import Place, Step, Tree, listing, mapping

STACK = "AWS::CloudFormation::Stack"
_ALTERNATIVES = 64
_DEEP = 30


@dataclass(frozen=True)
class Source:
    """What a resource is or has: its Ref (`attribute` is "") or an attribute. `path` is the template."""

    path: str
    name: str
    attribute: str = ""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a template that no other template of the tree deploys: people, or parameters/, give it."""

    path: str
    name: str


@dataclass(frozen=True)
class Unknown:
    """A value that no template says: a pseudo parameter, an import, what AWS looks up."""

    name: str


Part = str | Source | Parameter | Unknown
Value = tuple[Part, ...]
"""A text in parts: what is known of it, and what only a deployment knows."""


@dataclass(frozen=True)
class Action:
    """An action of a pipeline with the name of its stage, its place in the pipeline's order, and where it stands."""

    path: str
    pipeline: str
    stage: str
    stage_number: int
    name: str
    content: dict[str, Any]
    steps: tuple[Step, ...]

    @property
    def provider(self) -> str:
        return str(mapping(self.content.get("ActionTypeId")).get("Provider", ""))

    @property
    def configuration(self) -> dict[str, Any]:
        return mapping(self.content.get("Configuration"))


class Wiring:
    """The templates of a tree with what connects them."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._parents: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
        self._children: dict[tuple[str, str], str] = {}
        for path, name, properties in tree.resources(STACK):
            url = properties.get("TemplateURL")
            if isinstance(url, str) and "://" not in url:
                child = posixpath.normpath(posixpath.join(posixpath.dirname(path), url))
                self._children[path, name] = child
                self._parents.setdefault(child, []).append((path, name, mapping(properties.get("Parameters"))))

    def roots(self) -> list[str]:
        """The templates that no other one deploys."""
        return [path for path in self.tree.templates if path not in self._parents]

    def resource(self, source: Source) -> dict[str, Any]:
        """The properties of a resource."""
        return mapping(mapping(mapping(self.tree.template(source.path).get("Resources")).get(source.name)).get("Properties"))

    def kind(self, source: Source) -> str:
        """The type of a resource."""
        return str(mapping(mapping(self.tree.template(source.path).get("Resources")).get(source.name)).get("Type", ""))

    def place(self, source: Source | Parameter, *steps: Step) -> Place:
        """Where a resource or a parameter is declared."""
        section = "Resources" if isinstance(source, Source) else "Parameters"
        return self.tree.place(source.path, (section, source.name, *steps))

    def values(self, path: str, value: Any, depth: int = 0) -> list[Value]:
        """What a value of the template at `path` may be: one for each way that conditions and deployments go."""
        if depth > _DEEP:
            return [(Unknown("…"),)]
        if isinstance(value, bool):
            return [("true" if value else "false",)]
        if isinstance(value, (str, int, float)):
            return [(str(value),)]
        if isinstance(value, list):
            return self._joined(",", [self.values(path, item, depth + 1) for item in value if not _nothing(item)])
        if not isinstance(value, dict) or len(value) != 1:
            return [(Unknown("a mapping"),)]
        ((function, given),) = value.items()
        if function == "Ref":
            return self._reference(path, str(given), depth)
        if function == "Fn::GetAtt":
            name, _, attribute = ".".join(map(str, given)).partition(".") if isinstance(given, list) else str(given).partition(".")
            return self._attribute(path, name, attribute, depth)
        if function == "Fn::If" and isinstance(given, list) and len(given) == 3:
            found = [each for branch in given[1:] if not _nothing(branch) for each in self.values(path, branch, depth + 1)]
            return list(dict.fromkeys(found))[:_ALTERNATIVES]
        if function == "Fn::Join" and isinstance(given, list) and len(given) == 2:
            if isinstance(given[1], list):
                return self._joined(str(given[0]), [self.values(path, item, depth + 1) for item in given[1] if not _nothing(item)])
            return self.values(path, given[1], depth + 1)
        if function == "Fn::Sub":
            return self._substituted(path, given, depth)
        if function == "Fn::Select" and isinstance(given, list) and len(given) == 2:
            return self._selected(path, given, depth)
        return [(Unknown(function),)]

    def sources(self, path: str, value: Any, kind: str) -> list[Source]:
        """The resources of a type that a value names."""
        return list(dict.fromkeys(part for one in self.values(path, value) for part in one if isinstance(part, Source) and self.kind(part) == kind))

    @functools.cached_property
    def actions(self) -> tuple[Action, ...]:
        """Every action of every pipeline, those under conditions too."""
        return tuple(self._actions())

    def _actions(self) -> Iterator[Action]:
        for path, name, properties in self.tree.resources("AWS::CodePipeline::Pipeline"):
            stages = branches(properties.get("Stages"), ("Resources", name, "Properties", "Stages"))
            for number, (stage, steps) in enumerate(stages):
                for content, inner in branches(mapping(stage).get("Actions"), (*steps, "Actions")):
                    yield Action(path, name, str(mapping(stage).get("Name", "")), number, str(mapping(content).get("Name", "")), mapping(content), inner)

    def _reference(self, path: str, name: str, depth: int) -> list[Value]:
        template = self.tree.template(path)
        if name in mapping(template.get("Resources")):
            return [(Source(path, name),)]
        spec = mapping(template.get("Parameters")).get(name)
        if spec is None:
            return [(Unknown(name),)]
        if path not in self._parents:
            return [(Parameter(path, name),)]
        found: list[Value] = []
        for parent, _, given in self._parents[path]:
            if name in given:
                found += self.values(parent, given[name], depth + 1)
            elif "Default" in mapping(spec):
                found.append((str(mapping(spec)["Default"]),))
        return list(dict.fromkeys(found))

    def _attribute(self, path: str, name: str, attribute: str, depth: int) -> list[Value]:
        child = self._children.get((path, name))
        if child and attribute.startswith("Outputs."):
            output = mapping(mapping(self.tree.template(child).get("Outputs")).get(attribute.removeprefix("Outputs.")))
            return self.values(child, output["Value"], depth + 1) if "Value" in output else [(Unknown(attribute),)]
        return [(Source(path, name, attribute),)]

    def _substituted(self, path: str, given: Any, depth: int) -> list[Value]:
        text, own = (given[0], mapping(given[1])) if isinstance(given, list) and len(given) == 2 else (given, {})
        if not isinstance(text, str):
            return [(Unknown("Fn::Sub"),)]
        parts: list[list[Value]] = []
        for index, piece in enumerate(re.split(r"\$\{([^!}][^}]*)\}", text)):
            if index % 2 == 0:
                parts.append([(piece.replace("${!", "${"),)] if piece else [()])
            elif piece in own:
                parts.append(self.values(path, own[piece], depth + 1))
            elif "." in piece:
                name, _, attribute = piece.partition(".")
                parts.append(self._attribute(path, name, attribute, depth))
            else:
                parts.append(self._reference(path, piece, depth))
        return self._joined("", parts)

    def _selected(self, path: str, given: Sequence[Any], depth: int) -> list[Value]:
        index = int(given[0]) if str(given[0]).isdigit() else -1
        if isinstance(given[1], list):
            return self.values(path, given[1][index], depth + 1) if 0 <= index < len(given[1]) else [(Unknown("Fn::Select"),)]
        split = mapping(given[1]).get("Fn::Split")
        if not isinstance(split, list) or len(split) != 2:
            return [(Unknown("Fn::Select"),)]
        found = []
        for value in self.values(path, split[1], depth + 1):
            items = divided(value, str(split[0]))
            found.append(items[index] if 0 <= index < len(items) else (Unknown("Fn::Select"),))
        return list(dict.fromkeys(found))

    @staticmethod
    def _joined(separator: str, items: Sequence[Sequence[Value]]) -> list[Value]:
        found = []
        for chosen in itertools.islice(itertools.product(*items), _ALTERNATIVES):
            parts: list[Part] = []
            for index, item in enumerate(chosen):
                if index and separator:
                    parts.append(separator)
                parts += item
            found.append(_merged(parts))
        return list(dict.fromkeys(found))


def branches(items: Any, steps: tuple[Step, ...]) -> Iterator[tuple[Any, tuple[Step, ...]]]:
    """The items of a list with their steps; both branches of an Fn::If."""
    for index, item in enumerate(listing(items)):
        yield from _branch(item, (*steps, index))


def _branch(item: Any, steps: tuple[Step, ...]) -> Iterator[tuple[Any, tuple[Step, ...]]]:
    condition = mapping(item).get("Fn::If")
    if not isinstance(condition, list):
        if not _nothing(item):
            yield item, steps
        return
    for index, branch in enumerate(condition[1:], 1):
        yield from _branch(branch, (*steps, "Fn::If", index))


def _nothing(value: Any) -> bool:
    return isinstance(value, dict) and value == {"Ref": "AWS::NoValue"}


def _merged(parts: Sequence[Part]) -> Value:
    """Neighbouring texts as one."""
    merged: list[Part] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif part != "":
            merged.append(part)
    return tuple(merged)


def divided(value: Value, separator: str) -> list[Value]:
    """A value split at a separator, as Fn::Split does it with what is known of the text."""
    items: list[list[Part]] = [[]]
    for part in value:
        if not isinstance(part, str):
            items[-1].append(part)
            continue
        first, *more = part.split(separator)
        if first:
            items[-1].append(first)
        items += [[one] if one else [] for one in more]
    return [tuple(item) for item in items]


def pattern(value: Value) -> str:
    """A value with `*` for what only a deployment knows."""
    return re.sub(r"\*+", "*", "".join(part if isinstance(part, str) else "*" for part in value))


def literal(value: Value) -> str | None:
    """The text of a value that is known as a whole."""
    return "".join(part for part in value if isinstance(part, str)) if all(isinstance(part, str) for part in value) else None


def fits(one: str, other: str) -> bool:
    """Whether two patterns may be the same text: `*` stands for any characters, none of them `/`."""

    def expression(text: str) -> str:
        return "".join("[^/]*" if piece == "*" else re.escape(piece) for piece in re.split(r"(\*)", text))

    return re.fullmatch(expression(one), other) is not None or re.fullmatch(expression(other), one) is not None
