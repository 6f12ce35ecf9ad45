"""Setting a machine up: what it refuses, in words that say what to do, and that it installs nothing unasked."""

from __future__ import annotations

import io
import os
import subprocess
from typing import Any

import pytest

from localaws import machine

GIB = 1024**3


class Shell:
    """Notes what would have been run."""

    def __init__(self, error: Exception | None = None) -> None:
        self.ran: list[list[str]] = []
        self.error = error

    def __call__(self, command: list[str], **more: Any) -> None:
        self.ran.append(command)
        if self.error:
            raise self.error


@pytest.fixture
def debian(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Debian-like machine on which we are root, without a Docker engine."""
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(machine, "_answers", lambda: None)
    monkeypatch.setattr(machine.shutil, "which", lambda program: None if program == "dockerd" else f"/usr/bin/{program}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def never(question: str) -> bool:
    raise AssertionError(f"nobody was to be asked: {question}")


@pytest.mark.parametrize(("free", "enough"), [(0, False), (6 * GIB - 1, False), (6 * GIB, True), (100 * GIB, True)])
def test_too_little_space_is_refused_with_what_is_there_and_what_is_needed(free: int, enough: bool) -> None:
    if enough:
        machine.ensure_space(free)
        return
    with pytest.raises(machine.SetUpError, match=r"[06]\.0 GiB are free under /var/lib, 6 are needed .* Next: free some space"):
        machine.ensure_space(free)


def test_no_space_is_told_in_one_line_before_anything_is_installed(debian: None, monkeypatch: pytest.MonkeyPatch,
                                                                    capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: type("Usage", (), {"free": GIB}))
    monkeypatch.setattr(machine.subprocess, "run", never)
    assert machine.main(["--yes"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("set-up: 1.0 GiB are free under /var/lib")
    assert said.count("\n") == 1


def test_without_agreement_nothing_is_installed(debian: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell()
    monkeypatch.setattr(machine.subprocess, "run", shell)
    monkeypatch.setattr(machine.subprocess, "Popen", shell)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 100 * GIB}))
    for name in ("YES", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())  # no terminal to ask on
    assert machine.main([]) == 1
    assert shell.ran == []
    assert capsys.readouterr().err == "set-up: needs docker.io. Next: run again and say y, or set YES=1\n"


def test_who_says_no_is_heard() -> None:
    shell = Shell()
    questions: list[str] = []
    with pytest.raises(machine.SetUpError, match=r"needs docker\.io git\. Next: run again and say y"):
        machine.install(["docker.io", "git"], False, lambda question: bool(questions.append(question)), shell)
    assert questions == ["Install docker.io git with apt-get? [y/N] "]
    assert shell.ran == []


@pytest.mark.parametrize("agreed", [True, False])
def test_with_agreement_exactly_what_is_missing_is_installed(debian: None, agreed: bool) -> None:
    shell = Shell()
    machine.install(["docker.io"], agreed, never if agreed else lambda question: True, shell)
    assert [command[:2] for command in shell.ran] == [["apt-get", "update"], ["apt-get", "install"]]
    assert shell.ran[1][-1] == "docker.io"


def test_a_failed_installation_is_named(debian: None) -> None:
    with pytest.raises(machine.SetUpError, match=r"apt-get failed with code 100 while installing docker\.io\. Next: see its output"):
        machine.install(["docker.io"], True, never, Shell(subprocess.CalledProcessError(100, "apt-get")))


def test_where_nothing_can_be_installed_it_says_what_to_install(debian: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(machine.SetUpError, match=r"needs docker\.io, and can only install with apt as root\. Next: install them yourself"):
        machine.install(["docker.io"], True, never, Shell())


def test_an_engine_elsewhere_that_does_not_answer_is_named_and_none_is_started_here(debian: None, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell()
    monkeypatch.setattr(machine.subprocess, "run", shell)
    monkeypatch.setattr(machine.subprocess, "Popen", shell)
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.7:2375")
    with pytest.raises(machine.SetUpError, match=r"DOCKER_HOST=tcp://192\.0\.2\.7:2375 does not answer\. Next: start it, or unset DOCKER_HOST"):
        machine.ensure_engine(True)
    assert shell.ran == []
