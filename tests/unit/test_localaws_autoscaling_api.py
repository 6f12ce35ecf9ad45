"""Auto Scaling's operations, over a fake EC2 and ELB; no threads, no Docker."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localaws.autoscaling.api import Api
from localaws.clock import VirtualClock
from localaws.service import Context, ServiceError

CTX = Context("000000000000", "us-east-1", "arn:aws:iam::000000000000:user/me", "AKIA")
LAUNCH = "autoscaling:EC2_INSTANCE_LAUNCHING"


def refused(code: str, message: str = "no") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


class FakeEc2:
    """EC2 as Auto Scaling asks it."""

    def __init__(self) -> None:
        self.instances: dict[str, str] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.dry_run = refused("DryRunOperation")
        self._numbers = itertools.count()

    def describe_subnets(self, SubnetIds: list[str]) -> dict[str, Any]:
        known = {"subnet-a": "us-east-1a", "subnet-b": "us-east-1b"}
        return {"Subnets": [{"SubnetId": subnet, "AvailabilityZone": known[subnet]} for subnet in SubnetIds if subnet in known]}

    def describe_launch_template_versions(self, Versions: list[str], **name: str) -> dict[str, Any]:
        if name != {"LaunchTemplateId": "lt-1"}:
            raise refused("InvalidLaunchTemplateId.NotFound", "The specified launch template does not exist.")
        number = 3 if Versions == ["$Latest"] else 1 if Versions == ["$Default"] else int(Versions[0])
        return {"LaunchTemplateVersions": [{"LaunchTemplateId": "lt-1", "LaunchTemplateName": "lt", "VersionNumber": number}]}

    def run_instances(self, **params: Any) -> dict[str, Any]:
        if params.get("DryRun"):
            raise self.dry_run
        instance = f"i-{next(self._numbers)}"
        self.instances[instance] = "running"
        self.tags[instance] = {tag["Key"]: tag["Value"] for tag in params["TagSpecifications"][0]["Tags"]}
        return {"Instances": [{"InstanceId": instance, "InstanceType": "t3.small", "ImageId": "ami-1"}]}

    def terminate_instances(self, InstanceIds: list[str]) -> None:
        self.instances.update(dict.fromkeys(InstanceIds, "terminated"))

    def describe_instances(self, Filters: list[dict[str, Any]]) -> dict[str, Any]:
        return {"Reservations": [{"Instances": [{"InstanceId": known, "State": {"Name": state}} for known, state in self.instances.items()
                                                if known in Filters[0]["Values"]]}]}


class FakeElb:
    """Target groups: tg-1 exists."""

    def __init__(self) -> None:
        self.registered: list[str] = []

    def describe_target_groups(self, TargetGroupArns: list[str]) -> None:
        if TargetGroupArns != ["tg-1"]:
            raise refused("TargetGroupNotFound")

    def register_targets(self, TargetGroupArn: str, Targets: list[dict[str, str]]) -> None:
        self.registered += [target["Id"] for target in Targets]

    def deregister_targets(self, TargetGroupArn: str, Targets: list[dict[str, str]]) -> None:
        self.registered = [known for known in self.registered if known not in [target["Id"] for target in Targets]]

    def describe_target_health(self, TargetGroupArn: str) -> dict[str, Any]:
        return {"TargetHealthDescriptions": [{"Target": {"Id": known}, "TargetHealth": {"State": "healthy"}} for known in self.registered]}


class FakeCodeDeploy:
    """CodeDeploy as Auto Scaling tells it."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    def on_instance_launching(self, account: str, region: str, group: str, instance: str, hook: str, token: str) -> None:
        self.told.append((group, instance, token))


