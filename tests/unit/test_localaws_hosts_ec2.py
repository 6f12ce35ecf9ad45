"""Instances and associations: what EC2 and Systems Manager decide, over plain data."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localaws.clock import VirtualClock
from localaws.ec2 import engine
from localaws.ec2.api import Api
from localaws.hosts.api import Hosts, Launch
from localaws.service import Context, ServiceError
from localaws.ssm import engine as associations

CTX = Context("000000000000", "us-east-1", "arn:aws:iam::000000000000:user/me", "AKIA")


def record(**more: Any) -> dict[str, Any]:
    return {"InstanceId": "i-1", "ReservationId": "r-1", "OwnerId": "1", "State": "running", "ImageId": "ami-1", "InstanceType": "t3.small",
            "SubnetId": "subnet-1", "VpcId": "vpc-1", "Zone": "us-east-1a", "PrivateIpAddress": "172.20.0.5", "LaunchTime": 0.0, "ProfileArn": "",
            "ProfileId": "", "SecurityGroups": [{"GroupId": "sg-1", "GroupName": "g"}], "Tags": {"scope": "fleet"},
            "Metadata": {"HttpTokens": "required"}, "Monitoring": "enabled", "Reason": None, "EndTime": None, **more}


def test_the_request_goes_over_the_template_and_tags_are_joined() -> None:
    template = {"ImageId": "ami-1", "InstanceType": "t3.small", "TagSpecifications": [
        {"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "1"}]}, {"ResourceType": "volume", "Tags": []}]}
    wanted = engine.merged(template, {"InstanceType": "t3.large", "LaunchTemplate": {}, "TagSpecifications": [
        {"ResourceType": "instance", "Tags": [{"Key": "b", "Value": "2"}]}]})
    assert wanted["InstanceType"] == "t3.large"
    assert wanted["ImageId"] == "ami-1"
    assert wanted["Tags"] == {"a": "1", "b": "2"}


@pytest.mark.parametrize(("request_", "code"), [({}, "MissingParameter"), ({"ImageId": "ami-1", "KeyName": "k"}, "UnsupportedOperation"),
                                                ({"ImageId": "ami-1", "Placement": {"GroupName": "p"}}, "UnsupportedOperation")])
def test_launches_that_are_refused(request_: dict[str, Any], code: str) -> None:
    with pytest.raises(engine.InvalidRequest) as error:
        engine.merged({}, request_)
    assert error.value.code == code


@pytest.mark.parametrize(("filters", "expected"), [
    ([{"Name": "tag:scope", "Values": ["fleet", "onebox"]}], True), ([{"Name": "tag:scope", "Values": ["one*"]}], False),
    ([{"Name": "tag:scope", "Values": ["fl?et"]}], True), ([{"Name": "tag:none", "Values": ["*"]}], False),
    ([{"Name": "instance-state-name", "Values": ["running"]}, {"Name": "vpc-id", "Values": ["vpc-2"]}], False), ([], True)])
def test_filters(filters: list[dict[str, Any]], expected: bool) -> None:
    assert engine.matches(record(), filters) is expected


def test_an_unknown_filter_is_an_error_and_never_no_answer() -> None:
    with pytest.raises(engine.InvalidRequest, match="The filter 'colour' is invalid"):
        engine.matches(record(), [{"Name": "colour", "Values": ["red"]}])


def test_a_terminated_instance_has_no_address_and_is_forgotten_after_an_hour() -> None:
    gone = record(State="terminated", EndTime=100.0)
    assert "PrivateIpAddress" not in engine.describe(gone)
    assert engine.describe(gone)["State"] == {"Code": 48, "Name": "terminated"}
    assert engine.describe(record())["PrivateIpAddress"] == "172.20.0.5"
    assert not engine.expired(gone, 3_700.0)
    assert engine.expired(gone, 3_701.0)
    assert not engine.expired(record(), 9e9)


class FakeHosts(Hosts):
    """Hosts that start nothing."""

    def __init__(self) -> None:
        self.launched: list[Launch] = []
        self.ended: list[str] = []
        self.refuse = False

    def launch(self, launch: Launch) -> str:
        if self.refuse:
            raise ServiceError("InternalError", "no space left on device", 500)
        self.launched.append(launch)
        return "172.20.0.7"

    def terminate(self, instance_id: str) -> None:
        self.ended.append(instance_id)


class FakeMiniStack:
    """The records of MiniStack that a launch reads; `ec2` and `iam` in one."""

    user_data = base64.b64encode(b"#!/bin/sh\n").decode()

    def describe_launch_template_versions(self, Versions: list[str], **name: str) -> dict[str, Any]:
        return {"LaunchTemplateVersions": [{"LaunchTemplateId": "lt-1", "LaunchTemplateData": {
            "ImageId": "ami-1", "InstanceType": "t3.small", "UserData": self.user_data, "IamInstanceProfile": {"Name": "host"},
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}, "SecurityGroupIds": ["sg-1"]}}]}

    def describe_images(self, ImageIds: list[str]) -> dict[str, Any]:
        return {"Images": [{"ImageId": known} for known in ImageIds if known == "ami-1"]}

    def describe_subnets(self, **_: Any) -> dict[str, Any]:
        return {"Subnets": [{"SubnetId": "subnet-1", "VpcId": "vpc-1", "AvailabilityZone": "us-east-1b"}]}

    def describe_security_groups(self, **_: Any) -> dict[str, Any]:
        return {"SecurityGroups": [{"GroupId": "sg-1", "GroupName": "g", "VpcId": "vpc-1"}]}

    def get_instance_profile(self, InstanceProfileName: str) -> dict[str, Any]:
        if InstanceProfileName != "host":
            raise ClientError({"Error": {"Code": "NoSuchEntity", "Message": "no"}}, "GetInstanceProfile")
        return {"InstanceProfile": {"Arn": "arn:profile", "InstanceProfileId": "AIPA", "Roles": [{"Arn": "arn:aws:iam::0:role/host"}]}}


class FakeAws:
    """What the Api needs of the local AWS; spawned work waits for `run`."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.hosts, self.ministack = FakeHosts(), FakeMiniStack()
        self.services = {"hosts": self.hosts}
        self.denied: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        self.events: list[tuple[str, str]] = []
        self.waiting: list[Any] = []

    def client(self, service: str, region: str) -> FakeMiniStack:
        return self.ministack

    def as_service(self, account: str) -> FakeAws:
        return self

    def authorize(self, ctx: Context, action: str, resource: str, keys: dict[str, Any] | None = None) -> None:
        self.asked.append((action, resource))
        if action in self.denied:
            raise ServiceError("AccessDenied", f"User: me is not authorized to perform: {action} on resource: {resource}", 403)

    def check_pass_role(self, ctx: Context, role_arn: str, service_principal: str) -> None:
        assert service_principal == "ec2.amazonaws.com"
        self.authorize(ctx, "iam:PassRole", role_arn)

    def emit(self, account: str, region: str, source: str, detail_type: str, detail: dict[str, Any], resources: list[str]) -> None:
        self.events.append((detail["instance-id"], detail["state"]))

    def spawn(self, name: str, work: Any) -> None:
        self.waiting.append(work)

    def run(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


@pytest.fixture
def aws() -> FakeAws:
    return FakeAws()


@pytest.fixture
def api(aws: FakeAws) -> Api:
    return Api(aws)  # type: ignore[arg-type]


def launch(api: Api, **more: Any) -> str:
    answer = api.run_instances(CTX, {"MinCount": 1, "MaxCount": 1, "LaunchTemplate": {"LaunchTemplateId": "lt-1"}, "TagSpecifications": [
        {"ResourceType": "instance", "Tags": [{"Key": "scope", "Value": "fleet"}]}], **more})
    return str(answer["Instances"][0]["InstanceId"])


def state(api: Api, instance: str) -> str:
    return str(api.describe_instances(CTX, {"InstanceIds": [instance]})["Reservations"][0]["Instances"][0]["State"]["Name"])


def test_a_launch_gives_its_host_what_the_template_says(api: Api, aws: FakeAws) -> None:
    instance = launch(api)
    host = aws.hosts.launched[0]
    assert (host.instance_id, host.zone, host.user_data, host.role_arn, host.tokens, host.hop_limit, host.tags) == (
        instance, "us-east-1b", "#!/bin/sh\n", "arn:aws:iam::0:role/host", "required", 1, {"scope": "fleet"})
    assert state(api, instance) == "running"
    assert ("iam:PassRole", "arn:aws:iam::0:role/host") in aws.asked


@pytest.mark.parametrize("action", ["ec2:RunInstances", "ec2:CreateTags", "iam:PassRole"])
def test_a_launch_without_its_permission_starts_nothing(api: Api, aws: FakeAws, action: str) -> None:
    aws.denied = {action}
    with pytest.raises(ServiceError, match=action) as error:
        launch(api)
    assert error.value.code == "UnauthorizedOperation"
    assert aws.hosts.launched == []


def test_a_dry_run_starts_nothing(api: Api, aws: FakeAws) -> None:
    with pytest.raises(ServiceError) as error:
        launch(api, DryRun=True)
    assert error.value.code == "DryRunOperation"
    assert aws.hosts.launched == []


@pytest.mark.parametrize(("change", "code"), [
    ({"ImageId": "ami-2"}, "InvalidAMIID.NotFound"), ({"IamInstanceProfile": {"Name": "other"}}, "InvalidParameterValue"),
    ({"UserData": "not base64!"}, "InvalidUserData.Malformed")])
def test_launches_of_what_does_not_exist(api: Api, aws: FakeAws, change: dict[str, Any], code: str) -> None:
    with pytest.raises(ServiceError) as error:
        launch(api, **change)
    assert error.value.code == code
    assert aws.hosts.launched == []


def test_a_host_that_cannot_start_leaves_a_terminated_instance(api: Api, aws: FakeAws) -> None:
    aws.hosts.refuse = True
    with pytest.raises(ServiceError, match="no space left"):
        launch(api)
    told = api.describe_instances(CTX, {})["Reservations"][0]["Instances"][0]
    assert told["State"]["Name"] == "terminated"
    assert "no space left" in told["StateReason"]["Message"]


def test_terminating_goes_through_shutting_down(api: Api, aws: FakeAws) -> None:
    instance = launch(api)
    change = api.terminate_instances(CTX, {"InstanceIds": [instance]})["TerminatingInstances"][0]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("running", "shutting-down")
    aws.run()
    assert state(api, instance) == "terminated"
    assert aws.hosts.ended == [instance]
    assert [told for _, told in aws.events] == ["running", "shutting-down", "terminated"]
    api.terminate_instances(CTX, {"InstanceIds": [instance]})
    aws.run()
    assert aws.hosts.ended == [instance]


def test_a_killed_host_is_a_stopped_instance_and_a_removed_one_a_terminated(api: Api, aws: FakeAws) -> None:
    killed, removed = launch(api), launch(api)
    api.on_host_lost(CTX.account, CTX.region, killed, False)
    api.on_host_lost(CTX.account, CTX.region, removed, True)
    assert (state(api, killed), state(api, removed)) == ("stopped", "terminated")
    shown = api.describe_instance_status(CTX, {})["InstanceStatuses"]
    assert shown == []
    everything = api.describe_instance_status(CTX, {"IncludeAllInstances": True})["InstanceStatuses"]
    assert {entry["InstanceStatus"]["Status"] for entry in everything} == {"not-applicable"}


def test_unknown_instances_are_named(api: Api) -> None:
    with pytest.raises(ServiceError, match="The instance IDs 'i-8, i-9' do not exist"):
        api.describe_instances(CTX, {"InstanceIds": ["i-8", "i-9"]})


PARAMETERS = {"action": ["Install"], "name": ["AWSCodeDeployAgent"], "version": ["1.8.1"]}
TARGETS = [{"Key": "tag:scope", "Values": ["fleet"]}, {"Key": "tag:env", "Values": ["gamma", "beta"]}]


def association(**more: Any) -> dict[str, Any]:
    return {"Targets": TARGETS, "Version": 1, "Executions": {}, **more}


def instance(tags: dict[str, str], state_: str = "running") -> dict[str, Any]:
    return {"InstanceId": "i-1", "Tags": tags, "State": state_}


@pytest.mark.parametrize(("name", "parameters", "targets", "code"), [
    ("AWS-RunShellScript", PARAMETERS, TARGETS, "InvalidDocument"),
    (associations.DOCUMENT, {**PARAMETERS, "name": ["Other"]}, TARGETS, "InvalidParameters"),
    (associations.DOCUMENT, {**PARAMETERS, "action": ["Uninstall"]}, TARGETS, "InvalidParameters"),
    (associations.DOCUMENT, {**PARAMETERS, "version": ["newest"]}, TARGETS, "InvalidParameters"),
    (associations.DOCUMENT, {**PARAMETERS, "colour": ["red"]}, TARGETS, "InvalidParameters"),
    (associations.DOCUMENT, PARAMETERS, [], "InvalidTarget"),
    (associations.DOCUMENT, PARAMETERS, [{"Key": "resource-groups:Name", "Values": ["x"]}], "InvalidTarget")])
def test_associations_that_are_refused(name: str, parameters: dict[str, list[str]], targets: list[dict[str, Any]], code: str) -> None:
    with pytest.raises(associations.InvalidAssociation) as error:
        associations.check(name, parameters, targets)
    assert error.value.code == code
    associations.check(associations.DOCUMENT, PARAMETERS, TARGETS)


def test_all_targets_must_hold_and_values_are_alternatives() -> None:
    assert associations.targeted(TARGETS, instance({"scope": "fleet", "env": "beta"}))
    assert not associations.targeted(TARGETS, instance({"scope": "fleet", "env": "prod"}))
    assert not associations.targeted(TARGETS, instance({"scope": "fleet"}))


def test_an_association_runs_once_per_version_on_running_instances() -> None:
    meant = instance({"scope": "fleet", "env": "gamma"})
    assert associations.due(association(), [meant], 0.0) == ["i-1"]
    assert associations.due(association(), [{**meant, "State": "pending"}], 0.0) == []
    done = {"i-1": {"Version": 1, "Status": "Success", "Time": 0.0, "Attempts": 1}}
    assert associations.due(association(Executions=done), [meant], 1e9) == []
    assert associations.due(association(Executions=done, Version=2), [meant], 1.0) == ["i-1"]


def test_a_failed_run_is_tried_again_a_few_times() -> None:
    meant = instance({"scope": "fleet", "env": "gamma"})
    failed = {"i-1": {"Version": 1, "Status": "Failed", "Time": 0.0, "Attempts": 1}}
    assert associations.due(association(Executions=failed), [meant], 1.0) == []
    assert associations.due(association(Executions=failed), [meant], associations.RETRY_SECONDS) == ["i-1"]
    failed["i-1"]["Attempts"] = associations.ATTEMPTS
    assert associations.due(association(Executions=failed), [meant], 1e9) == []
    assert associations.overview(association(Executions=failed))["Status"] == "Failed"
