"""CloudWatch's operations against a small fake of the rest of the local AWS, in virtual time."""

from __future__ import annotations

import json
from typing import Any

import botocore.session
import botocore.validate
import pytest

from localaws.clock import VirtualClock
from localaws.cloudwatch.api import Api
from localaws.service import Context, ServiceError

CTX = Context("000000000000", "us-east-1", "arn:aws:iam::000000000000:root", "000000000000")
MODEL = botocore.session.get_session().get_service_model("cloudwatch")
TOPIC = "arn:aws:sns:us-east-1:000000000000:people"


class FakeAws:
    """Runs spawned work at once; keeps events and published messages."""

    def __init__(self) -> None:
        self.clock = VirtualClock(1_700_000_040.0)
        self.events: list[tuple[Any, ...]] = []
        self.published: list[dict[str, Any]] = []

    def spawn(self, name: str, work: Any) -> None:
        work()

    def topic_refusal(self, topic: str, service: str, source: str) -> str:
        assert service == "cloudwatch.amazonaws.com"
        return "the topic's policy refuses" if topic.endswith(":closed") else ""

    def emit(self, *event: Any) -> None:
        self.events.append(event)

    def as_service(self, account: str) -> FakeAws:
        return self

    def client(self, service: str, region: str) -> FakeAws:
        assert service == "sns"
        return self

    def publish(self, **message: Any) -> None:
        self.published.append(message)


@pytest.fixture
def api() -> Api:
    return Api(FakeAws())


def call(api: Api, operation: str, **params: Any) -> dict[str, Any]:
    """Call the operation, and check request and response against AWS's model."""
    import re

    model = MODEL.operation_model(operation)
    botocore.validate.validate_parameters(params, model.input_shape)
    result = getattr(api, re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower())(CTX, params) or {}
    if model.output_shape is not None:
        botocore.validate.validate_parameters(result, model.output_shape)
    return result


def put_alarm(api: Api, name: str, **more: Any) -> None:
    call(api, "PutMetricAlarm", **{"AlarmName": name, "Namespace": "App", "MetricName": "errors", "Statistic": "Sum", "Period": 60,
                                   "EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanOrEqualToThreshold",
                                   "TreatMissingData": "notBreaching", **more})


def state(api: Api, name: str, kind: str = "MetricAlarm") -> str:
    found = call(api, "DescribeAlarms", AlarmNames=[name], AlarmTypes=[kind])
    return str(found[f"{kind}s"][0]["StateValue"])


def tick(api: Api, seconds: float) -> None:
    api.aws.clock.advance(seconds)
    api.tick()


def errors(api: Api, count: float = 5) -> None:
    call(api, "PutMetricData", Namespace="App", MetricData=[{"MetricName": "errors", "Value": count, "Timestamp": api.aws.clock.now()}])


def test_an_alarm_lives_through_its_states_and_tells(api: Api) -> None:
    put_alarm(api, "bad", AlarmActions=[TOPIC], OKActions=[TOPIC])
    assert state(api, "bad") == "INSUFFICIENT_DATA"
    tick(api, 6)
    assert state(api, "bad") == "OK"
    errors(api)
    tick(api, 6)
    assert state(api, "bad") == "ALARM"
    tick(api, 300)
    assert state(api, "bad") == "OK"
    events = [(event[3], event[4]["previousState"]["value"], event[4]["state"]["value"]) for event in api.aws.events]
    assert events == [("CloudWatch Alarm State Change", "INSUFFICIENT_DATA", "OK"), ("CloudWatch Alarm State Change", "OK", "ALARM"),
                      ("CloudWatch Alarm State Change", "ALARM", "OK")]
    assert api.aws.events[1][4]["configuration"]["metrics"][0]["metricStat"]["metric"]["name"] == "errors"
    assert [message["Subject"] for message in api.aws.published] == [
        'OK: "bad" in US East (N. Virginia)', 'ALARM: "bad" in US East (N. Virginia)', 'OK: "bad" in US East (N. Virginia)']
    assert json.loads(api.aws.published[1]["Message"])["NewStateValue"] == "ALARM"
    items = call(api, "DescribeAlarmHistory", AlarmName="bad")["AlarmHistoryItems"]
    assert [item["HistorySummary"] for item in items if item["HistoryItemType"] == "StateUpdate"] == [
        "Alarm updated from ALARM to OK", "Alarm updated from OK to ALARM", "Alarm updated from INSUFFICIENT_DATA to OK"]
    assert next(item for item in items if item["HistoryItemType"] == "Action")["HistorySummary"] == f"Successfully executed action {TOPIC}"


