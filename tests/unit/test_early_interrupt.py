"""Ctrl-C while Python still imports: real processes, which the first module that they import from outside sends the signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
    for folder in ("scripts", "localaws")
    for path in (ROOT / folder).glob("*.py")
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
)
SIGNAL = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"


def run(folder: Path, body: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with `body` in place of argparse, which every command imports and Python itself does not."""
    (folder / "argparse.py").write_text(body)
    environ = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("module", MODULES)
def test_it_ends_by_the_signal_and_says_nothing(module: str, tmp_path: Path) -> None:
    done = run(tmp_path, SIGNAL, "-m", module)
    # A shell reports a process that a signal ended as 128 and the signal's number: 130.
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_the_commands_are_found() -> None:
    assert {"scripts.deploy", "scripts.validate", "scripts.rollback", "localaws", "localaws.machine"} <= set(MODULES)


def test_without_the_packages_python_says_where(tmp_path: Path) -> None:
    assert "KeyboardInterrupt" in run(tmp_path, SIGNAL, "-c", "import argparse").stderr


@pytest.mark.parametrize("module", ["scripts.deploy", "localaws"])
def test_any_other_error_is_told_as_ever(module: str, tmp_path: Path) -> None:
    done = run(tmp_path, "raise ValueError('a broken installation')\n", "-m", module)
    assert done.returncode == 1 and "Traceback" in done.stderr and "a broken installation" in done.stderr


def test_later_ctrl_c_is_still_pythons_own(tmp_path: Path) -> None:
    later = "import scripts, localaws, signal\ntry: signal.raise_signal(signal.SIGINT)\nexcept KeyboardInterrupt: print('handled')"
    assert run(tmp_path, "", "-c", later).stdout == "handled\n"
