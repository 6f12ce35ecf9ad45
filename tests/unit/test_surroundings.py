"""Commands where they are not at home: closed or broken streams, a full disk, another alphabet, files that are no files. Real processes, no AWS."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNKNOWN = ("scripts.status", "--env", "gama")
HELP = ("scripts.status", "--help")


def run(*command: str, cwd: Path = ROOT, stdout: int | IO[Any] = subprocess.PIPE, before: Callable[[], None] | None = None,
        **environ: str) -> subprocess.CompletedProcess[str]:
    """A module run as make runs it, with no AWS settings and no home."""
    clean = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "AWS_EC2_METADATA_DISABLED": "true", **environ}
    python = [sys.executable, *(command if command[0] == "-c" else ("-m", *command))]
    done = subprocess.run(python, cwd=cwd, env=clean, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                          preexec_fn=before, check=False, timeout=60, encoding="utf-8", errors="replace")
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr and "please report" not in done.stderr, done.stderr
    return done


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The commands and the parameters, in a folder that is no clone."""
    for name in ("scripts", "localaws", "parameters", "templates"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.parametrize("stream", [0, 1, 2], ids=["stdin", "stdout", "stderr"])
def test_a_stream_that_is_closed_is_no_error(stream: int) -> None:
    done = run(*UNKNOWN, before=partial(os.close, stream))
    assert done.returncode == 2 and ("there is no environment 'gama'" in done.stderr or stream == 2)


@pytest.mark.parametrize("command", [HELP, ("scripts.picture", "--check")])
def test_a_reader_that_has_gone_is_told_nothing(command: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = run(*command, stdout=pipe)
    assert (done.returncode, done.stderr) == (1 if command == HELP else 0, "")  # picture has nothing to say


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_is_named() -> None:
    with open("/dev/full", "w") as full:
        done = run(*HELP, stdout=full)
    assert done.returncode == 1 and "the output cannot be written" in done.stderr and "next:   make room" in done.stderr


@pytest.mark.parametrize("environ", [{"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONIOENCODING": "latin-1:strict"}])
def test_another_alphabet_costs_a_letter_at_most(environ: dict[str, str]) -> None:
    done = run(*UNKNOWN, **environ)
    assert done.returncode == 2 and "name one with ENV=" in done.stderr


def test_what_a_terminal_cannot_show_does_not_end_a_command() -> None:
    program = ("from scripts.core import world; parser = world.parser('x', 'x', environment=None)\n"
               "raise SystemExit(world.run(parser, [], None, lambda options, here: here.console.line('Target: here · 1 … 2') or 0))")
    done = run("-c", program, PYTHONIOENCODING="ascii:strict")
    assert (done.returncode, done.stdout) == (0, "Target: here ? 1 ? 2\n")


def test_parameters_that_are_a_folder_or_no_text_or_no_mapping_are_named(project: Path) -> None:
    file = project / "parameters/gamma.yaml"
    for content in (b"- a list\n", b"template: \xff\n"):
        file.write_bytes(content)
        done = run("scripts.deploy", "--env", "gamma", cwd=project)
        assert done.returncode == 2 and "parameters/gamma.yaml" in done.stderr and "next:" in done.stderr, done.stderr
    file.unlink()
    file.mkdir()
    done = run("scripts.deploy", "--env", "gamma", cwd=project)
    assert done.returncode == 2 and "parameters/gamma.yaml cannot be read\n  reason: Is a directory\n  next:" in done.stderr


def test_a_folder_that_is_a_file_is_named(project: Path) -> None:
    (project / "docs").write_text("")
    done = run("scripts.picture", cwd=project)
    assert done.returncode == 1 and f"{project / 'docs'}" in done.stderr and "next:" in done.stderr, done.stderr


@pytest.mark.parametrize("port", ["0", "65536", "4566x", "-1"])
def test_a_port_that_is_none_is_wrong_use(port: str) -> None:
    done = run("localaws", "start", f"--port={port}")
    assert done.returncode == 2 and "is no port: take a number from 1 to 65535" in done.stderr


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "build").write_text("")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = (f"from localaws import __main__ as localaws, server; server.engine = lambda: None\n"
               f"raise SystemExit(localaws.main(['start', '--port', '{port}', '--state', '{tmp_path}/build/local']))")
    done = run("-c", program)
    assert done.returncode == 1 and done.stderr.startswith(f"local AWS: {tmp_path}/build/local cannot be used: Not a directory. Next: "), done.stderr
