"""Runs canaries: one container for all of them, one process a run."""

from __future__ import annotations

import json
import secrets
import shlex
import threading
import time
import zipfile
from typing import Any

import docker.errors

from localaws.codebuild.files import tar_of_zip
from localaws.hosts.driver import TIMED_OUT
from localaws.service import ServiceError
from localaws.synthetics.engine import Outcome

_FOLDER = "/opt/canaries"
MEMORY_BYTES = 256 << 20
LOG_BYTES = 64 << 10
PASSED, FAILED = 71, 70
"""Exit status of a run whose handler returned, and of one whose handler raised; none that a process ends with by itself."""

RUNNER = f"""\
import importlib, json, os, sys, traceback
mark, folder, handler = sys.argv[1:4]
os.dup2(1, 2)  # one stream: two would arrive in any order
sys.path[:0] = [folder + "/python"]
module, function = handler.replace("/", ".").rsplit(".", 1)
try:
    result = getattr(importlib.import_module(module), function)({{}}, None)
    print(result)
    told = {{"passed": True}}
except BaseException as error:
    sys.stdout.flush()
    traceback.print_exc()
    told = {{"passed": False, "reason": f"{{type(error).__name__}}: {{error}}"}}
sys.stdout.flush(); sys.stderr.flush()
print("\\n" + mark + json.dumps(told), flush=True)
os._exit({PASSED} if told["passed"] else {FAILED})
"""


class Runner:
    """The container: made at the first run, made again where it is gone."""

    def __init__(self, aws: Any) -> None:
        self._aws = aws
        self._lock = threading.Lock()
        self._box: Any = None
        self._there: set[str] = set()

    def run(self, code_id: str, code: bytes, handler: str, environment: dict[str, str], timeout: float) -> Outcome:
        """Run a canary's handler once, in at most `timeout` seconds. `code` is the zip, `code_id` changes with its content."""
        began, mark, output = time.monotonic(), f"canary-{secrets.token_hex(8)}:", list[str]()
        try:
            box = self._ready(code_id, code)
            command = ["python3", "-B", "-c", RUNNER, mark, f"{_FOLDER}/{code_id}", handler]
            status = box.exec(command, environment, cwd="/tmp", on_output=output.append, timeout=timeout)
        except (docker.errors.APIError, ServiceError, OSError, zipfile.BadZipFile) as error:
            self.forget()
            return Outcome("EXECUTION_FAILURE", f"the canary could not be run: {error}", time.monotonic() - began, "")
        return outcome("".join(output), mark, status, time.monotonic() - began, timeout)

    def _ready(self, code_id: str, code: bytes) -> Any:
        with self._lock:
            if self._box is None:
                self._box = self._aws.services["hosts"].start_box(f"{self._aws.network.name}-canaries")
                self._box.container.update(mem_limit=MEMORY_BYTES, memswap_limit=MEMORY_BYTES)
                self._there.clear()
            if code_id not in self._there:
                self._box.exec(["sh", "-c", f"rm -rf {_FOLDER}/{shlex.quote(code_id)}"])
                self._box.put(tar_of_zip(code), f"{_FOLDER}/{code_id}")
                self._there.add(code_id)
            return self._box

    def forget(self) -> None:
        """Remove the container: the next run makes another one."""
        with self._lock:
            box, self._box = self._box, None
        if box is not None:
            box.remove()


def outcome(text: str, mark: str, status: int, seconds: float, timeout: float) -> Outcome:
    """Return what a run's output and exit status say."""
    log, found, told = text.rpartition(mark)
    log = (log if found else text)[-LOG_BYTES:]
    if status == TIMED_OUT:
        return Outcome("CANARY_FAILURE", f"the run took longer than {timeout:g} s", seconds, log)
    try:
        verdict = json.loads(told.partition("\n")[0]) if found else {}
    except ValueError:
        verdict = {}
    if not verdict and status in (PASSED, FAILED):
        # The engine can lose the end of an exec's output on a busy machine; the verdict is in the status as well.
        verdict = {"passed": status == PASSED, "reason": "the run failed; the end of its output was lost"}
    if not verdict:
        return Outcome("CANARY_FAILURE", f"the process ended with status {status}", seconds, log)
    passed = verdict["passed"]
    return Outcome("" if passed else "CANARY_FAILURE", "" if passed else verdict.get("reason", ""), seconds, log)
