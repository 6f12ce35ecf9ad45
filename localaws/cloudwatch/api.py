"""The operations of CloudWatch that are served: metrics, metric alarms (of one metric or of metric math), composite
alarms, dashboards.

Dashboards are checked and kept. Anomaly detection, PromQL, log alarms, action suppressors and streams are refused by name.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from typing import Any

from localaws.cloudwatch import dashboards, engine, metricmath, notices, rules
from localaws.cloudwatch.store import Bucket, Metrics, is_statistic, key_of
from localaws.service import Context, Service, ServiceError, Stores

log = logging.getLogger("localaws.cloudwatch")

TICK_SECONDS = 1.0
HISTORY_ITEMS = 5000
_CONFIGURATION = ("AlarmName", "AlarmDescription", "ActionsEnabled", "OKActions", "AlarmActions", "InsufficientDataActions", "MetricName",
                  "Namespace", "Statistic", "ExtendedStatistic", "Dimensions", "Period", "Unit", "EvaluationPeriods", "DatapointsToAlarm",
                  "Threshold", "ComparisonOperator", "TreatMissingData", "EvaluateLowSampleCountPercentile", "Metrics", "AlarmRule")
DASHBOARDS = "all Regions"
"""Where dashboards are kept: an account's are the same in every Region."""
_TREATMENTS = ("breaching", "notBreaching", "ignore", "missing")
_ACTION_LISTS = {"OK": "OKActions", "ALARM": "AlarmActions", "INSUFFICIENT_DATA": "InsufficientDataActions"}


