"""Inline SVG of a report: lanes of bars, hosts by release, lines over time. Pure.

Drawings are as wide as the page gives them, with text of one size: positions are percentages, and what needs coordinates lies in an inner drawing that
is stretched. So the same page reads on a phone, on paper and on a wide screen, without a script.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from scripts.reporting.hosts import Step
from scripts.reporting.markup import Markup, element
from scripts.reporting.values import Points
from scripts.reporting.words import number

LANE = 26
ALARM_LANE = 17
HOSTS = 78
PLOT = 104
FOOT = 17
_MOST_POINTS = 240
_MOST_BARS = 200
_INNER = 1000
_TICKS = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400, 172800, 604800, 1209600)
# Times of one kind that are closer than this, in percent, are drawn as one.
_CLOSE = 0.3
# A bar is never thinner than this, in percent: it could not be seen.
_THINNEST = 0.35
# Bars so wide (percent) have room for their mark, and for their text: on a wide screen, on a narrow one or paper, on a phone.
_ROOM_FOR_MARK = ((4.2, "n3"), (2.4, "n2"), (1.4, "n1"))
_ROOM_FOR_TEXT = ((21.0, "n3"), (12.5, "n2"), (7.6, "n1"))
_ROOM_FOR_COMMIT = ((27.0, "n3"), (16.5, "n2"), (9.8, "n1"))
_MARKS = {
    "ok": "M1.5 5.5 4.5 8.5 9.5 2",
    "failed": "M2 2 9 9M9 2 2 9",
    "stopped": "M2.5 2.5h6v6h-6z",
    "back": "M4.5 1.5 1.5 4.5 4.5 7.5M1.5 4.5h5a2.5 2.5 0 0 1 0 5.5h-2.5",
    "running": "M3 1.5 8.5 5.5 3 9.5z",
    "held": "M3 1.5v8M8 1.5v8",
    "alarm": "M5.5 1 10.5 10h-10z",
}
"""A mark for each kind, in a square of 11: what is told by colour is told by shape too."""


_MORE = "\nand "


@dataclass(frozen=True)
class Axis:
    """The period that a drawing shows."""

    since: float
    until: float

    def percent(self, at: float | None, otherwise: float) -> float:
        """Where a moment lies, 0 to 100; `otherwise` stands for None."""
        share = 100 * ((otherwise if at is None else at) - self.since) / max(1.0, self.until - self.since)
        return min(100.0, max(0.0, share))

    def ticks(self, most: int = 7) -> list[tuple[float, str]]:
        """(percent, text) of round times in it, at most `most`; text is `HH:MM`, or the day where they are days apart."""
        step = next(
            (step for step in _TICKS if (self.until - self.since) / step <= most), _TICKS[-1] * max(1, math.ceil((self.until - self.since) / _TICKS[-1] / most))
        )
        first = math.ceil(self.since / step) * step
        count = int((self.until - first) // step) + 1
        found = []
        for at in (first + index * step for index in range(max(0, count))):
            when = datetime.fromtimestamp(at, UTC)
            midnight = when.hour == 0 and when.minute == 0
            found.append((self.percent(at, at), f"{when.day} {when:%b}" if step >= 86400 or midnight else f"{when:%H:%M}"))
        return found


@dataclass(frozen=True)
class Bar:
    """Something that lasted. `kind` is one of the marks; `label` is shown where there is room, `title` when one points at it. `slim`: beside the others."""

    begin: float | None
    end: float | None
    kind: str
    label: str
    title: str
    slim: bool = False


@dataclass(frozen=True)
class Line:
    """A series: `kind` is its style (main, second, third), `name` what the legend says."""

    kind: str
    name: str
    points: Points
    filled: bool = False


@dataclass(frozen=True)
class Band:
    """A time marked over a whole chart: `kind` alarm or back."""

    begin: float | None
    end: float | None
    kind: str
    title: str


Timed = TypeVar("Timed", Bar, Band)


def merged(axis: Axis, found: Sequence[Timed]) -> list[Timed]:
    """Bars or bands of one kind without those that would lie on each other or close beside: a page has room for so many, however many there were."""
    kept: list[Timed] = []
    more = 0
    for one in sorted(found, key=lambda each: each.begin if each.begin is not None else axis.since):
        last = kept[-1] if kept else None
        if last and last.kind == one.kind and axis.percent(one.begin, axis.since) - axis.percent(last.end, axis.until) < _CLOSE:
            more += 1
            over = None if last.end is None or one.end is None else max(last.end, one.end)
            kept[-1] = replace(last, end=over, title=f"{last.title.partition(_MORE)[0]}{_MORE}{more} more")
        else:
            more = 0
            kept.append(one)
    return kept


def definitions() -> Markup:
    """The hatchings that drawings refer to; once in a page."""

    def hatch(name: str) -> Markup:
        return element(
            "pattern",
            element("rect", width=6, height=6, class_=f"{name}-ground"),
            element("path", d="M-1 1 1-1M0 6 6 0M5 7 7 5", class_=f"{name}-lines"),
            id=name,
            width=6,
            height=6,
            patternUnits="userSpaceOnUse",
        )

    return element(
        "svg", element("defs", hatch("hatch-bad"), hatch("hatch-back"), hatch("hatch-none")), class_="definitions", width=0, height=0, aria_hidden="true"
    )


def mark(kind: str) -> Markup:
    """A kind's mark alone, for words and legends."""
    return element("svg", element("path", d=_MARKS[kind]), class_=f"mark {kind}", viewBox="0 0 11 11", width=11, height=11, aria_hidden="true")