class FakeAws:
    """What the Api needs of the local AWS."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.ec2, self.elbv2, self.codedeploy = FakeEc2(), FakeElb(), FakeCodeDeploy()
        self.services = {"codedeploy": self.codedeploy}
        self.events: list[tuple[str, dict[str, Any]]] = []

    def client(self, service: str, region: str) -> Any:
        return {"ec2": self.ec2, "elbv2": self.elbv2}[service]

    def as_service(self, account: str) -> FakeAws:
        return self

    def as_caller(self, ctx: Context) -> FakeAws:
        return self

    def emit(self, account: str, region: str, source: str, detail_type: str, detail: dict[str, Any], resources: list[str]) -> None:
        self.events.append((detail_type, detail))


class InlineApi(Api):
    """The Api with its background work done on the spot."""

    def _submit(self, work: Callable[[], None]) -> None:
        work()

    def turn(self, times: int = 4) -> None:
        for _ in range(times):
            self._wake.set()
            self._turn()


@pytest.fixture
def aws() -> FakeAws:
    return FakeAws()


@pytest.fixture
def api(aws: FakeAws) -> InlineApi:
    return InlineApi(aws)  # type: ignore[arg-type]


def make(api: InlineApi, **more: Any) -> None:
    api.create_auto_scaling_group(CTX, {
        "AutoScalingGroupName": "g", "MinSize": 2, "MaxSize": 4, "VPCZoneIdentifier": "subnet-a,subnet-b",
        "LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": "1"},
        "Tags": [{"Key": "scope", "Value": "fleet", "PropagateAtLaunch": True}, {"Key": "mine", "Value": "x", "PropagateAtLaunch": False}], **more})
    api.turn()


def group(api: InlineApi) -> dict[str, Any]:
    return dict(api.describe_auto_scaling_groups(CTX, {"AutoScalingGroupNames": ["g"]})["AutoScalingGroups"][0])


def in_service(api: InlineApi) -> list[str]:
    return [member["InstanceId"] for member in group(api)["Instances"] if member["LifecycleState"] == "InService"]


def test_a_new_group_launches_tags_and_registers_its_instances(api: InlineApi, aws: FakeAws) -> None:
    make(api, TargetGroupARNs=["tg-1"])
    assert sorted(in_service(api)) == sorted(aws.elbv2.registered) == ["i-0", "i-1"]
    assert aws.ec2.tags["i-0"] == {"scope": "fleet", "aws:autoscaling:groupName": "g", "aws:ec2launchtemplate:id": "lt-1",
                                   "aws:ec2launchtemplate:version": "1"}
    assert group(api)["AvailabilityZones"] == ["us-east-1a", "us-east-1b"]
    assert "EC2 Instance Launch Successful" in [name for name, _ in aws.events]


@pytest.mark.parametrize(("change", "code", "message"), [
    ({"LaunchTemplate": {"LaunchTemplateId": "lt-9"}}, "ValidationError", "valid fully-formed launch template"),
    ({"LaunchTemplate": {}}, "ValidationError", "must contain either LaunchTemplate"),
    ({"VPCZoneIdentifier": "subnet-z"}, "ValidationError", "subnet-z"),
    ({"DesiredCapacity": 9}, "ValidationError", "Desired capacity:9 must be between the specified min size:2 and max size:4"),
    ({"MinSize": 5}, "ValidationError", "Max bound, 4, must be greater than or equal to min bound, 5"),
    ({"TargetGroupARNs": ["tg-9"]}, "ValidationError", "Provided Target Groups may not be valid"),
    ({"MixedInstancesPolicy": {"LaunchTemplate": {}}}, "ValidationError", "MixedInstancesPolicy"),
])
def test_groups_that_are_refused(api: InlineApi, change: dict[str, Any], code: str, message: str) -> None:
    with pytest.raises(ServiceError, match=message) as error:
        make(api, **change)
    assert error.value.code == code
    assert api.describe_auto_scaling_groups(CTX, {})["AutoScalingGroups"] == []


def test_a_name_is_taken_once(api: InlineApi) -> None:
    make(api)
    with pytest.raises(ServiceError, match="AutoScalingGroup by this name already exists") as error:
        make(api)
    assert error.value.code == "AlreadyExists"


def test_who_could_not_launch_the_template_makes_no_group(api: InlineApi, aws: FakeAws) -> None:
    aws.ec2.dry_run = refused("UnauthorizedOperation", "not authorized to perform: iam:PassRole")
    with pytest.raises(ServiceError, match=r"not authorized to use launch template: lt-1.*iam:PassRole") as error:
        make(api)
    assert error.value.code == "AccessDenied"


def test_codedeploy_hears_of_its_own_hooks_only(api: InlineApi, aws: FakeAws) -> None:
    make(api, MinSize=0)
    for name in ("CodeDeploy-managed-automatic-launch-deployment-hook-fleet-1", "mine"):
        api.put_lifecycle_hook(CTX, {"AutoScalingGroupName": "g", "LifecycleHookName": name, "LifecycleTransition": LAUNCH,
                                     "HeartbeatTimeout": 600})
    api.set_desired_capacity(CTX, {"AutoScalingGroupName": "g", "DesiredCapacity": 1})
    api.turn()
    assert [(told[0], told[1]) for told in aws.codedeploy.told] == [("g", "i-0")]
    actions = [detail for name, detail in aws.events if name == "EC2 Instance-launch Lifecycle Action"]
    assert len(actions) == 2
    assert in_service(api) == []
    for detail in actions:
        api.complete_lifecycle_action(CTX, {"AutoScalingGroupName": "g", "LifecycleHookName": detail["LifecycleHookName"],
                                            "LifecycleActionToken": detail["LifecycleActionToken"], "LifecycleActionResult": "CONTINUE"})
    api.turn()
    assert in_service(api) == ["i-0"]


def test_a_lifecycle_action_that_is_not_there(api: InlineApi) -> None:
    make(api)
    api.put_lifecycle_hook(CTX, {"AutoScalingGroupName": "g", "LifecycleHookName": "h", "LifecycleTransition": LAUNCH})
    for given, message in (({"LifecycleActionToken": "t"}, "No active Lifecycle Action found with token t"),
                           ({"InstanceId": "i-0"}, "No active Lifecycle Action found with instance ID i-0"),
                           ({}, "must specify either")):
        with pytest.raises(ServiceError, match=message):
            api.complete_lifecycle_action(CTX, {"AutoScalingGroupName": "g", "LifecycleHookName": "h",
                                                "LifecycleActionResult": "CONTINUE", **given})


def test_terminating_with_and_without_replacement(api: InlineApi, aws: FakeAws) -> None:
    make(api, DesiredCapacity=3)
    api.terminate_instance_in_auto_scaling_group(CTX, {"InstanceId": "i-0", "ShouldDecrementDesiredCapacity": True})
    api.turn()
    assert group(api)["DesiredCapacity"] == 2
    assert sorted(in_service(api)) == ["i-1", "i-2"]
    with pytest.raises(ServiceError, match="desiredSize equals minSize"):
        api.terminate_instance_in_auto_scaling_group(CTX, {"InstanceId": "i-1", "ShouldDecrementDesiredCapacity": True})
    api.terminate_instance_in_auto_scaling_group(CTX, {"InstanceId": "i-1", "ShouldDecrementDesiredCapacity": False})
    api.turn()
    assert sorted(in_service(api)) == ["i-2", "i-3"]
    assert aws.ec2.instances["i-1"] == "terminated"


def test_an_instance_set_unhealthy_is_replaced_and_the_grace_period_protects(api: InlineApi, aws: FakeAws) -> None:
    make(api, HealthCheckGracePeriod=60)
    api.set_instance_health(CTX, {"InstanceId": "i-0", "HealthStatus": "Unhealthy"})
    api.turn()
    assert "i-0" in in_service(api)
    aws.clock.advance(61)
    api.set_instance_health(CTX, {"InstanceId": "i-0", "HealthStatus": "Unhealthy"})
    api.turn()
    assert sorted(in_service(api)) == ["i-1", "i-2"]


def test_an_update_moves_the_desired_capacity_into_the_bounds(api: InlineApi) -> None:
    make(api)
    api.update_auto_scaling_group(CTX, {"AutoScalingGroupName": "g", "MinSize": 3})
    api.turn()
    assert group(api)["DesiredCapacity"] == 3
    assert len(in_service(api)) == 3
    with pytest.raises(ServiceError, match="Desired capacity:1"):
        api.update_auto_scaling_group(CTX, {"AutoScalingGroupName": "g", "DesiredCapacity": 1})


def test_a_new_launch_template_version_serves_new_instances_only(api: InlineApi, aws: FakeAws) -> None:
    make(api)
    api.update_auto_scaling_group(CTX, {"AutoScalingGroupName": "g", "LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": "2"},
                                        "DesiredCapacity": 3})
    api.turn()
    assert [aws.ec2.tags[known]["aws:ec2launchtemplate:version"] for known in ("i-0", "i-1", "i-2")] == ["1", "1", "2"]


def test_deleting_needs_an_empty_group_or_force(api: InlineApi, aws: FakeAws) -> None:
    make(api)
    with pytest.raises(ServiceError) as error:
        api.delete_auto_scaling_group(CTX, {"AutoScalingGroupName": "g"})
    assert error.value.code == "ResourceInUse"
    api.delete_auto_scaling_group(CTX, {"AutoScalingGroupName": "g", "ForceDelete": True})
    assert group(api)["Status"] == "Delete in progress"
    api.turn()
    assert api.describe_auto_scaling_groups(CTX, {})["AutoScalingGroups"] == []
    assert set(aws.ec2.instances.values()) == {"terminated"}


def test_processes_are_suspended_and_resumed_by_name(api: InlineApi) -> None:
    make(api)
    api.suspend_processes(CTX, {"AutoScalingGroupName": "g", "ScalingProcesses": ["Launch", "HealthCheck"]})
    assert [entry["ProcessName"] for entry in group(api)["SuspendedProcesses"]] == ["HealthCheck", "Launch"]
    api.resume_processes(CTX, {"AutoScalingGroupName": "g", "ScalingProcesses": ["Launch"]})
    assert [entry["ProcessName"] for entry in group(api)["SuspendedProcesses"]] == ["HealthCheck"]
    with pytest.raises(ServiceError, match="Lunch is not a valid process type"):
        api.suspend_processes(CTX, {"AutoScalingGroupName": "g", "ScalingProcesses": ["Lunch"]})


def test_target_groups_are_attached_and_detached_with_the_instances(api: InlineApi, aws: FakeAws) -> None:
    make(api)
    api.attach_load_balancer_target_groups(CTX, {"AutoScalingGroupName": "g", "TargetGroupARNs": ["tg-1"]})
    assert sorted(aws.elbv2.registered) == ["i-0", "i-1"]
    api.detach_load_balancer_target_groups(CTX, {"AutoScalingGroupName": "g", "TargetGroupARNs": ["tg-1"]})
    assert aws.elbv2.registered == []
    assert group(api)["TargetGroupARNs"] == []


def test_a_target_that_registers_while_its_instance_begins_to_leave_goes_again(api: InlineApi, aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    register = aws.elbv2.register_targets

    def deleted_meanwhile(**params: Any) -> None:
        if not api._stores[CTX]["groups"]["g"]["Deleting"]:
            api.delete_auto_scaling_group(CTX, {"AutoScalingGroupName": "g", "ForceDelete": True})
            api.turn(1)
        register(**params)

    monkeypatch.setattr(aws.elbv2, "register_targets", deleted_meanwhile)
    make(api, TargetGroupARNs=["tg-1"])
    api.turn(8)
    assert aws.elbv2.registered == []
    assert api.describe_auto_scaling_groups(CTX, {})["AutoScalingGroups"] == []


def test_state_survives_a_restart(api: InlineApi, aws: FakeAws) -> None:
    make(api)
    again = InlineApi(aws)  # type: ignore[arg-type]
    again.load(api.dump())
    again.turn()
    assert in_service(again) == in_service(api)


def test_pages_and_unknown_groups(api: InlineApi) -> None:
    make(api, DesiredCapacity=4)
    first = api.describe_auto_scaling_instances(CTX, {"MaxRecords": 3})
    rest = api.describe_auto_scaling_instances(CTX, {"MaxRecords": 3, "NextToken": first["NextToken"]})
    assert len(first["AutoScalingInstances"]) == 3
    assert len(rest["AutoScalingInstances"]) == 1
    assert "NextToken" not in rest
    with pytest.raises(ServiceError, match="AutoScalingGroup name not found"):
        api.set_desired_capacity(CTX, {"AutoScalingGroupName": "nope", "DesiredCapacity": 1})


def test_permissions_name_the_group(api: InlineApi) -> None:
    make(api)
    arn = group(api)["AutoScalingGroupARN"]
    assert next(iter(api.permissions("SetDesiredCapacity", {"AutoScalingGroupName": "g"}, CTX)))[:2] == ("autoscaling:SetDesiredCapacity", arn)
    assert next(iter(api.permissions("TerminateInstanceInAutoScalingGroup", {"InstanceId": "i-0"}, CTX)))[1] == arn
    assert list(api.permissions("DescribeAutoScalingGroups", {}, CTX)) == [("autoscaling:DescribeAutoScalingGroups", "*")]
