"""What CloudWatch says of a place: its alarms, whether one fired since a time, and the requests that it had.

Through a Region's CloudWatch client of the environment's control role. Every error goes up to the caller, for whom such a Region "does not answer":
half an answer is never made into a whole one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from decide_gate import Alarm, Watch
from places import Document

SKEW_SECONDS = 60.0
"""How far apart the clocks of CloudWatch and of whoever noted the deployment's end may be."""

_NAMES_A_CALL = 100


def watch(cloudwatch: Any, document: Document, scope: str, since: float | None) -> Watch:
    """Return the alarms that a scope must have by the environment's document ("": those of the environment itself in that Region), its composite first, as they
    are now and, with `since` (epoch seconds), whether they fired from then on.
    """
    part = document.scopes[scope] if scope else document
    names = tuple(dict.fromkeys(name for name in (part.composite, *part.alarms) if name))
    return Watch(document.region, scope, names, alarms(cloudwatch, names, since))


def alarms(cloudwatch: Any, names: Sequence[str], since: float | None) -> tuple[Alarm, ...]:
    """Return those of the named alarms that exist.

    Composites are left out of DescribeAlarms unless AlarmTypes asks for them (CloudWatch API reference, DescribeAlarms). An alarm whose state has not
    changed since `since` has no history to read: StateTransitionedTimestamp is when StateValue last changed (API reference, MetricAlarm, CompositeAlarm).
    """
    found = []
    for first in range(0, len(names), _NAMES_A_CALL):
        pages = cloudwatch.get_paginator("describe_alarms").paginate(AlarmNames=list(names[first:first + _NAMES_A_CALL]),
                                                                    AlarmTypes=["CompositeAlarm", "MetricAlarm"])
        for page in pages:
            found += [_alarm(cloudwatch, each, True, since) for each in page.get("CompositeAlarms", [])]
            found += [_alarm(cloudwatch, each, False, since) for each in page.get("MetricAlarms", [])]
    return tuple(found)


def _alarm(cloudwatch: Any, told: Mapping[str, Any], composite: bool, since: float | None) -> Alarm:
    changed = told.get("StateTransitionedTimestamp")
    settled = changed is not None and since is not None and changed.timestamp() < since - SKEW_SECONDS
    fired = None if since is None or settled else last_fired(cloudwatch, told["AlarmName"], composite, since)
    return Alarm(told["AlarmName"], composite, told["StateValue"], told.get("TreatMissingData", "missing"),
                 told.get("EvaluateLowSampleCountPercentile") == "ignore", fired)


def last_fired(cloudwatch: Any, name: str, composite: bool, since: float) -> float | None:
    """Return the newest moment from `since` on at which an alarm was in ALARM, or None (epoch seconds).

    A change *from* ALARM counts too: it says that the alarm fired until then, though it began before `since`.
    """
    pages = cloudwatch.get_paginator("describe_alarm_history").paginate(
        AlarmName=name, AlarmTypes=["CompositeAlarm" if composite else "MetricAlarm"], HistoryItemType="StateUpdate",
        StartDate=datetime.fromtimestamp(since, UTC), ScanBy="TimestampDescending")
    for page in pages:
        for item in page.get("AlarmHistoryItems", []):
            if "ALARM" in _states(item):
                at: float = item["Timestamp"].timestamp()
                return at
    return None


def _states(item: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the states that a StateUpdate leads from and to. Raises ValueError where it does not say: what cannot be read is no good news."""
    try:
        told = json.loads(item["HistoryData"])
        return told["oldState"]["stateValue"], told["newState"]["stateValue"]
    except (KeyError, TypeError, ValueError) as error:
        words = str(item.get("HistorySummary", "")).split()
        if "from" in words and "to" in words:  # "Alarm updated from OK to ALARM"
            return tuple(words[words.index("from") + 1:])
        raise ValueError(f"the history of alarm {item.get('AlarmName')} cannot be read") from error


def requests(cloudwatch: Any, targets: Mapping[str, tuple[str, str]], start: float, end: float) -> dict[str, int]:
    """Return the requests that each scope's target group was sent in the whole minutes from `start` to `end` (epoch seconds).

    `targets` maps a scope to (LoadBalancer, TargetGroup), the dimensions of AWS/ApplicationELB. No data point means none: a balancer publishes nothing
    without requests. Raises RuntimeError where CloudWatch has not answered in full.
    """
    if end <= start:
        return dict.fromkeys(targets, 0)
    scopes = sorted(targets)
    queries = [_query(f"m{index}", *targets[scope]) for index, scope in enumerate(scopes)]
    counts, statuses = dict.fromkeys(scopes, 0.0), dict.fromkeys(scopes, "")
    pages: Iterable[Mapping[str, Any]] = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries, StartTime=datetime.fromtimestamp(start, UTC), EndTime=datetime.fromtimestamp(end, UTC))
    for page in pages:
        for result in page.get("MetricDataResults", []):
            scope = scopes[int(result["Id"][1:])]
            counts[scope] += sum(result.get("Values", []))
            statuses[scope] = result.get("StatusCode", "Complete")
    if lacking := [scope for scope in scopes if statuses[scope] != "Complete"]:  # PartialData on every page but the last is as it should be
        raise RuntimeError(f"CloudWatch has not answered in full for the requests of {', '.join(lacking)}")
    return {scope: round(count) for scope, count in counts.items()}


def _query(name: str, load_balancer: str, target_group: str) -> dict[str, Any]:
    dimensions = [{"Name": "LoadBalancer", "Value": load_balancer}, {"Name": "TargetGroup", "Value": target_group}]
    return {"Id": name, "MetricStat": {"Metric": {"Namespace": "AWS/ApplicationELB", "MetricName": "RequestCount", "Dimensions": dimensions},
                                       "Period": 60, "Stat": "Sum"}}