class Api(Service):
    """See the module. State: tables `alarms` (by name, as DescribeAlarms answers them) and `history` ("items": oldest first),
    `tags` (by ARN), and the samples of `store.Metrics`.
    """

    name = "cloudwatch"
    iam = "cloudwatch"

    def __init__(self, aws: Any) -> None:
        super().__init__(aws)
        self.stores = Stores()
        self.metrics = Metrics()
        self._end = 0.0
        self._pruned = 0.0

    # -- IAM, life ---------------------------------------------------------------------------------------------------------

    def permissions(self, operation: str, params: dict[str, Any], ctx: Context) -> Iterable[tuple[str, str] | tuple[str, str, dict[str, Any]]]:
        """Source: Service Authorization Reference, "Amazon CloudWatch"."""
        action = f"cloudwatch:{operation}"
        if operation == "PutMetricData":
            return [(action, "*", {"cloudwatch:namespace": params.get("Namespace", "")})]
        if "Dashboard" in operation and operation != "ListDashboards":
            return [(action, _dashboard_arn(ctx, name)) for name in params.get("DashboardNames") or [params["DashboardName"]]]
        if operation in ("TagResource", "UntagResource", "ListTagsForResource"):
            return [(action, params["ResourceARN"])]
        if operation == "DescribeAlarms" and "CompositeAlarm" in (params.get("AlarmTypes") or []):
            return [(action, "*")]  # "You can't return information about composite alarms if your permission has a narrower scope"
        named = params.get("AlarmNames") or ([params["AlarmName"]] if "AlarmName" in params else [])
        if operation in ("DescribeAlarms", "DescribeAlarmHistory") and not named:
            named = ["*"]
        if not named:
            return [(action, "*")]
        needed = [(action, _arn(ctx, name)) for name in named]
        if params.get("Tags"):
            needed += [("cloudwatch:TagResource", _arn(ctx, name)) for name in named]
        return needed

    def start(self) -> None:
        """Begin to evaluate."""
        self.aws.every(TICK_SECONDS, "cloudwatch alarms", self.tick)

    def dump(self) -> Any:
        """See `Service.dump`."""
        with self.lock:
            return {"stores": self.stores.dump(), "metrics": self.metrics.dump()}

    def load(self, state: Any) -> None:
        """See `Service.load`."""
        if state:
            self.stores.load(state["stores"])
            self.metrics.load(state["metrics"])

    # -- metrics -----------------------------------------------------------------------------------------------------------

    def record(self, account: str, region: str, namespace: str, metric: str, dimensions: dict[str, str], timestamp: float,
               values: list[float], unit: str) -> None:
        """Add samples taken at `timestamp` (epoch seconds): how the services of this AWS publish their metrics."""
        bucket = Bucket()
        for value in values:
            bucket.values[float(value)] = bucket.values.get(float(value), 0) + 1
        with self.lock:
            self.metrics.record((account, region), key_of(namespace, metric, dimensions), timestamp, bucket, unit)

    def put_metric_data(self, ctx: Context, params: dict[str, Any]) -> None:
        """PutMetricData."""
        namespace, now = params["Namespace"], self.aws.clock.now()
        if namespace.startswith("AWS/"):
            raise ServiceError("InvalidParameterValue", "The value AWS/ for parameter Namespace is invalid.")
        if params.get("EntityMetricData"):
            raise _invalid("EntityMetricData is not served by the local AWS")
        taken = []
        for datum in params.get("MetricData") or []:
            at = datum.get("Timestamp", now)
            if not now - 14 * 86400 <= at <= now + 7200:
                raise ServiceError("InvalidParameterValue", "The parameter MetricData.member.Timestamp must specify a time within two "
                                                            "weeks before and two hours after the current time.")
            if sum(key in datum for key in ("Value", "Values", "StatisticValues")) != 1:
                raise ServiceError("InvalidParameterCombination", "The parameters MetricData.member.Value, MetricData.member.Values and "
                                                                  "MetricData.member.StatisticValues are mutually exclusive and one is required.")
            taken.append((datum, at, _bucket(datum)))
        with self.lock:
            for datum, at, bucket in taken:
                key = key_of(namespace, datum["MetricName"], _dimensions(datum.get("Dimensions")))
                self.metrics.record((ctx.account, ctx.region), key, at, bucket, datum.get("Unit", "None"),
                                    datum.get("StorageResolution") == 1)

    def list_metrics(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """ListMetrics."""
        wanted = [(each["Name"], each.get("Value")) for each in params.get("Dimensions") or []]
        now, found = self.aws.clock.now(), []
        with self.lock:
            keys = list(self.metrics.keys((ctx.account, ctx.region)))
        for (namespace, name, dimensions), newest in sorted(keys):
            have = dict(dimensions)
            if (params.get("Namespace", namespace) == namespace and params.get("MetricName", name) == name
                    and all(key in have and value in (None, have[key]) for key, value in wanted)
                    and ("RecentlyActive" not in params or newest > now - 3 * 3600)):
                found.append({"Namespace": namespace, "MetricName": name,
                              "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions]})
        return _page(found, "Metrics", params, 500)

    def get_metric_statistics(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """GetMetricStatistics: periods of the clock, as on AWS."""
        period = params["Period"]
        stats, extended = params.get("Statistics") or [], params.get("ExtendedStatistics") or []
        _check_period(period)
        if not stats and not extended:
            raise ServiceError("MissingParameter", "The parameter Statistics or ExtendedStatistics is required.")
        for stat in extended:
            _check_stat(stat)
        if params["StartTime"] >= params["EndTime"]:
            raise ServiceError("InvalidParameterValue", "The parameter StartTime must be less than the parameter EndTime.")
        found = []
        with self.lock:
            series = self.metrics.series((ctx.account, ctx.region), key_of(params["Namespace"], params["MetricName"],
                                                                          _dimensions(params.get("Dimensions"))))
            for start in _grid(params["StartTime"], params["EndTime"], period) if series else []:
                bucket = series.window(start, start + period)  # type: ignore[union-attr]
                if bucket.count:
                    percentiles = {stat: bucket.statistic(stat) for stat in extended}
                    found.append({"Timestamp": start, "Unit": series.unit,  # type: ignore[union-attr]
                                  **{stat: bucket.statistic(stat) for stat in stats},
                                  **({"ExtendedStatistics": percentiles} if extended else {})})
        return {"Label": params["MetricName"], "Datapoints": found}

    def get_metric_data(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """GetMetricData: metrics and metric math over periods of the clock, as on AWS."""
        queries = params["MetricDataQueries"]
        _check_queries(queries)
        if params["StartTime"] >= params["EndTime"]:
            raise _invalid("The parameter StartTime must be less than the parameter EndTime.")
        periods = [query["MetricStat"]["Period"] for query in queries if "MetricStat" in query]
        period = float(max(periods or [query.get("Period", 60) for query in queries]))
        grid = _grid(params["StartTime"], params["EndTime"], period)
        try:
            with self.lock:
                values = engine.math_values(queries, self._reader(ctx.account, ctx.region), grid, period) if grid else {}
        except metricmath.MathError as error:
            raise _invalid(f"Error in expression: {error}") from error
        descending = params.get("ScanBy", "TimestampDescending") == "TimestampDescending"
        results = []
        for query in queries:
            if query.get("ReturnData", True):
                pairs = sorted(values.get(query["Id"], {}).items(), reverse=descending)
                label = query.get("Label") or (query["MetricStat"]["Metric"]["MetricName"] if "MetricStat" in query else query["Id"])
                results.append({"Id": query["Id"], "Label": label, "Timestamps": [at for at, _ in pairs],
                                "Values": [value for _, value in pairs], "StatusCode": "Complete"})
        return {"MetricDataResults": results, "Messages": []}

    def _reader(self, account: str, region: str) -> engine.Read:
        def read(metric: dict[str, Any], start: float, end: float) -> Bucket:
            key = key_of(metric["Namespace"], metric["MetricName"], _dimensions(metric.get("Dimensions")))
            series = self.metrics.series((account, region), key)
            return series.window(start, end) if series else Bucket()

        return read

    # -- alarms ------------------------------------------------------------------------------------------------------------

    def put_metric_alarm(self, ctx: Context, params: dict[str, Any]) -> None:
        """PutMetricAlarm: a new alarm is INSUFFICIENT_DATA; an existing one keeps its state."""
        for unserved in ("ThresholdMetricId", "EvaluationCriteria", "EvaluationWindow", "WarmUpConfiguration", "EvaluationInterval"):
            if unserved in params:
                raise _invalid(f"{unserved} is not served by the local AWS")
        _check_alarm(params)
        self._put(ctx, params)

    def put_composite_alarm(self, ctx: Context, params: dict[str, Any]) -> None:
        """PutCompositeAlarm: every alarm of the rule must exist."""
        if "ActionsSuppressor" in params:
            raise _invalid("ActionsSuppressor is not served by the local AWS")
        try:
            children = rules.children(rules.parse(params["AlarmRule"]))
        except rules.RuleError as error:
            raise _invalid(str(error)) from error
        with self.lock:
            missing = [name for name in children if name not in self.stores[ctx]["alarms"]]
        if missing:
            raise _invalid(f"Could not save the composite alarm as alarms [{', '.join(missing)}] in the alarm rule do not exist")
        self._put(ctx, params)

    def _put(self, ctx: Context, params: dict[str, Any]) -> None:
        now, name = self.aws.clock.now(), params["AlarmName"]
        alarm = {key: params[key] for key in _CONFIGURATION if key in params}
        alarm = {"ActionsEnabled": True, **alarm, "AlarmArn": _arn(ctx, name), "AlarmConfigurationUpdatedTimestamp": now}
        for actions in _ACTION_LISTS.values():
            alarm.setdefault(actions, [])
        with self.lock:
            alarms = self.stores[ctx]["alarms"]
            old = alarms.get(name)
            if old is not None and notices.is_composite(old) != notices.is_composite(alarm):
                raise _invalid(f"An alarm of another type with the name {name} already exists")
            state = old or {"StateValue": "INSUFFICIENT_DATA", "StateReason": "Unchecked: Initial alarm creation",
                            "StateUpdatedTimestamp": now, "StateTransitionedTimestamp": now}
            alarms[name] = alarm | {key: value for key, value in state.items() if key.startswith("State")}
            if old is None:  # tags of an alarm that exists are changed by TagResource only
                self.stores[ctx]["tags"][alarm["AlarmArn"]] = {tag["Key"]: tag["Value"] for tag in params.get("Tags") or []}
            what = "Create" if old is None else "Update"
            self._note(ctx.account, ctx.region, notices.history(
                alarm, "ConfigurationUpdate", f'Alarm "{name}" {what.lower()}d', {"version": "1.0", "type": what}, now))

    def describe_alarms(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeAlarms: metric alarms only, unless AlarmTypes asks for more."""
        names, prefix = params.get("AlarmNames"), params.get("AlarmNamePrefix", "")
        if names and prefix:
            raise ServiceError("InvalidParameterCombination", "AlarmNames and AlarmNamePrefix cannot both be specified")
        kinds = params.get("AlarmTypes") or ["MetricAlarm"]
        with self.lock:
            alarms = self.stores[ctx]["alarms"]
            related = self._related(alarms, params)
            found = [dict(alarm) for name, alarm in sorted(alarms.items())
                     if (not names or name in names) and name.startswith(prefix) and notices.kind(alarm) in kinds
                     and params.get("StateValue", alarm["StateValue"]) == alarm["StateValue"]
                     and (related is None or name in related)
                     and ("ActionPrefix" not in params or any(action.startswith(params["ActionPrefix"]) for actions in _ACTION_LISTS.values()
                                                              for action in alarm[actions]))]
        page = _page(found, "all", params, int(params.get("MaxRecords") or 50))
        shown = page.pop("all")
        return {"MetricAlarms": [alarm for alarm in shown if not notices.is_composite(alarm)],
                "CompositeAlarms": [alarm for alarm in shown if notices.is_composite(alarm)], **page}

    @staticmethod
    def _related(alarms: dict[str, Any], params: dict[str, Any]) -> set[str] | None:
        if parent := params.get("ChildrenOfAlarmName"):
            return set(_children(alarms[parent])) if parent in alarms else set()
        if child := params.get("ParentsOfAlarmName"):
            return {name for name, alarm in alarms.items() if child in _children(alarm)}
        return None

    def describe_alarms_for_metric(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeAlarmsForMetric: alarms of exactly this metric."""
        wanted = _dimensions(params.get("Dimensions"))
        with self.lock:
            return {"MetricAlarms": [
                dict(alarm) for _, alarm in sorted(self.stores[ctx]["alarms"].items())
                if alarm.get("MetricName") == params["MetricName"] and alarm.get("Namespace") == params["Namespace"]
                and _dimensions(alarm.get("Dimensions")) == wanted
                and all(params[key] == alarm.get(key) for key in ("Statistic", "ExtendedStatistic", "Period", "Unit") if key in params)]}

    def delete_alarms(self, ctx: Context, params: dict[str, Any]) -> None:
        """DeleteAlarms: all or none; not what a composite that stays depends on, and one composite at most."""
        names = params["AlarmNames"]
        with self.lock:
            alarms = self.stores[ctx]["alarms"]
            missing = [name for name in names if name not in alarms]
            if missing:
                raise ServiceError("ResourceNotFound", f"Alarms [{', '.join(missing)}] not found", 404)
            if sum(notices.is_composite(alarms[name]) for name in set(names)) > 1:
                raise _invalid("Only one composite alarm can be deleted per request.")
            held = [name for name in names if any(name in _children(alarm) for other, alarm in alarms.items() if other not in names)]
            if held:
                raise _invalid(f"Cannot delete {','.join(held)} as there are composite alarm(s) depending on {'it' if len(held) == 1 else 'them'}.")
            now = self.aws.clock.now()
            for name in set(names):
                alarm = alarms.pop(name)
                self.stores[ctx]["tags"].pop(alarm["AlarmArn"], None)
                self._note(ctx.account, ctx.region, notices.history(alarm, "ConfigurationUpdate", f'Alarm "{name}" deleted',
                                                                    {"version": "1.0", "type": "Delete"}, now))

    def set_alarm_state(self, ctx: Context, params: dict[str, Any]) -> None:
        """SetAlarmState: until the next evaluation."""
        try:
            data = json.loads(params["StateReasonData"]) if "StateReasonData" in params else None
        except ValueError:
            raise ServiceError("InvalidFormat", "StateReasonData is not valid JSON") from None
        with self.lock:
            if params["AlarmName"] not in self.stores[ctx]["alarms"]:
                raise ServiceError("ResourceNotFound", f"Alarm {params['AlarmName']} does not exist", 404)
            self._change(ctx.account, ctx.region, self.stores[ctx]["alarms"][params["AlarmName"]],
                         engine.Verdict(params["StateValue"], params["StateReason"], data or {}), data is not None)
        self._evaluate_composites(ctx.account, ctx.region)

    def enable_alarm_actions(self, ctx: Context, params: dict[str, Any]) -> None:
        """EnableAlarmActions."""
        self._set_actions(ctx, params, True)

    def disable_alarm_actions(self, ctx: Context, params: dict[str, Any]) -> None:
        """DisableAlarmActions."""
        self._set_actions(ctx, params, False)

    def _set_actions(self, ctx: Context, params: dict[str, Any], enabled: bool) -> None:
        with self.lock:
            for name in params["AlarmNames"]:
                if name in self.stores[ctx]["alarms"]:
                    self.stores[ctx]["alarms"][name]["ActionsEnabled"] = enabled

    def describe_alarm_history(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeAlarmHistory: newest first; metric alarms only, unless AlarmTypes asks for more; deleted alarms too."""
        kinds = params.get("AlarmTypes") or ["MetricAlarm"]
        with self.lock:
            items = [dict(item) for item in self.stores[ctx]["history"].get("items", [])
                     if params.get("AlarmName", item["AlarmName"]) == item["AlarmName"] and item["AlarmType"] in kinds
                     and params.get("HistoryItemType", item["HistoryItemType"]) == item["HistoryItemType"]
                     and params.get("StartDate", 0) <= item["Timestamp"] <= params.get("EndDate", item["Timestamp"])]
        if params.get("ScanBy", "TimestampDescending") == "TimestampDescending":
            items.reverse()
        return _page(items, "AlarmHistoryItems", params, int(params.get("MaxRecords") or 100))

    # -- tags --------------------------------------------------------------------------------------------------------------

    def tag_resource(self, ctx: Context, params: dict[str, Any]) -> None:
        """TagResource (alarms)."""
        with self.lock:
            self._tags(ctx, params).update({tag["Key"]: tag["Value"] for tag in params["Tags"]})

    def untag_resource(self, ctx: Context, params: dict[str, Any]) -> None:
        """UntagResource."""
        with self.lock:
            for key in params["TagKeys"]:
                self._tags(ctx, params).pop(key, None)

    def list_tags_for_resource(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """ListTagsForResource."""
        with self.lock:
            return {"Tags": [{"Key": key, "Value": value} for key, value in self._tags(ctx, params).items()]}

    def _tags(self, ctx: Context, params: dict[str, Any]) -> dict[str, str]:
        store = self.stores.at(ctx.account, DASHBOARDS) if ":dashboard/" in params["ResourceARN"] else self.stores[ctx]
        tags = store["tags"].get(params["ResourceARN"])
        if tags is None:
            raise ServiceError("ResourceNotFoundException", f"{params['ResourceARN']} does not exist", 404)
        return tags  # type: ignore[no-any-return]

    # -- dashboards --------------------------------------------------------------------------------------------------------

    def put_dashboard(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """PutDashboard: made, or replaced whole. A body with mistakes is refused."""
        name, body = params["DashboardName"], params["DashboardBody"]
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", name):
            raise ServiceError("InvalidParameterInput", f"The value {name} for field DashboardName contains invalid characters. "
                                                        "It can only contain alphanumerics, dash (-) and underscore (_).")
        if found := dashboards.problems(body):
            told = "; ".join(f"{each['DataPath']}: {each['Message']}" for each in found[:10])
            raise ServiceError("InvalidParameterInput", f"The dashboard body is invalid, there are {len(found)} validation errors: {told}")
        with self.lock:
            store = self.stores.at(ctx.account, DASHBOARDS)
            if name not in store["dashboards"]:  # of a dashboard that is there they are ignored
                store["tags"][_dashboard_arn(ctx, name)] = {tag["Key"]: tag["Value"] for tag in params.get("Tags") or []}
            store["dashboards"][name] = {"body": body, "at": self.aws.clock.now()}
        return {"DashboardValidationMessages": []}

    def get_dashboard(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """GetDashboard."""
        name = params["DashboardName"]
        with self.lock:
            found = self.stores.at(ctx.account, DASHBOARDS)["dashboards"].get(name)
        if found is None:
            raise ServiceError("ResourceNotFound", f"Dashboard {name} does not exist", 404)
        return {"DashboardArn": _dashboard_arn(ctx, name), "DashboardBody": found["body"], "DashboardName": name}

    def list_dashboards(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """ListDashboards."""
        with self.lock:
            found = [{"DashboardName": name, "DashboardArn": _dashboard_arn(ctx, name), "LastModified": each["at"],
                      "Size": len(each["body"].encode())}
                     for name, each in sorted(self.stores.at(ctx.account, DASHBOARDS)["dashboards"].items())
                     if name.startswith(params.get("DashboardNamePrefix", ""))]
        return _page(found, "DashboardEntries", params, 1000)

    def delete_dashboards(self, ctx: Context, params: dict[str, Any]) -> None:
        """DeleteDashboards: all or none."""
        names = params["DashboardNames"]
        with self.lock:
            store = self.stores.at(ctx.account, DASHBOARDS)
            kept = store["dashboards"]
            if missing := [name for name in names if name not in kept]:
                raise ServiceError("ResourceNotFound", f"Dashboard {', '.join(missing)} does not exist", 404)
            for name in set(names):
                del kept[name]
                store["tags"].pop(_dashboard_arn(ctx, name), None)

    # -- evaluation --------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Evaluate every alarm, if a new range of data points is complete since the last time."""
        now = self.aws.clock.now()
        end = engine.end_of_range(now)
        if end == self._end:
            return
        self._end = end
        if now - self._pruned > 60:
            self._pruned = now
            with self.lock:
                self.metrics.prune(now)
        for account, region in self.stores.scopes():
            with self.lock:
                names = [name for name, alarm in self.stores.at(account, region)["alarms"].items() if not notices.is_composite(alarm)]
            for name in names:
                with self.lock:  # one alarm at a time: requests are not held up by a thousand
                    alarm = self.stores.at(account, region)["alarms"].get(name)
                    if alarm is not None:
                        self._evaluate(account, region, alarm, end, now)
            self._evaluate_composites(account, region)

    def _evaluate(self, account: str, region: str, alarm: dict[str, Any], end: float, now: float) -> None:
        try:
            verdict = engine.evaluate(alarm, engine.points(alarm, self._reader(account, region), end), now)
        except metricmath.MathError as error:
            if alarm.get("EvaluationState") != "EVALUATION_ERROR":
                log.warning("alarm %s: %s", alarm["AlarmName"], error)
            alarm["EvaluationState"] = "EVALUATION_ERROR"
            return
        alarm.pop("EvaluationState", None)
        if verdict is not None and verdict.state != alarm["StateValue"]:
            self._change(account, region, alarm, verdict, True)

    def _evaluate_composites(self, account: str, region: str) -> None:
        """Evaluate composites until nothing changes (they may depend on one another)."""
        for _ in range(10):
            changed = False
            with self.lock:
                alarms = self.stores.at(account, region)["alarms"]
                for alarm in [alarm for alarm in alarms.values() if notices.is_composite(alarm)]:
                    states = {name: each["StateValue"] for name, each in alarms.items()}
                    state = "ALARM" if rules.holds(rules.parse(alarm["AlarmRule"]), states) else "OK"
                    if state != alarm["StateValue"]:
                        changed = True
                        self._change(account, region, alarm, self._composite_verdict(alarm, alarms, state), True)
            if not changed:
                return

    def _composite_verdict(self, alarm: dict[str, Any], alarms: dict[str, Any], state: str) -> engine.Verdict:
        children = sorted((alarms[name] for name in _children(alarm) if name in alarms),
                          key=lambda child: float(child["StateTransitionedTimestamp"]), reverse=True)
        told = [{"arn": child["AlarmArn"], "state": {"value": child["StateValue"],
                                                     "timestamp": engine.stamp(child["StateTransitionedTimestamp"])}} for child in children]
        if alarm["StateReason"].startswith("Unchecked") or not children:
            reason = f"{alarm['AlarmArn']} was created and its alarm rule evaluates to {state}"
        else:
            reason = (f"{children[0]['AlarmArn']} transitioned to {children[0]['StateValue']} at "
                      f"{engine.long_stamp(children[0]['StateTransitionedTimestamp'])}")
        return engine.Verdict(state, reason, {"triggeringAlarms": told[:10]})

    def _change(self, account: str, region: str, alarm: dict[str, Any], verdict: engine.Verdict, with_data: bool) -> None:
        """Set the alarm's state, note it, and tell whom it concerns. Called with the lock held."""
        now = self.aws.clock.now()
        old = {"value": alarm["StateValue"], "reason": alarm["StateReason"], "at": alarm["StateUpdatedTimestamp"],
               "data": json.loads(alarm["StateReasonData"]) if alarm.get("StateReasonData") else None}
        new = {"value": verdict.state, "reason": verdict.reason, "at": now, "data": verdict.data if with_data else None,
               "children": [{"Arn": child["arn"], "State": {"Value": child["state"]["value"], "Timestamp": child["state"]["timestamp"]}}
                            for child in verdict.data.get("triggeringAlarms", [])]}
        alarm |= {"StateValue": verdict.state, "StateReason": verdict.reason, "StateUpdatedTimestamp": now}
        alarm.pop("StateReasonData", None)
        if with_data:
            alarm["StateReasonData"] = json.dumps(verdict.data)
        if old["value"] == new["value"]:
            return
        alarm["StateTransitionedTimestamp"] = now
        log.info("alarm %s: %s -> %s: %s", alarm["AlarmName"], old["value"], new["value"], new["reason"])
        self._note(account, region, notices.state_update(alarm, old, new))
        snapshot = json.loads(json.dumps(alarm))
        self.aws.spawn(f"alarm {alarm['AlarmName']}", lambda: self._tell(account, region, snapshot, old, new))

    def _note(self, account: str, region: str, item: dict[str, Any]) -> None:
        items = self.stores.at(account, region)["history"].setdefault("items", [])
        items.append(item)
        del items[:-HISTORY_ITEMS]

    def _tell(self, account: str, region: str, alarm: dict[str, Any], old: dict[str, Any], new: dict[str, Any]) -> None:
        """Send the event and carry out the actions of a change of state; each action's outcome is in the history."""
        self.aws.emit(account, region, "aws.cloudwatch", "CloudWatch Alarm State Change", notices.event_detail(alarm, old, new),
                      [alarm["AlarmArn"]])
        for action in alarm[_ACTION_LISTS[new["value"]]] if alarm["ActionsEnabled"] else []:
            problem = self._act(account, region, action, alarm, old, new)
            summary = f"Failed to execute action {action}. Received error: \"{problem}\"" if problem else f"Successfully executed action {action}"
            data = {"actionState": "Failed" if problem else "Succeeded", "stateUpdateTimestamp": int(new["at"] * 1000),
                    "notificationResource": action, **({"error": problem} if problem else {})}
            with self.lock:
                self._note(account, region, notices.history(alarm, "Action", summary, data, self.aws.clock.now()))

    def _act(self, account: str, region: str, action: str, alarm: dict[str, Any], old: dict[str, Any], new: dict[str, Any]) -> str:
        """Carry out one action; return what went wrong, or nothing."""
        import botocore.exceptions

        if not action.startswith("arn:aws:sns:"):
            return "The local AWS carries out actions on SNS topics only"
        if refusal := self.aws.topic_refusal(action, "cloudwatch.amazonaws.com", alarm["AlarmArn"]):
            log.warning("alarm %s: %s", alarm["AlarmName"], refusal)
            return str(refusal)
        try:
            self.aws.as_service(account).client("sns", action.split(":")[3]).publish(
                TopicArn=action, Subject=notices.subject(alarm, new, region), Message=notices.message(alarm, old, new, account, region))
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            log.warning("alarm %s: %s: %s", alarm["AlarmName"], action, error)
            return str(error)
        return ""


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationError", message)


def _arn(ctx: Context, name: str) -> str:
    return f"arn:aws:cloudwatch:{ctx.region}:{ctx.account}:alarm:{name}"


def _dashboard_arn(ctx: Context, name: str) -> str:
    return f"arn:aws:cloudwatch::{ctx.account}:dashboard/{name}"


def _dimensions(listed: list[dict[str, str]] | None) -> dict[str, str]:
    return {each["Name"]: each["Value"] for each in listed or []}


def _children(alarm: dict[str, Any]) -> list[str]:
    return rules.children(rules.parse(alarm["AlarmRule"])) if notices.is_composite(alarm) else []


def _bucket(datum: dict[str, Any]) -> Bucket:
    if "StatisticValues" in datum:
        each = datum["StatisticValues"]
        return Bucket(sets=[(each["SampleCount"], each["Sum"], each["Minimum"], each["Maximum"])])
    values = datum.get("Values", [datum.get("Value")])
    counts = datum.get("Counts") or [1.0] * len(values)
    if len(values) != len(counts):
        raise _invalid("The collections MetricData.member.Values and MetricData.member.Counts must be of the same size.")
    bucket = Bucket()
    for value, count in zip(values, counts, strict=True):
        bucket.values[float(value)] = bucket.values.get(float(value), 0) + count
    return bucket


def _grid(start: float, end: float, period: float) -> list[float]:
    """The starts of the clock's periods that begin in [start rounded down, end)."""
    first = start // period * period
    count = int(-(-(end - first) // period))
    if count > 100_800:
        raise ServiceError("InvalidParameterCombination", f"You have requested up to {count} datapoints, which exceeds the limit of 100800.")
    return [first + index * period for index in range(count)]


def _check_period(period: int) -> None:
    if period not in (1, 5, 10, 20, 30) and period % 60:
        raise ServiceError("InvalidParameterValue", "The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60.")


def _check_stat(stat: str) -> None:
    if not is_statistic(stat):
        raise ServiceError("InvalidParameterValue", f"The statistic {stat} is not one that the local AWS serves (Sum, Average, Minimum, "
                                                    "Maximum, SampleCount, pNN)")


def _check_queries(queries: list[dict[str, Any]]) -> None:
    """Raise for ids, metrics and expressions that AWS would refuse."""
    ids = [query["Id"] for query in queries]
    if len(set(ids)) != len(ids):
        raise _invalid("The values for parameter id in MetricDataQuery are not unique.")
    for query in queries:
        if not re.fullmatch(r"[a-z]\w*", query["Id"]):
            raise _invalid(f"The value {query['Id']} for parameter id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$.")
        if ("MetricStat" in query) == ("Expression" in query):
            raise _invalid(f"Exactly one of MetricStat and Expression is required in MetricDataQuery {query['Id']}.")
        if "MetricStat" in query:
            _check_period(query["MetricStat"]["Period"])
            _check_stat(query["MetricStat"]["Stat"])
            continue
        try:
            unknown = metricmath.names(metricmath.parse(query["Expression"])) - {"*", *ids}
        except metricmath.MathError as error:
            raise _invalid(f"Error in expression '{query['Id']}': {error}") from error
        if unknown:
            raise _invalid(f"Error in expression '{query['Id']}': The id {', '.join(sorted(unknown))} is not defined")


def _check_alarm(params: dict[str, Any]) -> None:
    """Raise where AWS would refuse a metric alarm."""
    def need(*names: str) -> None:
        for name in names:
            if name not in params:
                raise ServiceError("MissingParameter", f"The parameter {name} is required.")

    need("EvaluationPeriods", "ComparisonOperator", "Threshold")
    if params["ComparisonOperator"] not in engine.COMPARISONS:
        raise _invalid("Anomaly detection alarms are not served by the local AWS")
    if params.get("TreatMissingData", "missing") not in _TREATMENTS:
        raise _invalid(f"Value '{params['TreatMissingData']}' is not one of the supported values for TreatMissingData: {', '.join(_TREATMENTS)}.")
    if params.get("DatapointsToAlarm", 1) > params["EvaluationPeriods"]:
        raise _invalid("DatapointsToAlarm must not be greater than EvaluationPeriods.")
    low = params.get("EvaluateLowSampleCountPercentile")
    if low is not None and (low not in ("evaluate", "ignore") or not str(params.get("ExtendedStatistic", "")).startswith("p")):
        raise _invalid(f"Option {low} is not supported for EvaluateLowSampleCountPercentile: evaluate or ignore, with a percentile")
    if "Metrics" in params:
        if any(key in params for key in ("MetricName", "Namespace", "Period", "Statistic", "ExtendedStatistic", "Dimensions", "Unit")):
            raise _invalid("Metrics list and parameters of a single metric cannot both be specified")
        _check_queries(params["Metrics"])
        if sum(query.get("ReturnData", True) for query in params["Metrics"]) != 1:
            raise _invalid("Exactly one element of the metrics list should return data.")
        periods = {query["MetricStat"]["Period"] for query in params["Metrics"] if "MetricStat" in query}
        if len(periods) > 1:
            raise _invalid("All metrics of an alarm must have the same period.")
    else:
        need("MetricName", "Namespace", "Period")
        _check_period(params["Period"])
        if ("Statistic" in params) == ("ExtendedStatistic" in params):
            raise _invalid("Exactly one of Statistic and ExtendedStatistic must be specified.")
        _check_stat(params.get("Statistic") or params["ExtendedStatistic"])
    if params["EvaluationPeriods"] * engine.period_of(params) > 7 * 86400:
        raise _invalid("Metrics cannot be checked across more than seven days (EvaluationPeriods * Period must be <= 604800).")


def _page(found: list[dict[str, Any]], member: str, params: dict[str, Any], size: int) -> dict[str, Any]:
    """Return one page; the token is the index of the next item."""
    token = params.get("NextToken") or "0"
    if not token.isdigit():
        raise ServiceError("InvalidNextToken", "The specified token is not valid")
    start = int(token)
    page: dict[str, Any] = {member: found[start:start + size]}
    if len(found) > start + size:
        page["NextToken"] = str(start + size)
    return page
