"""E9041: metric math that does not fit together."""

from __future__ import annotations

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


class MetricMath(_rule.Rule):
    id = "E9041"
    shortdesc = "Metric math does not fit together"
    description = (
        "An expression may only name ids of its alarm and functions that there are, ids are unique, and just one entry returns the data that the "
        "alarm watches. CloudWatch refuses the rest."
    )
    source_url = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html"
    next_step = "give each query an Id, use each Id that is named, and return one of them"
    tags = ("resources", "cloudwatch")
    resource_types = ("AWS::CloudWatch::Alarm",)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        for metrics in _values.members(cfn, resource, "Metrics"):
            entries = [entry for entry in _values.entries(cfn, metrics.value, metrics.path, metrics.conditions) if isinstance(entry.value, dict)]
            ids = [(entry, entry.value.get("Id")) for entry in entries]
            if not all(isinstance(name, str) for _, name in ids):
                continue
            yield from self._ids(cfn, ids)
            yield from self._returned(cfn, metrics, entries)
            yield from self._expressions(cfn, entries, {str(name) for _, name in ids})

    def _ids(self, cfn: Any, ids: list[tuple[_values.Branch, Any]]) -> Iterable[tuple[_values.Path, str]]:
        for index, (entry, name) in enumerate(ids):
            for earlier, other in ids[:index]:
                if name == other and _values.together(cfn, entry.conditions, earlier.conditions):
                    yield (*entry.path, "Id"), f"two entries have the id {name}; give one another"

    def _returned(self, cfn: Any, metrics: _values.Branch, entries: list[_values.Branch]) -> Iterable[tuple[_values.Path, str]]:
        flags = [entry.value.get("ReturnData", True) for entry in entries]
        if any(isinstance(flag, dict) for flag in flags) or any(entry.conditions != metrics.conditions for entry in entries):
            return
        returned = [entry for entry, flag in zip(entries, flags, strict=True) if str(flag).lower() == "true"]
        banded = any("ANOMALY_DETECTION_BAND" in str(entry.value.get("Expression")) for entry in entries)
        if not returned:
            yield metrics.path, "no entry returns data, so the alarm watches nothing; set ReturnData: true on one"
        elif len(returned) > 1 and not banded:
            names = ", ".join(str(entry.value["Id"]) for entry in returned)
            yield returned[1].path, f"{names} all return data, which is the default; an alarm watches one: set ReturnData: false on the others"

    def _expressions(self, cfn: Any, entries: list[_values.Branch], ids: set[str]) -> Iterable[tuple[_values.Path, str]]:
        for entry in entries:
            for expression in _values.members(cfn, entry, "Expression"):
                for text in _policies.shapes(cfn, expression.value):
                    # Numbers are what parameters bring; a text of nothing else cannot be judged.
                    known = text.replace(_policies.UNKNOWN, "1")
                    if text == _policies.UNKNOWN or known.lstrip().upper().startswith("SELECT"):
                        continue
                    named, functions = _metrics.words(known)
                    for name in sorted(named - ids):
                        yield expression.path, f"no entry of the alarm has the id {name}; {_rule.meant(name, ids)}"
                    for function in sorted(functions - _metrics.FUNCTIONS):
                        yield expression.path, f"metric math has no function {function}; {_rule.meant(function, _metrics.FUNCTIONS)}"
                    if known.count("(") != known.count(")"):
                        yield expression.path, f"{known.count('(')} parentheses open and {known.count(')')} close"
