"""YAML as this project reads it: no duplicate keys, errors that name the line, CloudFormation's short tags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from scripts.core.errors import WrongUse


class _UniqueKeys:
    """Refuses a mapping that says the same key twice (YAML would keep the last in silence), or has one that is no text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is a list or a mapping: quote it if it is text", key.start_mark)
            if key.value != "<<":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} is there twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)  # type: ignore[misc,no-any-return]


# libyaml's parser where PyYAML carries it (its wheels do): a tenth of the time, and the same documents.
_BaseLoader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class TextLoader(_UniqueKeys, _BaseLoader):  # type: ignore[misc]
    """Every scalar stays the text that was written: an account id keeps its zeros, `true` stays "true"."""


class TemplateLoader(_UniqueKeys, SafeLoader):  # type: ignore[misc]
    """A CloudFormation template: `!Ref X` becomes {"Ref": "X"}, `!Sub …` {"Fn::Sub": …} and so on."""


# A template's dates are text (AWSTemplateFormatVersion: 2010-09-09).
TemplateLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _construct_short_form(loader: TemplateLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any = None
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    return {name: value}


TemplateLoader.add_multi_constructor("!", _construct_short_form)


def parse(text: str, where: str, loader: type = TextLoader) -> Any:
    """The document in `text`. WrongUse names `where`, the line and the reason."""
    try:
        return yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        raise WrongUse(f"{where}{_line(error)} is not valid YAML", _reason(error), "correct that line") from error


def read(path: Path, loader: type = TextLoader, root: Path | None = None) -> Any:
    """The document in a file; a missing file is WrongUse."""
    return parse(text_of(path, root), shown(path, root), loader)


def shown(path: Path, root: Path | None) -> str:
    """A file's name as a person at the project's folder would write it."""
    return str(path.relative_to(root)) if root and path.is_relative_to(root) else str(path)


def text_of(path: Path, root: Path | None = None) -> str:
    """A file's text; a missing file, one that may not be read and one that is not UTF-8 are WrongUse."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise WrongUse(f"{shown(path, root)} does not exist", "", "restore it, or correct the name that points to it") from None
    except UnicodeDecodeError as error:
        raise WrongUse(f"{shown(path, root)} is not UTF-8 text", str(error), "save it as UTF-8, or restore it") from None
    except OSError as error:
        step = "see what it is, and who may read it (ls -ld)"
        raise WrongUse(f"{shown(path, root)} cannot be read", error.strerror or str(error), step) from None


def _line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f" (line {mark.line + 1})" if mark else ""


def _reason(error: yaml.YAMLError) -> str:
    problem = str(getattr(error, "problem", None) or error)
    # Of a second document PyYAML says half of it in the context: "expected a single document in the stream", "but found another document".
    return f"{getattr(error, 'context', None)}, {problem}" if problem.startswith("but ") else problem
