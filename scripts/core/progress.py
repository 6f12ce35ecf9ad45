"""One progress display for every stack that is being watched: a live line on a terminal, plain lines in a log."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import datetime

from scripts.core import events
from scripts.core.clock import Clock, duration
from scripts.core.console import Console
from scripts.core.events import Event
from scripts.core.templates import NESTED_STACK

_HEARTBEAT_SECONDS = 30.0


class Board:
    """The live line, shared by the threads that watch stacks."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._parts: dict[str, str] = {}
        self._lock = threading.Lock()

    def show(self, label: str, text: str | None) -> None:
        """Sets one stack's part of the line; None removes it."""
        with self._lock:
            if text is None:
                self._parts.pop(label, None)
            else:
                self._parts[label] = text
            self.console.show_live(" | ".join(f"{name}: {part}" for name, part in self._parts.items()))


class Progress:
    """One operation on one stack with its nested ones. `total` is the number of resources it touches, 0 when not known."""

    def __init__(self, board: Board, clock: Clock, label: str, total: int, verbose: bool = False) -> None:
        self._board, self._clock, self._label, self._total, self._verbose = board, clock, label, total, verbose
        self._begun = clock.seconds()
        self._last_line = self._begun
        self._under_way: dict[tuple[str, str], tuple[str, datetime]] = {}
        self._done: set[tuple[str, str]] = set()
        self._lines: list[Event] = []

    def note(self, new: Iterable[Event], known: dict[str, str]) -> None:
        """Takes in new events, oldest first; `known` gives each stack's path below the root."""
        for event in new:
            place = events.place(event, known)
            if event.is_own:
                if event.stack_id in known and known[event.stack_id] == "" and event.status.endswith("ROLLBACK_IN_PROGRESS"):
                    self._line(f"{event.status}" + (f": {event.reason}" if event.reason else ""))
                    self._done.clear()
                continue
            key = (event.stack_id, event.resource)
            if event.status.endswith("_IN_PROGRESS"):
                self._under_way.setdefault(key, (place, event.time))
            else:
                self._under_way.pop(key, None)
                self._done.add(key)
            if event.failed:
                self._line(f"{event.status}  {place}  {event.type}" + (f": {event.reason}" if event.reason else ""))
            elif not event.status.endswith("_IN_PROGRESS") and (
                self._verbose or not self._board.console.live or event.type == NESTED_STACK
            ):
                self._line(f"{event.status}  {place}  {event.type}")
        self._board.show(self._label, self._summary())
        if not self._board.console.live and self._clock.seconds() - self._last_line >= _HEARTBEAT_SECONDS:
            self._line(self._summary())

    def finish(self) -> None:
        self._board.show(self._label, None)

    @property
    def elapsed(self) -> str:
        return duration(self._clock.seconds() - self._begun)

    def _summary(self) -> str:
        counted = f"{len(self._done)}/{self._total}" if self._total else f"{len(self._done)} resources"
        waiting = [place for (_, (place, _)) in sorted(self._under_way.items(), key=lambda item: item[1][1])]
        # A nested stack is under way as long as anything in it is: the innermost says more.
        inner = [place for place in waiting if not any(other.startswith(place + "/") for other in waiting)]
        shown = f", waiting for {inner[0]}" + (f" and {len(inner) - 1} more" if len(inner) > 1 else "") if inner else ""
        return f"{counted} {self.elapsed}{shown}"

    def _line(self, text: str) -> None:
        self._last_line = self._clock.seconds()
        self._board.console.line(f"  [{self._label} {self.elapsed}] {text}")
