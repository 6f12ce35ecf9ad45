"""Hook scripts: run with AWS's environment, time limits, codes and log tail.

Source: hook_executor.rb and script_log.rb of https://github.com/aws/aws-codedeploy-agent.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import IO

from .appspec import Script

SUCCEEDED, SCRIPT_MISSING, NOT_EXECUTABLE, TIMED_OUT, FAILED, UNKNOWN_ERROR, OUTPUTS_LEFT_OPEN, FAILED_AFTER_RESTART = range(8)
LOG_CHARACTERS = 2048


class ScriptError(Exception):
    """A hook failed: its code, the script's location, the log's tail."""

    def __init__(self, message: str, code: int, script: str, log: str) -> None:
        super().__init__(message)
        self.code, self.script, self.log = code, script, log


class ScriptLog:
    """The tail that is sent with a command's result: whole lines, under 2048 characters in all; safe for several threads."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._lock = threading.Lock()

    def add(self, line: str) -> None:
        """Append one line; the oldest lines leave when there are too many characters."""
        with self._lock:
            self._lines.append(line if line.endswith("\n") else line + "\n")
            while self._lines and sum(map(len, self._lines)) >= LOG_CHARACTERS:
                self._lines.pop(0)

    @property
    def text(self) -> str:
        """The tail."""
        with self._lock:
            return "".join(self._lines)


def run_hook(event: str, scripts: tuple[Script, ...], archive: Path, log_file: Path, environment: dict[str, str]) -> str:
    """Run the scripts of a lifecycle event in order and return the log's tail. Raises ScriptError at the first failure."""
    tail = ScriptLog()
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("a", encoding="utf-8") as record:
        lock = threading.Lock()

        def say(line: str) -> None:
            tail.add(line)
            with lock:
                record.write(time.strftime("%Y-%m-%d %H:%M:%S ") + line.rstrip("\n") + "\n")
                record.flush()

        say(f"LifecycleEvent - {event}")
        for script in scripts:
            _run_script(script, archive / script.location, say, tail, {**environment, "LIFECYCLE_EVENT": event})
    return tail.text


def _run_script(script: Script, path: Path, say: object, tail: ScriptLog, environment: dict[str, str]) -> None:
    """Run one script to its end."""
    assert callable(say)
    if not path.exists():
        raise ScriptError(f"Script does not exist at specified location: {path}", SCRIPT_MISSING, script.location, tail.text)
    if not os.access(path, os.X_OK):
        try:
            path.chmod(path.stat().st_mode | 0o111)
        except OSError as error:
            raise ScriptError(f"Unable to set script at specified location: {script.location} as executable", NOT_EXECUTABLE,
                              script.location, tail.text) from error
    say(f"Script - {script.location}")
    command = str(path) if script.runas is None else f"su {shlex.quote(script.runas)} -c {shlex.quote(str(path))}"
    process = subprocess.Popen(["/bin/sh", "-c", command], cwd="/", env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + script.timeout
    readers = [threading.Thread(target=_copy, args=(stream, f"[{name}]", say), daemon=True)
               for stream, name in ((process.stdout, "stdout"), (process.stderr, "stderr"))]
    for reader in readers:
        reader.start()
    try:
        code = process.wait(script.timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)  # never KILL: AWS's agent waits for what TERM does not end
        process.wait()
        raise ScriptError(f"Script at specified location: {script.location} failed to complete in {script.timeout} seconds", TIMED_OUT,
                          script.location, tail.text) from None
    for reader, name in zip(readers, ("STDOUT", "STDERR"), strict=True):
        reader.join(max(0.0, deadline - time.monotonic()))
        if reader.is_alive():
            raise ScriptError(f"Script at specified location: {script.location} failed to close {name}", OUTPUTS_LEFT_OPEN,
                              script.location, tail.text)
    if code != 0:
        user = f" run as user {script.runas}" if script.runas else ""
        # A script that a signal ended has a code above 128, as in a shell.
        raise ScriptError(f"Script at specified location: {script.location}{user} failed with exit code {code if code >= 0 else 128 - code}",
                          FAILED, script.location, tail.text)


def _copy(stream: IO[bytes], mark: str, say: object) -> None:
    assert callable(say)
    with stream:
        for line in stream:
            say(mark + line.decode(errors="replace"))
