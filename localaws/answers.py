"""Every answer that the local AWS serves, looked at as it goes out, and what was called at all.

An answer that AWS could not have given is a fault of the local AWS: it is noted, and `make test-all` fails on the first one. The same notes say
which operations were called, and how they were answered (docs/local-aws.md has the table).
"""

from __future__ import annotations

import logging
import queue
import re
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

from localaws import operations, shapes

log = logging.getLogger("localaws")

_REMEMBERED = 5000
_REQUEST_ID = re.compile(rb"<[Rr]equestId>[^<]*</[Rr]equestId>")


class Answers:
    """What was called and how it was answered, and every answer that AWS could not have given.

    `invalid` are [{"operation": "service:Operation", "problem", "times", "status"}], each problem once; `calls` counts by
    "service:Operation" and answer: "ok", an error code, or "(no model)" for what botocore does not know.
    """

    def __init__(self) -> None:
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
            except Exception:
                log.exception("an answer could not be looked at: %s %s %s", call[0], call[1], call[2][:120])

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
                entry = self._invalid.setdefault((name, problem), {"operation": name, "problem": problem, "times": 0, "status": status})
                entry["times"] += 1
        return problem

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
        noted = threading.Event()
        self._waiting.put(noted)
        noted.wait(30)
        with self._lock:
            return {"invalid": [dict(one) for one in self._invalid.values()], "calls": {name: dict(found) for name, found in sorted(self._calls.items())}}
