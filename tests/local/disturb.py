"""What goes wrong around a release, each undone at the end: alarms that fire or are gone, roles that may nothing, rules that are off, hosts that die."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from scripts import demo
from scripts.demonstration import environments
from scripts.demonstration.environments import Place

_ALARM = ("AlarmName", "AlarmDescription", "ActionsEnabled", "OKActions", "AlarmActions", "InsufficientDataActions", "MetricName", "Namespace", "Statistic",
          "ExtendedStatistic", "Dimensions", "Period", "Unit", "EvaluationPeriods", "DatapointsToAlarm", "Threshold", "ComparisonOperator",
          "TreatMissingData", "EvaluateLowSampleCountPercentile", "Metrics", "ThresholdMetricId")
_COMPOSITE = ("AlarmName", "AlarmDescription", "ActionsEnabled", "OKActions", "AlarmActions", "InsufficientDataActions", "AlarmRule")
"""What PutMetricAlarm and PutCompositeAlarm take of what DescribeAlarms gives."""


def place_of(delivery: demo.Demonstration, environment: str, region: str) -> Place:
    """One Region of an environment."""
    return next(place for place in delivery.places if (place.environment, place.region) == (environment, region))


def alarm(place: Place, part: str) -> dict[str, Any]:
    """The metric alarm of a place whose name has `part` in it, that its fleet's group watches."""
    group = place.client("codedeploy", place.region).get_deployment_group(
        applicationName=place.application, deploymentGroupName=place.groups["fleet"])["deploymentGroupInfo"]
    names = [one["name"] for one in group["alarmConfiguration"]["alarms"]]
    (name,) = [name for name in names if part in name]
    (found,) = place.client("cloudwatch", place.region).describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return dict(found)


@contextlib.contextmanager
def threshold(place: Place, part: str, value: float) -> Iterator[str]:
    """Give an alarm of the fleet another threshold; yields its name."""
    found = alarm(place, part)
    cloudwatch = place.client("cloudwatch", place.region)
    before = {key: found[key] for key in _ALARM if key in found}
    cloudwatch.put_metric_alarm(**{**before, "Threshold": value})
    try:
        yield str(found["AlarmName"])
    finally:
        cloudwatch.put_metric_alarm(**before)


def firing(place: Place, part: str = "-Faults-") -> contextlib.AbstractContextManager[str]:
    """Let an alarm of the fleet (greater than a threshold) fire, by one below all that it measures; gives its name."""
    return threshold(place, part, -1.0)


@contextlib.contextmanager
def missing(place: Place, name: str) -> Iterator[None]:
    """Take a composite alarm away. A metric alarm cannot be deleted while a composite depends on it; on the topmost one nothing does."""
    cloudwatch = place.client("cloudwatch", place.region)
    (found,) = cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    cloudwatch.delete_alarms(AlarmNames=[name])
    try:
        yield
    finally:
        cloudwatch.put_composite_alarm(**{key: found[key] for key in _COMPOSITE if key in found})


def role_name(arn: str) -> str:
    """The name of a role."""
    return arn.rpartition("/")[2]


@contextlib.contextmanager
def denied(iam: Any, role: str, *actions: str) -> Iterator[None]:
    """Deny a role these actions, all if none are named, by one more inline policy."""
    statement = {"Effect": "Deny", "Action": list(actions) or "*", "Resource": "*"}
    iam.put_role_policy(RoleName=role, PolicyName="disturbed", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    try:
        yield
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="disturbed")


def resources(delivery: demo.Demonstration, environment: str, kind: str, region: str | None = None) -> list[str]:
    """The physical ids of all resources of a type in an environment's tree of stacks (the pipeline's too)."""
    return environments.resources(delivery.client_of(environment), delivery.settings[environment].stack_name, region or delivery.region, kind)


@contextlib.contextmanager
def rules_off(delivery: demo.Demonstration, schedule_too: bool = False) -> Iterator[list[str]]:
    """Lose every event of the pipeline's rules; the reconciler's schedule goes on unless `schedule_too`. Yields the rules' names."""
    events = delivery.aws.client("events", delivery.region)
    rules = [rule.rpartition("|")[2] for rule in resources(delivery, "pipeline", "AWS::Events::Rule")]
    off = [rule for rule in rules if schedule_too or "ScheduleExpression" not in events.describe_rule(Name=rule)]
    assert off, "the pipeline has no rules"
    for rule in off:
        events.disable_rule(Name=rule)
    try:
        yield off
    finally:
        for rule in off:
            events.enable_rule(Name=rule)


@contextlib.contextmanager
def setting(places: Sequence[Place], service: str, scope: str, name: str, value: str = "1") -> Iterator[None]:
    """Give the hosts of a scope (`app`: of all) of these places a setting, with their next deployment."""
    path = f"/{service}/{places[0].environment}/{scope}/{name}"
    for place in places:
        place.client("ssm", place.region).put_parameter(Name=path, Value=value, Type="String", Overwrite=True)
    try:
        yield
    finally:
        for place in places:
            place.client("ssm", place.region).delete_parameter(Name=path)


class At:
    """Enters a context when an action of the pipeline gets to a status, and leaves it when the stage has failed, or at the end."""

    def __init__(self, context: contextlib.AbstractContextManager[Any], stage: str, action: str, status: str = "InProgress") -> None:
        self._stack, self._context, self._when, self._stage = contextlib.ExitStack(), context, (stage, action, status), stage
        self.entered = False

    def __call__(self, stage: str, action: str, status: str) -> None:
        if (stage, action, status) == self._when and not self.entered:
            self.entered = True
            self._stack.enter_context(self._context)
        if stage == self._stage and status == "Failed":
            self._stack.close()

    def __enter__(self) -> At:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