def scale(axis: Axis) -> Markup:
    """The times along the top of the lanes."""
    return _svg("scale", FOOT, "", [_times(axis, FOOT - 4)], hidden=True)


def lane(axis: Axis, bars: Sequence[Bar], label: str) -> Markup:
    """Bars on one line; the newest ones where there are too many to draw. `label` says in words what it shows."""
    shown = sorted(bars, key=lambda bar: bar.begin or 0.0)[-_MOST_BARS:]
    return _svg("lane", LANE, label, [_grid(axis, LANE), *(_bar(axis, bar) for bar in shown)])


def _bar(axis: Axis, bar: Bar) -> Markup:
    left, right = axis.percent(bar.begin, axis.since), axis.percent(bar.end, axis.until)
    width = max(_THINNEST, right - left)
    left = min(left, 100 - width)
    top, height = (LANE - 6, 4) if bar.slim else (3, LANE - 6)
    parts: list[object] = [element("title", bar.title), element("rect", x=0.5, y=0.5, width="100%", height=height - 1, rx=2.5, class_="fill")]
    if bar.kind in ("back", "held") and not bar.slim:
        parts.append(element("rect", x=0.5, y=0.5, width="100%", height=height - 1, rx=2.5, fill="url(#hatch-back)", class_="over"))
    if not bar.slim:
        text = _room(width, _ROOM_FOR_TEXT)
        sign = {"width": 11, "height": 11, "viewBox": "0 0 11 11", "y": 4.5, "overflow": "visible"}
        path = element("path", d=_MARKS[bar.kind])
        # Where the text is not shown, on a narrower page, the mark still stands at the left: that is where it is looked for.
        if text and bar.label:
            parts.append(element("svg", path, x=5, class_=f"sign {_room(width, _ROOM_FOR_MARK)}", **sign))
            parts.append(element("text", bar.label, x=21, y=14, class_=text))
        elif room := _room(width, _ROOM_FOR_MARK):
            parts.append(element("svg", element("svg", path, x=-5.5, overflow="visible"), x="50%", class_=f"sign {room}", **sign | {"viewBox": None}))
    ending = "" if bar.end is not None else " open"
    return element(
        "svg",
        *parts,
        x=f"{left:.2f}%",
        y=top,
        width=f"{width:.2f}%",
        height=height,
        overflow="visible",
        class_=f"bar {bar.kind}{ending}{' slim' if bar.slim else ''}",
    )


def _room(width: float, least: Sequence[tuple[float, str]]) -> str | None:
    """The class of what has room in a bar so wide (percent); None where there is none on any page."""
    return next((name for enough, name in least if width >= enough), None)


def alarms(axis: Axis, rows: Sequence[tuple[str, Sequence[Bar]]], label: str) -> Markup:
    """A line for each alarm that was in ALARM: (its name, when)."""
    height = ALARM_LANE * len(rows)
    parts: list[object] = [_grid(axis, height)]
    for index, (name, bars) in enumerate(rows):
        top, edge = index * ALARM_LANE, 0.0
        for bar in merged(axis, bars):
            left, right = axis.percent(bar.begin, axis.since), axis.percent(bar.end, axis.until)
            width = max(_THINNEST, right - left)
            left = min(left, 100 - width)
            edge = max(edge, left + width)
            parts.append(
                element(
                    "svg",
                    element("title", bar.title),
                    element("rect", width="100%", height=6, rx=2),
                    x=f"{left:.2f}%",
                    y=top + 6,
                    width=f"{width:.2f}%",
                    height=6,
                    class_="alarm",
                )
            )
            parts.append(
                element(
                    "svg",
                    element("svg", element("path", d=_MARKS["alarm"]), x=-5.5, width=11, height=11, viewBox="0 0 11 11", overflow="visible"),
                    x=f"{left:.2f}%",
                    y=top + 3,
                    width=11,
                    height=11,
                    overflow="visible",
                    class_="alarm-sign",
                )
            )
        first = axis.percent(bars[0].begin, axis.since) if bars else 0.0
        if edge <= 70 or first < 30:
            parts.append(element("text", name, x=f"{edge:.2f}%", y=top + 13, dx=9, class_="alarm-name"))
        else:
            parts.append(element("text", name, x=f"{first:.2f}%", y=top + 13, dx=-10, text_anchor="end", class_="alarm-name"))
    return _svg("lane", height, label, parts)


