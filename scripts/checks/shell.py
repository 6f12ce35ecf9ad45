"""Shell scripts that CodeDeploy, CodeBuild and hosts run, by shellcheck: hooks, buildspecs' scripts, user data in templates.

The commands written into buildspecs and appspecs themselves are another check's (commands.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from scripts.checks import tools
from scripts.checks.finding import Finding
from scripts.core import documents

# shellcheck's rules (SC…) are its own to describe.
RULES: dict[str, str] = {}
PATTERNS = ("appspecs/**/*.sh", "buildspecs/**/*.sh", "scripts/**/*.sh", "functions/**/*.sh", "app/**/*.sh", ".ci/run")
_WIKI = "https://www.shellcheck.net/wiki/"
_STEP = "write it as that page does, or say why not: # shellcheck disable=… # reason, on the line above"
# What shellcheck says beside the fault itself where it could not go on: https://www.shellcheck.net/wiki/SC1073
_NOT_SHELL, _NOT_SOURCED, _ABOUT_PARSING = "SC1073", "SC1094", ("SC1009", "SC1072", "SC1073")
# What Fn::Sub puts a value in for; ${!Name} is left for the shell as ${Name}.
_SUBSTITUTED = re.compile(r"\$\{(?P<kept>!)?(?P<name>[\w.:]+)\}")


def check(root: Path) -> Iterator[Finding]:
    """Everything at level info and above. What is on purpose says so above its line: `# shellcheck disable=SC… # reason`."""
    files = sorted({path.relative_to(root).as_posix() for pattern in PATTERNS for path in root.glob(pattern) if path.is_file()})
    if files:
        yield from shellcheck(root, files)
    for path in sorted(root.glob("templates/**/*.yaml")):
        where = path.relative_to(root).as_posix()
        for script, line, column in user_data(path.read_text(encoding="utf-8", errors="replace")):
            for found in shellcheck(root, ["-"], script):
                yield replace(found, path=where, line=found.line + line, column=found.column + column)


def shellcheck(root: Path, files: Sequence[str], given: str | None = None) -> Iterator[Finding]:
    """What shellcheck says of files, or of `given` where the file is "-". A script without a first line that names its shell is one of sh."""
    shell = ["--shell", "sh"] if given is not None and not given.startswith("#!") else []
    command: list[str | Path] = [
        tools.program("shellcheck"),
        "--external-sources",
        "--source-path",
        "SCRIPTDIR",
        "--severity",
        "info",
        "--format",
        "json1",
        *shell,
        *files,
    ]
    found: dict[str, list[Finding]] = {}
    for said in json.loads(tools.run(command, root, (0, 1), given))["comments"]:
        rule = f"SC{said['code']}"
        level = "error" if said["level"] == "error" else "warning"
        one = Finding(rule, said["file"], said["line"], said["column"], said["message"], level, next_step=_STEP, source=f"{_WIKI}{rule}")
        found.setdefault(said["file"], []).append(one)
    broken = {file for file, places in found.items() if _NOT_SHELL in {one.rule for one in places}}
    for file, places in found.items():
        # Whoever sources one of those is told that of it too.
        yield from [_not_shell(places)] if file in broken else [one for one in places if not broken or one.rule != _NOT_SOURCED]


def _not_shell(found: Sequence[Finding]) -> Finding:
    """One finding for what shellcheck says in several of a script that it cannot parse: the first that says more than that."""
    telling = next((one for one in found if one.rule not in _ABOUT_PARSING), found[0])
    step = "correct that line; the rest of the script is checked after that"
    return replace(telling, rule=_NOT_SHELL, message=f"not shell: {telling.message}", level="error", next_step=step, source=f"{_WIKI}{_NOT_SHELL}")


def user_data(text: str) -> Iterator[tuple[str, int, int]]:
    """Each script under a UserData key of a template: its text as a host gets it, values put in; the lines above it; the columns before it."""
    if "UserData" not in text:
        return
    try:
        document = yaml.compose(text, Loader=documents.SafeLoader)
    except yaml.YAMLError:
        return  # said by yamllint
    lines = text.splitlines()
    for node in _scripts(document):
        if node.style == "|":
            first = node.start_mark.line + 1
            body = lines[first] if first < len(lines) else ""
            yield _as_shell(node), first, len(body) - len(body.lstrip())


def _as_shell(node: yaml.ScalarNode) -> str:
    """A value stands for each substitution, of the same length so that columns stay."""
    if node.tag != "!Sub":
        return str(node.value)
    return _SUBSTITUTED.sub(lambda match: f"${{{match['name']}}}" if match["kept"] else "v" * len(match.group()), node.value)


def _scripts(node: Any, inside: bool = False) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _scripts(value, inside or (isinstance(key, yaml.ScalarNode) and key.value == "UserData"))
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _scripts(value, inside)
    elif inside and isinstance(node, yaml.ScalarNode):
        yield node
