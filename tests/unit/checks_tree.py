"""Trees for the checks of scripts/checks/: small ones from a mapping, and a copy of this project in which one thing is made wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from scripts.checks.finding import Finding

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("templates", "parameters", "buildspecs", "appspecs", "functions", "app", "scripts")


def tree(folder: Path, files: Mapping[str, str]) -> Path:
    """`folder` with these files in it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    return folder


def copy(folder: Path) -> Path:
    """The project's own files that the checks read, in another folder."""
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@contextmanager
def changed(root: Path, file: str, find: str, replace: str) -> Iterator[Path]:
    """The tree with a text of a file replaced, wherever it stands in it; as it was afterwards."""
    path = root / file
    before = path.read_text(encoding="utf-8")
    assert find in before, f"{file} does not say {find!r}"
    path.write_text(before.replace(find, replace), encoding="utf-8")
    try:
        yield root
    finally:
        path.write_text(before, encoding="utf-8")


def found(check: Callable[[Path], Iterable[Finding]], root: Path) -> dict[str, list[Finding]]:
    """What a check finds, by rule."""
    by_rule: dict[str, list[Finding]] = {}
    for finding in check(root):
        by_rule.setdefault(finding.rule, []).append(finding)
    return by_rule
