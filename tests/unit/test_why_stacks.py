"""What `why` says of stacks that fail: made by CloudFormation's own engine over resources that fail as told, else recorded in AWS's documented shape."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from inprocess import InProcess
from test_localaws_cloudformation_api import Aws, child, text, topic

from localaws.cloudformation import api as api_module
from localaws.cloudformation.resources import Failed, Made, Request
from localaws.service import Context, ServiceError
from scripts.diagnosis import stack_signs, stacks
from scripts.diagnosis.calls import Calls
from scripts.diagnosis.case import Alarm, Case, Stack, StackEvent
from scripts.diagnosis.judge import Verdict, catalogue, judge

ACCOUNT, REGION = "000000000000", "us-east-1"
NAME = "sample-environment-gamma"
ALARM = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:sample-gamma-high-severity"
STACK, GROUP = "AWS::CloudFormation::Stack", "AWS::AutoScaling::AutoScalingGroup"
KINDS = ("AWS::SNS::Topic", "AWS::SSM::Parameter", "AWS::IAM::Role", "AWS::S3::Bucket", "AWS::EC2::SecurityGroup")


def refusal(code: str, message: str, status: int = 400) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "r"}}, "Make")  # type: ignore[typeddict-item]


class Resources:
    """Makes anything; `fail[verb, logical id]` is raised. Each step takes a second."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.fail: dict[tuple[str, str], Exception] = {}
        self.meanwhile: Callable[[Request], None] = lambda request: None

    def _do(self, verb: str, request: Request) -> Made:
        self.aws.clock.advance(1)
        self.meanwhile(request)
        if (verb, request.logical_id) in self.fail:
            raise self.fail[verb, request.logical_id]
        return Made(request.physical_id or f"{request.logical_id}-id", {"TopicArn": f"{request.logical_id}-arn"})

    def create(self, request: Request) -> Made:
        return self._do("create", request)

    def update(self, request: Request) -> Made:
        return self._do("update", request)

    def delete(self, request: Request) -> None:
        self._do("delete", request)


class Amazon(Aws):
    """As the API's tests have it, with templates that may not be read."""

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        if Key not in self.templates:
            raise refusal("AccessDenied", "Access Denied", 403)
        return {"Body": io.BytesIO(self.templates[Key].encode())}


