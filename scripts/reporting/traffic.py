"""Requests, faults and latency of each environment in each Region, with alarms and rollbacks marked. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scripts.reporting import charts, summary
from scripts.reporting.charts import Band, Line
from scripts.reporting.markup import Markup, element
from scripts.reporting.values import Environment, Place, Points, Traffic
from scripts.reporting.view import View, alarm_name, from_to
from scripts.reporting.words import number, percent, plural


def section(view: View, environment: Environment) -> Markup | None:
    measured = [place for place in environment.places if place.traffic]
    if not measured:
        return None
    # One scale for all Regions of an environment: they can be compared by eye.
    tops = {
        "requests": charts.ceiling(max((value for place in measured for _, value in _of(place).requests), default=0)),
        "faults": charts.ceiling(
            max(1.0, *(value for place in measured for points in (*_of(place).faults.values(), _of(place).refused) for _, value in points), 0.0)
        ),
        "latency": charts.ceiling(max((1000 * value for place in measured for _, value in (*_of(place).p99, *_of(place).p50)), default=0)),
    }
    total, faulty = summary.requests_of(environment)
    words = f"{number(total)} requests, {number(faulty)} failed ({percent(faulty, total)})"
    keys = [
        element("li", element("i", class_=f"key {kind}"), text)
        for kind, text in (("alarm", "an alarm fires"), ("back", "rollback"), ("limit", "the alarm's threshold"))
    ]
    return element(
        "section",
        element(
            "div", element("h2", f"Traffic of {environment.name}", element("span", words, class_="small")), element("ul", keys, class_="legend"), class_="title"
        ),
        [_place_charts(view, environment, place, tops) for place in measured],
        class_="panel traffic",
    )


def _of(place: Place) -> Traffic:
    return place.traffic or Traffic()


@dataclass(frozen=True)
class _Chart:
    """One chart of a place: its lines from 0 to `top`, what is said of them, and the alarm's threshold."""

    name: str
    lines: Sequence[Line]
    top: float
    unit: str
    said: str
    threshold: float | None = None


def _place_charts(view: View, environment: Environment, place: Place, tops: Mapping[str, float]) -> Markup:
    traffic = _of(place)
    requests = [Line("main", "all", traffic.requests, filled=True)]
    if "onebox" in traffic.by_scope:
        requests.append(Line("second", "onebox", traffic.by_scope["onebox"]))
    faults = [Line("bad" if name != "onebox" else "bad second", name, points) for name, points in sorted(traffic.faults.items())]
    if any(value for _, value in traffic.refused):
        faults.append(Line("third", "balancer", traffic.refused))
    latency = [Line("main", "p99", _scaled(traffic.p99)), Line("second", "p50", _scaled(traffic.p50))]
    limit, slow = _threshold(place, "Faults", 1), _threshold(place, "LatencyP99", 1000)
    failed = [point for line in faults for point in line.points]
    drawn = (
        _Chart("Requests a minute", requests, tops["requests"], "", _most(traffic.requests, "", "at most", None)),
        _Chart("Faults", faults, tops["faults"], " %", _most(failed, " %", "at most", limit), limit),
        _Chart("Latency", latency, tops["latency"], " ms", _most(_scaled(traffic.p99), " ms", "p99 at most", slow), slow),
    )
    bands, where = _bands(view, place), f"{environment.name} in {place.region}"
    return element(
        "div",
        element("h3", place.region, element("span", f"{number(traffic.total)} requests, {number(traffic.faulty)} failed", class_="small")),
        [_figure(view, one, where, bands) for one in drawn],
        class_="place",
    )


def _figure(view: View, one: _Chart, where: str, bands: Sequence[Band]) -> Markup:
    keys = [element("span", element("i", class_=f"key {line.kind}"), line.name) for line in one.lines if line.points]
    label = f"{one.name} of {where}: {one.said}; {plural(len(bands), 'time')} marked as alarm or rollback"
    return element(
        "figure",
        element(
            "figcaption", element("b", one.name), element("span", keys, class_="keys") if len(keys) > 1 else None, element("span", one.said, class_="small")
        ),
        charts.chart(view.axis, one.lines, one.top, one.unit, bands, label, view.report.period, one.threshold),
    )


def _threshold(place: Place, label: str, factor: float) -> float | None:
    """Where an alarm of the template rises, by its name there."""
    return next((factor * alarm.threshold for alarm in place.alarms if alarm.label == label and alarm.threshold is not None), None)


def _scaled(points: Points) -> Points:
    """Seconds as milliseconds."""
    return tuple((at, 1000 * value) for at, value in points)


def _most(points: Sequence[tuple[float, float]], unit: str, words: str, limit: float | None) -> str:
    above = f", alarm above {number(limit)}{unit}" if limit is not None else ""
    return f"{words} {number(max(value for _, value in points))}{unit}{above}" if points else "no data"


def _bands(view: View, place: Place) -> list[Band]:
    """When an alarm of the place fired, and when a rollback went on there."""
    alarms = [Band(one.begin, one.end, "alarm", f"{alarm_name(alarm)}: {from_to(one.begin, one.end)}") for alarm in place.alarms for one in alarm.spans]
    rollbacks = [
        Band(one.created, one.ended, "back", f"Rollback {one.id} of {scope.name}: {from_to(one.created, one.ended)}")
        for scope in place.scopes
        for one in scope.deployments
        if one.is_rollback
    ]
    return charts.merged(view.axis, alarms) + charts.merged(view.axis, rollbacks)
