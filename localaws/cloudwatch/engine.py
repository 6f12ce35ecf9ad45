"""When an alarm changes state: pure decisions over data points and a time that is passed in.

Two things are AWS's own: M of N, and what missing data means (source: "Configuring how CloudWatch alarms treat missing data", whose
tables are this module's tests). One is not: AWS evaluates an alarm once a minute over the minutes of the clock. Here it is evaluated
every few seconds over minutes that end now, so an alarm tells seconds after its threshold is crossed. Each period is still a whole
one: a request floor, FILL or a percentage means what it means on AWS, and both directions are judged by the same rule.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from localaws.cloudwatch import metricmath
from localaws.cloudwatch.store import GRAIN, Bucket

EXTRA_PERIODS = 2
"""How many periods beyond N the evaluation range reaches back (AWS's examples retrieve five data points for N = 3)."""
SETTLE_SECONDS = 1.0
"""Samples of a moment are recorded by then."""

Read = Callable[[dict[str, Any], float, float], Bucket]
"""(Metric, start, end) -> the samples of [start, end); a Metric is {Namespace, MetricName, Dimensions}."""

_WORDS: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "GreaterThanOrEqualToThreshold": ("greater than or equal to", lambda value, threshold: value >= threshold),
    "GreaterThanThreshold": ("greater than", lambda value, threshold: value > threshold),
    "LessThanThreshold": ("less than", lambda value, threshold: value < threshold),
    "LessThanOrEqualToThreshold": ("less than or equal to", lambda value, threshold: value <= threshold),
}
COMPARISONS = frozenset(_WORDS)
_TREATED = {"breaching": "Breaching", "notBreaching": "NonBreaching", "ignore": "Ignored", "missing": "Missing"}


@dataclass(frozen=True)
class Point:
    """One data point: when its period began, its value (None: missing) and how many samples it has."""

    at: float
    value: float | None
    samples: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """The state an alarm is in, and why, in AWS's words; `data` is the StateReasonData."""

    state: str
    reason: str
    data: dict[str, Any]


def end_of_range(now: float) -> float:
    """Return when the newest period ends that is evaluated at `now`."""
    return (now - SETTLE_SECONDS) // GRAIN * GRAIN


def period_of(alarm: dict[str, Any]) -> float:
    """Return the alarm's period in seconds: its own, or its metrics' (they share one)."""
    if "Metrics" not in alarm:
        return float(alarm["Period"])
    return float(max([query["MetricStat"]["Period"] for query in alarm["Metrics"] if "MetricStat" in query]
                     or [query.get("Period", 60) for query in alarm["Metrics"]]))


def points(alarm: dict[str, Any], read: Read, end: float) -> list[Point]:
    """Return the data points of the alarm's evaluation range up to `end`, oldest first. Raises metricmath.MathError."""
    period = period_of(alarm)
    count = alarm["EvaluationPeriods"] + EXTRA_PERIODS
    grid = [end - period * (count - index) for index in range(count)]
    if "Metrics" not in alarm:
        metric = {"Namespace": alarm["Namespace"], "MetricName": alarm["MetricName"], "Dimensions": alarm.get("Dimensions", [])}
        stat = alarm.get("Statistic") or alarm["ExtendedStatistic"]
        found = []
        for start in grid:
            bucket = read(metric, start, start + period)
            found.append(Point(start, bucket.statistic(stat), bucket.count))
        return found
    values = math_values(alarm["Metrics"], read, grid, period)
    returned = next(query["Id"] for query in alarm["Metrics"] if query.get("ReturnData", True))
    return [Point(start, values[returned].get(start), 1.0) for start in grid]


def math_values(queries: list[dict[str, Any]], read: Read, grid: list[float], period: float) -> dict[str, metricmath.Values]:
    """Return the time series of each query (metrics and expressions over them) by id. Raises metricmath.MathError."""
    metrics: dict[str, metricmath.Values] = {}
    trees = {}
    for query in queries:
        if "MetricStat" not in query:
            trees[query["Id"]] = metricmath.parse(query["Expression"])
            continue
        stat = query["MetricStat"]
        own = float(stat["Period"])
        series = {}
        for start in grid if own == period else _grid(grid[0], grid[-1] + period, own):
            value = read(stat["Metric"], start, start + own).statistic(stat["Stat"])
            if value is not None:
                series[start] = value
        metrics[query["Id"]] = series
    values = dict(metrics)
    while trees:
        ready = [name for name, tree in trees.items() if not metricmath.names(tree) & trees.keys()]
        if not ready:
            raise metricmath.MathError(f"The expressions {', '.join(sorted(trees))} refer to each other in a circle")
        for name in ready:
            values[name] = metricmath.evaluate(trees.pop(name), values, grid, period, metrics)
    return values


