"""What a person sees: lines, one live line on a terminal, tables, questions."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TextIO

from scripts.core.errors import CommandError


class Console:
    """Writes whole lines from any thread; on a terminal keeps one live line below them.

    `ask` is called with a question and returns what was typed.
    """

    def __init__(
        self, stream: TextIO | None = None, errors: TextIO | None = None, ask: Callable[[str], str] | None = None, live: bool | None = None
    ) -> None:
        self._stream = stream or sys.stdout
        self._errors = errors or sys.stderr
        self._ask = ask or input
        self._can_ask = ask is not None or sys.stdin.isatty()
        self.live = self._stream.isatty() if live is None else live
        self._lock = threading.RLock()
        self._live_text = ""

    def line(self, text: str = "") -> None:
        """One or more finished lines."""
        with self._lock:
            self._erase()
            print(text, file=self._stream, flush=True)
            self._draw()

    def error(self, text: str) -> None:
        """One or more lines of an error, on standard error."""
        with self._lock:
            self._erase()
            print(text, file=self._errors, flush=True)
            self._draw()

    def write(self, text: str) -> None:
        """Text and control sequences as they are, for what draws the whole terminal itself."""
        with self._lock:
            self._stream.write(text)
            self._stream.flush()

    def show_live(self, text: str) -> None:
        """Replaces the live line; "" removes it. Does nothing where there is no terminal."""
        if not self.live:
            return
        with self._lock:
            self._erase()
            self._live_text = text[: shutil.get_terminal_size().columns - 1]
            self._draw()

    def confirm(self, question: str, yes: bool) -> bool:
        """True when `yes` is set or the person answers y. Without a terminal to ask on it is an error, never a silent yes."""
        if yes:
            return True
        if not self._can_ask:
            raise CommandError(question, "there is no terminal to ask on", "run it again with YES=1 (--yes)")
        with self._lock:
            self._erase()
            try:
                answer = self._ask(f"{question} [y/N] ")
            except EOFError:
                answer = ""
        return answer.strip().lower() in {"y", "yes"}

    def _erase(self) -> None:
        if self.live and self._live_text:
            self._stream.write("\r\033[K")

    def _draw(self) -> None:
        if self.live and self._live_text:
            self._stream.write(self._live_text)
            self._stream.flush()


def table(rows: Sequence[Sequence[str]], indent: str = "  ") -> str:
    """Columns padded to their widest cell; the last is left as it is."""
    if not rows:
        return ""
    count = max(len(row) for row in rows)
    widths = [max((len(row[column]) for row in rows if column < len(row)), default=0) for column in range(count)]
    lines = []
    for row in rows:
        cells = [cell if column == len(row) - 1 else cell.ljust(widths[column]) for column, cell in enumerate(row)]
        lines.append((indent + "  ".join(cells)).rstrip())
    return "\n".join(lines)
