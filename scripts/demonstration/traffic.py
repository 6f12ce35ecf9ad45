"""Customers: a steady stream of requests to each environment, every answer noted."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """One request's answer. `time`: seconds since the epoch; `status` 0: no answer; `release`: the commit that answered, None for the balancer."""

    time: float
    environment: str
    status: int
    release: str | None

    @property
    def failed(self) -> bool:
        """Whether a customer would call it failed."""
        return self.status == 0 or self.status >= 500


class Traffic:
    """`rate` requests per second to each environment's URL, from a thread each, until `stop`."""

    def __init__(self, rate: float, path: str = "/") -> None:
        self._interval, self._path = 1.0 / rate, path
        self._answers: list[Answer] = []
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, environment: str, url: str) -> None:
        """Begin with one environment."""
        thread = threading.Thread(target=self._send, args=(environment, url), name=f"traffic-{environment}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def answers(self) -> list[Answer]:
        """Every answer so far, in no particular order."""
        return list(self._answers)

    def stop(self) -> list[Answer]:
        """End, and return every answer."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout=15)
        return self.answers()

    def _send(self, environment: str, url: str) -> None:
        parts = urlsplit(url)
        connection: http.client.HTTPConnection | None = None
        due = time.monotonic()
        while not self._stopped.is_set():
            began = time.time()
            try:
                connection = connection or http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=10)
                connection.request("GET", self._path)
                response = connection.getresponse()
                response.read()
                answer = Answer(began, environment, response.status, response.getheader("X-Release"))
            except (OSError, http.client.HTTPException):
                answer = Answer(began, environment, 0, None)
                if connection:
                    connection.close()
                connection = None
            self._answers.append(answer)
            due = max(due + self._interval, time.monotonic() - 1)  # after a stall, catch up by a second's worth at most
            self._stopped.wait(max(0.0, due - time.monotonic()))


def counts(answers: Iterable[Answer], bad_commit: str, calm_after: float) -> dict[str, int]:
    """Return the summary's `traffic`: how many requests, how many failed, and how many of both while the bad release served.

    "While bad": from the first answer of `bad_commit` to its last, in the environments that it reached. `calm_after`: seconds since
    the epoch from which on nothing may fail.
    """
    everything = list(answers)
    reached = {answer.environment for answer in everything if answer.release == bad_commit}
    spans = {environment: (min(times), max(times)) for environment in reached
             for times in [[a.time for a in everything if a.environment == environment and a.release == bad_commit]]}
    during = [a for a in everything if a.environment in spans and spans[a.environment][0] <= a.time <= spans[a.environment][1]]
    return {
        "requests": len(everything), "failed": sum(a.failed for a in everything),
        "failed_after_rollback": sum(a.failed for a in everything if a.time > calm_after),
        "requests_while_bad": len(during), "failed_while_bad": sum(a.failed for a in during),
    }
