"""What an alarm tells others when it changes state: history items, the SNS message, the EventBridge detail. Pure.

Sources: DescribeAlarmHistory in the API reference, "Alarm events and EventBridge", "Alarm actions" of the CloudWatch user guide.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from localaws.cloudwatch.engine import stamp

_REGION_NAMES = {"us-east-1": "US East (N. Virginia)", "us-east-2": "US East (Ohio)", "us-west-2": "US West (Oregon)",
                 "eu-west-1": "EU (Ireland)", "eu-central-1": "EU (Frankfurt)", "ap-northeast-1": "Asia Pacific (Tokyo)"}

Alarm = dict[str, Any]
State = dict[str, Any]
"""{value, reason, data (StateReasonData as a dict or None), at (epoch seconds)}."""


def is_composite(alarm: Alarm) -> bool:
    """Whether the alarm watches other alarms."""
    return "AlarmRule" in alarm


def kind(alarm: Alarm) -> str:
    """The alarm's type as the API names it."""
    return "CompositeAlarm" if is_composite(alarm) else "MetricAlarm"


def history(alarm: Alarm, item: str, summary: str, data: dict[str, Any], at: float) -> dict[str, Any]:
    """Return one item of DescribeAlarmHistory; `item` is StateUpdate, ConfigurationUpdate or Action."""
    return {"AlarmName": alarm["AlarmName"], "AlarmType": kind(alarm), "Timestamp": at, "HistoryItemType": item,
            "HistorySummary": summary, "HistoryData": json.dumps(data)}


def state_update(alarm: Alarm, old: State, new: State) -> dict[str, Any]:
    """Return the history item of a change of state."""
    def told(state: State) -> dict[str, Any]:
        return {"stateValue": state["value"], "stateReason": state["reason"],
                **({"stateReasonData": state["data"]} if state["data"] is not None else {})}

    data = {"version": "1.0", "oldState": told(old), "newState": told(new)}
    return history(alarm, "StateUpdate", f"Alarm updated from {old['value']} to {new['value']}", data, new["at"])


def event_detail(alarm: Alarm, old: State, new: State) -> dict[str, Any]:
    """Return the detail of "CloudWatch Alarm State Change"."""
    def told(state: State) -> dict[str, Any]:
        return {"value": state["value"], "reason": state["reason"], "timestamp": stamp(state["at"]),
                **({"reasonData": json.dumps(state["data"])} if state["data"] is not None else {})}

    configuration: dict[str, Any] = {"description": alarm["AlarmDescription"]} if alarm.get("AlarmDescription") else {}
    if is_composite(alarm):
        configuration["alarmRule"] = alarm["AlarmRule"]
    else:
        configuration["metrics"] = [_query(query) for query in alarm.get("Metrics") or [_single(alarm)]]
    return {"alarmName": alarm["AlarmName"], "configuration": configuration, "previousState": told(old), "state": told(new)}


def _single(alarm: Alarm) -> dict[str, Any]:
    metric = {"Namespace": alarm["Namespace"], "MetricName": alarm["MetricName"], "Dimensions": alarm.get("Dimensions", [])}
    return {"Id": str(uuid.uuid5(uuid.NAMESPACE_OID, alarm["AlarmArn"])), "ReturnData": True, "MetricStat": {
        "Metric": metric, "Period": alarm["Period"], "Stat": alarm.get("Statistic") or alarm["ExtendedStatistic"]}}


def _query(query: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"id": query["Id"], "returnData": query.get("ReturnData", True)}
    if "Label" in query:
        found["label"] = query["Label"]
    if "Expression" in query:
        found["expression"] = query["Expression"]
    if "MetricStat" in query:
        stat = query["MetricStat"]
        dimensions = {each["Name"]: each["Value"] for each in stat["Metric"].get("Dimensions", [])}
        found["metricStat"] = {"metric": {"namespace": stat["Metric"]["Namespace"], "name": stat["Metric"]["MetricName"],
                                          "dimensions": dimensions}, "period": stat["Period"], "stat": stat["Stat"]}
    return found


def subject(alarm: Alarm, new: State, region: str) -> str:
    """Return the subject of the SNS message."""
    return f"{new['value']}: \"{alarm['AlarmName']}\" in {_REGION_NAMES.get(region, region)}"[:100]


def message(alarm: Alarm, old: State, new: State, account: str, region: str) -> str:
    """Return the SNS message (JSON)."""
    told: dict[str, Any] = {
        "AlarmName": alarm["AlarmName"], "AlarmDescription": alarm.get("AlarmDescription"), "AWSAccountId": account,
        "AlarmConfigurationUpdatedTimestamp": stamp(alarm["AlarmConfigurationUpdatedTimestamp"]), "NewStateValue": new["value"],
        "NewStateReason": new["reason"], "StateChangeTime": stamp(new["at"]), "Region": _REGION_NAMES.get(region, region),
        "AlarmArn": alarm["AlarmArn"], "OldStateValue": old["value"], "OKActions": alarm["OKActions"],
        "AlarmActions": alarm["AlarmActions"], "InsufficientDataActions": alarm["InsufficientDataActions"]}
    if is_composite(alarm):
        told["AlarmRule"] = alarm["AlarmRule"]
        told["TriggeringChildren"] = new.get("children", [])
        return json.dumps(told)
    trigger: dict[str, Any] = {"Period": alarm.get("Period"), "EvaluationPeriods": alarm["EvaluationPeriods"],
                               "DatapointsToAlarm": alarm.get("DatapointsToAlarm"),
                               "ComparisonOperator": alarm["ComparisonOperator"], "Threshold": alarm["Threshold"],
                               "TreatMissingData": alarm.get("TreatMissingData", ""),
                               "EvaluateLowSampleCountPercentile": alarm.get("EvaluateLowSampleCountPercentile", "")}
    if "Metrics" in alarm:
        trigger["Metrics"] = alarm["Metrics"]
    else:
        trigger |= {"MetricName": alarm["MetricName"], "Namespace": alarm["Namespace"], "Unit": alarm.get("Unit"),
                    "StatisticType": "Statistic" if "Statistic" in alarm else "ExtendedStatistic",
                    "Statistic": str(alarm.get("Statistic") or alarm.get("ExtendedStatistic")).upper(),
                    "Dimensions": [{"value": each["Value"], "name": each["Name"]} for each in alarm.get("Dimensions", [])]}
    told["Trigger"] = {key: value for key, value in trigger.items() if value is not None}
    return json.dumps(told)