def test_disabled_actions_are_not_carried_out(api: Api) -> None:
    put_alarm(api, "bad", AlarmActions=[TOPIC])
    call(api, "DisableAlarmActions", AlarmNames=["bad"])
    errors(api)
    tick(api, 6)
    assert (state(api, "bad"), api.aws.published) == ("ALARM", [])


def test_composite_follows_its_children_in_the_same_tick(api: Api) -> None:
    put_alarm(api, "one")
    put_alarm(api, "two", MetricName="other")
    call(api, "PutCompositeAlarm", AlarmName="all", AlarmRule='ALARM("one") OR ALARM("two")')
    call(api, "PutCompositeAlarm", AlarmName="above", AlarmRule="ALARM(all)")
    assert state(api, "all", "CompositeAlarm") == "INSUFFICIENT_DATA"
    tick(api, 6)
    assert state(api, "all", "CompositeAlarm") == "OK"
    errors(api)
    tick(api, 6)
    assert state(api, "above", "CompositeAlarm") == "ALARM"
    assert call(api, "DescribeAlarms")["CompositeAlarms"] == []
    assert [alarm["AlarmName"] for alarm in call(api, "DescribeAlarms", ChildrenOfAlarmName="all")["MetricAlarms"]] == ["one", "two"]


def test_set_alarm_state_lasts_until_the_next_evaluation_and_moves_composites(api: Api) -> None:
    put_alarm(api, "one")
    call(api, "PutCompositeAlarm", AlarmName="all", AlarmRule="ALARM(one)")
    tick(api, 6)
    call(api, "SetAlarmState", AlarmName="one", StateValue="ALARM", StateReason="by hand")
    assert state(api, "all", "CompositeAlarm") == "ALARM"
    tick(api, 6)
    assert (state(api, "one"), state(api, "all", "CompositeAlarm")) == ("OK", "OK")


def test_what_a_composite_needs_cannot_be_deleted(api: Api) -> None:
    put_alarm(api, "one")
    call(api, "PutCompositeAlarm", AlarmName="all", AlarmRule="ALARM(one)")
    with pytest.raises(ServiceError, match=r"Cannot delete one as there are composite alarm.s. depending on it"):
        call(api, "DeleteAlarms", AlarmNames=["one"])
    call(api, "DeleteAlarms", AlarmNames=["one", "all"])
    assert call(api, "DescribeAlarms", AlarmTypes=["MetricAlarm", "CompositeAlarm"]) == {"MetricAlarms": [], "CompositeAlarms": []}
    assert call(api, "DescribeAlarmHistory", AlarmName="one")["AlarmHistoryItems"][0]["HistorySummary"] == 'Alarm "one" deleted'


def test_delete_of_an_unknown_alarm_deletes_nothing(api: Api) -> None:
    put_alarm(api, "one")
    with pytest.raises(ServiceError) as refused:
        call(api, "DeleteAlarms", AlarmNames=["one", "two"])
    assert (refused.value.code, state(api, "one")) == ("ResourceNotFound", "INSUFFICIENT_DATA")


def test_update_keeps_the_state(api: Api) -> None:
    put_alarm(api, "one", Tags=[{"Key": "k", "Value": "v"}])
    tick(api, 6)
    put_alarm(api, "one", Threshold=7.0)
    found = call(api, "DescribeAlarms", AlarmNames=["one"])["MetricAlarms"][0]
    assert (found["StateValue"], found["Threshold"]) == ("OK", 7.0)
    assert call(api, "ListTagsForResource", ResourceARN=found["AlarmArn"]) == {"Tags": [{"Key": "k", "Value": "v"}]}


