"""CloudFormation's API over a world of its own: change sets, exports, signals, events, permissions, a start after a kill."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import botocore.session
import botocore.validate
import pytest
from botocore.exceptions import ClientError

from localaws.clock import VirtualClock
from localaws.cloudformation import api as api_module
from localaws.cloudformation.resources import Made, Request
from localaws.service import Context, ServiceError

CTX = Context("000000000000", "us-east-1", "arn:aws:iam::000000000000:root", "000000000000")
MODEL = botocore.session.get_session().get_service_model("cloudformation")


class Things:
    """Makes anything; `fail` holds logical ids whose making fails."""

    def __init__(self) -> None:
        self.fail: set[str] = set()
        self.waits: Callable[[Request], None] = lambda request: None

    def create(self, request: Request) -> Made:
        self.waits(request)
        if request.logical_id in self.fail:
            raise ClientError({"Error": {"Code": "Bad", "Message": "bad"}}, "Make")
        return Made(f"{request.logical_id}-id", {"TopicArn": f"{request.logical_id}-arn"})

    update = create

    def delete(self, request: Request) -> None:
        pass


class Aws:
    """What the Api needs of the local AWS; work is done when it is spawned."""

    endpoint = "http://127.0.0.1:4566"
    account = "000000000000"

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.templates: dict[str, str] = {}
        self.alarms: dict[str, str] = {}
        self.passed: list[str] = []

    def as_caller(self, ctx: Context) -> Aws:
        return self

    def as_role(self, role_arn: str, principal: str, name: str) -> Aws:
        self.passed.append(f"assumed {role_arn} as {principal}")
        return self

    def credentials(self) -> dict[str, str]:
        return {"AccessKeyId": "ASIA"}

    def check_pass_role(self, ctx: Context, role_arn: str, principal: str) -> None:
        self.passed.append(f"passed {role_arn} to {principal}")

    def authorize(self, ctx: Context, action: str, resource: str) -> None:
        pass

    def spawn(self, name: str, work: Callable[[], None]) -> None:
        work()

    def client(self, service: str, region: str) -> Aws:
        return self

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(self.templates[Key].encode())}

    def describe_alarms(self, AlarmNames: list[str], AlarmTypes: list[str]) -> dict[str, Any]:
        return {"CompositeAlarms": [{"AlarmName": name, "StateValue": self.alarms[name]} for name in AlarmNames if name in self.alarms]}


class Cloud:
    """The Api, called as the wire calls it: every answer is checked against the model."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.aws, self.things = Aws(), Things()
        kinds = ("AWS::SNS::Topic", "AWS::SSM::Parameter", "AWS::IAM::Role")
        monkeypatch.setattr(api_module, "handlers", lambda: dict.fromkeys(kinds, self.things))
        self.api = api_module.Api(self.aws)  # type: ignore[arg-type]
        self.api.runner.pause = self.aws.clock.advance

    def __call__(self, operation: str, **params: Any) -> dict[str, Any]:
        method = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).lstrip("_")
        self.api.permissions(operation, params, CTX)
        answer = getattr(self.api, method)(CTX, params) or {}
        shape = MODEL.operation_model(operation).output_shape
        if shape is not None:
            report = botocore.validate.ParamValidator().validate(answer, shape)
            assert not report.has_errors(), report.generate_report()
        return answer

    def refused(self, operation: str, **params: Any) -> str:
        with pytest.raises(ServiceError) as caught:
            self(operation, **params)
        return f"{caught.value.code}: {caught.value.message}"

    def status(self, name: str) -> str:
        return str(self("DescribeStacks", StackName=name)["Stacks"][0]["StackStatus"])


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    return Cloud(monkeypatch)


def text(resources: dict[str, Any], **more: Any) -> str:
    return json.dumps({"Resources": resources, **more})


def topic(name: str = "") -> dict[str, Any]:
    return {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": name} if name else {}}


def child(key: str, **parameters: Any) -> dict[str, Any]:
    return {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": f"https://b.s3.us-east-1.amazonaws.com/{key}",
                                                                 "Parameters": parameters}}


