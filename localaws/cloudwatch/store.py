"""Samples of metrics, by account and Region: kept as counted values per few seconds, folded to minutes after half an hour.

Counted values (how often which value) keep every percentile exact, and a minute of a thousand requests small.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

KEEP_SECONDS = 3 * 3600.0
FINE_SECONDS = 1800.0
GRAIN = 5
"""Seconds of one bucket of a standard metric: so that a minute may end every five seconds."""

Key = tuple[str, str, tuple[tuple[str, str], ...]]
"""(namespace, metric name, sorted dimensions)."""


def key_of(namespace: str, name: str, dimensions: dict[str, str]) -> Key:
    """Return a metric's identity: exactly these dimensions, in any order."""
    return namespace, name, tuple(sorted(dimensions.items()))


@dataclass
class Bucket:
    """Samples of a few seconds: `values` counts each value; `sets` are statistic sets (count, sum, minimum, maximum)."""

    values: dict[float, float] = field(default_factory=dict)
    sets: list[tuple[float, float, float, float]] = field(default_factory=list)

    def merge(self, other: Bucket) -> None:
        """Add the other's samples."""
        for value, count in other.values.items():
            self.values[value] = self.values.get(value, 0) + count
        self.sets += other.sets

    @property
    def count(self) -> float:
        """SampleCount."""
        return sum(self.values.values()) + sum(each[0] for each in self.sets)

    def statistic(self, stat: str) -> float | None:
        """Return Sum, Average, Minimum, Maximum, SampleCount or pNN; None without samples (or a percentile of statistic sets)."""
        count = self.count
        if not count:
            return None
        if stat == "SampleCount":
            return count
        if stat in ("Sum", "Average"):
            total = math.fsum(value * times for value, times in self.values.items()) + math.fsum(each[1] for each in self.sets)
            return total if stat == "Sum" else total / count
        if stat == "Minimum":
            return min([*self.values, *(each[2] for each in self.sets)])
        if stat == "Maximum":
            return max([*self.values, *(each[3] for each in self.sets)])
        return None if self.sets else self._percentile(float(stat[1:]) / 100, count)

    def _percentile(self, fraction: float, count: float) -> float:
        rank, seen = fraction * count, 0.0
        ordered = sorted(self.values)
        for value in ordered:
            seen += self.values[value]
            if seen >= rank - 1e-9:
                return value
        return ordered[-1]


_PERCENTILE = re.compile(r"p(\d{1,2}(\.\d{0,10})?|100)")


def is_statistic(stat: str) -> bool:
    """Whether `stat` is one of the served statistics."""
    return stat in ("SampleCount", "Average", "Sum", "Minimum", "Maximum") or _PERCENTILE.fullmatch(stat) is not None


@dataclass
class Series:
    """One metric: its unit and its buckets by start time."""

    unit: str = "None"
    grain: int = GRAIN
    buckets: dict[int, Bucket] = field(default_factory=dict)

    def window(self, start: float, end: float) -> Bucket:
        """Return the samples of [start, end)."""
        found = Bucket()
        first = math.ceil(start / self.grain) * self.grain
        for at in range(first, math.ceil(end / self.grain) * self.grain, self.grain):
            if at in self.buckets:
                found.merge(self.buckets[at])
        return found


class Metrics:
    """All metrics of all accounts and Regions. Not thread-safe: the service's lock guards it."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str], dict[Key, Series]] = {}

    def record(self, scope: tuple[str, str], key: Key, timestamp: float, bucket: Bucket, unit: str, fine: bool = False) -> None:
        """Add samples taken at `timestamp`; `fine` for metrics of one-second resolution."""
        series = self._series.setdefault(scope, {}).setdefault(key, Series(unit))
        series.unit = unit
        if fine:
            series.grain = 1
        at = int(timestamp // series.grain) * series.grain
        series.buckets.setdefault(at, Bucket()).merge(bucket)

    def series(self, scope: tuple[str, str], key: Key) -> Series | None:
        """Return one metric, or None if it has no samples."""
        return self._series.get(scope, {}).get(key)

    def keys(self, scope: tuple[str, str]) -> Iterable[tuple[Key, float]]:
        """Return each metric of the scope with the time of its newest samples."""
        return [(key, max(series.buckets)) for key, series in self._series.get(scope, {}).items() if series.buckets]

    def prune(self, now: float) -> None:
        """Forget samples that are older than three hours, and fold those older than half an hour to minutes."""
        for metrics in self._series.values():
            for key, series in list(metrics.items()):
                for at in [at for at in series.buckets if at < now - FINE_SECONDS and (at % 60 or at < now - KEEP_SECONDS)]:
                    bucket = series.buckets.pop(at)
                    if at >= now - KEEP_SECONDS:
                        series.buckets.setdefault(at // 60 * 60, Bucket()).merge(bucket)
                if not series.buckets:
                    del metrics[key]

    def dump(self) -> list[Any]:
        """JSON-able samples."""
        return [[*scope, key[0], key[1], [list(pair) for pair in key[2]], series.unit, series.grain,
                 [[at, list(bucket.values.items()), bucket.sets] for at, bucket in series.buckets.items()]]
                for scope, metrics in self._series.items() for key, series in metrics.items()]

    def load(self, dumped: list[Any]) -> None:
        """Take up dumped samples."""
        for account, region, namespace, name, dimensions, unit, grain, buckets in dumped:
            series = Series(unit, grain, {int(at): Bucket({float(value): count for value, count in values}, [tuple(each) for each in sets])
                                          for at, values, sets in buckets})
            key = (namespace, name, tuple((first, second) for first, second in dimensions))
            self._series.setdefault((account, region), {})[key] = series
