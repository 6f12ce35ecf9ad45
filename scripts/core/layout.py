"""Times and lines as people read them, at any width: pure."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from scripts.core.console import Console

_NARROWEST = 40
FIRM = "\u00a0"
"""A space at which `fit` does not break a line; it comes out as any other."""


def span(seconds: float) -> str:
    """A length of time in the two units that suit it: `45 s`, `12 min 5 s`, `3 h 20 min`, `5 d 3 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    for unit, below, size, smaller in (("min", 3600, 60, "s"), ("h", 86_400, 3600, "min"), ("d", 0, 86_400, "h")):
        if whole < below or not below:
            # A whole number of the larger unit is said without the smaller one.
            rest = whole % size // {"s": 1, "min": 60, "h": 3600}[smaller]
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    raise AssertionError("unreachable")


def moment(epoch: float | None) -> str:
    """`2026-01-01 00:00:00 UTC`; nothing for None."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if epoch else ""


def minute(epoch: float | None) -> str:
    """`2026-01-01 00:00`, UTC; nothing for None."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M") if epoch else ""


def width(console: Console, environ: Mapping[str, str]) -> int | None:
    """The columns to write in: COLUMNS where it is set, the terminal's; None where lines go to a file or a pipe, which have no width."""
    told = environ.get("COLUMNS", "")
    if told.isdigit() and int(told) > 0:
        return max(_NARROWEST, int(told))
    return max(_NARROWEST, shutil.get_terminal_size().columns) if console.live else None


def fit(lines: Iterable[str], columns: int | None) -> list[str]:
    """Lines broken between words where they are too long, what is broken off indented by four more. A word alone is never broken: it may be an id to copy."""
    fitted: list[str] = []
    for line in "\n".join(lines).split("\n"):
        indent = line[: len(line) - len(line.lstrip())]
        if columns is None or len(line) <= columns:
            fitted.append(line)
        else:
            # Columns of a table are kept apart by spaces; in a broken line they only take room.
            fitted += textwrap.wrap(
                line.strip(), columns, initial_indent=indent, subsequent_indent=indent + "    ", break_long_words=False, break_on_hyphens=False
            )
    return [line.replace(FIRM, " ") for line in fitted]
