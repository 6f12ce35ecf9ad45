"""Reading many things at once, with a bound: what does not answer in time is left out and said, and never waited for twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from scripts.core.parallel import Outcome

T = TypeVar("T")


class Late(Exception):
    """It has not answered within the time."""


class _Job(Generic[T]):
    """One read in a thread of its own, which does not keep the command from ending."""

    def __init__(self, name: str, read: Callable[[], T], done: threading.Condition) -> None:
        self.outcome: Outcome[T] | None = None
        self._read, self._done = read, done
        threading.Thread(target=self._run, name=f"read {name}", daemon=True).start()

    def _run(self) -> None:
        try:
            outcome: Outcome[T] = Outcome(self._read(), None)
        except BaseException as error:  # Handed to whoever waits.
            outcome = Outcome(None, error)
        with self._done:
            self.outcome = outcome
            self._done.notify_all()


class Gatherer(Generic[T]):
    """Runs reads by name, each in a thread of its own. One that was late before is not begun again until it has ended: a Region that hangs costs one thread."""

    def __init__(self) -> None:
        self._done = threading.Condition()
        self._open: dict[str, _Job[T]] = {}

    def gather(self, reads: Mapping[str, Callable[[], T]], seconds: float) -> dict[str, Outcome[T]]:
        """What each gave, or the error that ended it; Late for what took longer than `seconds`. Ctrl-C ends the wait."""
        with self._done:
            late = {name for name, job in self._open.items() if job.outcome is None}
        self._open = {name: self._open[name] if name in late else _Job(name, read, self._done) for name, read in reads.items()}
        end = time.monotonic() + seconds
        with self._done:
            while any(job.outcome is None for job in self._open.values()) and (left := end - time.monotonic()) > 0:
                # In short pieces, so that Ctrl-C is heard at once everywhere.
                self._done.wait(min(left, 0.2))
            return {name: job.outcome or Outcome(None, Late(f"no answer within {seconds:g} s")) for name, job in self._open.items()}


def at_once(reads: Mapping[str, Callable[[], T]]) -> dict[str, T]:
    """Everything at once and to its end, for what is within another read's time; the first error is raised."""
    outcomes = Gatherer[T]().gather(reads, threading.TIMEOUT_MAX)
    for outcome in outcomes.values():
        if outcome.error:
            raise outcome.error
    return {name: outcome.value for name, outcome in outcomes.items()}  # type: ignore[misc]
