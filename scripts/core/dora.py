"""The four key figures of software delivery (DORA) over a period of one environment's history. Pure.

Source of the four: https://dora.dev/guides/dora-metrics-four-keys/. DORA asks people; here each is counted from what the pipeline and its ledger know, by the
definition that stands at its function. Nothing is made from nothing: without a release a figure has no value, and says why.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.core.releases import BAD, GOOD, Past

SOURCE = "https://dora.dev/guides/dora-metrics-four-keys/"
_DAY = 86_400.0


@dataclass(frozen=True)
class Figure:
    """One figure. `value` is None where there is nothing to count; `unit` is "per day", "seconds" or "share" (0 to 1); `over` is how many it was made of.

    `note` says of what, in a few words; or why there is none.
    """

    name: str
    value: float | None
    unit: str
    over: int
    note: str


@dataclass(frozen=True)
class Period:
    """What the figures are over: `since` and `until` in epoch seconds, and how many executions began in between."""

    since: float
    until: float
    releases: int

    @property
    def days(self) -> float:
        """Its length in days."""
        return (self.until - self.since) / _DAY


def figures(rows: Sequence[Past], since: float, until: float, last_stage: str) -> tuple[Period, tuple[Figure, ...]]:
    """The four over the rows of a period; `last_stage` is the name of the environment's last stage."""
    period = Period(since, until, len(rows))
    return period, (
        deployment_frequency(rows, period.days, last_stage),
        lead_time(rows),
        change_failure_rate(rows),
        time_to_restore(rows),
    )


def deployment_frequency(rows: Sequence[Past], days: float, last_stage: str) -> Figure:
    """How often changes are deployed to those who use them: releases that went through the environment's last stage, per day of the period.

    One that proved bad afterwards was deployed all the same. DORA: "deployment frequency", the number of deployments over a given period.
    """
    out = sum(row.out is not None for row in rows)
    if not rows or days <= 0:
        return Figure("deployment frequency", None, "per day", 0, "no release")
    return Figure("deployment frequency", out / days, "per day", out, f"{_count(out, 'release')} through {last_stage or 'the last stage'}")


def lead_time(rows: Sequence[Past]) -> Figure:
    """How long a change takes from its commit to the end of the environment's last stage: the median over the releases that got there.

    The commit's time is its author date, which the source action tells; where it does not, the start of the execution stands for it (a push starts one at
    once, so the time from commit to push is then missing), and the note says for how many. DORA: "change lead time".
    """
    out = [row for row in rows if row.out is not None]
    if not out:
        return Figure("lead time for changes", None, "seconds", 0, "no release came through")
    # A clock that is wrong, or a commit with a date of its own, makes no time run backwards.
    times = [max(0.0, (row.out or 0.0) - (row.committed if row.committed is not None else row.pushed)) for row in out]
    known = sum(row.committed is not None for row in out)
    since = "since the commit" if known == len(out) else "since the push" if not known else f"{known} since the commit, {len(out) - known} since the push"
    return Figure("lead time for changes", statistics.median(times), "seconds", len(out), f"median of {len(out)}, {since}")


def change_failure_rate(rows: Sequence[Past]) -> Figure:
    """Which share of the changes that were deployed to the environment, to any host of it, was bad: failed there, or was taken back later.

    What is under way, superseded or stopped by a person has not been judged and is not counted; nor is what never came so far. DORA: "change fail rate", the
    ratio of deployments that require immediate intervention.
    """
    judged = [row for row in rows if row.deployed and row.outcome in (GOOD, BAD)]
    bad = sum(row.outcome == BAD for row in judged)
    if not judged:
        return Figure("change failure rate", None, "share", 0, "no release was deployed and judged")
    return Figure("change failure rate", bad / len(judged), "share", len(judged), f"{bad} of {len(judged)} that were deployed")


def time_to_restore(rows: Sequence[Past]) -> Figure:
    """How long the environment takes to recover from a bad release: the median time from when it was found bad (its action failed, it was marked) to when
    every deployment group ran a good release again (the ledger's `done`).

    What went on before it was found is not in it: nobody knew. DORA: "failed deployment recovery time", formerly "time to restore service".
    """
    bad = [row for row in rows if row.deployed and row.outcome == BAD]
    if not bad:
        return Figure("time to restore", None, "seconds", 0, "no release failed" if rows else "no release")
    times = [
        max(0.0, row.rollback.ended - min(row.found_bad, row.rollback.began))
        for row in bad
        if row.rollback is not None and row.rollback.ended is not None and row.found_bad is not None
    ]
    left = len(bad) - len(times)
    open_ = f"{left} with no end on record" if left else ""
    if not times:
        return Figure("time to restore", None, "seconds", 0, open_)
    return Figure("time to restore", statistics.median(times), "seconds", len(times), ", ".join(part for part in (f"median of {len(times)}", open_) if part))


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
