"""The commands written into buildspecs, by shellcheck: in the shell that CodeBuild runs them with, all of a build's in one.

Buildspecs that a template holds in itself (`BuildSpec: |`) are looked at too. An AppSpec file holds no commands, only the names of scripts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from scripts.checks import shell
from scripts.checks.finding import Finding
from scripts.checks.tree import Tree, mapping, node_of

# shellcheck's rules (SC…) are its own to describe.
RULES: dict[str, str] = {}

PHASES = ("install", "pre_build", "build", "post_build")
# "If you do not specify a shell, sh is used" on Linux: https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html#build-spec.env.shell
SHELLS = {"": "sh", "sh": "sh", "/bin/sh": "sh", "bash": "bash", "/bin/bash": "bash"}


@dataclass(frozen=True)
class Line:
    """Where a line of a build's script stands in its file, and how far to the right it begins there."""

    number: int
    column: int


def check(root: Path) -> Iterator[Finding]:
    """What shellcheck says of every buildspec's commands."""
    tree = Tree(root)
    for path in tree.glob("buildspecs/**/*.yml", "buildspecs/**/*.yaml"):
        yield from _checked(root, path, tree.text(path), 0, 0)
    for path, name, properties in tree.resources("AWS::CodeBuild::Project"):
        given = mapping(properties.get("Source")).get("BuildSpec")
        node = node_of(tree.text(path), ("Resources", name, "Properties", "Source", "BuildSpec"))
        if isinstance(given, str) and isinstance(node, yaml.ScalarNode) and node.style == "|":
            first = tree.text(path).splitlines()[node.start_mark.line + 1 :][:1]
            indent = len(first[0]) - len(first[0].lstrip()) if first else 0
            yield from _checked(root, path, given, node.start_mark.line + 1, indent)


def _checked(root: Path, path: str, text: str, above: int, left: int) -> Iterator[Finding]:
    """The findings of one buildspec, which begins `above` lines down in its file and `left` columns to the right."""
    which, script, lines = script_of(text)
    if which is None or not lines:
        return
    # In front of the commands stands a line that names the shell.
    for found in shell.shellcheck(root, ["-"], f"#!/bin/{which}\n{script}"):
        at = lines[min(max(found.line - 2, 0), len(lines) - 1)]
        yield replace(found, path=path, line=at.number + above, column=found.column + at.column + left)


def script_of(text: str) -> tuple[str | None, str, list[Line]]:
    """(shell, the commands of all phases as one script, where each of its lines stands). No shell: one that shellcheck does not know."""
    try:
        tagged = node_of(text, ("env", "shell"))
    except yaml.YAMLError:
        return None, "", []
    which = SHELLS.get(tagged.value if isinstance(tagged, yaml.ScalarNode) else "")
    script: list[str] = []
    lines: list[Line] = []
    for phase in PHASES:
        for key in ("commands", "finally"):
            node = node_of(text, ("phases", phase, key))
            for command in node.value if isinstance(node, yaml.SequenceNode) else []:
                if not isinstance(command, yaml.ScalarNode):
                    continue
                for index, line in enumerate(command.value.rstrip("\n").split("\n")):
                    script.append(line)
                    lines.append(_line(text, command, index))
    return which, "\n".join(script) + "\n", lines


def _line(text: str, node: yaml.ScalarNode, index: int) -> Line:
    mark = node.start_mark
    if node.style == "|":
        written = text.splitlines()
        number = mark.line + 1 + index
        first = written[mark.line + 1] if mark.line + 1 < len(written) else ""
        return Line(number + 1, len(first) - len(first.lstrip()))
    # A folded or quoted text has lost its lines: the first is named.
    return Line(mark.line + 1, mark.column + (1 if node.style in ("'", '"') else 0))
