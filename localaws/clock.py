"""Time as a thing that is passed in, so that engines can be run in virtual time."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What engines ask for the time: seconds since the epoch, as a float."""

    def now(self) -> float:
        """Return the current time in seconds since the epoch."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Return the current time in seconds since the epoch."""
        return time.time()


class VirtualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start

    def now(self) -> float:
        """Return the current virtual time in seconds since the epoch."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward by `seconds`."""
        if seconds < 0:
            raise ValueError(f"a clock cannot go back by {-seconds} s")
        self._now += seconds