def change_set(cloud: Cloud, body: str, kind: str = "UPDATE", name: str = "c", **more: Any) -> dict[str, Any]:
    made = cloud("CreateChangeSet", StackName="s", ChangeSetName=name, ChangeSetType=kind, TemplateBody=body, **more)
    return cloud("DescribeChangeSet", ChangeSetName=made["Id"])


def lines(described: dict[str, Any]) -> list[str]:
    return [" ".join(str(change["ResourceChange"].get(key, "-")) for key in ("Action", "LogicalResourceId", "Replacement"))
            for change in described["Changes"]]


def test_a_stack_from_change_set_to_deletion(cloud: Cloud) -> None:
    made = change_set(cloud, text({"A": topic()}, Outputs={"O": {"Value": {"Ref": "A"}, "Description": "d"}}), "CREATE")
    assert made["Status"] == "CREATE_COMPLETE"
    assert made["ExecutionStatus"] == "AVAILABLE"
    assert lines(made) == ["Add A -"]
    assert cloud.status("s") == "REVIEW_IN_PROGRESS"
    cloud("ExecuteChangeSet", ChangeSetName="c", StackName="s")
    found = cloud("DescribeStacks", StackName="s")["Stacks"][0]
    assert found["StackStatus"] == "CREATE_COMPLETE"
    assert found["Outputs"] == [{"OutputKey": "O", "OutputValue": "A-id", "Description": "d"}]
    assert cloud("DescribeStackResources", StackName="s")["StackResources"][0]["PhysicalResourceId"] == "A-id"
    assert cloud("DescribeStackResource", StackName="s", LogicalResourceId="A")["StackResourceDetail"]["ResourceStatus"] == "CREATE_COMPLETE"
    assert cloud("ListStackResources", StackName="s")["StackResourceSummaries"][0]["LogicalResourceId"] == "A"
    assert json.loads(cloud("GetTemplate", StackName="s")["TemplateBody"])["Resources"]["A"]["Type"] == "AWS::SNS::Topic"
    cloud("DeleteStack", StackName="s")
    assert cloud.refused("DescribeStacks", StackName="s") == "ValidationError: Stack with id s does not exist"
    assert cloud.status(found["StackId"]) == "DELETE_COMPLETE"
    assert cloud("ListStacks", StackStatusFilter=["DELETE_COMPLETE"])["StackSummaries"][0]["StackName"] == "s"
    assert not cloud("DescribeStacks")["Stacks"]


def test_a_change_set_without_changes_fails_in_awss_words(cloud: Cloud) -> None:
    body = text({"A": topic("x")})
    cloud("CreateStack", StackName="s", TemplateBody=body)
    made = change_set(cloud, body)
    assert made["Status"] == "FAILED"
    assert made["StatusReason"] == "The submitted information didn't contain changes. Submit different information to create a change set."
    assert cloud.refused("ExecuteChangeSet", ChangeSetName=made["ChangeSetId"]).startswith("InvalidChangeSetStatus: ")
    assert cloud.refused("UpdateStack", StackName="s", TemplateBody=body) == "ValidationError: No updates are to be performed."
    assert change_set(cloud, text({"A": topic("y")}), name="d")["Status"] == "CREATE_COMPLETE"
    assert change_set(cloud, text({"A": topic("x")}, Outputs={"O": {"Value": "1"}}), name="e")["Status"] == "CREATE_COMPLETE"


