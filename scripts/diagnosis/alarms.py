"""Alarms as CloudWatch has them: how they stand, when they fired and by which data points, and what their metrics said around that.

Sources: DescribeAlarms, DescribeAlarmHistory, GetMetricData and PutCompositeAlarm in the API reference
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/). For one Region it is at most three calls of DescribeAlarms for a hundred alarms, one
of DescribeAlarmHistory for each that fired (at most MOST_HISTORIES, those that still do first), one of GetMetricData, and one of GetCanaryRuns where a
canary is watched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from scripts.diagnosis.calls import Calls
from scripts.diagnosis.case import Alarm

BATCH = 100
"""AlarmNames of one DescribeAlarms, at most."""
LEVELS = 3
"""How deep composites are followed: the Region's, a scope's, its metric alarms."""
MOST_HISTORIES = 6
MOST_QUERIES = 500
"""MetricDataQueries of one GetMetricData, at most."""
BEFORE_SECONDS, AFTER_SECONDS = 900.0, 300.0
"""How much is shown around the moments at which alarms fired."""
CANARY_RUNS = 5
_BOTH = ["MetricAlarm", "CompositeAlarm"]
# As PutCompositeAlarm takes them: a state of an alarm, which is named or given by its ARN, quoted or not.
_NAMED = re.compile(r"""(?:ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*(?:"([^"]+)"|'([^']+)'|([^\s()"']+))\s*\)""")
_IDENTIFIER = re.compile(r"\"[^\"]*\"|'[^']*'|\b[a-z]\w*\b")
# It means all metrics of the request, so such an alarm cannot share one with others.
_ALL_METRICS = re.compile(r"\bMETRICS\s*\(")
Raw = Mapping[str, Any]
Points = tuple[tuple[float, float], ...]


def read(calls: Calls, region: str, names: Sequence[str], since: float, until: float, most_histories: int = MOST_HISTORIES) -> tuple[Alarm, ...]:
    """The alarms of these names, and those under composites of them that fired; what is not there with `exists` False.

    `since` and `until` bound what counts (epoch seconds). Alarms that cannot be read at all are left out, with a note in `calls.unreadable`.
    """
    described = _described(calls, region, names, since)
    if described is None:
        return ()
    raws = {name: raw for name, raw in described.items() if raw is not None}
    loud = sorted((raw for raw in raws.values() if _is_of_interest(raw, since)), key=lambda raw: (raw["StateValue"] != "ALARM", -_moved(raw)))
    histories = {raw["AlarmName"]: _history(calls, region, raw, since, until) for raw in loud[:most_histories]}
    fired = {name: [at for at, state, _ in items if state == "ALARM"] for name, items in histories.items()}
    for raw in loud:
        if raw["StateValue"] == "ALARM" and not fired.get(raw["AlarmName"]):
            fired[raw["AlarmName"]] = [_moved(raw)]
    watched = [raw for raw in loud if fired.get(raw["AlarmName"]) and "AlarmRule" not in raw]
    moments = [max(at, since) for raw in watched for at in fired[raw["AlarmName"]]]
    values = _values(calls, region, watched, min(moments) - BEFORE_SECONDS, max(moments) + AFTER_SECONDS) if moments else {}
    found = []
    for name in described:
        if name not in raws:
            found.append(Alarm(name, region, exists=False))
            continue
        raw, (points, parts) = raws[name], values.get(name, ((), {}))
        notes = _canary_runs(calls, region, raw) if raw in watched else ()
        found.append(_alarm(raw, region, histories.get(name, []), tuple(fired.get(name, ())), points, parts, notes, raws))
    return tuple(found)


def named_in(rule: str) -> tuple[str, ...]:
    """The names of the alarms in a composite's rule, each once."""
    found = [next(group for group in match.groups() if group) for match in _NAMED.finditer(rule)]
    return tuple(dict.fromkeys(each.rpartition(":alarm:")[2] for each in found))


# Reading


def _described(calls: Calls, region: str, names: Sequence[str], since: float) -> dict[str, Raw | None] | None:
    """What DescribeAlarms says by name, None for what is not there; composites of interest are followed. None where it may not be asked."""
    found: dict[str, Raw | None] = {}
    wanted = list(dict.fromkeys(name for name in names if name))
    for _ in range(LEVELS):
        answers = []
        for start in range(0, len(wanted), BATCH):
            some = wanted[start : start + BATCH]
            answer = calls.attempt(f"alarms ({region})", lambda some=some: _describe(calls, region, some), None)  # type: ignore[misc]
            if answer is None:
                return found or None
            answers += answer
        found.update(dict.fromkeys(wanted))
        found.update({raw["AlarmName"]: raw for raw in answers})
        wanted = [child for raw in answers if "AlarmRule" in raw and _is_of_interest(raw, since)
                  for child in named_in(raw["AlarmRule"]) if child not in found]
        wanted = list(dict.fromkeys(wanted))
        if not wanted:
            break
    return found


