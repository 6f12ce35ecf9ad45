"""What a dashboard's body must look like. Pure.

Source: "Dashboard body structure and syntax" of the CloudWatch API reference. Served are the widgets `metric`, `alarm` and `text`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

GRID_WIDTH = 24
MOST_WIDGETS = 500
_KINDS = ("metric", "alarm", "text")
_VIEWS = ("timeSeries", "singleValue", "gauge", "bar", "pie", "table")
_RANGES = {"x": (0, GRID_WIDTH - 1), "y": (0, 10**6), "width": (1, GRID_WIDTH), "height": (1, 1000)}


def problems(body: str) -> list[dict[str, str]]:
    """Return what is wrong with a body, as DashboardValidationMessages: {DataPath, Message}; [] if nothing is."""
    try:
        parsed = json.loads(body)
    except ValueError:
        return [_problem("", "The field DashboardBody must be a valid JSON object")]
    if not isinstance(parsed, dict) or not isinstance(parsed.get("widgets"), list):
        return [_problem("/widgets", "Should have required property 'widgets', an array")]
    if len(parsed["widgets"]) > MOST_WIDGETS:
        return [_problem("/widgets", f"Should NOT have more than {MOST_WIDGETS} items")]
    return [found for index, widget in enumerate(parsed["widgets"]) for found in _widget(f"/widgets/{index}", widget)]


def _problem(path: str, message: str) -> dict[str, str]:
    return {"DataPath": path, "Message": message}


def _widget(path: str, widget: Any) -> Iterator[dict[str, str]]:
    if not isinstance(widget, dict) or not isinstance(widget.get("properties"), dict):
        yield _problem(path, "Should have required property 'properties', an object")
        return
    for name, (low, high) in _RANGES.items():
        value = widget.get(name)
        if value is not None and not (isinstance(value, int) and low <= value <= high):
            yield _problem(f"{path}/{name}", f"Should be an integer from {low} to {high}")
    kind, properties = widget.get("type"), widget["properties"]
    if kind not in _KINDS:
        yield _problem(f"{path}/type", f"Should be one of the types that the local AWS serves: {', '.join(_KINDS)}")
    elif kind == "text" and not isinstance(properties.get("markdown"), str):
        yield _problem(f"{path}/properties", "Should have required property 'markdown'")
    elif kind == "alarm" and not (isinstance(properties.get("alarms"), list) and properties["alarms"]):
        yield _problem(f"{path}/properties", "Should have required property 'alarms', with at least one ARN")
    elif kind == "metric":
        yield from _metric(f"{path}/properties", properties)


def _metric(path: str, properties: dict[str, Any]) -> Iterator[dict[str, str]]:
    annotations = properties.get("annotations") or {}
    if not isinstance(properties.get("region"), str):
        yield _problem(path, "Should have required property 'region'")
    if "metrics" not in properties and not annotations.get("alarms"):
        yield _problem(path, "Should have required property 'metrics' or annotations with an alarm")
    if properties.get("view", "timeSeries") not in _VIEWS:
        yield _problem(f"{path}/view", f"Should be one of {', '.join(_VIEWS)}")
    above: list[str] = []
    for index, line in enumerate(properties.get("metrics") or []):
        above, problem = _line(line, above)
        if problem:
            yield _problem(f"{path}/metrics/{index}", problem)
    for index, mark in enumerate(annotations.get("horizontal") or []):
        marks = mark if isinstance(mark, list) else [mark]
        if not all(isinstance(each, dict) and isinstance(each.get("value"), (int, float)) for each in marks):
            yield _problem(f"{path}/annotations/horizontal/{index}", "Should have required property 'value', a number")


def _line(line: Any, above: list[str]) -> tuple[list[str], str]:
    """Return the names of one line of a metric widget, and what is wrong with it.

    A line is [namespace, metric, dimension, value…, {options}] or [{expression}]. `.` repeats what stands there in the line above, `...`
    all that is not written behind it.
    """
    if not isinstance(line, list) or not line:
        return above, "Should be an array"
    names = line[:-1] if isinstance(line[-1], dict) else line
    if not all(isinstance(name, str) for name in names):
        return above, "Should hold strings, and options at its end"
    if not names:
        return above, "" if "expression" in line[-1] else "Should have a metric or an expression"
    if names[0] == "...":
        names = above[:max(0, len(above) - len(names) + 1)] + names[1:]
    if any(name == "." and index >= len(above) for index, name in enumerate(names)):
        return above, "Should have something above each '.'"
    names = [above[index] if name == "." else name for index, name in enumerate(names)]
    return names, "" if names and len(names) % 2 == 0 else "Should name a namespace, a metric, and pairs of dimension and value"
