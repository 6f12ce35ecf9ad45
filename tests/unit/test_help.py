"""What a person reads first: `make help` and every command's --help, in eighty columns; and a Makefile whose recipes stay short."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.core import world

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
    for path in (*(ROOT / "scripts").glob("*.py"), ROOT / "localaws/__main__.py", ROOT / "localaws/machine.py")
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
)
COLUMNS = 80


def told(*command: str) -> list[str]:
    """The lines that a command writes, without what makes them bold."""
    environ = {**os.environ, "COLUMNS": str(COLUMNS)}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True, timeout=60)
    return re.sub("\033\\[[0-9;]*m", "", done.stdout).splitlines()


def too_long(lines: list[str]) -> list[str]:
    return [line for line in lines if len(line) > COLUMNS]


def recipes(makefile: str) -> dict[str, int]:
    """target → how many lines its recipe has; one that is continued counts once."""
    found: dict[str, int] = {}
    target = ""
    for line in makefile.replace("\\\n", " ").splitlines():
        if line.startswith("\t"):
            found[target] += 1
        elif rule := re.match(r"([\w$()/.-]+):(?!=)", line):
            target = rule.group(1)
            found[target] = 0
    return found


def test_make_help_fits_and_says_all_of_every_target() -> None:
    lines = told("make", "--no-print-directory", "help")  # make test is a make of its own, and says so
    assert too_long(lines) == []
    described = dict(re.findall(r"^([a-z-]+):.*?## (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert len(described) > 30 and " ".join(" ".join(lines).split()) == " ".join(f"{name} {text}" for name, text in described.items())


@pytest.mark.parametrize("module", MODULES)
def test_help_fits(module: str) -> None:
    lines = told(sys.executable, "-m", module, "--help")
    assert lines[0].startswith(f"usage: python -m {module}") and too_long(lines) == []


def test_help_fills_paragraphs_and_leaves_what_is_indented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    text = "One line.\n\n" + "word " * 40 + "\nand a last one.\n\n    a command   as it is \\\n      goes on\n"
    shown = world.parser("status", text, environment=None).format_help()
    assert "word word\n" in shown and "\n    a command   as it is \\\n      goes on\n" in shown
    assert too_long(text.splitlines()) and not too_long(shown.splitlines())


def test_a_recipe_is_two_lines_at_most() -> None:
    assert recipes("a: b\n\tone\n\ttwo \\\n\t  goes on\n\tthree\nV := x\nc:\n\td\n") == {"a": 3, "c": 1}
    assert {target: lines for target, lines in recipes((ROOT / "Makefile").read_text(encoding="utf-8")).items() if lines > 2} == {}
