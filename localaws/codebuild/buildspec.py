"""The buildspec: read, checked, and its artifact patterns. Pure.

Source: AWS CodeBuild User Guide, "Build specification reference"; error texts as people report them from AWS where one was found.
Scalars stay the text that stands in the file (`on-failure: yes` is "yes", `version: 0.2` is "0.2"), as in AWS's own reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import yaml

PHASES = ("install", "pre_build", "build", "post_build")
UNSERVED = ("run-as", "proxy", "batch", "reports")
ON_FAILURE = ("ABORT", "CONTINUE")


class BuildspecError(Exception):
    """The buildspec cannot be used: the message of AWS's YAML_FILE_ERROR."""


@dataclass(frozen=True)
class Phase:
    """The commands of one phase, those that run whatever happens, and what a failure means (None: the usual way on)."""

    commands: tuple[str, ...] = ()
    finally_: tuple[str, ...] = ()
    on_failure: str | None = None


@dataclass(frozen=True)
class Artifacts:
    """Which files become the artifact."""

    files: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    base_directory: str = ""
    discard_paths: bool = False


@dataclass(frozen=True)
class Buildspec:
    """A checked buildspec. `secrets_manager` values are `secret-id[:json-key[:version-stage[:version-id]]]`."""

    phases: dict[str, Phase]
    shell: str = "sh"
    variables: dict[str, str] = field(default_factory=dict)
    parameter_store: dict[str, str] = field(default_factory=dict)
    secrets_manager: dict[str, str] = field(default_factory=dict)
    exported: tuple[str, ...] = ()
    artifacts: Artifacts | None = None
    notes: tuple[str, ...] = ()
    """What the buildspec asks for that makes no difference here (a cache, runtime versions), in words for the log."""


def parse(text: str) -> Buildspec:
    """Read a buildspec; BuildspecError with AWS's words where they are known."""
    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line if error.problem_mark else 0
        raise BuildspecError(f"{error.problem} at line {line}") from None
    if not isinstance(root, yaml.MappingNode):
        raise BuildspecError("buildspec is empty or not a mapping")
    document = _members(root, "buildspec")
    version = _text(document.get("version"), "version")
    if version != "0.2":
        raise BuildspecError(f"Invalid buildspec version {version or '(none)'}: the local AWS serves version 0.2")
    for key in UNSERVED:
        if key in document:
            raise BuildspecError(f'unsupported field "{key}" in buildspec (the local AWS does not serve it)')
    if "phases" not in document:
        raise BuildspecError("buildspec has no phases")
    notes = ["cache: not kept here beyond Docker's own layers"] if "cache" in document else []
    phases = {}
    for name, node in _members(document["phases"], "phases").items():
        if name not in PHASES:
            raise BuildspecError(f"Invalid buildspec phase name: {name}. Expecting: {','.join(sorted(PHASES))}")
        phases[name] = _phase(name, node, notes)
    if not any(phase.commands for phase in phases.values()):
        raise BuildspecError("buildspec has no commands in any phase")
    env = _members(document["env"], "env") if "env" in document else {}
    if _text(env.get("git-credential-helper"), "git-credential-helper") in ("yes", "true"):
        raise BuildspecError('unsupported field "git-credential-helper" in buildspec (the local AWS does not serve it)')
    shell = _text(env.get("shell"), "shell") or "sh"
    if shell not in ("sh", "bash"):
        raise BuildspecError(f"Invalid shell: {shell}. Expecting: bash,sh")
    return Buildspec(
        phases, shell, _map(env.get("variables"), "variables"), _map(env.get("parameter-store"), "parameter-store"),
        _map(env.get("secrets-manager"), "secrets-manager"), _list(env.get("exported-variables"), "exported-variables"),
        _artifacts(document["artifacts"]) if "artifacts" in document else None, tuple(notes))


def _phase(name: str, node: yaml.Node, notes: list[str]) -> Phase:
    members = _members(node, name)
    for key in members:
        if key not in ("commands", "finally", "on-failure", "runtime-versions"):
            raise BuildspecError(f'unsupported field "{key}" in buildspec')
    if "runtime-versions" in members:
        notes.append("runtime-versions: the build container has the versions it has")
    on_failure = _text(members.get("on-failure"), "on-failure") or None
    if on_failure not in (None, *ON_FAILURE):
        raise BuildspecError(f"Invalid on-failure of phase {name}: {on_failure}. Expecting: {','.join(ON_FAILURE)}")
    return Phase(_list(members.get("commands"), "Commands", node), _list(members.get("finally"), "Finally", node), on_failure)


