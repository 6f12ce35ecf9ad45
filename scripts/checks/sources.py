"""Files of Python that are none: said once, where the fault is. The contracts that need them say nothing until it is mended."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from scripts.checks.finding import Finding
from scripts.checks.tree import Tree

RULES = {"python-syntax": "Every Python file of the project is Python."}
SOURCES = {"python-syntax": "https://docs.python.org/3/tutorial/errors.html#syntax-errors"}
PATTERNS = tuple(f"{folder}/**/*.py" for folder in ("functions", "app", "buildspecs", "appspecs", "scripts"))


def check(root: Path) -> Iterator[Finding]:
    """The first fault of each file: what a parser says after it is mostly about that."""
    tree = Tree(root)
    for path in tree.glob(*PATTERNS):
        tree.python(path)
    for path in sorted(tree.unread):
        line, column, reason = _fault(root / path)
        step = "correct that line; what other files expect of it is checked after that"
        yield Finding("python-syntax", path, line, column, f"not Python: {reason}", next_step=step, source=SOURCES["python-syntax"])


def _fault(file: Path) -> tuple[int, int, str]:
    """Line, column and reason; 0, 0 where the file as a whole is wrong."""
    try:
        ast.parse(file.read_text(encoding="utf-8"))
    except SyntaxError as error:
        return error.lineno or 0, error.offset or 0, error.msg
    except (ValueError, RecursionError) as error:  # no UTF-8, or a null byte
        return 0, 0, str(error)
    return 0, 0, "it cannot be read"