def _describe(calls: Calls, region: str, names: Sequence[str]) -> list[Raw]:
    # Both types: "If you omit this parameter, only metric alarms are returned".
    answer = calls.client("cloudwatch", region).describe_alarms(AlarmNames=list(names), AlarmTypes=_BOTH, MaxRecords=BATCH)
    return [*answer.get("MetricAlarms", []), *answer.get("CompositeAlarms", [])]


def _history(calls: Calls, region: str, raw: Raw, since: float, until: float) -> list[tuple[float, str, Raw]]:
    """An alarm's changes of state, oldest first: (when, to which, the whole of HistoryData). None is asked for where none can be."""
    if _moved(raw) < since:
        return []
    name = raw["AlarmName"]
    # AlarmTypes: "If you omit this parameter, only metric alarms are returned"; an item's oldState says how it was before the first.
    answer = calls.attempt(f"history of alarm {name} ({region})", lambda: calls.client("cloudwatch", region).describe_alarm_history(
        AlarmName=name, AlarmTypes=["CompositeAlarm" if "AlarmRule" in raw else "MetricAlarm"], HistoryItemType="StateUpdate",
        StartDate=_moment(since), EndDate=_moment(until), MaxRecords=100, ScanBy="TimestampDescending"), None)
    found = []
    for item in reversed((answer or {}).get("AlarmHistoryItems", [])):
        try:
            data = json.loads(item["HistoryData"])
            found.append((item["Timestamp"].timestamp(), str(data["newState"]["stateValue"]), data))
        except (KeyError, TypeError, ValueError):
            continue  # an item of a form that is not known says nothing
    return found


def _values(calls: Calls, region: str, raws: Sequence[Raw], start: float, end: float) -> dict[str, tuple[Points, dict[str, Points]]]:
    """Data points by alarm: of what it judges, and of each of its metrics by name. One call for all of them."""
    queries: list[dict[str, Any]] = []
    meaning: dict[str, tuple[str, str]] = {}
    for index, raw in enumerate(raws):
        mine = _queries(raw, f"a{index}")
        if not mine or len(queries) + len(mine) > MOST_QUERIES:
            continue
        for query, part in mine:
            queries.append(query)
            meaning[query["Id"]] = (raw["AlarmName"], part)
    if not queries:
        return {}
    answer = calls.attempt(f"data points of alarms ({region})", lambda: calls.client("cloudwatch", region).get_metric_data(
        MetricDataQueries=queries, StartTime=_moment(start), EndTime=_moment(end), ScanBy="TimestampAscending"), None)
    found: dict[str, tuple[Points, dict[str, Points]]] = {raw["AlarmName"]: ((), {}) for raw in raws}
    for result in (answer or {}).get("MetricDataResults", []):
        name, part = meaning[result["Id"]]
        pairs = tuple((at.timestamp(), float(value)) for at, value in zip(result.get("Timestamps", []), result.get("Values", []), strict=False))
        points, parts = found[name]
        if part.startswith("="):
            points = pairs
        if part != "=":
            parts[part.removeprefix("=")] = pairs
        found[name] = (points, parts)
    return found


def _queries(raw: Raw, prefix: str) -> list[tuple[dict[str, Any], str]]:
    """An alarm's metrics and expressions as queries with ids of its own, each with what it is: the metric's name, "=" before what is judged."""
    if "Metrics" not in raw:
        if "MetricName" not in raw:
            return []
        metric = {key: raw[key] for key in ("Namespace", "MetricName", "Dimensions") if raw.get(key)}
        unit = {"Unit": raw["Unit"]} if raw.get("Unit") else {}
        stat = {"Metric": metric, "Period": raw["Period"], "Stat": raw.get("Statistic") or raw.get("ExtendedStatistic"), **unit}
        return [({"Id": f"{prefix}_m", "MetricStat": stat, "ReturnData": True}, f"={raw['MetricName']}")]
    own = {query["Id"] for query in raw["Metrics"]}
    if any(_ALL_METRICS.search(query.get("Expression", "")) for query in raw["Metrics"]):
        return []
    found = []
    for query in raw["Metrics"]:
        judged = "=" if query.get("ReturnData", True) else ""
        made = {**query, "Id": f"{prefix}_{query['Id']}"}
        made.pop("Label", None)
        if "MetricStat" in query:
            found.append(({**made, "ReturnData": True}, judged + query["MetricStat"]["Metric"]["MetricName"]))
        else:
            made["Expression"] = _IDENTIFIER.sub(lambda match: f"{prefix}_{match[0]}" if match[0] in own else match[0], query["Expression"])
            found.append(({**made, "ReturnData": bool(judged)}, judged))
    return [(query, part) for query, part in found if query["ReturnData"] or "Expression" in query]


