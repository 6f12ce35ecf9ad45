"""The files of a tree as the checks read them: YAML with lines, templates, Python as syntax trees. Not a check.

What is read is remembered by its text, so that a second look at the same files costs nothing; nobody may change what they are given.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from scripts.core import documents
from scripts.core.errors import CommandError

Step = str | int
"""A key of a mapping or an index of a list."""

_T = TypeVar("_T")
_REMEMBERED = 512
# What comes of a text that is not what it should be.
_BROKEN: Any = object()


@dataclass(frozen=True)
class Place:
    """A line of a file; 0 is the whole file."""

    path: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path


class Tree:
    """The files under `root` as they were when each was first looked at; paths are relative to it, with `/`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.unread: set[str] = set()
        """Files that were looked at and are not what they should be: sources.py and yaml_style.py say so."""
        self._texts: dict[str, str] = {}
        self._found: dict[tuple[str, ...], list[str]] = {}

    def has(self, path: str) -> bool:
        """Whether there is such a file."""
        return (self.root / path).is_file()

    def glob(self, *patterns: str) -> list[str]:
        """The files that match, sorted, without hidden ones and what Python leaves behind."""
        if patterns not in self._found:
            self._found[patterns] = self._glob(patterns)
        return self._found[patterns]

    def _glob(self, patterns: Sequence[str]) -> list[str]:
        found = set()
        for pattern in patterns:
            # A pattern that names a hidden folder (.github/…) means it.
            meant = {part for part in pattern.split("/") if part.startswith(".")}
            for path in self.root.glob(pattern):
                parts = path.relative_to(self.root).parts
                if path.is_file() and not any(part == "__pycache__" or (part.startswith(".") and part not in meant) for part in parts):
                    found.add("/".join(parts))
        return sorted(found)

    def text(self, path: str) -> str:
        """The text of a file; none for one that is not there or is not UTF-8."""
        if path not in self._texts:
            try:
                self._texts[path] = (self.root / path).read_text(encoding="utf-8")
            except OSError:
                self._texts[path] = ""
            except UnicodeDecodeError:
                self._texts[path] = ""
                self.unread.add(path)
        return self._texts[path]

    def settled(self, found: Iterable[_T]) -> list[_T]:
        """Each finding once; none at all where a file that was looked at cannot be read, as what it has would look like what it lacks."""
        once = list(dict.fromkeys(found))
        return [] if self.unread else once

    def yaml(self, path: str) -> Any:
        """A document with every scalar as the text that was written. None where it cannot be read: that is another check's to say."""
        return self._document(path, documents.TextLoader)

    def typed(self, path: str) -> Any:
        """A document with YAML's own types. None where it cannot be read."""
        found = _parse(self.text(path), _TypedLoader)
        if found is _BROKEN:
            self.yaml(path)  # Only what is no YAML at all is unread: a tag that YAML's own types do not have is another check's to say.
            return None
        return found

    def template(self, path: str) -> dict[str, Any]:
        """A CloudFormation template, short forms as `Fn::…`; {} where it cannot be read."""
        found = self._document(path, documents.TemplateLoader)
        return found if isinstance(found, dict) else {}

    def _document(self, path: str, loader: type) -> Any:
        found = _parse(self.text(path), loader)
        if found is _BROKEN:
            self.unread.add(path)
            return None
        return found

    def python(self, path: str) -> ast.Module:
        """A module's syntax; an empty one where it cannot be read."""
        found = _syntax(self.text(path))
        if found is None:
            self.unread.add(path)
        return found or ast.Module([], [])

    def nodes(self, path: str) -> tuple[ast.AST, ...]:
        """Every node of a module's syntax."""
        self.python(path)
        return _nodes(self.text(path))

    def place(self, path: str, steps: Sequence[Step] = ()) -> Place:
        """Where the value at `steps` is in a YAML file: the line of its key, or as near as the file goes."""
        return Place(path, line_of(self.text(path), steps))

    @functools.cached_property
    def templates(self) -> tuple[str, ...]:
        """The CloudFormation templates."""
        found = self.glob("templates/**/*.yaml", "templates/**/*.yml")
        return tuple(path for path in found if isinstance(self.template(path).get("Resources"), dict))

    def resources(self, kind: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """(template, logical id, properties) of every resource of a type."""
        for path in self.templates:
            for name, resource in self.template(path)["Resources"].items():
                if isinstance(resource, dict) and resource.get("Type") == kind:
                    yield path, name, mapping(resource.get("Properties"))


class _TypedLoader(documents._UniqueKeys, yaml.SafeLoader):
    """YAML's own types."""


@functools.lru_cache(_REMEMBERED)
def _parse(text: str, loader: type) -> Any:
    try:
        return documents.parse(text, "", loader)
    except (CommandError, ValueError):
        return _BROKEN


@functools.lru_cache(_REMEMBERED)
def _compose(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError:
        return None


@functools.lru_cache(_REMEMBERED)
def _syntax(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):  # ValueError: a null byte
        return None


@functools.lru_cache(_REMEMBERED)
def _nodes(text: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(_syntax(text) or ast.Module([], [])))


def line_of(text: str, steps: Sequence[Step]) -> int:
    """The line (from 1) of the value at `steps`; that of the nearest value above it where the steps lead no further. 0 without any."""
    node, line = _compose(text), 0
    for step in steps:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if getattr(key, "value", None) == str(step)), None)
            if pair is None:
                if isinstance(step, str) and (step.startswith("Fn::") or step in ("Ref", "Condition")):
                    continue  # a short form: the tag is on the node itself
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            if step >= len(node.value):
                break
            node = node.value[step]
            line = node.start_mark.line + 1
        elif not (isinstance(step, str) and step.startswith(("Fn::", "Ref"))):
            break
    return line


def node_of(text: str, steps: Sequence[Step]) -> yaml.Node | None:
    """The node at `steps` as it was written, with its quotes; None where there is none."""
    node = _compose(text)
    for step in steps:
        if isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if getattr(key, "value", None) == str(step)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
        else:
            return None
    return node


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a mapping, else an empty one: what has another shape is another check's to say."""
    return value if isinstance(value, dict) else {}


def listing(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def walk(value: Any, steps: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], Any]]:
    """Every value in a document with its steps, the document itself first."""
    yield steps, value
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from walk(inner, (*steps, str(key)))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from walk(inner, (*steps, index))