class Cloud:
    """CloudFormation in this process: `do` calls it, `read` is what `why` reads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.aws = Amazon()
        self.resources = Resources(self.aws)
        monkeypatch.setattr(api_module, "handlers", lambda: dict.fromkeys(KINDS, self.resources))
        self.api = api_module.Api(self.aws)  # type: ignore[arg-type]
        self.api.runner.pause = self.aws.clock.advance
        self.inprocess = InProcess({"cloudformation": self.api}, account=ACCOUNT)
        self.client = self.inprocess.client("cloudformation", REGION)

    def create(self, resources: Mapping[str, Any], name: str = NAME, **more: Any) -> None:
        self.client.create_stack(StackName=name, TemplateBody=text(dict(resources)), **more)
        self.aws.clock.advance(10)

    def update(self, resources: Mapping[str, Any], name: str = NAME, **more: Any) -> None:
        self.client.update_stack(StackName=name, TemplateBody=text(dict(resources)), **more)
        self.aws.clock.advance(10)

    def fail(self, verb: str, resource: str, error: Exception) -> None:
        """The resource fails so from now on."""
        self.resources.fail[verb, resource] = error

    def read(self, name: str = NAME) -> tuple[Stack | None, Calls]:
        calls = Calls(self.inprocess)
        return stacks.read(calls, REGION, name), calls

    def why(self, name: str = NAME, **more: Any) -> Verdict:
        """The verdict on the stack, and on nothing else."""
        stack, calls = self.read(name)
        assert stack is not None
        assert calls.count <= 10
        return judge(case_of(stack, **more))


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    return Cloud(monkeypatch)


def case_of(*found: Stack, **more: Any) -> Case:
    return Case("gamma", "sample", "stack", 2e9, region=REGION, stacks=found, **more)


def named(verdict: Verdict) -> tuple[str, str]:
    """(id, title) of what is named first."""
    finding = verdict.first
    assert finding is not None
    assert finding.match.evidence and finding.match.fix
    assert finding.cause.source.startswith("https://") and finding.cause.document.url.startswith("https://")
    return finding.cause.id, finding.title


def role(**more: Any) -> dict[str, Any]:
    return {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}, **more}}


def denied(action: str) -> str:
    return f"User: arn:aws:sts::{ACCOUNT}:assumed-role/deployer/me is not authorized to perform: {action} on resource: arn:aws:sns:{REGION}:{ACCOUNT}:x"


# --- made to happen: services' errors -------------------------------------------------------------------------------------

MADE = {
    "stack-access-denied": (refusal("AccessDenied", denied("sns:CreateTopic"), 403), "Other was refused: sns:CreateTopic is missing"),
    "stack-resource-exists": (Failed("sample-gamma-pages already exists"), "Other: sample-gamma-pages exists already"),
    "stack-quota-exceeded": (refusal("LimitExceededException", "The maximum number of topics has been reached."), "Other: a quota of sns is reached"),
    "stack-throttled": (refusal("Throttling", "Rate exceeded"), "Other: AWS throttled the calls for it"),
    "stack-not-stabilized": (Failed("Other did not stabilize."), "Other did not become ready in time"),
    "stack-resource-gone": (refusal("NotFoundException", "Key 'arn:aws:kms:us-east-1:000000000000:key/1' does not exist", 404), ""),
    "stack-resource-in-use": (refusal("ResourceInUseException", "The listener is currently in use by a rule"), ""),
    "stack-property-invalid": (refusal("InvalidParameterException", "Invalid parameter: DisplayName is too long"), ""),
    "stack-resource-failed": (refusal("Unheard", "The moon is in the wrong quarter"), ""),
}


@pytest.mark.parametrize("cause", [pytest.param(cause, marks=pytest.mark.cause(cause, "made")) for cause in MADE])
def test_the_first_resource_that_failed_is_named_with_its_reason(cloud: Cloud, cause: str) -> None:
    error, title = MADE[cause]
    cloud.create({"Topic": topic("x")})
    cloud.fail("create", "Other", error)
    cloud.update({"Topic": topic("y"), "Other": topic(), "Third": {**topic(), "DependsOn": "Other"}})
    verdict = cloud.why()
    found, said = named(verdict)
    assert found == cause
    assert not title or said == title
    assert verdict.first is not None
    assert verdict.first.match.where == f"{REGION}/{NAME}/Other"
    assert "make deploy ENV=gamma" in str(verdict.first.match.fix)
    assert f"{NAME} ({REGION}): update ended in UPDATE_ROLLBACK_COMPLETE" in verdict.first.match.evidence
    assert [one.cause.id for one in verdict.others] == [], "the catch-all says nothing beside it"


@pytest.mark.cause("stack-property-invalid", "made")
def test_cloudformations_own_validation(cloud: Cloud) -> None:
    cloud.create({"Topic": topic("x")})
    cloud.update({"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": ["a", "list"]}}})
    found, title = named(cloud.why())
    assert found == "stack-property-invalid"
    assert title.startswith("Topic: Properties validation failed for resource Topic with message:")


@pytest.mark.cause("stack-custom-name", "made")
def test_a_replacement_that_needs_a_name_of_its_own(cloud: Cloud) -> None:
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "one", "BucketNamePrefix": "a"}}
    cloud.create({"Bucket": bucket})
    cloud.update({"Bucket": {**bucket, "Properties": {"BucketName": "one", "BucketNamePrefix": "b"}}})
    found, title = named(cloud.why())
    assert (found, "Bucket" in title) == ("stack-custom-name", True)


# --- made to happen: nested stacks ----------------------------------------------------------------------------------------


def test_the_cause_in_a_nested_stack_is_named_by_its_path_and_not_the_cascade(cloud: Cloud) -> None:
    cloud.aws.templates.update({"inner": text({"Deep": topic()}), "middle": text({"Inner": child("inner"), "Beside": topic()})})
    cloud.fail("create", "Deep", refusal("Throttling", "Rate exceeded"))
    cloud.create({"Fleet": child("middle"), "Last": {**topic(), "DependsOn": "Fleet"}})
    stack, calls = cloud.read()
    assert stack is not None
    assert [(event.path, event.logical_id) for event in stack.failures] == [((NAME, "Fleet", "Inner"), "Deep")]
    assert (stack.operation, stack.status, calls.count) == ("create", "ROLLBACK_COMPLETE", 4)
    verdict = judge(case_of(stack))
    assert named(verdict)[0] == "stack-throttled"
    assert verdict.first is not None
    assert verdict.first.match.where == f"{REGION}/{NAME}/Fleet/Inner/Deep"
    assert [one.cause.id for one in verdict.others] == ["stack-rollback-complete"]


@pytest.mark.cause("stack-template-unreadable", "made")
def test_a_nested_template_that_cannot_be_read(cloud: Cloud) -> None:
    cloud.create({"Fleet": child("not-there")})
    found, title = named(cloud.why())
    assert (found, title.startswith("The template of Fleet cannot be read: S3 error: Access Denied")) == ("stack-template-unreadable", True)


@pytest.mark.cause("stack-capability-missing", "made")
def test_a_capability_that_a_nested_stack_needs(cloud: Cloud) -> None:
    cloud.aws.templates["roles"] = text({"R": role(RoleName="r")})
    cloud.create({"Roles": child("roles")})
    assert named(cloud.why()) == ("stack-capability-missing", "CAPABILITY_NAMED_IAM was not acknowledged")


@pytest.mark.cause("stack-export-missing", "made")
def test_an_export_that_is_not_there(cloud: Cloud) -> None:
    cloud.create({"P": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": {"Fn::ImportValue": "network-Vpc"}}}})
    assert named(cloud.why()) == ("stack-export-missing", "No stack in us-east-1 exports network-Vpc")


@pytest.mark.cause("stack-export-in-use", "made")
def test_an_export_that_others_import(cloud: Cloud) -> None:
    def exporting(value: str) -> str:
        return text({"A": topic()}, Outputs={"O": {"Value": value, "Export": {"Name": "vpc"}}})

    cloud.client.create_stack(StackName=NAME, TemplateBody=exporting("one"))
    cloud.create({"P": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": {"Fn::ImportValue": "vpc"}}}}, name="user")
    cloud.client.update_stack(StackName=NAME, TemplateBody=exporting("two"))
    assert named(cloud.why()) == ("stack-export-in-use", "The export vpc cannot be updated: user imports it")


# --- made to happen: alarms and people ------------------------------------------------------------------------------------

TRIGGERS = {"RollbackTriggers": [{"Arn": ALARM, "Type": "AWS::CloudWatch::CompositeAlarm"}], "MonitoringTimeInMinutes": 1}


@pytest.mark.cause("stack-rolled-back-by-alarm", "made")
def test_an_alarm_that_rolls_the_operation_back(cloud: Cloud) -> None:
    cloud.aws.alarms = {"sample-gamma-high-severity": "OK"}
    cloud.create({"Topic": topic("x")})
    cloud.resources.meanwhile = lambda request: cloud.aws.alarms.update({"sample-gamma-high-severity": "ALARM"})
    cloud.update({"Topic": topic("y")}, RollbackConfiguration=TRIGGERS)
    alarm = Alarm("sample-gamma-high-severity", REGION, composite=True, state="ALARM", reason="arn:…fleet-faults transitioned to ALARM")
    verdict = cloud.why(alarms=(alarm,))
    assert named(verdict) == ("stack-rolled-back-by-alarm", f"The alarm sample-gamma-high-severity rolled {NAME} back")
    assert verdict.first is not None
    assert "sample-gamma-high-severity: ALARM, arn:…fleet-faults transitioned to ALARM" in verdict.first.match.evidence


@pytest.mark.cause("stack-trigger-missing", "made")
def test_a_rollback_trigger_whose_alarm_is_gone(cloud: Cloud) -> None:
    cloud.create({"Topic": topic("x")})
    cloud.update({"Topic": topic("y")}, RollbackConfiguration=TRIGGERS)
    verdict = cloud.why()
    assert named(verdict) == ("stack-trigger-missing", "The rollback trigger sample-gamma-high-severity does not exist")
    assert "stack-rolled-back-by-alarm" not in [one.cause.id for one in verdict.others]


@pytest.mark.cause("stack-cancelled", "made")
def test_an_update_that_somebody_cancels(cloud: Cloud) -> None:
    cloud.create({"Topic": topic("x")})

    def cancel(request: Request) -> None:
        if not request.undoing:
            cloud.client.cancel_update_stack(StackName=NAME)

    cloud.resources.meanwhile = cancel
    cloud.update({"Topic": topic("y")})
    assert named(cloud.why()) == ("stack-cancelled", f"The update of {NAME} was cancelled")


# --- made to happen: deletions, and statuses ------------------------------------------------------------------------------


@pytest.mark.cause("stack-bucket-not-empty", "made")
def test_a_bucket_that_is_not_empty(cloud: Cloud) -> None:
    cloud.create({"Bucket": {"Type": "AWS::S3::Bucket"}})
    cloud.fail("delete", "Bucket", refusal("BucketNotEmpty", "The bucket you tried to delete is not empty. You must delete all versions in the bucket.", 409))
    cloud.client.delete_stack(StackName=NAME)
    verdict = cloud.why()
    assert named(verdict) == ("stack-bucket-not-empty", "The bucket Bucket-id is not empty and cannot be deleted")
    assert [one.cause.id for one in verdict.others] == ["stack-delete-failed"]
    assert "--retain-resources Bucket" in str(verdict.others[0].match.fix)


@pytest.mark.cause("stack-resource-in-use", "made")
def test_a_resource_that_something_else_uses(cloud: Cloud) -> None:
    cloud.create({"Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "g"}}})
    cloud.fail("delete", "Group", refusal("DependencyViolation", "resource Group-id has a dependent object"))
    cloud.client.delete_stack(StackName=NAME)
    assert named(cloud.why())[0] == "stack-resource-in-use"


def end_in(cloud: Cloud, status: str) -> None:
    """Bring the stack to a status by failures of its resources."""
    error = refusal("Unheard", "no")
    if status.startswith("ROLLBACK"):
        cloud.fail("create", "B", error)
        if status == "ROLLBACK_FAILED":
            cloud.fail("delete", "A", error)
        cloud.create({"A": topic(), "B": {**topic(), "DependsOn": "A"}})
        return
    cloud.create({"A": topic("x")})
    cloud.fail("delete" if status == "DELETE_FAILED" else "update", "A", error)
    if status == "DELETE_FAILED":
        cloud.client.delete_stack(StackName=NAME)
        return
    cloud.resources.meanwhile = lambda request: setattr(request, "before", {}) if request.undoing else None
    cloud.update({"A": topic("y")})


STATUSES = {"stack-rollback-complete": "ROLLBACK_COMPLETE", "stack-rollback-failed": "ROLLBACK_FAILED", "stack-delete-failed": "DELETE_FAILED",
            "stack-update-rollback-failed": "UPDATE_ROLLBACK_FAILED"}


@pytest.mark.parametrize("cause", [pytest.param(cause, marks=pytest.mark.cause(cause, "made")) for cause in STATUSES])
def test_the_status_is_named_after_its_first_cause_and_first_where_the_events_cannot_be_read(cloud: Cloud, cause: str) -> None:
    end_in(cloud, STATUSES[cause])
    verdict = cloud.why()
    assert named(verdict)[0] in ("stack-resource-failed", cause)
    cloud.inprocess.denied.add("cloudformation:DescribeStackEvents")
    stack, calls = cloud.read()
    assert stack is not None
    assert (stack.status, stack.failures) == (STATUSES[cause], ())
    assert calls.unreadable[0].permission == "cloudformation:DescribeStackEvents"
    found, title = named(judge(case_of(stack)))
    assert found == cause
    assert STATUSES[cause] in title


def test_a_rollback_that_fails_has_the_updates_own_failure_first(cloud: Cloud) -> None:
    end_in(cloud, "UPDATE_ROLLBACK_FAILED")
    stack, _ = cloud.read()
    assert stack is not None
    assert [event.status for event in stack.failures] == ["UPDATE_FAILED", "UPDATE_FAILED"]
    assert stack.failures[0].at <= stack.failures[1].at
    cloud.client.continue_update_rollback(StackName=NAME)
    again, _ = cloud.read()
    assert again is not None
    assert again.failures[0] == stack.failures[0], "continuing it is part of the same operation"


# --- what is no failure ---------------------------------------------------------------------------------------------------


def test_nothing_failed(cloud: Cloud) -> None:
    assert cloud.read()[0] is None
    cloud.create({"Topic": topic("x")})
    assert cloud.read()[0] is None
    cloud.fail("update", "Topic", Failed("once"))
    cloud.update({"Topic": topic("y"), "Other": topic()})
    cloud.resources.fail.clear()
    if cloud.client.describe_stacks(StackName=NAME)["Stacks"][0]["StackStatus"] == "UPDATE_ROLLBACK_FAILED":
        cloud.client.continue_update_rollback(StackName=NAME)
    assert cloud.read()[0] is not None
    cloud.update({"Topic": topic("z")})
    assert cloud.read()[0] is None, "what failed before is over"
    assert stacks.failed(Calls(cloud.inprocess), REGION, "sample-") == []


def change_set(cloud: Cloud, resources: Mapping[str, Any], kind: str = "UPDATE", name: str = "c") -> None:
    cloud.aws.clock.advance(5)
    cloud.client.create_change_set(StackName=NAME, ChangeSetName=name, ChangeSetType=kind, TemplateBody=text(dict(resources)), IncludeNestedStacks=True)


def test_a_change_set_without_changes_is_no_failure_and_one_that_cannot_be_made_is(cloud: Cloud) -> None:
    cloud.create({"Topic": topic("x")})
    change_set(cloud, {"Topic": topic("x")})
    assert cloud.read()[0] is None
    cloud.aws.templates["roles"] = text({"R": role(RoleName="r")})
    change_set(cloud, {"Topic": topic("x"), "Roles": child("roles")}, name="d")
    stack, calls = cloud.read()
    assert stack is not None
    assert (stack.operation, calls.count) == ("change set", 4)
    verdict = judge(case_of(stack))
    assert named(verdict)[0] == "stack-capability-missing"
    assert verdict.first is not None
    assert verdict.first.match.where == f"{REGION}/{NAME}/Roles"
    cloud.update({"Topic": topic("y")})
    assert cloud.read()[0] is None, "the stack was updated since"


def test_a_nested_change_set_is_read_by_a_caller_whose_policy_names_stacks(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.aws.templates |= {"roles": text({"Topic": topic()}), "named": text({"R": role(RoleName="r")})}
    cloud.create({"Roles": child("roles")})
    change_set(cloud, {"Roles": child("named")})
    asked = cloud.api.permissions

    def by_stack(operation: str, params: dict[str, Any], ctx: Context) -> Any:
        if params.get("ChangeSetName") and not params.get("StackName"):
            raise ServiceError("AccessDenied", denied(f"cloudformation:{operation}"), 403)
        return asked(operation, params, ctx)

    monkeypatch.setattr(cloud.api, "permissions", by_stack)
    stack, calls = cloud.read()
    assert stack is not None and not calls.unreadable
    assert len(stack.failures[0].path) == 2, "the nested stack's own reason, not the root's"
    assert named(judge(case_of(stack)))[0] == "stack-capability-missing"


def test_a_stack_in_review_has_failed_with_its_change_set(cloud: Cloud) -> None:
    change_set(cloud, {"Fleet": child("not-there")}, "CREATE")
    assert named(cloud.why())[0] == "stack-template-unreadable"


def test_a_change_set_that_validation_refused_is_explained_by_its_events(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.create({"Topic": topic("x")})
    change_set(cloud, {"Topic": topic("y")})
    (made,) = cloud.api.stores[Context(ACCOUNT, REGION, "", "")]["change_sets"].values()
    made.update(status="FAILED", reason="The following hook(s)/validation failed: [AWS::EarlyValidation::ResourceExistenceCheck].")
    told = {"EventType": "VALIDATION_ERROR", "LogicalResourceId": "Topic", "ResourceType": "AWS::SNS::Topic", "ValidationPath": "/Resources/Topic",
            "ValidationStatusReason": "Resource of type 'AWS::SNS::Topic' with identifier 'x' already exists."}
    monkeypatch.setattr(cloud.api, "describe_events", lambda ctx, params: {"OperationEvents": [told]}, raising=False)
    assert named(cloud.why())[0] == "stack-resource-exists"
    cloud.inprocess.denied.add("cloudformation:DescribeEvents")
    stack, calls = cloud.read()
    assert stack is not None and "EarlyValidation" in stack.reason
    assert [one.permission for one in calls.unreadable] == ["cloudformation:DescribeEvents"]


def test_failed_lists_root_stacks_of_the_service_newest_first(cloud: Cloud) -> None:
    cloud.aws.templates["inner"] = text({"Deep": topic()})
    cloud.fail("create", "Deep", Failed("no"))
    for name in ("sample-environment-gamma", "sample-pipeline", "other-pipeline"):
        cloud.create({"Inner": child("inner")}, name=name)
    calls = Calls(cloud.inprocess)
    assert stacks.failed(calls, REGION, "sample-") == ["sample-pipeline", "sample-environment-gamma"]
    assert calls.count == 1
    cloud.inprocess.denied.add("cloudformation:ListStacks")
    assert stacks.failed(calls, REGION, "sample-") == []
    assert calls.unreadable[0].permission == "cloudformation:ListStacks"


def test_reading_is_bounded_however_much_failed(cloud: Cloud) -> None:
    cloud.aws.templates["many"] = text({f"T{number}": topic("x") for number in range(60)})
    cloud.aws.templates["more"] = text({f"T{number}": topic("y") for number in range(60)})
    names = [f"N{number}" for number in range(12)]
    cloud.create({name: child("many") for name in names})
    for number in range(60):
        cloud.fail("update", f"T{number}", Failed("no"))
    cloud.update({name: child("more") for name in names})
    stack, calls = cloud.read()
    assert stack is not None
    assert calls.count <= 1 + 5 + 8 * 2
    assert stack.failures


# --- recorded answers -----------------------------------------------------------------------------------------------------


def recorded(*told: tuple[str, str, str, str], status: str = "UPDATE_ROLLBACK_COMPLETE", **more: Any) -> Stack:
    """A stack as `why` reads it from recorded events: (logical id, type, status, reason), oldest first; "" is the stack itself."""
    stack_id = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{NAME}/1"
    events = [{"StackId": stack_id, "EventId": str(number), "StackName": NAME, "LogicalResourceId": logical or NAME, "ResourceType": kind,
               "PhysicalResourceId": f"{logical}-physical" if logical else stack_id, "Timestamp": 1e9 + number, "ResourceStatus": state,
               "ResourceStatusReason": reason}
              for number, (logical, kind, state, reason) in enumerate(told)]
    aws = InProcess()
    aws.record("cloudformation", "DescribeStacks", {"Stacks": [{"StackId": stack_id, "StackName": NAME, "CreationTime": 1e9, "StackStatus": status, **more}]})
    aws.record("cloudformation", "DescribeStackEvents", {"StackEvents": events[::-1]})
    stack = stacks.read(Calls(aws), REGION, NAME)
    assert stack is not None
    return stack


def one(reason: str, kind: str = "AWS::SNS::Topic", state: str = "UPDATE_FAILED", **more: Any) -> Stack:
    """A stack in which one resource failed so, and another was cancelled."""
    return recorded(
        ("", STACK, "UPDATE_IN_PROGRESS", "User Initiated"), ("Beside", "AWS::SNS::Topic", "UPDATE_FAILED", "Resource update cancelled"),
        ("It", kind, state, reason),
        ("", STACK, "UPDATE_ROLLBACK_IN_PROGRESS", "The following resource(s) failed to update: [It, Beside]. "), ("", STACK, "UPDATE_ROLLBACK_COMPLETE", ""),
        **more)


RECORDED: dict[str, Callable[[], Stack]] = {
    # https://github.com/guardian/security-hq/pull/1261
    "stack-signals-missing": lambda: one("Received 0 SUCCESS signal(s) out of 1. Unable to satisfy 100% MinSuccessfulInstancesPercent requirement", GROUP),
    # https://github.com/awslabs/route53-dynamic-dns-with-lambda/issues/55
    "stack-role-missing": lambda: recorded(
        ("", STACK, "DELETE_IN_PROGRESS", "User Initiated"),
        ("", STACK, "DELETE_FAILED", f"Role arn:aws:iam::{ACCOUNT}:role/deployer is invalid or cannot be assumed"), status="DELETE_FAILED",
        StackStatusReason=f"Role arn:aws:iam::{ACCOUNT}:role/deployer is invalid or cannot be assumed", RoleARN=f"arn:aws:iam::{ACCOUNT}:role/deployer"),
}
ALSO: list[tuple[str, Callable[[], Stack]]] = [
    # https://github.com/awslabs/amazon-ecs-nodejs-microservices/issues/17
    ("stack-signals-missing", lambda: one("Failed to receive 1 resource signal(s) within the specified duration", GROUP)),
    ("stack-signals-missing", lambda: one("Received 1 FAILURE signal(s) out of 3.  Unable to satisfy 100% MinSuccessfulInstancesPercent requirement", GROUP)),
    # https://github.com/aws-quickstart/quickstart-dotnetcore-cicd/issues/21
    ("stack-not-stabilized", lambda: one('Resource handler returned message: "Exceeded attempts to wait" (RequestToken: 1, HandlerErrorCode: NotStabilized)')),
    # https://github.com/aws-solutions/amazon-marketing-cloud-uploader-from-aws/issues/167
    ("stack-resource-exists", lambda: one("Resource handler returned message: \"Resource of type 'AWS::Logs::LogGroup' with identifier "
                                          "'{\"/properties/LogGroupName\":\"/aws/lambda/x\"}' already exists.\" "
                                          "(RequestToken: 1, HandlerErrorCode: AlreadyExists)")),
    # https://github.com/aws-samples/eb-php-wordpress/issues/25
    ("stack-resource-exists", lambda: one("pages already exists in stack arn:aws:cloudformation:us-east-1:000000000000:stack/other/1")),
    # https://github.com/aws/aws-cdk/issues/9882
    ("stack-throttled", lambda: one("Rate exceeded for operation 'Rate exceeded (Service: Lambda, Status Code: 429, Request ID: 1)'.")),
    # https://github.com/cloudfoundry/bosh-aws-cpi-release/issues/61
    ("stack-throttled", lambda: one("Request limit exceeded. (Service: AmazonEC2; Status Code: 503; Error Code: RequestLimitExceeded; Request ID: 1)")),
    # https://github.com/serverless/serverless/issues/2605
    ("stack-quota-exceeded", lambda: one("Resource limit exceeded. (Service: AWSLogs; Status Code: 400; Error Code: LimitExceededException; Request ID: 1)")),
    # https://github.com/F5Networks/f5-aws-cloudformation/issues/52
    ("stack-bucket-not-empty", lambda: one("The bucket you tried to delete is not empty (Service: Amazon S3; Status Code: 409; Error Code: BucketNotEmpty;",
                                           state="DELETE_FAILED")),
    # https://github.com/convox/rack/issues/1090
    ("stack-resource-in-use", lambda: one("The vpc 'vpc-1' has dependencies and cannot be deleted.", "AWS::EC2::VPC", "DELETE_FAILED")),
    # https://github.com/aws/aws-cdk/issues/8671: no resource failed, the stack itself goes back
    ("stack-export-in-use", lambda: recorded(("", STACK, "UPDATE_IN_PROGRESS", "User Initiated"), (
        "", STACK, "UPDATE_ROLLBACK_IN_PROGRESS", "Export anil-IN cannot be deleted as it is in use by anil-mysecurity"),
        ("", STACK, "UPDATE_ROLLBACK_COMPLETE", ""))),
    # The words of an alarm's rollback are not documented: the stack goes back by itself, and has triggers.
    ("stack-rolled-back-by-alarm", lambda: recorded(
        ("", STACK, "UPDATE_IN_PROGRESS", "User Initiated"), ("It", "AWS::SNS::Topic", "UPDATE_COMPLETE", ""),
        ("", STACK, "UPDATE_ROLLBACK_IN_PROGRESS", "Rolled back in other words than we know"), ("", STACK, "UPDATE_ROLLBACK_COMPLETE", ""),
        RollbackConfiguration=TRIGGERS)),
    ("stack-access-denied", lambda: one("API: s3:SetBucketEncryption Access Denied", "AWS::S3::Bucket")),
    ("stack-resource-failed", lambda: one("")),
]


@pytest.mark.parametrize(("cause", "stack"), [
    *(pytest.param(cause, stack, marks=pytest.mark.cause(cause, "recorded"), id=cause) for cause, stack in RECORDED.items()),
    *(pytest.param(cause, stack, id=f"{cause}-{number}") for number, (cause, stack) in enumerate(ALSO))])
def test_a_recorded_failure_is_named(cause: str, stack: Callable[[], Stack]) -> None:
    verdict = judge(case_of(stack()))
    assert named(verdict)[0] == cause
    assert "Beside" not in str(verdict.first), "what was only cancelled is no cause"


# --- words alone are not enough -------------------------------------------------------------------------------------------

NEAR: dict[str, Stack] = {
    "stack-access-denied": one("The policy is not authorized by its author"),
    "stack-resource-exists": one("Check whether it exists"),
    "stack-quota-exceeded": one("Request limit exceeded. (Service: AmazonEC2; Status Code: 503; Error Code: RequestLimitExceeded)"),
    "stack-throttled": one("LimitExceededException: The maximum number of addresses has been reached."),
    "stack-property-invalid": one('"Role r already exists" (HandlerErrorCode: InvalidRequest)'),
    "stack-not-stabilized": one("The table is stable"),
    "stack-signals-missing": one("The signal handler failed"),
    "stack-rolled-back-by-alarm": one("The alarm could not be made", RollbackConfiguration=TRIGGERS),
    "stack-trigger-missing": one("Topic x does not exist", RollbackConfiguration=TRIGGERS),
    "stack-custom-name": one("Rename the topic and update the stack again"),
    "stack-template-unreadable": one('"Access Denied (Service: Amazon S3; Status Code: 403)" (HandlerErrorCode: GeneralServiceException)'),
    "stack-role-missing": one("Role sample is invalid"),
    "stack-capability-missing": one("This requires a capability"),
    "stack-export-in-use": one("the volume is in use by i-1"),
    "stack-export-missing": one("No hosted zone named x found"),
    "stack-bucket-not-empty": one("The bucket policy is not valid", "AWS::S3::Bucket", "DELETE_FAILED"),
    "stack-resource-in-use": one("Export x cannot be deleted as it is in use by y"),
    "stack-resource-gone": one("Rollback trigger arn does not exist."),
    "stack-cancelled": one("User Initiated"),
    "stack-update-rollback-failed": one("x"),
    "stack-rollback-complete": one("x"),
    "stack-rollback-failed": one("x"),
    "stack-delete-failed": one("x", state="DELETE_FAILED"),
    "stack-resource-failed": replace(one("x"), failures=()),
}


@pytest.mark.parametrize("cause", NEAR)
def test_a_near_miss_is_not_taken_for_it(cause: str) -> None:
    (entry,) = [entry for entry in catalogue() if entry.id == cause]
    assert entry.check(case_of(NEAR[cause])) is None


def test_every_stack_cause_has_a_near_miss() -> None:
    assert {entry.id for entry in catalogue() if entry.id.startswith("stack-")} == set(NEAR)


def test_alarms_are_ruled_out_where_a_resource_failed_or_nothing_triggers() -> None:
    assert ("stack-rolled-back-by-alarm", "the stack has no rollback triggers") in judge(case_of(one("x"))).ruled_out
    assert ("stack-rolled-back-by-alarm", "a resource failed before the stack went back") in judge(case_of(one("x", RollbackConfiguration=TRIGGERS))).ruled_out


def test_two_faults_at_once_the_earlier_is_named_and_the_other_told() -> None:
    verdict = judge(case_of(recorded(
        ("", STACK, "UPDATE_IN_PROGRESS", "User Initiated"), ("A", "AWS::SNS::Topic", "UPDATE_FAILED", "The bucket you tried to delete is not empty"),
        ("B", "AWS::SNS::Topic", "UPDATE_FAILED", "Rate exceeded"), ("", STACK, "UPDATE_ROLLBACK_COMPLETE", ""))))
    assert named(verdict)[0] == "stack-bucket-not-empty"
    assert "stack-throttled" in [found.cause.id for found in verdict.others]


def test_commands_name_the_environment_of_the_stack() -> None:
    stack = one("x")
    assert stack_signs.deploy(case_of(stack), stack) == "make deploy ENV=gamma"
    assert stack_signs.environment(case_of(stack), replace(stack, name="sample-pipeline")) == "pipeline"
    assert stack_signs.place(StackEvent(0.0, ("root", "Fleet"), "Group", GROUP, "", "CREATE_FAILED")) == "root/Fleet/Group"


@pytest.mark.parametrize(("name", "environment", "deploy", "destroy"), [
    ("sample-environment-prod", "prod", "make deploy ENV=prod", "make destroy ENV=prod"),
    ("sample-pipeline", "pipeline", "make deploy ENV=pipeline", "make destroy ENV=pipeline"),
    ("sample-release-store", "release-store", "make deploy ENV=gamma", "make destroy ENV=release-store"),
    ("sample-batch-gamma", "gamma", "make deploy ENV=gamma", "make destroy ENV=gamma"),
    ("sample-queue", "", "the command that deployed sample-queue", f"aws cloudformation delete-stack --region {REGION} --stack-name sample-queue"),
    ("sample-prod", "", "the command that deployed sample-prod", f"aws cloudformation delete-stack --region {REGION} --stack-name sample-prod"),
    ("other-pipeline", "", "the command that deployed other-pipeline", f"aws cloudformation delete-stack --region {REGION} --stack-name other-pipeline"),
])
def test_no_command_is_of_another_stack(name: str, environment: str, deploy: str, destroy: str) -> None:
    stack = replace(one("x"), name=name)
    case = case_of(stack)
    assert (stack_signs.environment(case, stack), stack_signs.deploy(case, stack), stack_signs.destroy(case, stack)) == (environment, deploy, destroy)


@pytest.mark.parametrize(("name", "says"), [("sample-release-store", "make destroy ENV=release-store"), ("elses-queue", "delete-stack")])
def test_a_shared_stack_that_cannot_be_deleted_never_destroys_the_environment(name: str, says: str) -> None:
    full = one("The bucket you tried to delete is not empty", "AWS::S3::Bucket", "DELETE_FAILED")
    stack = replace(full, name=name, status="DELETE_FAILED", operation="delete")
    verdict = judge(case_of(stack))
    assert verdict.first is not None
    assert [found.cause.id for found in (verdict.first, *verdict.others)] == ["stack-bucket-not-empty", "stack-delete-failed"]
    for found in (verdict.first, *verdict.others):
        assert says in found.match.fix[0]
        assert "ENV=gamma" not in str(found.match.fix)


WANTS_GONE = {
    "stack-bucket-not-empty": "The bucket you tried to delete is not empty",
    "stack-resource-in-use": "resource It-physical has a dependent object",
    "stack-role-missing": f"Role arn:aws:iam::{ACCOUNT}:role/deployer is invalid or cannot be assumed",
}


@pytest.mark.parametrize("cause", WANTS_GONE)
def test_only_a_stack_that_is_to_go_is_deleted(cause: str) -> None:
    live = one(WANTS_GONE[cause], state="DELETE_FAILED")
    (entry,) = [entry for entry in catalogue() if entry.id == cause]

    def fix(stack: Stack) -> str:
        found = entry.check(case_of(stack))
        assert found is not None
        return str(found.fix)

    for word in ("delete-stack", "--retain-resources", "make destroy"):
        assert word not in fix(live)
    assert "make deploy ENV=gamma" in fix(live)
    going = replace(live, operation="delete", status="DELETE_FAILED")
    assert "make destroy ENV=gamma" in fix(going) and "make deploy" not in fix(going)
    assert "delete-stack" in fix(going)
    below = replace(going, failures=tuple(replace(event, path=(NAME, "Fleet")) for event in going.failures))
    assert "--retain-resources" not in fix(below), "CloudFormation takes only the root's own resources"


def test_throttled_and_missing_stacks(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    cloud.fail("create", "Topic", Failed("no"))
    cloud.create({"Topic": topic()})
    cloud.inprocess.throttled["cloudformation:DescribeStackEvents"] = 2
    stack, calls = cloud.read()
    assert stack is not None
    assert (len(stack.failures), calls.unreadable) == (1, ())
    cloud.inprocess.denied.add("cloudformation:DescribeStacks")
    stack, calls = cloud.read()
    assert (stack, calls.unreadable[0].permission) == (None, "cloudformation:DescribeStacks")

