"""Time as an argument: waits poll a clock that a test can turn by hand."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Protocol

from scripts.core.errors import Interrupted


class Clock(Protocol):
    """Seconds since any fixed moment, the time of day, and a sleep that Ctrl-C ends."""

    def seconds(self) -> float: ...

    def now(self) -> datetime: ...

    def sleep(self, seconds: float) -> None: ...


class RealClock:
    """The machine's clock. After `stop()` every sleep in every thread raises Interrupted."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def seconds(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise Interrupted

    def stop(self) -> None:
        self._stopped.set()


def duration(seconds: float) -> str:
    """`75` → `1m15s`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    return f"{minutes // 60}h{minutes % 60:02d}m"