def hosts(axis: Axis, steps: Sequence[Step], classes: Mapping[str, str], names: Mapping[str, str], label: str) -> Markup:
    """Hosts by release, stacked, over time. `classes` gives each commit its colour, `names` what is written in its area."""
    most = max((sum(step.counts.values()) for step in steps), default=0)
    shown = _thinned(steps, _MOST_POINTS)
    order = [commit for commit in classes if any(commit in step.counts for step in shown)]
    areas: list[object] = []
    texts: list[object] = []
    base = [0] * len(shown)
    edges = [axis.percent(step.at, axis.since) * _INNER / 100 for step in shown] + [float(_INNER)]
    for commit in order:
        heights = [step.counts.get(commit, 0) for step in shown]
        path = "".join(_area(edges, base, heights, most, begin, end) for begin, end in _stretches(heights))
        areas.append(element("path", element("title", names[commit]), d=path, class_=f"area {classes[commit]}"))
        place = _widest(edges, heights, base, most)
        if place:
            left, width, middle = place
            room = _room(width, _ROOM_FOR_COMMIT)
            if room:
                y = 4 + (HOSTS - 8) * (1 - middle / most) + 4
                texts.append(
                    element(
                        "text", names[commit], x=f"{left + width / 2:.2f}%", y=f"{y:.0f}", text_anchor="middle", class_=f"area-name {room} on-{classes[commit]}"
                    )
                )
        base = [low + height for low, height in zip(base, heights, strict=True)]
    inner = element("svg", *areas, viewBox=f"0 0 {_INNER} 100", preserveAspectRatio="none", x=0, y=4, width="100%", height=HOSTS - 8)
    return _svg("hosts", HOSTS, label, [_grid(axis, HOSTS), inner, *texts])


def _stretches(heights: Sequence[int]) -> list[tuple[int, int]]:
    """(first, after the last) of each row of steps in which a release has hosts."""
    inside = [index for index, height in enumerate(heights) if height]
    begins = [index for index in inside if index == 0 or not heights[index - 1]]
    ends = [index + 1 for index in inside if index + 1 == len(heights) or not heights[index + 1]]
    return list(zip(begins, ends, strict=True))


def _area(edges: Sequence[float], base: Sequence[int], heights: Sequence[int], most: int, begin: int, end: int) -> str:
    """The outline of a release's hosts: along the upper steps, and back along the lower ones."""
    upper = "L".join(f"{edges[i]:.0f} {_down(base[i] + heights[i], most)}H{edges[i + 1]:.0f}" for i in range(begin, end))
    lower = "L".join(f"{edges[i + 1]:.0f} {_down(base[i], most)}H{edges[i]:.0f}" for i in reversed(range(begin, end)))
    return f"M{upper}L{lower}z"


def _down(value: float, most: float) -> int:
    return round(100 - 100 * value / most) if most else 100


def _widest(edges: Sequence[float], heights: Sequence[int], base: Sequence[int], most: int) -> tuple[float, float, float] | None:
    """The longest time in which a release has a fifth of the hosts or more: (left, width in percent, the middle of its area in hosts)."""
    best: tuple[float, float, float] | None = None
    index = 0
    while index < len(heights):
        end = index
        while end < len(heights) and heights[end] * 5 >= most and (heights[end], base[end]) == (heights[index], base[index]):
            end += 1
        if end > index:
            width = (edges[end] - edges[index]) * 100 / _INNER
            if best is None or width > best[1]:
                best = (edges[index] * 100 / _INNER, width, base[index] + heights[index] / 2)
        index = max(end, index + 1)
    return best


