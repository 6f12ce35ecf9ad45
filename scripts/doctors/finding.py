"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass

FAIL, WARN, UNKNOWN, OK = "fail", "warn", "cannot tell", "ok"
ORDER = (FAIL, WARN, UNKNOWN, OK)


@dataclass(frozen=True)
class Finding:
    """One thing: `what` it is, `why` it matters and when it would show, what to `do` about it. `source` is AWS's document."""

    level: str
    what: str
    why: str = ""
    do: str = ""
    source: str = ""
    region: str = ""
    check: str = ""


def fail(what: str, why: str, do: str, source: str = "") -> Finding:
    """A deploy, or the first release after it, would not come through."""
    return Finding(FAIL, what, why, do, source)


def warn(what: str, why: str, do: str, source: str = "") -> Finding:
    """It may, or it is not what it should be."""
    return Finding(WARN, what, why, do, source)


def unknown(what: str, why: str, do: str, source: str = "") -> Finding:
    """It could not be looked at."""
    return Finding(UNKNOWN, what, why, do, source)


def ok(what: str) -> Finding:
    """Looked at, and well."""
    return Finding(OK, what)