def test_changes_tell_action_replacement_and_cause(cloud: Cloud) -> None:
    named = {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": {"Ref": "P"}}}
    user = {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": {"Ref": "A"}}}
    body = text({"A": named, "B": user, "C": topic()}, Parameters={"P": {"Type": "String"}})
    cloud("CreateStack", StackName="s", TemplateBody=body, Parameters=[{"ParameterKey": "P", "ParameterValue": "one"}])
    made = change_set(cloud, text({"A": named, "B": user, "D": topic()}, Parameters={"P": {"Type": "String"}}),
                      Parameters=[{"ParameterKey": "P", "ParameterValue": "two"}])
    assert lines(made) == ["Modify A True", "Add D -", "Modify B False", "Remove C -"]
    assert made["Changes"][0]["ResourceChange"]["Details"] == [{
        "Target": {"Attribute": "Properties", "RequiresRecreation": "Always", "Name": "TopicName"}, "Evaluation": "Static",
        "ChangeSource": "ParameterReference"}]
    assert made["Changes"][2]["ResourceChange"]["Details"][0]["Evaluation"] == "Dynamic"
    cloud("UpdateStack", StackName="s", UsePreviousTemplate=True, Parameters=[{"ParameterKey": "P", "ParameterValue": "three"}])
    assert cloud.status("s") == "UPDATE_COMPLETE"


def test_nested_change_sets_show_what_happens_below(cloud: Cloud) -> None:
    cloud.aws.templates["one"] = text({"A": topic("x")}, Outputs={"Arn": {"Value": {"Fn::GetAtt": ["A", "TopicArn"]}}})
    cloud.aws.templates["two"] = text({"P": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": {"Ref": "V"}}}},
                                      Parameters={"V": {"Type": "String"}})
    root = {"One": child("one"), "Two": child("two", V={"Fn::GetAtt": ["One", "Outputs.Arn"]})}
    made = change_set(cloud, text(root), "CREATE", IncludeNestedStacks=True)
    assert lines(made) == ["Add One -", "Add Two -"]
    below = cloud("DescribeChangeSet", ChangeSetName=made["Changes"][1]["ResourceChange"]["ChangeSetId"])
    assert lines(below) == ["Add P -"]
    assert below["ParentChangeSetId"] == below["RootChangeSetId"] == made["ChangeSetId"]
    assert cloud.refused("ExecuteChangeSet", ChangeSetName=below["ChangeSetId"]).startswith("InvalidChangeSetStatus")
    cloud("ExecuteChangeSet", ChangeSetName=made["ChangeSetId"])
    assert cloud.status("s") == "CREATE_COMPLETE"
    cloud.aws.templates["one-b"] = cloud.aws.templates["one"].replace('"x"', '"y"')
    made = change_set(cloud, text({**root, "One": child("one-b")}), IncludeNestedStacks=True, name="d")
    assert lines(made) == ["Modify One False"]  # the output does not change, so nothing below Two does either
    assert lines(cloud("DescribeChangeSet", ChangeSetName=made["Changes"][0]["ResourceChange"]["ChangeSetId"])) == ["Modify A False"]
    closed = change_set(cloud, text({**root, "One": child("one-b")}), IncludeNestedStacks=False, name="e")
    assert lines(closed) == ["Modify One False", "Modify Two False"]  # without looking inside, an output may have changed
    assert "ChangeSetId" not in closed["Changes"][0]["ResourceChange"]
    cloud("DeleteChangeSet", ChangeSetName=made["ChangeSetId"])
    assert [item["ChangeSetName"] for item in cloud("ListChangeSets", StackName="s")["Summaries"]] == ["c", "e"]


def test_a_nested_change_set_that_cannot_be_made_fails_its_root(cloud: Cloud) -> None:
    cloud.aws.templates["one"] = text({"A": topic()}, Parameters={"Needed": {"Type": "String"}})
    made = change_set(cloud, text({"One": child("one")}), "CREATE", IncludeNestedStacks=True)
    below = made["Changes"][0]["ResourceChange"]["ChangeSetId"]
    assert made["StatusReason"] == f"Nested change set {below} was not successfully created: Currently in FAILED."
    assert cloud("DescribeChangeSet", ChangeSetName=below)["StatusReason"] == "Parameters: [Needed] must have values"


@pytest.mark.parametrize(("params", "message"), [
    ({"TemplateBody": "Resources: {}"}, "Template format error: At least one Resources member must be defined."),
    ({"TemplateBody": text({"A": {"Type": "AWS::No::Such"}})}, "Template format error: Unrecognized resource types: [AWS::No::Such]"),
    ({"TemplateBody": text({"A": topic()}), "Parameters": [{"ParameterKey": "P", "ParameterValue": ""}]},
     "Parameters: [P] do not exist in the template"),
    ({}, "Either Template URL or Template Body must be specified."),
    ({"TemplateBody": text({"A": topic()}), "NotificationARNs": ["arn"]}, "NotificationARNs is not served by the local AWS")])
def test_bad_input_leaves_nothing_behind(cloud: Cloud, params: dict[str, Any], message: str) -> None:
    for operation, more in (("CreateStack", {}), ("CreateChangeSet", {"ChangeSetName": "c", "ChangeSetType": "CREATE"})):
        assert cloud.refused(operation, StackName="s", **more, **params) == f"ValidationError: {message}"
    assert not cloud("ListStacks")["StackSummaries"]


def test_states_that_do_not_allow_an_operation(cloud: Cloud) -> None:
    body = text({"A": topic()})
    assert cloud.refused("UpdateStack", StackName="s", TemplateBody=body) == "ValidationError: Stack [s] does not exist"
    assert cloud.refused("CreateChangeSet", StackName="s", ChangeSetName="c", TemplateBody=body) == "ValidationError: Stack [s] does not exist"
    cloud.things.fail = {"A"}
    stack_id = cloud("CreateStack", StackName="s", TemplateBody=body)["StackId"]
    assert cloud.status("s") == "ROLLBACK_COMPLETE"
    assert cloud.refused("UpdateStack", StackName="s", TemplateBody=body) \
        == f"ValidationError: Stack:{stack_id} is in ROLLBACK_COMPLETE state and can not be updated."
    assert cloud.refused("CreateStack", StackName="s", TemplateBody=body) == "AlreadyExistsException: Stack [s] already exists"
    assert "can not continue update rollback" in cloud.refused("ContinueUpdateRollback", StackName="s")
    cloud.things.fail = set()
    cloud("DeleteStack", StackName="s")
    cloud("DeleteStack", StackName="s")  # gone already: no error
    cloud("CreateStack", StackName="s", TemplateBody=body)
    assert cloud.status("s") == "CREATE_COMPLETE"


def test_a_protected_stack_is_not_deleted_nor_what_is_nested_in_it(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.aws.templates["one"] = text({"A": topic()})
    root = cloud("CreateStack", StackName="s", TemplateBody=text({"One": child("one")}))["StackId"]
    nested = cloud("DescribeStackResources", StackName="s")["StackResources"][0]["PhysicalResourceId"]
    name = nested.split("/")[1]
    assert "root stack" in cloud.refused("UpdateTerminationProtection", StackName=nested, EnableTerminationProtection=True)
    assert cloud.refused("UpdateTerminationProtection", StackName="no", EnableTerminationProtection=True) \
        == "ValidationError: Stack [no] does not exist"
    assert cloud("UpdateTerminationProtection", StackName="s", EnableTerminationProtection=True) == {"StackId": root}
    assert list(cloud.api.permissions("UpdateTerminationProtection", {"StackName": "s"}, CTX)) \
        == [("cloudformation:UpdateTerminationProtection", root)]
    again = Cloud(monkeypatch)
    again.api.load(json.loads(json.dumps(cloud.api.dump())))
    again.aws.templates = {"two": text({"B": topic()})}
    for stack, called in (("s", "s"), (root, "s"), (nested, name)):
        assert again("DescribeStacks", StackName=stack)["Stacks"][0]["EnableTerminationProtection"] is True
        assert again.refused("DeleteStack", StackName=stack) \
            == f"ValidationError: Stack [{called}] cannot be deleted while TerminationProtection is enabled"
    again("UpdateStack", StackName="s", TemplateBody=text({"Two": child("two")}))  # an update may remove a nested stack
    assert again.status("s") == "UPDATE_COMPLETE" and again.status(nested) == "DELETE_COMPLETE"
    again("UpdateTerminationProtection", StackName="s", EnableTerminationProtection=False)
    again("DeleteStack", StackName="s")
    assert again.status(root) == "DELETE_COMPLETE"
    assert "DELETE_COMPLETE" in again.refused("UpdateTerminationProtection", StackName=root, EnableTerminationProtection=True)


def test_iam_resources_need_a_capability(cloud: Cloud) -> None:
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}}
    named = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}, "RoleName": "r"}}
    assert cloud.refused("CreateStack", StackName="s", TemplateBody=text({"R": role})) \
        == "InsufficientCapabilitiesException: Requires capabilities : [CAPABILITY_IAM]"
    assert "[CAPABILITY_NAMED_IAM]" in cloud.refused("CreateStack", StackName="s", TemplateBody=text({"R": named}),
                                                     Capabilities=["CAPABILITY_IAM"])
    cloud("CreateStack", StackName="s", TemplateBody=text({"R": role}), Capabilities=["CAPABILITY_IAM"])
    assert cloud("ValidateTemplate", TemplateBody=text({"R": role}))["Capabilities"] == ["CAPABILITY_IAM"]
    assert cloud("GetTemplateSummary", StackName="s")["ResourceTypes"] == ["AWS::IAM::Role"]


