"""The same work in several Regions at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

from scripts.core.clock import Clock

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What a job gave, or the error that ended it."""

    value: T | None
    error: BaseException | None


def each(jobs: Mapping[str, Callable[[], T]], clock: Clock) -> dict[str, Outcome[T]]:
    """Runs every job in a thread of its own, to its end: one that fails does not stop the others. Ctrl-C ends their waits and is raised."""
    with ThreadPoolExecutor(max_workers=max(1, len(jobs))) as pool:
        futures: dict[str, Future[T]] = {name: pool.submit(job) for name, job in jobs.items()}
        try:
            while wait(futures.values(), timeout=0.2).not_done:
                pass
        except KeyboardInterrupt:
            getattr(clock, "stop", lambda: None)()
            raise
    return {
        name: Outcome(None, error) if (error := future.exception()) else Outcome(future.result(), None) for name, future in futures.items()
    }


def all_or_raise(jobs: Mapping[str, Callable[[], T]], clock: Clock) -> dict[str, T]:
    """Like `each`, for reading: the first error is raised."""
    outcomes = each(jobs, clock)
    for outcome in outcomes.values():
        if outcome.error:
            raise outcome.error
    return {name: outcome.value for name, outcome in outcomes.items()}  # type: ignore[misc]
