"""The programs that checks run: found beside this Python, never elsewhere on PATH, where another version may stand."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.core.errors import CommandError

_LONGEST_SECONDS = 120


def program(name: str) -> Path:
    """The program of this virtual environment; CommandError says how to get it."""
    # Not resolved: in a virtual environment this Python is a link, and its programs lie beside the link.
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise CommandError(f"{name} is not installed beside this Python", str(path), "make setup")
    return path


def run(command: Sequence[str | Path], root: Path, exits: Sequence[int], given: str | None = None) -> str:
    """What the program writes to standard output. `exits` are the codes that it ends with when it did its work; any other is CommandError."""
    words, name = [str(part) for part in command], Path(command[0]).name
    try:
        done = subprocess.run(words, cwd=root, input=given, capture_output=True, text=True, encoding="utf-8", timeout=_LONGEST_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise CommandError(f"{name} did not end within {_LONGEST_SECONDS} s", "the machine is busy, or it hangs", "make validate once more") from None
    if done.returncode not in exits:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise CommandError(
            f"{name} did not run (exit {done.returncode})", said[-1] if said else "it says nothing", "make setup, then make validate"
        )
    return done.stdout