def _canary_runs(calls: Calls, region: str, raw: Raw) -> tuple[str, ...]:
    """What the newest failed run of a canary said, where the alarm watches one."""
    metrics, dimensions = _made_of(raw)
    name = dimensions.get("CanaryName")
    if not name or not any(namespace == "CloudWatchSynthetics" for namespace, _ in metrics):
        return ()
    answer = calls.attempt(f"runs of canary {name} ({region})",
                           lambda: calls.client("synthetics", region).get_canary_runs(Name=name, MaxResults=CANARY_RUNS), None)
    runs = (answer or {}).get("CanaryRuns", [])
    failed = next((run for run in runs if run.get("Status", {}).get("State") == "FAILED"), None)
    if failed is None:
        return (f"the newest {len(runs)} runs of canary {name} passed",) if runs else ()
    began = failed.get("Timeline", {}).get("Started")
    when = f" at {began.astimezone(UTC):%H:%M:%S} UTC" if began else ""
    told = [f"canary {name} failed{when}: {failed['Status'].get('StateReason') or failed['Status'].get('StateReasonCode') or 'no reason is given'}"]
    if failed.get("ArtifactS3Location"):
        told.append(f"its artifacts: s3://{str(failed['ArtifactS3Location']).removeprefix('s3://')}")
    return tuple(told)


# Making values of it


def _alarm(raw: Raw, region: str, history: Sequence[tuple[float, str, Raw]], fired: tuple[float, ...], points: Points, parts: Mapping[str, Points],
           notes: tuple[str, ...], raws: Mapping[str, Raw]) -> Alarm:
    metrics, dimensions = _made_of(raw)
    states: list[tuple[float, str]] = [(at, state) for at, state, _ in history]
    if history:
        states.insert(0, (0.0, str((history[0][2].get("oldState") or {}).get("stateValue", ""))))
    elif _moved(raw):
        states = [(_moved(raw), raw["StateValue"])]
    proofs = [(data["newState"].get("stateReasonData"), data["newState"].get("stateReason", "")) for _, state, data in history if state == "ALARM"]
    if not proofs and raw["StateValue"] == "ALARM":
        proofs = [(raw.get("StateReasonData"), raw.get("StateReason", ""))]
    periods = [int(query["MetricStat"]["Period"]) for query in raw.get("Metrics", []) if "MetricStat" in query] or [int(raw.get("Period") or 60)]
    children = [name for name in named_in(raw.get("AlarmRule", "")) if name in raws and raws[name]["StateValue"] != "OK"]
    needed = int(raw.get("EvaluationPeriods") or 0)
    return Alarm(
        name=raw["AlarmName"], region=region, composite="AlarmRule" in raw, state=raw["StateValue"],
        reason=proofs[-1][1] if proofs else raw.get("StateReason", ""), since=_moved(raw) or None, fired=fired,
        description=" ".join(str(raw.get("AlarmDescription", "")).split()),
        comparison=str(raw.get("ComparisonOperator", "")), threshold=raw.get("Threshold"), label=_label(raw), points=points,
        children=tuple(children or [name for name in named_in(raw.get("AlarmRule", "")) if name in raws]), states=tuple(states),
        proof=_proof(proofs[-1][0]) if proofs else (), metrics=metrics, dimensions=dimensions, parts=parts,
        judged=(int(raw.get("DatapointsToAlarm") or needed), needed), period=max(periods), treats_missing=str(raw.get("TreatMissingData", "")), notes=notes)


def _made_of(raw: Raw) -> tuple[tuple[tuple[str, str], ...], dict[str, str]]:
    """(namespace, name) of each metric of an alarm, and the dimensions of all of them together."""
    found = [query["MetricStat"]["Metric"] for query in raw.get("Metrics", []) if "MetricStat" in query]
    if raw.get("MetricName"):
        found.append(raw)
    dimensions = {each["Name"]: each["Value"] for metric in found for each in metric.get("Dimensions") or []}
    return tuple(dict.fromkeys((metric["Namespace"], metric["MetricName"]) for metric in found)), dimensions


def _label(raw: Raw) -> str:
    """What the judged number is: the expression's label, or the statistic and the metric."""
    for query in raw.get("Metrics", []):
        if query.get("ReturnData", True):
            return str(query.get("Label") or query.get("Expression") or query["MetricStat"]["Metric"]["MetricName"])
    return f"{raw.get('Statistic') or raw.get('ExtendedStatistic', '')} of {raw['MetricName']}" if raw.get("MetricName") else ""


def _proof(data: Any) -> Points:
    """The data points of a StateReasonData (JSON text, or as the history holds it), oldest first; the ones that it lists with their times, where it does."""
    try:
        told = json.loads(data) if isinstance(data, str) else dict(data or {})
        if told.get("evaluatedDatapoints"):
            listed = [(_epoch(each["timestamp"]), float(each["value"])) for each in told["evaluatedDatapoints"] if each.get("value") is not None]
            return tuple(sorted(listed))
        start, period = _epoch(told["startDate"]), float(told["period"])
        return tuple((start + index * period, float(value)) for index, value in enumerate(told["recentDatapoints"]) if value is not None)
    except (KeyError, TypeError, ValueError):
        return ()


def _is_of_interest(raw: Raw, since: float) -> bool:
    return raw["StateValue"] == "ALARM" or _moved(raw) >= since


def _moved(raw: Raw) -> float:
    moment = raw.get("StateTransitionedTimestamp") or raw.get("StateUpdatedTimestamp")
    return float(moment.timestamp()) if moment else 0.0


def _epoch(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()


def _moment(epoch: float) -> datetime:
    return datetime.fromtimestamp(epoch, UTC)

