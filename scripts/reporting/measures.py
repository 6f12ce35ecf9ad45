"""Reads alarms with their history, and what the load balancer counted, of an environment in a Region. Read-only.

Metrics: AWS/ApplicationELB, "CloudWatch metrics for your Application Load Balancer" (Elastic Load Balancing, Application Load Balancers guide).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from scripts.diagnosis.collect import Place as Where
from scripts.reporting.listing import all_pages, batches, utc
from scripts.reporting.values import Alarm, Points, Span, Traffic

Raw = Mapping[str, Any]
_MOST_MOVED = 25
"""Alarms of a place whose history is asked for."""
_MOST_PAGES = 20
_ALARMS = 100  # DescribeAlarms takes 100 names in a call.


def alarms(where: Where, document: Raw, since: float, until: float) -> tuple[Alarm, ...]:
    """The metric alarms that the document names, with when they were in ALARM."""
    owners = dict.fromkeys(document.get("alarms", []), "") | {name: scope for scope, of in document["scopes"].items() for name in of["alarms"]}
    cloudwatch = where.calls.client("cloudwatch", where.region)
    raws = [
        raw
        for some in batches(list(owners), _ALARMS)
        for raw in cloudwatch.describe_alarms(AlarmNames=some, AlarmTypes=["MetricAlarm"], MaxRecords=_ALARMS).get("MetricAlarms", [])
    ]
    # One that has not changed since the period began has no history in it.
    moved = [raw for raw in raws if _changed(raw) >= since][:_MOST_MOVED]
    found = []
    for raw in raws:
        name, state = raw["AlarmName"], raw["StateValue"]
        spans: tuple[Span, ...] = (Span(None, None),) if state == "ALARM" else ()
        if raw in moved:
            spans = where.calls.attempt(f"history of the alarm {name} in {where.region}", partial(_spans, cloudwatch, name, since, until), spans)
        found.append(Alarm(name, label_of(name), owners[name], state, raw.get("Threshold"), spans))
    return tuple(found)


def _changed(raw: Raw) -> float:
    moment = raw.get("StateTransitionedTimestamp") or raw.get("StateUpdatedTimestamp")
    return float(moment.timestamp()) if moment else 0.0


def _spans(cloudwatch: Any, name: str, since: float, until: float) -> tuple[Span, ...]:
    items = all_pages(
        cloudwatch,
        "describe_alarm_history",
        "AlarmHistoryItems",
        AlarmName=name,
        HistoryItemType="StateUpdate",
        StartDate=utc(since),
        EndDate=utc(until),
    )
    changes = []
    for item in items:
        try:
            data = json.loads(item["HistoryData"])
            changes.append((item["Timestamp"].timestamp(), str(data["oldState"]["stateValue"]), str(data["newState"]["stateValue"])))
        except (KeyError, TypeError, ValueError):
            continue  # an item of a form that is not known says nothing
    return spans_of(sorted(changes))


def spans_of(changes: Iterable[tuple[float, str, str]]) -> tuple[Span, ...]:
    """When an alarm was in ALARM, from its changes (when, from, to), oldest first."""
    found: list[Span] = []
    begin: float | None = None
    inside = False
    for index, (at, old, new) in enumerate(changes):
        if index == 0 and old == "ALARM":
            inside = True
        if new == "ALARM" and not inside:
            begin, inside = at, True
        elif new != "ALARM" and inside:
            found.append(Span(begin, at))
            begin, inside = None, False
    return (*found, Span(begin, None)) if inside else tuple(found)


def label_of(name: str) -> str:
    """What an alarm is called in the template, where CloudFormation named it (`<stack>-<logical id>-<random>`); else its name."""
    parts = name.rsplit("-", 2)
    return parts[1] if len(parts) == 3 and re.fullmatch(r"[A-Z0-9]{6,}", parts[2]) else name


def traffic(where: Where, document: Raw, since: float, until: float, period: int) -> Traffic:
    """What the balancer counted, minute by minute; the minute that is not over is left out."""
    scopes = document["scopes"]
    balancer = next(iter(scopes.values()))["loadBalancer"]
    queries: list[dict[str, Any]] = []

    def ask(name: str, metric: str, stat: str, group: str = "") -> None:
        dimensions = [{"Name": "LoadBalancer", "Value": balancer}, *([{"Name": "TargetGroup", "Value": group}] if group else [])]
        queries.append(
            {
                "Id": name,
                "ReturnData": True,
                "MetricStat": {"Metric": {"Namespace": "AWS/ApplicationELB", "MetricName": metric, "Dimensions": dimensions}, "Period": period, "Stat": stat},
            }
        )

    ask("requests", "RequestCount", "Sum")
    ask("refused", "HTTPCode_ELB_5XX_Count", "Sum")
    ask("p50", "TargetResponseTime", "p50")
    ask("p99", "TargetResponseTime", "p99")
    for index, of in enumerate(scopes.values()):
        ask(f"requests{index}", "RequestCount", "Sum", of["targetGroup"])
        ask(f"failed{index}", "HTTPCode_Target_5XX_Count", "Sum", of["targetGroup"])
        ask(f"lost{index}", "TargetConnectionErrorCount", "Sum", of["targetGroup"])
    start, end = (math.floor(at / period) * period for at in (since, until))
    values: dict[str, dict[float, float]] = {query["Id"]: {} for query in queries}
    if start < end:
        pages = (
            where.calls.client("cloudwatch", where.region)
            .get_paginator("get_metric_data")
            .paginate(MetricDataQueries=queries, StartTime=utc(start), EndTime=utc(end), ScanBy="TimestampAscending")
        )
        for page in islice(pages, _MOST_PAGES):
            for result in page["MetricDataResults"]:
                values[result["Id"]].update((at.timestamp(), value) for at, value in zip(result["Timestamps"], result["Values"], strict=True))
    return measured(values, tuple(scopes), start, end, period)


def measured(values: Mapping[str, Mapping[float, float]], scopes: Sequence[str], start: float, end: float, period: int) -> Traffic:
    """Sums as what they mean. Without requests the balancer reports nothing, so from its first minute on nothing is 0 requests, and no percentage.

    A host that cannot be reached is counted twice by AWS, as TargetConnectionErrorCount and as the balancer's own 502: in `faulty` once.
    """
    seen = {at for name in ("requests", "refused") for at in values[name]}
    times = [start + period * index for index in range(int((end - start) // period))]
    times = [at for at in times if seen and at >= min(seen)]
    requests, refused = values["requests"], values["refused"]
    failed = sum(sum(values[f"failed{index}"].values()) for index in range(len(scopes)))
    lost = sum(sum(values[f"lost{index}"].values()) for index in range(len(scopes)))
    turned_away = sum(refused.values())

    def rate(counts: Mapping[float, float]) -> Points:
        return tuple((at, counts.get(at, 0.0) * 60 / period) for at in times)

    def share(index: int) -> Points:
        asked, bad, gone = (values[f"{name}{index}"] for name in ("requests", "failed", "lost"))
        return tuple((at, min(100.0, 100 * (bad.get(at, 0.0) + gone.get(at, 0.0)) / asked[at])) for at in times if asked.get(at))

    return Traffic(
        requests=rate(requests),
        by_scope={scope: rate(values[f"requests{index}"]) for index, scope in enumerate(scopes)},
        faults={scope: share(index) for index, scope in enumerate(scopes)},
        refused=tuple((at, 100 * refused.get(at, 0.0) / total) for at in times if (total := requests.get(at, 0.0) + refused.get(at, 0.0))),
        p50=tuple(sorted(values["p50"].items())),
        p99=tuple(sorted(values["p99"].items())),
        total=round(sum(requests.values()) + max(0.0, turned_away - lost)),
        faulty=round(failed + max(turned_away, lost)),
    )
