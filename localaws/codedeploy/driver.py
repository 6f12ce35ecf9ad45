"""What CodeDeploy sees and does outside itself, always with the deployment group's service role.

`World.session(role, region)` gives a `Session`; the simulator offers the same methods. Every refusal and every missing thing comes
back as `WorldError` with the errorInformation code that a deployment then ends with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import botocore.exceptions

from localaws.service import Aws, ServiceError

PRINCIPAL = "codedeploy.amazonaws.com"
LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
HEARTBEAT_TIMEOUT = 600
"""Seconds that Auto Scaling waits for a word from CodeDeploy before it abandons a launch."""

_NAMES = {"autoscaling": "AmazonAutoScaling", "elbv2": "AmazonElasticLoadBalancing", "cloudwatch": "AmazonCloudWatch",
          "ec2": "AmazonEC2", "sns": "AmazonSNS"}
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "AuthorizationErrorException")
T = TypeVar("T")


class WorldError(Exception):
    """A call that a deployment cannot do without failed: `code` is an errorInformation code, `message` says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


@dataclass(frozen=True)
class Instance:
    """An instance of the group's Auto Scaling groups that can be deployed to."""

    id: str
    zone: str


@dataclass(frozen=True)
class AlarmStates:
    """Of the alarms asked for: those in ALARM, and those that CloudWatch does not have."""

    active: list[str]
    missing: list[str]


class Session(Protocol):
    """One service role's view of one Region. Every method may raise WorldError."""

    def missing_groups(self, names: list[str]) -> list[str]:
        """Auto Scaling groups of these names that do not exist."""
        ...

    def instances(self, groups: list[str]) -> list[Instance]:
        """Instances in service (or standing by) in the Auto Scaling groups."""
        ...

    def ended(self, instances: list[str]) -> list[str]:
        """Those of the instances that were terminated, or that EC2 has forgotten."""
        ...

    def put_hook(self, group: str, hook: str, transition: str, metadata: str) -> None:
        """Make the lifecycle hook by which Auto Scaling tells CodeDeploy of a launch or a termination."""
        ...

    def delete_hook(self, group: str, hook: str) -> None:
        """Remove a lifecycle hook; one that is gone is no error."""
        ...

    def complete_hook(self, group: str, hook: str, token: str, instance: str, result: str) -> None:
        """Tell Auto Scaling to CONTINUE or ABANDON."""
        ...

    def heartbeat(self, group: str, hook: str, token: str, instance: str) -> None:
        """Tell Auto Scaling that the instance is still being deployed to."""
        ...

    def alarms(self, names: list[str]) -> AlarmStates:
        """The state of metric alarms."""
        ...

    def block(self, target_groups: list[str], instance: str) -> bool:
        """Take the instance out of the target groups; True once it has drained. To be called until then."""
        ...

    def allow(self, target_groups: list[str], instance: str) -> bool:
        """Put the instance into the target groups; True once it is healthy in all. To be called until then."""
        ...

    def publish(self, topic: str, subject: str, message: str) -> None:
        """Publish to an SNS topic."""
        ...