def test_describe_alarms_pages_and_filters(api: Api) -> None:
    for index in range(5):
        put_alarm(api, f"a-{index}")
    put_alarm(api, "b")
    first = call(api, "DescribeAlarms", AlarmNamePrefix="a-", MaxRecords=3)
    rest = call(api, "DescribeAlarms", AlarmNamePrefix="a-", MaxRecords=3, NextToken=first["NextToken"])
    assert [alarm["AlarmName"] for alarm in first["MetricAlarms"] + rest["MetricAlarms"]] == [f"a-{index}" for index in range(5)]
    assert "NextToken" not in rest
    assert call(api, "DescribeAlarms", StateValue="ALARM")["MetricAlarms"] == []


@pytest.mark.parametrize("bad", [
    {"TreatMissingData": "never"}, {"DatapointsToAlarm": 2}, {"Period": 45}, {"ExtendedStatistic": "p99"},
    {"EvaluateLowSampleCountPercentile": "ignore"}, {"Metrics": [{"Id": "e", "Expression": "1"}]}, {"EvaluationPeriods": 20000},
    {"Statistic": None, "ExtendedStatistic": "tm99"}])
def test_alarms_that_aws_refuses(api: Api, bad: dict[str, Any]) -> None:
    params = {"AlarmName": "x", "Namespace": "App", "MetricName": "errors", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1,
              "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold", **bad}
    with pytest.raises(ServiceError):
        api.put_metric_alarm(CTX, {key: value for key, value in params.items() if value is not None})


@pytest.mark.parametrize("metrics", [
    [{"Id": "e", "Expression": "nope + 1"}], [{"Id": "E", "Expression": "1"}], [{"Id": "e", "Expression": "1"}, {"Id": "f", "Expression": "2"}],
    [{"Id": "e", "Expression": "1 +"}]])
def test_metric_math_that_aws_refuses(api: Api, metrics: list[dict[str, Any]]) -> None:
    with pytest.raises(ServiceError):
        api.put_metric_alarm(CTX, {"AlarmName": "x", "EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold",
                                   "Metrics": metrics})


def test_composite_of_an_unknown_alarm_is_refused(api: Api) -> None:
    with pytest.raises(ServiceError, match=r"alarms \[gone\] in the alarm rule do not exist"):
        call(api, "PutCompositeAlarm", AlarmName="all", AlarmRule="ALARM(gone)")


def test_metrics_are_read_back_over_minutes_of_the_clock(api: Api) -> None:
    start = api.aws.clock.now()
    dimensions = {"LoadBalancer": "app/a/1", "TargetGroup": "targetgroup/b/2"}
    api.record("000000000000", "us-east-1", "AWS/ApplicationELB", "RequestCount", dimensions, start + 1, [1.0] * 30, "Count")
    api.record("000000000000", "us-east-1", "AWS/ApplicationELB", "RequestCount", dimensions, start + 59, [1.0] * 10, "Count")
    api.record("000000000000", "us-east-1", "AWS/ApplicationELB", "RequestCount", dimensions, start + 61, [1.0] * 5, "Count")
    listed = [{"Name": name, "Value": value} for name, value in reversed(dimensions.items())]
    found = call(api, "GetMetricStatistics", Namespace="AWS/ApplicationELB", MetricName="RequestCount", Dimensions=listed, Period=60,
                 StartTime=start, EndTime=start + 120, Statistics=["Sum", "Average"], ExtendedStatistics=["p99"])
    assert [(each["Timestamp"], each["Sum"], each["Average"]) for each in found["Datapoints"]] == [(start, 40, 1), (start + 60, 5, 1)]
    metric = {"Metric": {"Namespace": "AWS/ApplicationELB", "MetricName": "RequestCount", "Dimensions": listed}, "Period": 60, "Stat": "Sum"}
    data = call(api, "GetMetricData", StartTime=start, EndTime=start + 180, MetricDataQueries=[
        {"Id": "m", "MetricStat": metric, "ReturnData": False}, {"Id": "e", "Expression": "FILL(m, 0) / 5"}])
    assert [(each["Id"], each["Timestamps"], each["Values"]) for each in data["MetricDataResults"]] == [
        ("e", [start + 120, start + 60, start], [0, 1, 8])]
    assert call(api, "ListMetrics", Dimensions=[{"Name": "LoadBalancer"}])["Metrics"][0]["MetricName"] == "RequestCount"
    nothing = call(api, "GetMetricStatistics", Namespace="AWS/ApplicationELB", MetricName="RequestCount", Period=60, StartTime=start,
                   EndTime=start + 120, Statistics=["Sum"])
    assert nothing["Datapoints"] == []


