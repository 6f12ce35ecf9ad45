"""E9043: the body of a dashboard."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.rules import _metrics, _policies, _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _metrics
    import _policies
    import _rule
    import _values


class Dashboard(_rule.Rule):
    id = "E9043"
    shortdesc = "Body of a dashboard is wrong"
    description = "CloudWatch refuses a body that is no JSON or whose widgets have no known type; it shows an empty graph for a metric that does not exist."
    source_url = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html"
    next_step = "correct the body: JSON, widgets of a known type, each with its region and metrics that there are"
    tags = ("resources", "cloudwatch")
    resource_types = ("AWS::CloudWatch::Dashboard",)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        for body in _values.members(cfn, resource, "DashboardBody"):
            for text in _policies.shapes(cfn, body.value):
                if text == _policies.UNKNOWN:
                    continue
                try:
                    # What is unknown is a word within quotes, and a number outside of them.
                    read = json.loads(re.sub(f"(?<=[:,\\[ ]){_policies.UNKNOWN}(?=[,}}\\] ])", "1", text).replace(_policies.UNKNOWN, "x"))
                except ValueError as error:
                    yield body.path, f"the body is no JSON: {error}"
                    continue
                for message in dict.fromkeys(_wrong(read)):
                    yield body.path, message


def _wrong(body: Any) -> Iterable[str]:
    widgets = body.get("widgets") if isinstance(body, dict) else None
    if not isinstance(widgets, list):
        yield "the body has no list of widgets"
        return
    for widget in widgets:
        kind = widget.get("type") if isinstance(widget, dict) else None
        if kind not in ("metric", "text", "log", "alarm", "explorer", "custom"):
            yield f"a widget has the type {kind}; use metric, text, log, alarm, explorer or custom"
            continue
        if kind == "metric":
            properties = widget.get("properties") or {}
            if not properties.get("region") and not properties.get("annotations", {}).get("alarms"):
                yield f"the widget {properties.get('title', '')!r} names no region"
            yield from _metrics_of(properties)


def _metrics_of(properties: dict[str, Any]) -> Iterable[str]:
    """Lines of a graph: namespace, metric, then dimensions' names and values; a dot repeats what stands there in the line above."""
    above: list[Any] = []
    ids: set[str] = set()
    expressions: list[str] = []
    for line in properties.get("metrics") or []:
        if not isinstance(line, list):
            yield f"in the widget {properties.get('title', '')!r} a metric is no list"
            continue
        options = line[-1] if line and isinstance(line[-1], dict) else {}
        words = [entry for entry in line if not isinstance(entry, dict)]
        ids |= {str(options["id"])} if "id" in options else set()
        expressions += [str(options["expression"])] if "expression" in options else []
        stat = options.get("stat", properties.get("stat"))
        if isinstance(stat, str) and not _metrics.statistic(stat):
            yield f"{stat} is no statistic (in the widget {properties.get('title', '')!r})"
        if words == ["..."] or not words:
            continue
        if "..." in words:
            rest = words[words.index("...") + 1 :]
            words = [*words[: words.index("...")], *above[words.index("...") : len(above) - len(rest)], *rest]
        words = [above[index] if word == "." and index < len(above) else word for index, word in enumerate(words)]
        above = words
        if len(words) >= 2 and len(words) % 2 == 0:
            for _, message in _metrics.unknown_metric(str(words[0]), str(words[1]), [str(word) for word in words[2::2]]):
                yield type(message)(f"{message} (in the widget {properties.get('title', '')!r})")
    for expression in expressions:
        if not expression.lstrip().upper().startswith(("SELECT", "SEARCH")):
            named, functions = _metrics.words(expression)
            # m1, e1 and the like are given by the console to lines without an id.
            for name in sorted(name for name in named - ids if not re.fullmatch(r"[me]\d+", name)):
                yield f"no line of the widget {properties.get('title', '')!r} has the id {name}, which {expression!r} names"
            for function in sorted(functions - _metrics.FUNCTIONS):
                yield f"metric math has no function {function} (in the widget {properties.get('title', '')!r})"