class World:
    """Sessions over boto3, one a service role and Region."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    def session(self, role: str, region: str) -> Session:
        """Assume `role` as CodeDeploy. Raises WorldError IAM_ROLE_MISSING or IAM_ROLE_PERMISSIONS."""
        try:
            clients = self._aws.as_role(role, PRINCIPAL, "codedeploy")
            clients.credentials()
        except (ServiceError, botocore.exceptions.ClientError) as error:
            raise _assume_error(role, error) from error
        return _BotoSession(lambda service: clients.client(service, region), role)


class _BotoSession:
    """A Session over clients that sign with the service role's credentials."""

    def __init__(self, client: Callable[[str], Any], role: str) -> None:
        self._client, self._role = client, role

    def missing_groups(self, names: list[str]) -> list[str]:
        found = {group["AutoScalingGroupName"] for group in self._groups(names)}
        return [name for name in names if name not in found]

    def instances(self, groups: list[str]) -> list[Instance]:
        members = [member for group in self._groups(groups) for member in group.get("Instances") or []
                   if member["LifecycleState"] in ("InService", "Standby", "EnteringStandby")]
        if not members:
            return []
        # By filter: an id that EC2 has forgotten is no error, and only what it calls terminated is left out. A stopped
        # instance stays a target, as AWS says.
        pages = self._call("ec2", lambda client: client.describe_instances(
            Filters=[{"Name": "instance-id", "Values": [member["InstanceId"] for member in members]}]))
        gone = {instance["InstanceId"] for reservation in pages["Reservations"] for instance in reservation["Instances"]
                if instance["State"]["Name"] in ("shutting-down", "terminated")}
        return [Instance(member["InstanceId"], member["AvailabilityZone"]) for member in members if member["InstanceId"] not in gone]

    def ended(self, instances: list[str]) -> list[str]:
        pages = self._call("ec2", lambda client: client.describe_instances(Filters=[{"Name": "instance-id", "Values": instances}]))
        there = {instance["InstanceId"] for reservation in pages["Reservations"] for instance in reservation["Instances"]
                 if instance["State"]["Name"] not in ("shutting-down", "terminated")}
        return [instance for instance in instances if instance not in there]

    def put_hook(self, group: str, hook: str, transition: str, metadata: str) -> None:
        self._call("autoscaling", lambda client: client.put_lifecycle_hook(
            AutoScalingGroupName=group, LifecycleHookName=hook, LifecycleTransition=transition, NotificationMetadata=metadata,
            HeartbeatTimeout=HEARTBEAT_TIMEOUT, DefaultResult="ABANDON" if transition == LAUNCHING else "CONTINUE"))

    def delete_hook(self, group: str, hook: str) -> None:
        try:
            self._call("autoscaling", lambda client: client.delete_lifecycle_hook(
                AutoScalingGroupName=group, LifecycleHookName=hook))
        except WorldError as error:
            if error.code != "AUTO_SCALING_CONFIGURATION":
                raise

    def complete_hook(self, group: str, hook: str, token: str, instance: str, result: str) -> None:
        self._call("autoscaling", lambda client: client.complete_lifecycle_action(
            AutoScalingGroupName=group, LifecycleHookName=hook, LifecycleActionToken=token, InstanceId=instance,
            LifecycleActionResult=result))

    def heartbeat(self, group: str, hook: str, token: str, instance: str) -> None:
        self._call("autoscaling", lambda client: client.record_lifecycle_action_heartbeat(
            AutoScalingGroupName=group, LifecycleHookName=hook, LifecycleActionToken=token, InstanceId=instance))

    def alarms(self, names: list[str]) -> AlarmStates:
        states: dict[str, str] = {}
        for start in range(0, len(names), 100):
            some = names[start:start + 100]
            # Without AlarmTypes: whether AWS watches composite alarms here is documented nowhere, so ours does not.
            answer = self._call("cloudwatch", partial(_describe_alarms, names=some))
            states |= {alarm["AlarmName"]: alarm["StateValue"] for alarm in answer["MetricAlarms"]}
        return AlarmStates([name for name in names if states.get(name) == "ALARM"], [name for name in names if name not in states])

    def block(self, target_groups: list[str], instance: str) -> bool:
        drained = True
        for arn in self._target_groups(target_groups):
            state = self._target_state(arn, instance)
            if state not in (None, "draining"):
                self._call("elbv2", partial(_deregister, arn=arn, instance=instance))
            drained = drained and state is None
        return drained

    def allow(self, target_groups: list[str], instance: str) -> bool:
        healthy = True
        for arn in self._target_groups(target_groups):
            state = self._target_state(arn, instance)
            if state in (None, "draining"):
                self._call("elbv2", partial(_register, arn=arn, instance=instance))
            healthy = healthy and state == "healthy"
        return healthy

    def publish(self, topic: str, subject: str, message: str) -> None:
        self._call("sns", lambda client: client.publish(TopicArn=topic, Subject=subject[:100], Message=message))

    def _groups(self, names: list[str]) -> list[dict[str, Any]]:
        if not names:
            return []
        return self._call("autoscaling", lambda client: [group for page in client.get_paginator(
            "describe_auto_scaling_groups").paginate(AutoScalingGroupNames=names) for group in page["AutoScalingGroups"]])

    def _target_groups(self, names: list[str]) -> list[str]:
        answer = self._call("elbv2", lambda client: client.describe_target_groups(Names=names))
        return [group["TargetGroupArn"] for group in answer["TargetGroups"]]

    def _target_state(self, arn: str, instance: str) -> str | None:
        """The target's health state in the group, None if it is not registered there."""
        answer = self._call("elbv2", lambda client: client.describe_target_health(TargetGroupArn=arn))
        states = [entry["TargetHealth"]["State"] for entry in answer["TargetHealthDescriptions"] if entry["Target"]["Id"] == instance]
        return next((state for state in states if state != "draining"), states[0] if states else None)

    def _call(self, service: str, call: Callable[[Any], T]) -> T:
        try:
            return call(self._client(service))
        except botocore.exceptions.ClientError as error:
            raise _call_error(self._role, service, error) from error
        except botocore.exceptions.BotoCoreError as error:
            raise WorldError("INTERNAL_ERROR", f"{service}: {error}") from error


def _describe_alarms(client: Any, names: list[str]) -> Any:
    return client.describe_alarms(AlarmNames=names, MaxRecords=100)


def _register(client: Any, arn: str, instance: str) -> None:
    client.register_targets(TargetGroupArn=arn, Targets=[{"Id": instance}])


def _deregister(client: Any, arn: str, instance: str) -> None:
    client.deregister_targets(TargetGroupArn=arn, Targets=[{"Id": instance}])


def _assume_error(role: str, error: Exception) -> WorldError:
    text = str(error)
    if "NoSuchEntity" in text or "cannot be found" in text or "does not exist" in text:
        return WorldError("IAM_ROLE_MISSING", f"The IAM role {role} cannot be found, or CodeDeploy may not assume it. ({text})")
    return WorldError("IAM_ROLE_PERMISSIONS", f"AWS CodeDeploy does not have the permissions required to assume the role {role}. ({text})")


def _call_error(role: str, service: str, error: botocore.exceptions.ClientError) -> WorldError:
    code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
    if code in _DENIED:
        kind = "AUTO_SCALING_IAM_ROLE_PERMISSIONS" if service == "autoscaling" else "IAM_ROLE_PERMISSIONS"
        return WorldError(kind, (
            f"The IAM role {role} does not give you permission to perform operations in the following AWS service: "
            f"{_NAMES[service]}. Contact your AWS administrator if you need help. If you are an AWS administrator, you can grant "
            f"permissions to your users or groups by creating IAM policies. ({error.operation_name}: {message})"))
    kinds = {"elbv2": "ELASTIC_LOAD_BALANCING_INVALID", "autoscaling": "AUTO_SCALING_CONFIGURATION"}
    if code.startswith("Throttl"):
        return WorldError("THROTTLED", f"{error.operation_name}: {message}")
    if code == "InvalidTarget":
        return WorldError("ELB_INVALID_INSTANCE", f"{error.operation_name}: {message}")
    return WorldError(kinds.get(service, "INTERNAL_ERROR"), f"{error.operation_name}: {code}: {message}")