def test_exports_are_unique_and_stay_while_they_are_in_use(cloud: Cloud) -> None:
    def exporting(value: str) -> str:
        return text({"A": topic()}, Outputs={"O": {"Value": value, "Export": {"Name": "e"}}})

    importing = text({"P": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": {"Fn::ImportValue": "e"}}}})
    cloud("CreateStack", StackName="user", TemplateBody=importing)
    assert cloud.status("user") == "ROLLBACK_COMPLETE"  # no such export yet
    cloud("DeleteStack", StackName="user")
    cloud("CreateStack", StackName="one", TemplateBody=exporting("v"))
    cloud("CreateStack", StackName="user", TemplateBody=importing)
    assert cloud.status("user") == "CREATE_COMPLETE"
    cloud("CreateStack", StackName="two", TemplateBody=exporting("w"))
    events = cloud("DescribeStackEvents", StackName="two")["StackEvents"]
    assert "Export with name e is already exported by stack one" in json.dumps(events, default=str)
    assert cloud.refused("DeleteStack", StackName="one") == "ValidationError: Export e cannot be deleted as it is in use by user"
    cloud("UpdateStack", StackName="one", TemplateBody=exporting("w"))
    assert cloud.status("one") == "UPDATE_ROLLBACK_COMPLETE"
    cloud("DeleteStack", StackName="user")
    cloud("DeleteStack", StackName="one")
    assert cloud.refused("DescribeStacks", StackName="one").endswith("does not exist")


def test_signals_reach_a_resource_in_progress_once(cloud: Cloud) -> None:
    seen: list[dict[str, Any]] = []

    def waits(request: Request) -> None:
        signal = {"StackName": "s", "LogicalResourceId": "A", "UniqueId": "i-1", "Status": "SUCCESS"}
        cloud("SignalResource", **signal)
        assert "already exists" in cloud.refused("SignalResource", **signal)
        assert "Resource B does not exist" in cloud.refused("SignalResource", **{**signal, "LogicalResourceId": "B"})
        seen.append(request.signals())

    cloud.things.waits = waits
    stack_id = cloud("CreateStack", StackName="s", TemplateBody=text({"A": topic()}))["StackId"]
    assert seen[0]["i-1"]["status"] == "SUCCESS"
    assert cloud.refused("SignalResource", StackName="s", LogicalResourceId="A", UniqueId="i-2", Status="SUCCESS") \
        == f"ValidationError: Stack {stack_id} is in CREATE_COMPLETE state and cannot be signaled"
    assert "Received SUCCESS signal with UniqueId i-1" in json.dumps(cloud("DescribeStackEvents", StackName="s"), default=str)


def test_events_come_newest_first_in_pages(cloud: Cloud) -> None:
    cloud("CreateStack", StackName="s", TemplateBody=text({f"T{number}": topic() for number in range(60)}))
    first = cloud("DescribeStackEvents", StackName="s")
    second = cloud("DescribeStackEvents", StackName="s", NextToken=first["NextToken"])
    everything = first["StackEvents"] + second["StackEvents"]
    assert len(first["StackEvents"]) == 100
    assert len(everything) == 182
    assert len({event["EventId"] for event in everything}) == 182
    assert everything[0]["ResourceStatus"] == "CREATE_COMPLETE"
    assert everything[-1]["ResourceStatusReason"] == "User Initiated"


def test_rollback_triggers(cloud: Cloud) -> None:
    arn = "arn:aws:cloudwatch:us-east-1:000000000000:alarm:high"
    triggers = {"RollbackTriggers": [{"Arn": arn, "Type": "AWS::CloudWatch::CompositeAlarm"}], "MonitoringTimeInMinutes": 1}
    cloud("CreateStack", StackName="s", TemplateBody=text({"A": topic("x")}))
    for state, status in ((None, "UPDATE_ROLLBACK_COMPLETE"), ("ALARM", "UPDATE_ROLLBACK_COMPLETE"), ("OK", "UPDATE_COMPLETE")):
        cloud.aws.alarms = {"high": state} if state else {}
        cloud("UpdateStack", StackName="s", TemplateBody=text({"A": topic("y")}), RollbackConfiguration=triggers)
        assert cloud.status("s") == status
    assert cloud("DescribeStacks", StackName="s")["Stacks"][0]["RollbackConfiguration"] == triggers


def test_a_service_role_is_passed_assumed_and_kept(cloud: Cloud) -> None:
    role = "arn:aws:iam::000000000000:role/deployer"
    cloud("CreateStack", StackName="s", TemplateBody=text({"A": topic()}), RoleARN=role)
    assert cloud.aws.passed == [f"passed {role} to cloudformation.amazonaws.com", f"assumed {role} as cloudformation.amazonaws.com"]
    cloud("UpdateStack", StackName="s", TemplateBody=text({"A": topic("y")}))
    assert cloud.aws.passed[2:] == [f"assumed {role} as cloudformation.amazonaws.com"]


def test_permissions_name_the_stack(cloud: Cloud) -> None:
    asked = list(cloud.api.permissions("CreateStack", {"StackName": "s"}, CTX))
    assert asked == [("cloudformation:CreateStack", "arn:aws:cloudformation:us-east-1:000000000000:stack/s/*")]
    made = change_set(cloud, text({"A": topic()}), "CREATE")
    asked = list(cloud.api.permissions("ExecuteChangeSet", {"ChangeSetName": made["ChangeSetId"]}, CTX))
    assert asked == [("cloudformation:ExecuteChangeSet", made["StackId"])]
    assert list(cloud.api.permissions("ListStacks", {}, CTX)) == [("cloudformation:ListStacks", "*")]


def test_a_start_after_a_kill_ends_what_was_cut_off(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    dumps: list[Any] = []
    cloud.things.waits = lambda request: dumps.append(json.loads(json.dumps(cloud.api.dump())))
    cloud("CreateStack", StackName="s", TemplateBody=text({"A": topic("x")}))
    cloud("UpdateStack", StackName="s", TemplateBody=text({"A": topic("y")}))
    during_create, during_update = Cloud(monkeypatch), Cloud(monkeypatch)
    during_create.api.load(dumps[0])
    assert during_create.status("s") == "CREATE_FAILED"
    during_create("DeleteStack", StackName="s")
    during_create("CreateStack", StackName="s", TemplateBody=text({"A": topic("x")}))
    assert during_create.status("s") == "CREATE_COMPLETE"
    during_update.api.load(dumps[1])
    assert during_update.status("s") == "UPDATE_ROLLBACK_FAILED"
    assert during_update("DescribeStackResources", StackName="s")["StackResources"][0]["ResourceStatus"] == "UPDATE_FAILED"
    during_update("ContinueUpdateRollback", StackName="s")
    assert during_update.status("s") == "UPDATE_ROLLBACK_COMPLETE"


def test_operations_that_nobody_calls_are_not_there(cloud: Cloud) -> None:
    assert not hasattr(cloud.api, "create_stack_set")
    assert hasattr(cloud.api, "create_stack")
