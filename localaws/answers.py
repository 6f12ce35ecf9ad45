"""Every answer that the local AWS serves, looked at as it goes out, and what was called at all.

An answer that AWS could not have given is a fault of the local AWS: it is noted, and `make test-all` fails on the first one. It is written down at once,
so that it outlives the process however that ends. The same notes say which operations were called, and how they were answered (docs/local-aws.md has
the table).
"""

from __future__ import annotations

import json
import logging
import queue
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localaws import operations, shapes

log = logging.getLogger("localaws")

RECORD = "LOCALAWS_RECORD"
"""Environment variable: the folder in which every local AWS leaves what the end-to-end cases want to know of it after its end.

`invalid.jsonl` gets the answers that AWS could not have given, as they are served (without the variable it is in the state folder, where it outlives a
reset as the logs do); `served.jsonl` gets a line {"name", "calls", "questions"} at each orderly end.
"""

_REMEMBERED = 5000
_SECONDS = 30.0
"""How long is waited until what was put has been looked at."""
_REQUEST_ID = re.compile(rb"<[Rr]equestId>[^<]*</[Rr]equestId>")


class Answers:
    """What was called and how it was answered, and every answer that AWS could not have given.

    `invalid` are [{"operation": "service:Operation", "problem", "times", "status"}], each problem once; `calls` counts by
    "service:Operation" and answer: "ok", an error code, or "(no model)" for what botocore does not know. `file` gets each problem as it is found,
    a line of JSON {"time" (epoch seconds), "operation", "problem", "status"}.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._waiting: queue.SimpleQueue[tuple[Any, ...] | threading.Event] = queue.SimpleQueue()
        self._read: dict[tuple[Any, ...], str] = {}
        self._invalid: dict[tuple[str, str], dict[str, Any]] = {}
        self._calls: dict[str, Counter[str]] = {}

    def put(self, *call: Any) -> None:
        """Note a call soon, on the thread of `work`: clients do not wait for it. Arguments as of `note`."""
        self._waiting.put(call)

    def work(self) -> None:
        """Note what was put, for ever: the body of one thread."""
        while True:
            call = self._waiting.get()
            if isinstance(call, threading.Event):
                call.set()
                continue
            try:
                if problem := self.note(*call):
                    log.error("an answer that AWS could not give: %s %s %s: %s", call[0], call[1], call[2][:120], problem)
            except Exception as error:
                log.exception("an answer could not be looked at: %s %s %s", call[0], call[1], call[2][:120])
                self._tell(f"{call[0]}:{call[1]} {call[2][:120]}", f"could not be looked at: {error!r}", call[6])

    def note(self, signing_name: str, method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, list[str]],
             status: int, sent: Mapping[str, str], answer: bytes | None) -> str:
        """Note one call; return what is wrong with its answer ('' if nothing is).

        Header names are lower case. `answer` is None where the body was too long to keep: then only the call is noted.
        """
        operation = operations.asked(signing_name, method, path, headers, body, query)
        name = f"{signing_name}:{operation.name if operation is not None else f'{method} (no model)'}"
        if operation is None:
            outcome, problem = "(no model)", ""
        elif status < 300:
            outcome = "ok"
            problem = "" if answer is None else self._checked(operation, status, sent, answer, headers)
        elif status < 400:
            outcome, problem = str(status), ""
        else:
            outcome = shapes.error_code(sent, answer or b"") or str(status)
            problem = shapes.check_error(operation, status, outcome)
        with self._lock:
            self._calls.setdefault(name, Counter())[outcome] += 1
        if problem:
            self._tell(name, problem, status)
        return problem

    def _tell(self, name: str, problem: str, status: int) -> None:
        """Note what is wrong, and write it down if it is new."""
        with self._lock:
            if (name, problem) not in self._invalid:
                self._invalid[name, problem] = {"operation": name, "problem": problem, "times": 0, "status": status}
                if self._file:
                    with self._file.open("a") as file:  # closed at once: a kill takes nothing along
                        file.write(json.dumps({"time": round(time.time(), 3), "operation": name, "problem": problem, "status": status}) + "\n")
            self._invalid[name, problem]["times"] += 1

    def _checked(self, operation: Any, status: int, sent: Mapping[str, str], answer: bytes, headers: Mapping[str, str]) -> str:
        """What is wrong with an answer; one that says the same as one before is not read again (agents and gates ask all the time)."""
        key = (operation.service_model.service_name, operation.name, status, hash(_REQUEST_ID.sub(b"", answer)))
        if key not in self._read:
            if len(self._read) > _REMEMBERED:
                self._read.clear()
            self._read[key] = shapes.check(operation, status, sent, answer, headers)
        return self._read[key]

    def report(self) -> dict[str, Any]:
        """JSON-able: `invalid` and `calls` as the class says, with all that was put before."""
        self._worked_off()
        with self._lock:
            return {"invalid": [dict(one) for one in self._invalid.values()], "calls": {name: dict(found) for name, found in sorted(self._calls.items())}}

    def finish(self) -> None:
        """Look at all that was put, before the process ends; what is not looked at in time is a problem of its own."""
        if not self._worked_off():
            self._tell("(end)", f"about {self._waiting.qsize()} answers were not looked at within {_SECONDS:g} s of the end", 0)

    def _worked_off(self) -> bool:
        """Wait until all that was put before has been looked at; return whether it was."""
        noted = threading.Event()
        self._waiting.put(noted)
        return noted.wait(_SECONDS)
