"""Change sets that CloudFormation's validation refuses, and that cannot be deleted at once: botocore's clients over answers of the documented shape."""

from __future__ import annotations

from typing import Any

import pytest
from inprocess import InProcess
from scripts_fakes import FakeClock, Recorder

from localaws.service import Context, Service, ServiceError
from scripts.core import changesets
from scripts.core.changesets import ChangeSet, Request
from scripts.core.errors import CommandError
from scripts.core.progress import Board
from scripts.core.recover import Driver

REGION = "us-east-1"
ROOT, INNER = (f"arn:aws:cloudformation:{REGION}:111122223333:stack/{name}/1" for name in ("sample-environment-gamma", "sample-environment-gamma-Inner"))
MADE, BELOW = (f"arn:aws:cloudformation:{REGION}:111122223333:changeSet/{name}/1" for name in ("handsoff-1", "handsoff-1-Inner"))
REFUSED = (
    "The following hook(s)/validation failed: [AWS::EarlyValidation::{}]. "
    "To troubleshoot Early Validation errors, use the DescribeEvents API for detailed failure information."
)
NESTED = f"Nested change set {BELOW} was not successfully created: Currently in FAILED."
Params = dict[str, Any]


def event(resource: str, kind: str, path: str, message: str, mode: str = "FAIL") -> Params:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_OperationEvent.html."""
    return {
        "EventId": resource,
        "EventType": "VALIDATION_ERROR",
        "OperationType": "CREATE_CHANGESET",
        "LogicalResourceId": resource,
        "ResourceType": kind,
        "ValidationFailureMode": mode,
        "ValidationName": "PROPERTY_VALIDATION",
        "ValidationStatus": "FAILED",
        "ValidationStatusReason": message,
        "ValidationPath": path,
    }


TABLE = event("Table", "AWS::DynamoDB::Table", "/Resources/Table", "Resource of type 'AWS::DynamoDB::Table' with identifier 'records' already exists.")
QUEUE = event("Queue", "AWS::SQS::Queue", "/Resources/Queue/Properties", "extraneous key [Nmae] is not permitted")
WARNING = event("Bucket", "AWS::S3::Bucket", "/Resources/Bucket", "The bucket is not empty", "WARN")
STAND_IN = event(
    "Alarm", "AWS::CloudWatch::Alarm", "/Resources/Alarm/Properties/AlarmName", "{{IntrinsicFunction:sample/Fn::GetAtt}} does not match pattern"
)


class CloudFormation(Service):
    """A root and its nested stack. `reasons` say why each change set with nested stacks fails; the deletion is refused `busy` times."""

    name = iam = "cloudformation"

    def __init__(self, reasons: dict[str, str], events: dict[str, list[Params]] | None = None, busy: int = 0) -> None:
        self.reasons, self.events, self.busy = reasons, events or {}, busy
        self.sets: list[str] = []
        self.stack = "REVIEW_IN_PROGRESS"
        self.leaving = 0

    def create_change_set(self, ctx: Context, params: Params) -> Params:
        self.sets.append(MADE)
        if not params["IncludeNestedStacks"]:
            self.reasons = {}
        return {"Id": MADE, "StackId": ROOT}

    def describe_change_set(self, ctx: Context, params: Params) -> Params:
        identifier = params["ChangeSetName"]
        row = {"Action": "Add", "LogicalResourceId": "Inner", "ResourceType": "AWS::CloudFormation::Stack"}
        if BELOW in self.reasons:
            row |= {"PhysicalResourceId": INNER, "ChangeSetId": BELOW}
        stack_id, rows = (INNER, []) if identifier == BELOW else (ROOT, [row])
        reason = self.reasons.get(identifier, "")
        return {
            "ChangeSetId": identifier,
            "StackId": stack_id,
            "Status": "FAILED" if reason else "CREATE_COMPLETE",
            "StatusReason": reason,
            "Changes": [{"Type": "Resource", "ResourceChange": one} for one in rows],
        }

    def describe_events(self, ctx: Context, params: Params) -> Params:
        assert params["Filters"] == {"FailedEvents": True}
        assert params["StackName"] == (INNER if params["ChangeSetName"] == BELOW else ROOT)
        rest = self.events.get(params["ChangeSetName"], [])[int(params.get("NextToken", 0)):]
        more = {"NextToken": str(int(params.get("NextToken", 0)) + 1)} if len(rest) > 1 else {}
        return {"OperationEvents": rest[:1], **more}

    def delete_change_set(self, ctx: Context, params: Params) -> Params:
        if self.busy:
            self.busy -= 1
            raise ServiceError("InvalidChangeSetStatus", "An operation on this ChangeSet is currently in progress.")
        if not self.leaving:
            self.sets.clear()
        return {}

    def list_change_sets(self, ctx: Context, params: Params) -> Params:
        found = [{"ChangeSetId": one} for one in self.sets]
        if self.leaving:
            self.leaving -= 1
        return {"Summaries": found}

    def describe_stacks(self, ctx: Context, params: Params) -> Params:
        return {"Stacks": [{"StackId": ROOT, "StackName": "sample-environment-gamma", "StackStatus": self.stack, "CreationTime": 0}]}

    def delete_stack(self, ctx: Context, params: Params) -> Params:
        assert not self.sets, "the stack goes after its change set"
        self.stack = "DELETE_COMPLETE"
        return {}


class Bench:
    def __init__(self, reasons: dict[str, str], events: dict[str, list[Params]] | None = None, busy: int = 0) -> None:
        self.cloudformation, self.clock = CloudFormation(reasons, events, busy), FakeClock()
        self.inprocess = InProcess({"cloudformation": self.cloudformation})
        self.client = self.inprocess.client("cloudformation", REGION)

    def create(self, create_stack: bool = True) -> ChangeSet | None:
        request = Request("sample-environment-gamma", REGION, "{}", None, {}, {}, nested=True)
        return changesets.create(self.client, request, create_stack, self.clock, 1.0)

    def failure(self, create_stack: bool = True) -> CommandError:
        with pytest.raises(CommandError, match="the change set failed") as caught:
            self.create(create_stack)
        return caught.value

    @property
    def operations(self) -> list[str]:
        return [operation for _, operation in self.inprocess.called]


def test_each_failed_validation_is_told_with_its_resource_path_and_message() -> None:
    bench = Bench({MADE: REFUSED.format("ResourceExistenceCheck")}, {MADE: [TABLE, WARNING, QUEUE]})
    reason = bench.failure().reason
    assert reason.split("\n          ") == [
        "Table (AWS::DynamoDB::Table) at /Resources/Table: Resource of type 'AWS::DynamoDB::Table' with identifier 'records' already exists.",
        "Queue (AWS::SQS::Queue) at /Resources/Queue/Properties: extraneous key [Nmae] is not permitted",
    ]
    assert bench.operations.index("DescribeEvents") < bench.operations.index("DeleteChangeSet")
    assert bench.cloudformation.stack == "DELETE_COMPLETE"


@pytest.mark.parametrize("create_stack", [True, False])
def test_a_nested_stacks_true_fault_is_told_and_not_tried_again_without_a_preview(create_stack: bool) -> None:
    bench = Bench({MADE: NESTED, BELOW: REFUSED.format("PropertyValidation")}, {BELOW: [STAND_IN, QUEUE]})
    assert "Inner/Queue (AWS::SQS::Queue) at /Resources/Queue/Properties: extraneous" in bench.failure(create_stack).reason
    assert bench.operations.count("CreateChangeSet") == 1


def test_a_nested_stack_that_fails_for_stand_ins_alone_is_a_limit_of_the_preview() -> None:
    bench = Bench({MADE: NESTED, BELOW: REFUSED.format("PropertyValidation")}, {BELOW: [STAND_IN, WARNING]})
    made = bench.create()
    assert made is not None and "cannot preview" in made.notes[0] and "Inner/Alarm" in made.notes[0]
    assert bench.operations.count("CreateChangeSet") == 2


@pytest.mark.parametrize("nested", [True, False])
def test_without_the_permission_that_is_said_beside_cloudformations_own_words(nested: bool) -> None:
    refused = REFUSED.format("PropertyValidation")
    bench = Bench({MADE: NESTED, BELOW: refused} if nested else {MADE: refused}, {MADE: [STAND_IN], BELOW: [STAND_IN]})
    bench.inprocess.denied.add("cloudformation:DescribeEvents")
    failure = bench.failure()
    assert refused in failure.reason and "access denied: cloudformation:DescribeEvents" in failure.reason
    assert "DeleteChangeSet" in bench.operations


def test_a_validation_that_tells_nothing_leaves_cloudformations_own_words() -> None:
    refused = REFUSED.format("PropertyValidation")
    assert Bench({MADE: refused}, {MADE: [WARNING]}).failure().reason == refused


@pytest.mark.parametrize("reasons", [{}, {MADE: "Parameter Size must be a number"}])
def test_events_are_read_for_nothing_else(reasons: dict[str, str]) -> None:
    bench = Bench(reasons)
    if reasons:
        assert bench.failure().reason == reasons[MADE]
    else:
        assert bench.create() is not None
    assert "DescribeEvents" not in bench.operations


def test_a_change_set_is_deleted_as_soon_as_its_nested_ones_are_no_longer_being_made() -> None:
    bench = Bench({MADE: NESTED, BELOW: "Parameter Size must be a number"}, busy=3)
    failure = bench.failure()
    assert "left behind" not in str(failure) and not bench.cloudformation.sets
    assert bench.operations.count("DeleteChangeSet") == 4 and bench.cloudformation.stack == "DELETE_COMPLETE"


def test_the_empty_stack_stays_until_the_change_set_is_gone() -> None:
    bench = Bench({MADE: "Parameter Size must be a number"})
    bench.cloudformation.leaving = 2
    bench.failure()
    assert bench.cloudformation.stack == "DELETE_COMPLETE" and not bench.cloudformation.sets


@pytest.mark.parametrize("wholly", [True, False])
def test_who_deletes_the_stack_next_waits_until_the_change_set_is_gone(wholly: bool) -> None:
    bench, recorder = Bench({}), Recorder()
    bench.cloudformation.sets, bench.cloudformation.leaving = [MADE], 2
    driver = Driver(bench.client, REGION, Board(recorder.console), bench.clock, 5.0, False, lambda question: True)
    driver.discard(MADE, ROOT, created_stack=False, wholly=wholly)
    assert (MADE in bench.cloudformation.sets) is not wholly


@pytest.mark.parametrize("limit", [True, False])
def test_what_cannot_be_deleted_is_said_and_hides_nothing(limit: bool) -> None:
    bench = Bench({MADE: NESTED, BELOW: "Template error: Fn::Select cannot select" if limit else "Parameter Size must be a number"}, busy=10_000)
    if limit:
        made = bench.create()
        assert made is not None
        said = made.notes[1]
    else:
        failure = bench.failure()
        assert failure.reason == "Inner: Parameter Size must be a number"
        said = failure.next_step
    assert f"the change set {MADE} is left behind" in said
    assert f"--region {REGION} --stack-name {ROOT} --change-set-name {MADE}" in said, "else the profile's Region is asked, or a policy of stacks refuses"
    assert bench.cloudformation.stack == "REVIEW_IN_PROGRESS", "the next deploy finds it, and with it the change set"
    assert 100 < bench.clock.passed < 200


def test_a_deploy_that_drops_a_change_set_says_when_it_stays() -> None:
    bench, recorder = Bench({}, busy=10_000), Recorder()
    driver = Driver(bench.client, REGION, Board(recorder.console), bench.clock, 5.0, False, lambda question: True)
    driver.discard(MADE, ROOT, created_stack=False)
    assert f"the change set {MADE} is left behind" in recorder.text