def _artifacts(node: yaml.Node) -> Artifacts:
    members = _members(node, "artifacts")
    if "secondary-artifacts" in members:
        raise BuildspecError('unsupported field "secondary-artifacts" in buildspec (the local AWS does not serve it)')
    files = _list(members.get("files"), "files")
    if not files:
        raise BuildspecError("artifacts has no files")
    return Artifacts(files, _list(members.get("exclude-paths"), "exclude-paths"),
                     _text(members.get("base-directory"), "base-directory"),
                     _text(members.get("discard-paths"), "discard-paths") in ("yes", "true"))


def _members(node: yaml.Node, what: str) -> dict[str, yaml.Node]:
    if isinstance(node, yaml.ScalarNode) and not node.value:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise BuildspecError(f"Expected {what} to be of map type at line {node.start_mark.line + 1}")
    return {key.value: value for key, value in node.value}


def _text(node: yaml.Node | None, what: str) -> str:
    if node is None:
        return ""
    if not isinstance(node, yaml.ScalarNode):
        raise BuildspecError(f"Expected {what} to be of string type at line {node.start_mark.line + 1}")
    return str(node.value)


def _map(node: yaml.Node | None, what: str) -> dict[str, str]:
    return {} if node is None else {key: _text(value, f"{what}.{key}") for key, value in _members(node, what).items()}


def _list(node: yaml.Node | None, what: str, parent: yaml.Node | None = None) -> tuple[str, ...]:
    if node is None or (isinstance(node, yaml.ScalarNode) and not node.value):
        return ()
    if not isinstance(node, yaml.SequenceNode):
        raise BuildspecError(f"Expected {what} to be of list type at line {node.start_mark.line + 1}")
    for index, item in enumerate(node.value):
        if isinstance(item, yaml.MappingNode):
            key_line = next((key.start_mark.line + 1 for key, value in (parent.value if parent else []) if value is node),
                            node.start_mark.line + 1)
            raise BuildspecError(f"Expected {what}[{index}] to be of string type: found subkeys instead at line "
                                 f"{item.start_mark.line + 1}, value of the key tag on line {key_line} might be empty")
    return tuple(_text(item, what) for item in node.value)


def pattern(text: str) -> re.Pattern[str]:
    """A file pattern of `artifacts`: `**` goes through folders, `*` and `?` do not."""
    out, index = "", 0
    text = text.removeprefix("./")
    while index < len(text):
        if text.startswith("**/", index):
            out, index = out + "(?:.*/)?", index + 3
        elif text.startswith("**", index):
            out, index = out + ".*", index + 2
        else:
            out += {"*": "[^/]*", "?": "[^/]"}.get(text[index], re.escape(text[index]))
            index += 1
    return re.compile(out)


def select(artifacts: Artifacts, names: Iterable[str]) -> dict[str, str]:
    """Name in the artifact by name below the base directory, of the files that the patterns take."""
    included, excluded = [pattern(p) for p in artifacts.files], [pattern(p) for p in artifacts.exclude]
    chosen = [name for name in sorted(names)
              if any(p.fullmatch(name) for p in included) and not any(p.fullmatch(name) for p in excluded)]
    return {name: name.rsplit("/", 1)[-1] if artifacts.discard_paths else name for name in chosen}


def is_inline(given: str) -> bool:
    """Say whether a project's buildspec is the buildspec itself, not the path of one in the source."""
    return "\n" in given or given.lstrip().startswith(("version:", "{"))


def secret_reference(text: str) -> dict[str, Any]:
    """{id, key, stage, version} of a secrets-manager value; an ARN's own colons are part of the id."""
    parts = text.split(":")
    if text.startswith("arn:"):
        parts = [":".join(parts[:7]), *parts[7:]]
    return dict(zip(("id", "key", "stage", "version"), [*parts, "", "", ""], strict=False))
