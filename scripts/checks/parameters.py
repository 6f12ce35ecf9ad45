"""The values of parameters/ against the templates that they feed, as on AWS and with the local overlay: unknown, missing, out of constraint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from scripts.checks.finding import Finding
from scripts.checks.tree import Tree
from scripts.core import roots, settings
from scripts.core.errors import BadInput, CommandError, Problem

RULES = {
    "parameters-fit": "a parameters file has what its template takes: known names, none missing, values that the constraints allow",
    "parameters-overlay": "a file in parameters/local/ lies over one of the same name in parameters/",
}
_SOURCE = "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html"
# "parameters/prod.yaml with parameters/local/prod.yaml: AmiId"
_NAME = re.compile(r"^(?P<base>parameters/[\w.-]+)(?: with (?P<overlay>[\w./-]+))?(?:: (?P<key>.+))?$", re.DOTALL)


def check(root: Path) -> Iterator[Finding]:
    """What `make deploy` would refuse before it calls AWS."""
    tree = Tree(root)
    for path in tree.glob("templates/**/*.yaml"):
        tree.template(path)
    for path in tree.glob("parameters/**/*.yaml"):
        tree.yaml(path)
    if tree.unread:
        return  # each environment that needs the file would say so
    seen: set[tuple[str, str]] = set()
    environments = settings.names(root)
    for name in environments:
        for local in (False, True):
            for problem in _problems(root, name, local):
                # The overlay repeats what the base file has wrong: each once.
                about = (problem.name.split(": ")[-1], problem.reason)
                if about not in seen:
                    seen.add(about)
                    yield _finding(root, f"parameters/{name}.yaml", problem)
    for overlay in sorted((root / "parameters" / "local").glob("*.yaml")):
        if overlay.stem not in environments:
            where = overlay.relative_to(root).as_posix()
            message = f"{where} lies over nothing: there is no parameters/{overlay.name}"
            yield Finding("parameters-overlay", where, message=message, next_step="rename or remove it")


def _problems(root: Path, name: str, local: bool) -> tuple[Problem, ...]:
    try:
        roots.load(root, name, local)
    except BadInput as error:
        return error.problems
    except CommandError as error:
        return (Problem(error.what, error.reason, error.next_step),)
    return ()


def _finding(root: Path, file: str, problem: Problem) -> Finding:
    match = _NAME.match(problem.name)
    # Of a template that cannot be read, say, the file is in the words.
    where, key = (match["overlay"] or match["base"], match["key"] or "") if match else (file, "")
    if match and match["overlay"] and not _line(root / match["overlay"], key):
        where = match["base"]
    message = f"{key}: {problem.reason}" if match and key else ": ".join(part for part in (problem.name, problem.reason) if part)
    return Finding("parameters-fit", where, _line(root / where, key), message=message, next_step=problem.next_step, source=_SOURCE)


def _line(path: Path, key: str) -> int:
    """The line that gives the last part of `key` its value, 0 for none."""
    if not key or not path.exists():
        return 0
    begin = re.compile(rf"\s*{re.escape(key.split(': ')[-1])}\s*:")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((number for number, line in enumerate(lines, 1) if begin.match(line)), 0)