def test_nobody_publishes_as_aws_but_aws(api: Api) -> None:
    with pytest.raises(ServiceError, match="AWS/"):
        call(api, "PutMetricData", Namespace="AWS/EC2", MetricData=[{"MetricName": "CPUUtilization", "Value": 1.0}])


def test_state_survives_a_restart(api: Api) -> None:
    put_alarm(api, "bad")
    errors(api)
    tick(api, 6)
    again = Api(api.aws)
    again.load(json.loads(json.dumps(api.dump())))
    assert state(again, "bad") == "ALARM"
    tick(again, 6)
    assert state(again, "bad") == "ALARM", "the samples were kept too"


def test_permissions_name_alarms(api: Api) -> None:
    arn = "arn:aws:cloudwatch:us-east-1:000000000000:alarm:"
    assert list(api.permissions("PutMetricAlarm", {"AlarmName": "a", "Tags": [{"Key": "k", "Value": "v"}]}, CTX)) == [
        ("cloudwatch:PutMetricAlarm", f"{arn}a"), ("cloudwatch:TagResource", f"{arn}a")]
    assert list(api.permissions("DescribeAlarms", {}, CTX)) == [("cloudwatch:DescribeAlarms", f"{arn}*")]
    assert list(api.permissions("DescribeAlarms", {"AlarmTypes": ["CompositeAlarm"]}, CTX)) == [("cloudwatch:DescribeAlarms", "*")]


def test_an_action_that_the_topic_refuses_is_in_the_history(api: Api) -> None:
    put_alarm(api, "bad", AlarmActions=["arn:aws:sns:us-east-1:000000000000:closed"])
    errors(api)
    tick(api, 6)
    items = call(api, "DescribeAlarmHistory", AlarmName="bad", HistoryItemType="Action")["AlarmHistoryItems"]
    assert "Failed to execute action" in items[0]["HistorySummary"]
    assert "the topic's policy refuses" in items[0]["HistorySummary"]
    assert api.aws.published == []


def publish(api: Api, namespace: str, metric: str, value: float) -> None:
    call(api, "PutMetricData", Namespace=namespace, MetricData=[{"MetricName": metric, "Value": value, "Timestamp": api.aws.clock.now()}])


def stat(identity: str, namespace: str, metric: str, statistic: str) -> dict[str, Any]:
    return {"Id": identity, "ReturnData": False, "MetricStat": {"Stat": statistic, "Period": 60, "Metric": {"Namespace": namespace, "MetricName": metric}}}


def test_an_alarm_waits_until_a_custom_metric_arms_it(api: Api) -> None:
    call(api, "PutMetricAlarm", AlarmName="canary", Threshold=0.0, ComparisonOperator="GreaterThanThreshold", EvaluationPeriods=2, DatapointsToAlarm=1,
         TreatMissingData="notBreaching", Metrics=[
             {"Id": "judged", "Expression": "IF(FILL(armed, REPEAT) > 0, FILL(100 - succeeded, 0), 0)", "ReturnData": True},
             stat("succeeded", "CloudWatchSynthetics", "SuccessPercent", "Average"), stat("armed", "Handsoff", "Armed", "Minimum")])
    tick(api, 6)
    assert state(api, "canary") == "OK", "nothing is known of either"
    publish(api, "CloudWatchSynthetics", "SuccessPercent", 0)
    publish(api, "Handsoff", "Armed", 0)
    tick(api, 6)
    assert state(api, "canary") == "OK", "not armed"
    tick(api, 54)
    publish(api, "Handsoff", "Armed", 1)
    tick(api, 61)  # no sample of this minute yet: the last one counts
    publish(api, "CloudWatchSynthetics", "SuccessPercent", 0)
    tick(api, 6)
    assert state(api, "canary") == "ALARM"
