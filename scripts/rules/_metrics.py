"""Metrics and statistics of CloudWatch: what namespaces have, and how statistics and metric math are written."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scripts.rules import _rule
else:
    sys.path.append(str(Path(__file__).parent))
    import _rule

STATISTICS = ("Average", "Maximum", "Minimum", "SampleCount", "Sum")
_NUMBER = r"(?:100|\d{1,2})(?:\.\d{1,10})?"
_EXTENDED = re.compile(rf"(?:p|tm|tc|ts|wm){_NUMBER}|IQM|(?:TM|TC|TS|WM)\((?:{_NUMBER}%)?:(?:{_NUMBER}%)?\)|(?:TM|TC|TS|WM|PR)\([0-9.]*:[0-9.]*\)")
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.%: -]*"
_STRING = re.compile(r"'[^']*'|\"[^\"]*\"")
_WORD = re.compile(r"(?<![\w.])([A-Za-z_]\w*)(\s*\()?")

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
FUNCTIONS = frozenset(
    [
        "ABS",
        "ANOMALY_DETECTION_BAND",
        "AVG",
        "CEIL",
        "DATAPOINT_COUNT",
        "DB_PERF_INSIGHTS",
        "DIFF",
        "DIFF_TIME",
        "FILL",
        "FIRST",
        "LAST",
        "FLOOR",
        "IF",
        "INSIGHT_RULE_METRIC",
        "LAMBDA",
        "LOG",
        "LOG10",
        "MAX",
        "METRIC_COUNT",
        "METRICS",
        "MIN",
        "MINUTE",
        "HOUR",
        "DAY",
        "DATE",
        "MONTH",
        "YEAR",
        "EPOCH",
        "PERIOD",
        "RATE",
        "REMOVE_EMPTY",
        "RUNNING_SUM",
        "SEARCH",
        "SERVICE_QUOTA",
        "SLICE",
        "SORT",
        "STDDEV",
        "SUM",
        "TIME_SERIES",
    ]
)
_CONSTANTS = frozenset(["REPEAT", "LINEAR", "AND", "OR", "NOT", "ASC", "DESC", "AVG", "MIN", "MAX", "SUM", "STDDEV", "LAST", "TRUE", "FALSE"])


def unknown_metric(namespace: str, metric: str, dimensions: Iterable[str], whole: bool = True) -> Iterator[tuple[str, str]]:
    """What is wrong with a metric of AWS's own, as (Namespace, MetricName or Dimensions, message). Nothing about namespaces that no table has.

    `whole`: whether `dimensions` are all that the metric is given, so that one can be missing.
    """
    tables = _rule.table("metrics")
    if namespace not in tables["tables"]:
        names = tables["namespaces"]
        folded = {name.lower(): name for name in names}
        if namespace.startswith("AWS/") and namespace not in names:
            # Short names are all near to each other, and AWS adds some: of those only another case is a mistake for sure.
            near = difflib.get_close_matches(namespace.lower(), list(folded), n=1, cutoff=1 if len(namespace) < 11 else 0.85)
            if near:
                yield "Namespace", f"there is no namespace {namespace}, so there is never any data; did you mean {folded[near[0]]}?"
        return
    known = tables["tables"][namespace]
    if metric not in known["metrics"]:
        yield "MetricName", _rule.unknown(metric, known["metrics"], "metrics", f"{namespace} has no metric {metric}, so there is never any data", _NAME)
    given = list(dimensions)
    for dimension in given:
        if dimension not in known["dimensions"]:
            said = f"no metric of {namespace} has the dimension {dimension}, so there is never any data"
            yield "Dimensions", _rule.unknown(dimension, known["dimensions"], "metrics", said, _NAME)
        elif dimension in known.get("never", {}).get(metric, ()):
            yield "Dimensions", f"{metric} is not reported by {dimension}, so there is never any data; leave {dimension} out"
    missing = [name for name in known.get("needs", {}).get(metric, ()) if name not in given]
    if missing and whole and not set(given) - set(known["dimensions"]):
        yield "Dimensions", f"{metric} is only reported with {' and '.join(known['needs'][metric])}; add {' and '.join(missing)}"


def statistic(name: str) -> bool:
    """Whether CloudWatch has such a statistic, percentiles, trimmed means and the like included."""
    return name in STATISTICS or bool(_EXTENDED.fullmatch(name))


def percentile(name: str) -> bool:
    return bool(_EXTENDED.fullmatch(name))


def words(expression: str) -> tuple[set[str], set[str]]:
    """Ids and functions that a metric math expression names. Texts in quotes (of SEARCH, say) are left out."""
    ids: set[str] = set()
    functions: set[str] = set()
    for word, call in _WORD.findall(_STRING.sub(" ", expression)):
        if call and (word.isupper() or word.upper() in FUNCTIONS):
            functions.add(word)
        elif word not in _CONSTANTS:
            ids.add(word)
    return ids, functions
