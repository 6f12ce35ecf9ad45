"""What CodeDeploy asks of other services with the service role, and what it makes of their answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localaws.codedeploy.driver import World, WorldError, _BotoSession
from localaws.service import ServiceError

ROLE = "arn:aws:iam::111122223333:role/codedeploy"
ARN = "arn:targetgroup"


class Recorder:
    """A boto3 client that records calls and answers from a table."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers, self.calls = answers, []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**params: Any) -> Any:
            self.calls.append((name, params))
            answer = self.answers[name]
            if isinstance(answer, Exception):
                raise answer
            return answer
        return call

    def get_paginator(self, name: str) -> Any:
        recorder = self

        class Pages:
            def paginate(self, **params: Any) -> list[Any]:
                return [getattr(recorder, name)(**params)]
        return Pages()


def session(answers: dict[str, Any]) -> tuple[_BotoSession, Recorder]:
    recorder = Recorder(answers)
    return _BotoSession(lambda service: recorder, ROLE), recorder


def health(*targets: tuple[str, str]) -> dict[str, Any]:
    return {"TargetHealthDescriptions": [{"Target": {"Id": name}, "TargetHealth": {"State": state}} for name, state in targets]}


def denied(operation: str, code: str = "AccessDenied") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": f"User: x is not authorized to perform: {operation}"}}, operation)


GROUPS = {"TargetGroups": [{"TargetGroupArn": ARN}]}


@pytest.mark.parametrize(("state", "done", "deregisters"), [
    (("i-1", "healthy"), False, True), (("i-1", "unused"), False, True), (("i-1", "draining"), False, False), (("i-2", "healthy"), True, False)])
def test_block_waits_until_the_target_is_gone(state: tuple[str, str], done: bool, deregisters: bool) -> None:
    view, recorder = session({"describe_target_groups": GROUPS, "describe_target_health": health(state), "deregister_targets": {}})
    assert view.block(["targets"], "i-1") is done
    assert (("deregister_targets", {"TargetGroupArn": ARN, "Targets": [{"Id": "i-1"}]}) in recorder.calls) is deregisters


@pytest.mark.parametrize(("state", "done", "registers"), [
    (("i-2", "healthy"), False, True), (("i-1", "draining"), False, True), (("i-1", "initial"), False, False),
    (("i-1", "unhealthy"), False, False), (("i-1", "healthy"), True, False)])
def test_allow_waits_until_the_target_is_healthy(state: tuple[str, str], done: bool, registers: bool) -> None:
    view, recorder = session({"describe_target_groups": GROUPS, "describe_target_health": health(state), "register_targets": {}})
    assert view.allow(["targets"], "i-1") is done
    assert any(name == "register_targets" for name, _ in recorder.calls) is registers


def test_instances_are_those_in_service_that_ec2_does_not_call_terminated() -> None:
    states = {"i-1": "InService", "i-2": "Pending:Wait", "i-3": "Standby", "i-4": "Terminating", "i-5": "InService"}
    view, _ = session({
        "describe_auto_scaling_groups": {"AutoScalingGroups": [{"AutoScalingGroupName": "asg", "Instances": [
            {"InstanceId": name, "AvailabilityZone": "a", "LifecycleState": state} for name, state in states.items()]}]},
        "describe_instances": {"Reservations": [{"Instances": [
            {"InstanceId": "i-1", "State": {"Name": "stopped"}}, {"InstanceId": "i-5", "State": {"Name": "terminated"}}]}]}})
    assert [instance.id for instance in view.instances(["asg"])] == ["i-1", "i-3"]
    assert view.missing_groups(["asg", "other"]) == ["other"]


def test_alarms_that_fire_and_alarms_that_are_not_there() -> None:
    view, _ = session({"describe_alarms": {"MetricAlarms": [
        {"AlarmName": "a", "StateValue": "ALARM"}, {"AlarmName": "b", "StateValue": "INSUFFICIENT_DATA"}]}})
    states = view.alarms(["a", "b", "c"])
    assert (states.active, states.missing) == (["a"], ["c"])


@pytest.mark.parametrize(("error", "call", "code", "words"), [
    (denied("DescribeTargetGroups"), lambda view: view.block(["t"], "i-1"), "IAM_ROLE_PERMISSIONS", "AmazonElasticLoadBalancing"),
    (denied("DescribeAlarms"), lambda view: view.alarms(["a"]), "IAM_ROLE_PERMISSIONS", "AmazonCloudWatch"),
    (denied("PutLifecycleHook"), lambda view: view.put_hook("g", "h", "autoscaling:EC2_INSTANCE_LAUNCHING", "m"),
     "AUTO_SCALING_IAM_ROLE_PERMISSIONS", "AmazonAutoScaling"),
    (denied("DescribeTargetGroups", "TargetGroupNotFound"), lambda view: view.allow(["t"], "i-1"), "ELASTIC_LOAD_BALANCING_INVALID", ""),
    (denied("DescribeAlarms", "Throttling"), lambda view: view.alarms(["a"]), "THROTTLED", "")])
def test_refusals_name_the_role_the_service_and_the_action(error: ClientError, call: Callable[[Any], Any], code: str, words: str) -> None:
    names = ("describe_target_groups", "describe_alarms", "put_lifecycle_hook")
    view, _ = session(dict.fromkeys(names, error))
    with pytest.raises(WorldError) as caught:
        call(view)
    assert caught.value.code == code
    assert error.operation_name in caught.value.message
    assert words in caught.value.message
    assert (ROLE in caught.value.message or not words)


@pytest.mark.parametrize(("text", "code"), [
    ("not authorized to perform: sts:AssumeRole", "IAM_ROLE_PERMISSIONS"), ("The role with name x cannot be found.", "IAM_ROLE_MISSING")])
def test_a_role_that_cannot_be_assumed(text: str, code: str) -> None:
    class Aws:
        def as_role(self, role: str, principal: str, name: str) -> Any:
            assert principal == "codedeploy.amazonaws.com"
            raise ServiceError("AccessDenied", text)
    with pytest.raises(WorldError) as caught:
        World(Aws()).session(ROLE, "us-east-1")  # type: ignore[arg-type]
    assert caught.value.code == code
    assert ROLE in caught.value.message
