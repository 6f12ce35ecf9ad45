"""Customers: a steady stream of requests to each environment, every answer noted."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterable
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
    """`rate` requests per second to each environment's URL, from `lanes` threads each, until `stop`.

    A lane sends one request at a time, so a slow service gets fewer: enough lanes keep an alarm's floor of requests.
    """

    def __init__(self, rate: float, path: str = "/", lanes: int = 3) -> None:
        self._interval, self._path, self._lanes = lanes / rate, path, lanes
        self._answers: list[Answer] = []
        self._stopped = threading.Event()
        self._paused: set[str] = set()
        self._threads: dict[str, threading.Thread] = {}

    def start(self, environment: str, url: str, when: Callable[[], bool] | None = None) -> None:
        """Begin with one environment, as soon as `when` says so (asked each second); nothing happens where it has begun."""
        if environment in self._threads:
            return
        self._threads[environment] = threading.Thread(target=self._run, args=(environment, url, when), name=f"traffic-{environment}", daemon=True)
        self._threads[environment].start()

    def pause(self, *environments: str) -> None:
        """Send nothing to these until `resume`."""
        self._paused.update(environments)

    def resume(self) -> None:
        """Send to all again."""
        self._paused.clear()

    def answers(self, since: float = 0.0) -> list[Answer]:
        """Every answer so far to what was asked at `since` (seconds since the epoch) or later, in no particular order."""
        return [answer for answer in list(self._answers) if answer.time >= since]

    def stop(self) -> list[Answer]:
        """End, and return every answer."""
        self._stopped.set()
        for thread in self._threads.values():
            thread.join(timeout=15)
        return self.answers()

    def _run(self, environment: str, url: str, when: Callable[[], bool] | None) -> None:
        while when and not self._stopped.is_set() and not when():
            self._stopped.wait(1)
        lanes = [threading.Thread(target=self._send, args=(environment, url, self._interval * lane / self._lanes),
                                  name=f"traffic-{environment}-{lane}", daemon=True) for lane in range(self._lanes)]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()

    def _send(self, environment: str, url: str, offset: float) -> None:
        parts = urlsplit(url)
        connection: http.client.HTTPConnection | None = None
        self._stopped.wait(offset)
        due = time.monotonic()
        while not self._stopped.is_set():
            if environment in self._paused:
                self._stopped.wait(0.2)
                continue
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