def _grid(start: float, end: float, period: float) -> list[float]:
    return [start + period * index for index in range(int((end - start) // period))]


def too_few(stat: str, samples: float) -> bool:
    """Whether a percentile of so few samples is statistically weak: fewer than 10/(1-p), below the median 10/p."""
    if not stat.startswith("p"):
        return False
    fraction = float(stat[1:]) / 100
    tail = 1 - fraction if fraction >= 0.5 else fraction
    return tail > 0 and samples < 10 / tail - 1e-9


def evaluate(alarm: dict[str, Any], found: list[Point], now: float) -> Verdict | None:
    """Return the state that the data points call for, or None where the alarm keeps the state it has."""
    needed = alarm["EvaluationPeriods"]
    breach_count = alarm.get("DatapointsToAlarm", needed)
    treat = alarm.get("TreatMissingData", "missing")
    words, breaches = _WORDS[alarm["ComparisonOperator"]]
    stat = alarm.get("ExtendedStatistic", "")
    real = [point for point in found if point.value is not None]
    if alarm.get("EvaluateLowSampleCountPercentile") == "ignore":
        weak = [point for point in real if too_few(stat, point.samples)]
        if weak and weak[-1] is real[-1]:
            return None
        real = [point for point in real if point not in weak]
    # The newest N real data points of the range; only where there are fewer is anything filled in.
    used = real[-needed:]
    missing = needed - len(used)
    breaching = [point for point in used if point.value is not None and breaches(point.value, alarm["Threshold"])]
    counted = len(breaching) + (missing if treat == "breaching" else 0)
    if not used:
        return _without_data(alarm, treat, missing, now)
    if counted >= breach_count:
        return _crossed("ALARM", alarm, used, breaching, missing, now, words)
    if treat in ("missing", "ignore") and missing and len(breaching) == len(used):
        # All that is known breaches, but there is too little of it: "missing" goes by what there is once it is old enough.
        oldest = found.index(breaching[0])
        if treat == "missing" and len(found) - oldest >= breach_count:
            return _crossed("ALARM", alarm, used, breaching, missing, now, words)
        return None
    return _crossed("OK", alarm, used, [point for point in used if point not in breaching], missing, now, words)


def _without_data(alarm: dict[str, Any], treat: str, missing: int, now: float) -> Verdict | None:
    if treat == "ignore":
        return None
    plural = "" if missing == 1 else "s"
    data = _data(alarm, [], now)
    if treat == "missing":
        return Verdict("INSUFFICIENT_DATA", f"Insufficient Data: {missing} datapoint{plural} {'was' if missing == 1 else 'were'} unknown.", data)
    were = "was" if missing == 1 else "were"
    reason = (f"Threshold Crossed: no datapoints were received for {missing} period{plural} and {missing} missing datapoint{plural} "
              f"{were} treated as [{_TREATED[treat]}].")
    return Verdict("ALARM" if treat == "breaching" else "OK", reason, data)


def _crossed(state: str, alarm: dict[str, Any], used: list[Point], told: list[Point], missing: int, now: float, words: str) -> Verdict:
    needed = alarm["EvaluationPeriods"]
    breach_count = alarm.get("DatapointsToAlarm", needed)
    minimum = breach_count if state == "ALARM" else needed - breach_count + 1
    change = "OK -> ALARM" if state == "ALARM" else "ALARM -> OK"
    shown = ", ".join(f"{_number(point.value)} ({dt.datetime.fromtimestamp(point.at, dt.UTC):%d/%m/%y %H:%M:%S})"
                      for point in reversed(told[-5:]))
    filled = ""
    if missing and (state == "ALARM") == (alarm.get("TreatMissingData") == "breaching"):
        filled = (f" {missing} missing datapoint{'' if missing == 1 else 's'} {'was' if missing == 1 else 'were'} treated as "
                  f"[{_TREATED[alarm.get('TreatMissingData', 'missing')]}].")
    reason = (f"Threshold Crossed: {len(told)} out of the last {len(used)} datapoints [{shown}] {'was' if len(told) == 1 else 'were'} "
              f"{'' if state == 'ALARM' else 'not '}{words} the threshold ({_number(alarm['Threshold'])}) (minimum {minimum} "
              f"datapoint{'' if minimum == 1 else 's'} for {change} transition).{filled}")
    return Verdict(state, reason, _data(alarm, used, now))


def _data(alarm: dict[str, Any], used: list[Point], now: float) -> dict[str, Any]:
    data: dict[str, Any] = {"version": "1.0", "queryDate": stamp(now)}
    if used:
        data["startDate"] = stamp(used[0].at)
    stat = alarm.get("Statistic") or alarm.get("ExtendedStatistic")
    if stat:
        data["statistic"] = stat
    if alarm.get("Unit"):
        data["unit"] = alarm["Unit"]
    data |= {"period": int(period_of(alarm)), "recentDatapoints": [point.value for point in used], "threshold": alarm["Threshold"]}
    evaluated = []
    for point in reversed(used):
        each: dict[str, Any] = {"timestamp": stamp(point.at)}
        if stat:
            each["sampleCount"] = point.samples
        evaluated.append({**each, "value": point.value})
    if evaluated:
        data["evaluatedDatapoints"] = evaluated
    return data


def stamp(at: float) -> str:
    """Return a time as StateReasonData writes it."""
    moment = dt.datetime.fromtimestamp(at, dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}+0000"


def long_stamp(at: float) -> str:
    """Return a time as a composite alarm's reason writes it."""
    return f"{dt.datetime.fromtimestamp(at, dt.UTC):%A %d %B, %Y %H:%M:%S} UTC"


def _number(value: float | None) -> str:
    return json.dumps(float(value)) if value is not None else "missing"
