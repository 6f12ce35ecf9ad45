"""Times, durations and numbers as the report writes them: UTC, with units, short."""

from __future__ import annotations

import re
from datetime import UTC, datetime


def moment(epoch: float | None) -> str:
    """`2026-01-01 00:00:00`, UTC; a dash for None."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S") if epoch is not None else "–"


def clock(epoch: float | None) -> str:
    """`00:00:00`, UTC."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%H:%M:%S") if epoch is not None else "–"


def span(seconds: float) -> str:
    """`45 s`, `1 min 13 s`, `1 h 05 min`, `2 d 3 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60:02d} s" if whole % 60 else "")
    if whole < 86400:
        return f"{whole // 3600} h" + (f" {whole % 3600 // 60:02d} min" if whole % 3600 >= 60 else "")
    return f"{whole // 86400} d" + (f" {whole % 86400 // 3600} h" if whole % 86400 >= 3600 else "")


def short(commit: str) -> str:
    """Twelve digits of a commit, as the other commands show them; a dash for none."""
    return commit[:12] or "–"


def number(value: float) -> str:
    """`12 345` with thin spaces; small ones with up to two decimals."""
    if value >= 100 or value == int(value):
        return f"{round(value):,}".replace(",", "\u202f")
    return f"{value:.2f}".rstrip("0").rstrip(".") if value < 10 else f"{value:.1f}".rstrip("0").rstrip(".")


def percent(part: float, whole: float) -> str:
    """`0.41 %` of a whole; what is not 0 is never written as 0."""
    if not whole or not part:
        return "0 %"
    share = 100 * part / whole
    return "under 0.01 %" if share < 0.01 else f"{number(share)} %"


def first_line(text: str, most: int = 300) -> str:
    """One line of a message, its blanks made single, cut at `most` characters."""
    line = re.sub(r"\s+", " ", text).strip()
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def plural(count: int, noun: str) -> str:
    """`1 host`, `2 hosts`."""
    return f"{count} {noun}" + ("" if count == 1 else "s")