def chart(axis: Axis, lines: Sequence[Line], top: float, unit: str, bands: Sequence[Band], label: str, period: float, threshold: float | None = None) -> Markup:
    """Lines over time from 0 to `top`, with bands behind them and a threshold where it is in sight."""
    top = top or 1.0
    parts: list[object] = []
    for band in bands:
        left, right = axis.percent(band.begin, axis.since), axis.percent(band.end, axis.until)
        width = max(_THINNEST, right - left)
        left = min(left, 100 - width)
        parts.append(
            element(
                "svg",
                element("title", band.title),
                element("rect", width="100%", height=PLOT, class_="ground"),
                element("rect", width="100%", height=4, y=0 if band.kind == "alarm" else PLOT - 4, class_="edge"),
                x=f"{left:.2f}%",
                y=0,
                width=f"{width:.2f}%",
                height=PLOT,
                class_=f"band {band.kind}",
            )
        )
    for share in (1.0, 0.5):
        parts.append(element("line", x1=0, x2="100%", y1=_y(share * top, top), y2=_y(share * top, top), class_="rule"))
    inner: list[object] = []
    for line in lines:
        pieces = _pieces(line.points, period)
        if line.filled:
            inner += [element("path", d=_outline(axis, piece, top, period, closed=True), class_=f"under {line.kind}") for piece in pieces]
        inner.append(
            element(
                "path",
                d="".join(_outline(axis, piece, top, period, closed=False) for piece in pieces),
                class_=f"line {line.kind}",
                vector_effect="non-scaling-stroke",
            )
        )
    parts.append(element("svg", *inner, viewBox=f"0 0 {_INNER} {PLOT}", preserveAspectRatio="none", x=0, y=0, width="100%", height=PLOT))
    if threshold is not None and threshold <= top:
        parts.append(element("line", x1=0, x2="100%", y1=_y(threshold, top), y2=_y(threshold, top), class_="threshold"))
    parts += [
        element("line", x1=0, x2="100%", y1=PLOT - 0.5, y2=PLOT - 0.5, class_="base"),
        element("text", f"{number(top)}{unit}", x=3, y=_y(top, top) + 10, class_="value"),
        element("text", f"{number(top / 2)}{unit}", x=3, y=_y(top / 2, top) + 10, class_="value"),
        _times(axis, PLOT + 13, 4),
    ]
    return _svg("chart", PLOT + FOOT, label, parts)


def ceiling(value: float) -> float:
    """The round number at which a scale ends that has to show `value`: 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten."""
    if value <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= value * 0.9999), 10 * power)


def _y(value: float, top: float) -> float:
    # Five pixels above the highest value, so that its line is whole.
    return round(PLOT - (PLOT - 5) * min(value, top) / top, 1)


def _pieces(points: Points, period: float) -> list[Points]:
    """The points without the gaps in between: what is a while from its neighbour is not joined to it. Long ones are thinned."""
    found: list[list[tuple[float, float]]] = []
    for point in points:
        if found and point[0] - found[-1][-1][0] <= period * 1.5:
            found[-1].append(point)
        else:
            found.append([point])
    share = max(1, len(points)) / _MOST_POINTS
    return [_lowest_and_highest(piece, max(2, int(len(piece) / share))) if share > 1 else tuple(piece) for piece in found[-_MOST_POINTS:]]


def _lowest_and_highest(piece: Sequence[tuple[float, float]], most: int) -> Points:
    """At most so many points, of each stretch the lowest and the highest: neither a dip nor a peak is lost."""
    if len(piece) <= most:
        return tuple(piece)
    size = math.ceil(len(piece) / max(1, most // 2))
    kept: list[tuple[float, float]] = []
    for start in range(0, len(piece), size):
        stretch = piece[start : start + size]
        kept += sorted({min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])})
    return tuple(kept)


def _thinned(steps: Sequence[Step], most: int) -> list[Step]:
    if len(steps) <= most:
        return list(steps)
    size = math.ceil(len(steps) / most)
    return [*steps[:-1:size], steps[-1]]


def _outline(axis: Axis, piece: Points, top: float, period: float, closed: bool) -> str:
    """A path through the middles of the periods; one point alone is a dash as long as its period."""
    middles = [(axis.percent(at + period / 2, 0) * _INNER / 100, _y(value, top)) for at, value in piece]
    if len(middles) == 1:
        left, right = (axis.percent(at, 0) * _INNER / 100 for at in (piece[0][0], piece[0][0] + period))
        middles = [(left, middles[0][1]), (right, middles[0][1])]
    path = "M" + "L".join(f"{x:.0f} {y:g}" for x, y in middles)
    return f"{path}L{middles[-1][0]:.0f} {PLOT}L{middles[0][0]:.0f} {PLOT}z" if closed else path


def _grid(axis: Axis, height: float) -> list[Markup]:
    return [element("line", x1=f"{x:.2f}%", x2=f"{x:.2f}%", y1=0, y2=height, class_="tick") for x, _ in axis.ticks()]


def _times(axis: Axis, y: float, most: int = 7) -> list[Markup]:
    found = []
    for index, (x, text) in enumerate(axis.ticks(most)):
        anchor = "start" if x < 3 else "end" if x > 97 else "middle"
        # On a phone every other one has to do.
        kind = "time" if most < 5 or index % 2 == 0 else "time n2"
        found.append(element("text", text, x=f"{x:.2f}%", y=y, text_anchor=anchor, class_=kind))
    return found


def _svg(kind: str, height: float, label: str, parts: Sequence[object], hidden: bool = False) -> Markup:
    said = {"aria_hidden": "true"} if hidden else {"role": "img", "aria_label": label}
    return element("svg", *parts, class_=kind, width="100%", height=height, **said)
