"""Names the one most likely cause of a case: asks every cause of the catalogue, and puts their answers in order. Pure."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

from scripts.diagnosis.case import Case

CERTAINTIES = ("certain", "likely", "possible")
AREAS = ("pipeline", "source", "build", "deployment", "alarm", "stack", "hold")


@dataclass(frozen=True)
class Document:
    """What to read: AWS's page, or this project's."""

    title: str
    url: str


@dataclass(frozen=True)
class Match:
    """A cause that explains the case. `at` is when it began to be so (epoch seconds; None: not known), which orders two faults at once.

    `where` is what it is about (`us-east-1/fleet`, an instance, a stack). `fix` are steps, a command in each where there is one.
    """

    certainty: str
    where: str
    evidence: tuple[str, ...]
    fix: tuple[str, ...]
    at: float | None = None
    title: str = ""
    """In place of the cause's own, with this case's names in it."""


@dataclass(frozen=True)
class Cause:
    """An entry of the catalogue. A module of scripts/causes/ has one, as CAUSE.

    `check` looks at a case and calls nothing. `rank`: of two that match with the same certainty and in the same place, the lower explains the higher
    (10 a cause by its own sign, 50 one by arithmetic or by absence, 90 only the service's catch-all words). `failing` is False for what holds a release
    without being a failure. `clears`: why a case in which it does not match rules it out, or None where that says nothing.
    """

    id: str
    area: str
    title: str
    document: Document
    check: Callable[[Case], Match | None]
    rank: int = 10
    failing: bool = True
    clears: Callable[[Case], str | None] = field(default=lambda case: None)
    source: str = ""
    """Where it is read that AWS behaves so: a URL."""


@dataclass(frozen=True)
class Finding:
    """A cause with its match."""

    cause: Cause
    match: Match

    @property
    def title(self) -> str:
        return self.match.title or self.cause.title


@dataclass(frozen=True)
class Verdict:
    """`first` is the most likely cause, None where none is known; `others` are further ones, most likely first; `ruled_out` is (cause id, why)."""

    first: Finding | None
    others: tuple[Finding, ...]
    ruled_out: tuple[tuple[str, str], ...]


@cache
def catalogue() -> tuple[Cause, ...]:
    """Every cause of scripts/causes/, by id."""
    from scripts import causes

    found = [importlib.import_module(f"scripts.causes.{module.name}").CAUSE for module in pkgutil.iter_modules(causes.__path__)]
    return tuple(sorted(found, key=lambda cause: cause.id))


def judge(case: Case, causes: Sequence[Cause] | None = None) -> Verdict:
    """Ask every cause. A failure comes before a hold, the certain before the likely, what began first before what followed, the specific before the vague."""
    matches: list[Finding] = []
    ruled_out: list[tuple[str, str]] = []
    for cause in catalogue() if causes is None else causes:
        match = cause.check(case)
        if match is not None:
            matches.append(Finding(cause, match))
        elif (why := cause.clears(case)) is not None:
            ruled_out.append((cause.id, why))
    matches = _explained(matches)
    matches.sort(key=lambda one: (not one.cause.failing, CERTAINTIES.index(one.match.certainty), _at(one), one.cause.rank, one.cause.id))
    return Verdict(matches[0] if matches else None, tuple(matches[1:]), tuple(ruled_out))


def _explained(found: Sequence[Finding]) -> list[Finding]:
    """Without what another of the same place explains: a catch-all (rank 90) says nothing beside a sign of its own, and a phase of a build or a resource
    of a stack fails once: of several that say why, at one moment and as certain, the lowest in rank does."""
    signs = {one.match.where for one in found if one.cause.rank < 90 and one.match.certainty != "possible"}
    left = [one for one in found if one.cause.rank < 90 or one.match.where not in signs]
    lowest: dict[tuple[object, ...], int] = {}
    for one in left:
        lowest[_failure(one)] = min(one.cause.rank, lowest.get(_failure(one), one.cause.rank))
    return [one for one in left if one.cause.area not in ("build", "stack") or one.cause.rank == lowest[_failure(one)]]


def _failure(one: Finding) -> tuple[object, ...]:
    return one.cause.area, one.match.where, one.match.at, one.match.certainty


def _at(one: Finding) -> float:
    return one.match.at if one.match.at is not None else float("inf")
