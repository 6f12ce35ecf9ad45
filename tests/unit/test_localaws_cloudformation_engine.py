"""CloudFormation's stacks in virtual time: order, rollback, nested stacks, retention; no network, no threads."""

from __future__ import annotations

import concurrent.futures
import io
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localaws.clock import VirtualClock
from localaws.cloudformation import engine, stacks
from localaws.cloudformation.book import Book
from localaws.cloudformation.resources import Cancelled, Made, Request
from localaws.cloudformation.runner import Job, Runner
from localaws.cloudformation.schema import schemas
from localaws.cloudformation.template import TemplateError
from localaws.service import Context, Stores

CTX = Context("000000000000", "us-east-1", "arn:aws:iam::000000000000:root", "000000000000")


class Serial(concurrent.futures.Executor):
    """Runs each piece of work at once, on the caller's thread."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **more: Any) -> concurrent.futures.Future[Any]:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        future.set_result(work(*args, **more))
        return future


class World:
    """Physical resources by id, and which actions on which logical ids fail."""

    def __init__(self) -> None:
        self.things: dict[str, dict[str, Any]] = {}
        self.fail: set[tuple[str, str]] = set()
        self.calls: list[str] = []
        self.before: Callable[[str, Request], None] = lambda verb, request: None
        self.made = 0

    def _call(self, verb: str, request: Request) -> None:
        self.calls.append(f"{verb} {request.logical_id}")
        self.before(verb, request)
        if (verb, request.logical_id) in self.fail:
            raise ClientError({"Error": {"Code": "InvalidThing", "Message": f"{request.logical_id} is wrong"},
                               "ResponseMetadata": {"HTTPStatusCode": 400}}, verb.capitalize())

    def create(self, request: Request) -> Made:
        self._call("create", request)
        self.made += 1
        physical = f"{request.logical_id}-{self.made}"
        self.things[physical] = request.properties
        return Made(physical, {"Arn": f"arn:{physical}", "TopicArn": f"arn:{physical}"})

    def update(self, request: Request) -> Made:
        self._call("update", request)
        self.things[request.physical_id] = request.properties
        return Made(request.physical_id)

    def delete(self, request: Request) -> None:
        self._call("delete", request)
        self.things.pop(request.physical_id, None)


class Aws:
    """A runner over a World, with templates in a dict instead of S3."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.stores = Stores()
        self.world = World()
        self.templates: dict[str, str] = {}
        self.refused: set[str] = set()
        lock = threading.RLock()
        self.book = Book(lock, lambda arn: self.stores.at(arn.split(":")[4], arn.split(":")[3]), self.clock)
        kinds = ("AWS::SNS::Topic", "AWS::SSM::Parameter", "AWS::Logs::LogGroup", "AWS::S3::Bucket")
        self.runner = Runner(self.book, dict.fromkeys(kinds, self.world), schemas, lambda stack_id: self._export, self._authorize,
                             pause=self.clock.advance, pool=Serial)
        self.job = Job(CTX, self)  # type: ignore[arg-type]

    account = "000000000000"

    def client(self, service: str, region: str) -> Aws:
        return self

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        if Key not in self.templates:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "Access Denied"}}, "GetObject")
        return {"Body": io.BytesIO(self.templates[Key].encode())}

    def _export(self, name: str) -> str:
        raise TemplateError(f"No export named {name} found.")

    def _authorize(self, job: Job, action: str, resource: str) -> None:
        if action in self.refused:
            raise stacks.TemplateError(f"User is not authorized to perform: {action} on resource: {resource}")

    def stack(self, resources: dict[str, Any], **more: Any) -> dict[str, Any]:
        record = stacks.new_record(stacks.stack_arn("000000000000", "us-east-1", "s"), self.clock.now())
        record.update(template=body(resources, **more))
        self.book.add(record)
        return record

    def create(self, resources: dict[str, Any], on_failure: str = "ROLLBACK", **more: Any) -> dict[str, Any]:
        record = self.stack(resources, **more)
        self.runner.create(record, self.job.fresh(), on_failure)
        return record

    def update(self, record: dict[str, Any], resources: dict[str, Any], rollback: bool = True, **more: Any) -> str:
        self.runner.begin_update(record, {"template": body(resources, **more)})
        return self.runner.update(record, self.job.fresh(), rollback)

    def events(self, record: dict[str, Any]) -> list[str]:
        found = self.stores.at("000000000000", "us-east-1")["events"][record["StackId"]]
        return [f"{event['LogicalResourceId']} {event['ResourceStatus']}" for event in found]

    def child(self, record: dict[str, Any], name: str) -> dict[str, Any]:
        found = self.book.stack(record["resources"][name]["physical_id"])
        assert found is not None
        return found


def body(resources: dict[str, Any], **more: Any) -> str:
    return json.dumps({"Resources": resources, **more})


def topic(name: str = "", **more: Any) -> dict[str, Any]:
    return {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": name} if name else {}, **more}


def parameter(value: Any, **more: Any) -> dict[str, Any]:
    return {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": value}, **more}


def nested(key: str, **parameters: Any) -> dict[str, Any]:
    return {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": f"https://b.s3.us-east-1.amazonaws.com/{key}",
                                                                 "Parameters": parameters}}


def test_creates_in_the_order_of_references_and_deletes_in_reverse() -> None:
    aws = Aws()
    record = aws.create({"C": parameter({"Ref": "B"}), "B": parameter({"Fn::GetAtt": ["A", "TopicArn"]}), "A": topic()},
                        Outputs={"Out": {"Value": {"Ref": "C"}}})
    assert record["status"] == "CREATE_COMPLETE"
    assert aws.world.calls == ["create A", "create B", "create C"]
    assert aws.world.things["B-2"]["Value"] == "arn:A-1"
    assert record["outputs"]["Out"]["value"] == "C-3"
    assert aws.runner.delete(record, aws.job)
    assert aws.world.calls[3:] == ["delete C", "delete B", "delete A"]
    assert record["status"] == "DELETE_COMPLETE"


def test_a_failed_creation_comes_back_whole_in_reverse_order() -> None:
    aws = Aws()
    aws.world.fail = {("create", "C")}
    record = aws.create({"A": topic(), "B": parameter({"Ref": "A"}), "C": parameter({"Ref": "B"}), "D": parameter({"Ref": "C"})})
    assert record["status"] == "ROLLBACK_COMPLETE"
    assert not aws.world.things
    assert aws.world.calls == ["create A", "create B", "create C", "delete B", "delete A"]
    stack_events = [event for event in aws.stores.at("000000000000", "us-east-1")["events"][record["StackId"]]
                    if event["LogicalResourceId"] == "s"]
    assert stack_events[1]["ResourceStatusReason"] == ("The following resource(s) failed to create: [C]. Rollback requested by user.")


def test_do_nothing_leaves_what_was_made_and_delete_takes_all() -> None:
    aws = Aws()
    aws.world.fail = {("create", "B")}
    kept = aws.create({"A": topic(), "B": parameter({"Ref": "A"})}, "DO_NOTHING")
    assert kept["status"] == "CREATE_FAILED"
    assert list(aws.world.things) == ["A-1"]
    gone = aws.create({"A": topic(), "B": parameter({"Ref": "A"})}, "DELETE")
    assert gone["status"] == "DELETE_COMPLETE"
    assert list(aws.world.things) == ["A-1"]


def test_a_failed_rollback_is_a_status_of_its_own_and_can_be_deleted() -> None:
    aws = Aws()
    aws.world.fail = {("create", "B"), ("delete", "A")}
    record = aws.create({"A": topic(), "B": parameter({"Ref": "A"})})
    assert record["status"] == "ROLLBACK_FAILED"
    assert record["reason"] == "The following resource(s) failed to delete: [A]."
    aws.world.fail = set()
    assert aws.runner.delete(record, aws.job)
    assert not aws.world.things


def test_what_is_in_progress_beside_a_failure_is_cancelled() -> None:
    aws = Aws()

    def fail_beside(verb: str, request: Request) -> None:
        if request.logical_id == "Slow" and verb == "create":
            request.job.failed.set()  # a sibling failed meanwhile
            if request.stop():
                raise Cancelled()

    aws.world.before = fail_beside
    record = aws.create({"Slow": topic()}, "DO_NOTHING")
    assert record["resources"]["Slow"]["reason"] == "Resource creation cancelled"
    assert record["resources"]["Slow"]["status"] == "CREATE_FAILED"


def test_an_update_touches_only_what_changed() -> None:
    aws = Aws()
    record = aws.create({"A": topic("x"), "B": parameter("1"), "C": topic()})
    aws.world.calls.clear()
    assert aws.update(record, {"A": topic("y"), "B": parameter("1"), "D": topic()}) == ""
    assert aws.world.calls == ["update A", "create D", "delete C"]
    assert record["status"] == "UPDATE_COMPLETE"
    order = aws.events(record)
    assert order.index("s UPDATE_COMPLETE_CLEANUP_IN_PROGRESS") < order.index("C DELETE_IN_PROGRESS") < order.index("s UPDATE_COMPLETE")
    aws.world.calls.clear()
    assert aws.update(record, {"A": topic("y"), "B": parameter(1), "D": topic()}) == ""
    assert aws.world.calls == []


def bucket(name: str, **more: Any) -> dict[str, Any]:
    return {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}, **more}


def test_a_replacement_is_made_first_and_the_old_resource_goes_last() -> None:
    aws = Aws()
    record = aws.create({"B": bucket("one"), "P": parameter({"Ref": "B"})})
    aws.world.calls.clear()
    assert aws.update(record, {"B": bucket("two"), "P": parameter({"Ref": "B"})}) == ""
    assert aws.world.calls == ["create B", "update P", "delete B"]
    assert sorted(aws.world.things) == ["B-3", "P-2"]
    assert aws.world.things["P-2"]["Value"] == "B-3"


def test_a_custom_named_resource_is_not_replaced() -> None:
    aws = Aws()
    old = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "one", "BucketNamePrefix": "a"}}
    record = aws.create({"B": old})
    new = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "one", "BucketNamePrefix": "b"}}
    aws.world.calls.clear()
    reason = aws.update(record, {"B": new})
    assert reason == "The following resource(s) failed to update: [B]."
    assert record["status"] == "UPDATE_ROLLBACK_COMPLETE"
    assert aws.world.calls == []  # refused before anything was done, so there is nothing to undo
    failed = [event["ResourceStatusReason"] for event in aws.stores.at("000000000000", "us-east-1")["events"][record["StackId"]]
              if event["ResourceStatus"] == "UPDATE_FAILED"]
    assert failed == ["CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename one and update "
                      "the stack again."]


def test_a_failed_update_puts_back_updates_replacements_and_removals() -> None:
    aws = Aws()
    record = aws.create({"A": topic("x"), "B": bucket("one"), "P": parameter({"Ref": "B"}), "Gone": topic()},
                        Outputs={"Out": {"Value": {"Ref": "P"}}})
    before, things = json.loads(json.dumps(record["resources"])), json.loads(json.dumps(aws.world.things))
    aws.world.fail = {("create", "Z")}
    aws.world.calls.clear()
    reason = aws.update(record, {"A": topic("y"), "B": bucket("two"), "P": parameter({"Ref": "B"}), "N": topic(),
                                 "Z": topic("z", DependsOn=["A", "P", "N"])})
    assert reason == "The following resource(s) failed to create: [Z]."
    assert record["status"] == "UPDATE_ROLLBACK_COMPLETE"
    assert aws.world.things == things
    assert record["operation"] is None
    assert aws.world.calls[:7] == ["update A", "create B", "create N", "update P", "create Z", "update A", "update P"]
    assert sorted(aws.world.calls[7:]) == ["delete B", "delete N"]
    assert {name: item["physical_id"] for name, item in record["resources"].items()} \
        == {name: item["physical_id"] for name, item in before.items()}
    assert record["outputs"]["Out"]["value"] == before["P"]["physical_id"]
    assert "Gone" in json.loads(record["template"])["Resources"]


def test_a_rollback_that_fails_can_be_continued_with_or_without_the_culprit() -> None:
    for skip in ([], ["A"]):
        aws = Aws()
        record = aws.create({"A": topic("x"), "B": parameter("1")})
        aws.world.fail = {("update", "A")}
        aws.update(record, {"A": topic("y"), "B": parameter("2", DependsOn=["A"])})
        assert record["status"] == "UPDATE_ROLLBACK_FAILED"
        assert record["reason"] == "The following resource(s) failed to update: [A]."
        if not skip:
            assert not aws.runner.roll_back(record, aws.job.fresh(), "User Initiated")
            aws.world.fail = set()
        assert aws.runner.roll_back(record, aws.job.fresh(), "User Initiated", skip)
        assert record["status"] == "UPDATE_ROLLBACK_COMPLETE"
        assert record["operation"] is None


def test_without_rollback_an_update_stops_and_the_next_one_goes_on() -> None:
    aws = Aws()
    record = aws.create({"A": topic("x")})
    aws.world.fail = {("create", "B")}
    aws.update(record, {"A": topic("y"), "B": parameter({"Ref": "A"})}, rollback=False)
    assert record["status"] == "UPDATE_FAILED"
    aws.world.fail = set()
    assert aws.update(record, {"A": topic("y"), "B": parameter({"Ref": "A"})}) == ""
    assert record["status"] == "UPDATE_COMPLETE"
    assert sorted(aws.world.things) == ["A-1", "B-2"]


@pytest.mark.parametrize(("policy", "kept_by_delete", "kept_by_rollback"),
                         [("Delete", False, False), ("Retain", True, True), ("RetainExceptOnCreate", True, False)])
def test_retention(policy: str, kept_by_delete: bool, kept_by_rollback: bool) -> None:
    aws = Aws()
    record = aws.create({"A": topic(DeletionPolicy=policy)})
    aws.runner.delete(record, aws.job)
    assert bool(aws.world.things) is kept_by_delete
    assert ("A DELETE_SKIPPED" in aws.events(record)) is kept_by_delete
    aws = Aws()
    aws.world.fail = {("create", "B")}
    aws.create({"A": topic(DeletionPolicy=policy), "B": topic(DependsOn="A")})
    assert bool(aws.world.things) is kept_by_rollback
    aws = Aws()
    aws.templates["child"] = body({"A": topic(DeletionPolicy=policy)})
    aws.world.fail = {("create", "B")}
    aws.create({"Child": nested("child"), "B": topic(DependsOn="Child")})
    assert bool(aws.world.things) is kept_by_rollback


def test_update_replace_policy_keeps_the_old_resource() -> None:
    aws = Aws()
    record = aws.create({"B": bucket("one", UpdateReplacePolicy="Retain")})
    aws.update(record, {"B": bucket("two", UpdateReplacePolicy="Retain")})
    assert sorted(aws.world.things) == ["B-1", "B-2"]


def test_clean_up_tries_three_times_and_then_leaves_the_resource_behind() -> None:
    aws = Aws()
    record = aws.create({"A": topic(), "B": topic()})
    aws.world.fail = {("delete", "B")}
    assert aws.update(record, {"A": topic()}) == ""
    assert record["status"] == "UPDATE_COMPLETE"
    assert aws.world.calls.count("delete B") == 3


# --- nested stacks ----------------------------------------------------------------------------------------------------


def tree(aws: Aws) -> dict[str, Any]:
    """Return a root whose second child takes an output of the first."""
    aws.templates["one"] = body({"A": topic("x")}, Outputs={"Arn": {"Value": {"Fn::GetAtt": ["A", "TopicArn"]}}})
    aws.templates["two"] = body({"P": parameter({"Ref": "Arn"})}, Parameters={"Arn": {"Type": "String"}})
    return {"One": nested("one"), "Two": nested("two", Arn={"Fn::GetAtt": ["One", "Outputs.Arn"]})}


def test_children_know_their_parent_and_go_with_it() -> None:
    aws = Aws()
    record = aws.create(tree(aws))
    two = aws.child(record, "Two")
    assert two["ParentId"] == record["StackId"]
    assert two["RootId"] == record["StackId"]
    assert two["StackName"].startswith("s-Two-")
    assert aws.world.things["P-2"]["Value"] == "arn:A-1"
    aws.runner.delete(record, aws.job)
    assert not aws.world.things
    assert two["status"] == "DELETE_COMPLETE"


def test_a_child_that_fails_takes_the_whole_tree_down_and_its_cause_is_told() -> None:
    aws = Aws()
    aws.world.fail = {("create", "P")}
    record = aws.create(tree(aws))
    assert record["status"] == "ROLLBACK_COMPLETE"
    assert not aws.world.things
    reason = next(event["ResourceStatusReason"] for event in aws.stores.at("000000000000", "us-east-1")["events"][record["StackId"]]
                  if event["LogicalResourceId"] == "Two" and event["ResourceStatus"] == "CREATE_FAILED")
    assert "was not successfully created: The following resource(s) failed to create: [P]." in reason
    two = next(child for child in aws.stores.at("000000000000", "us-east-1")["stacks"].values() if "-Two-" in child["StackName"])
    assert [line for line in aws.events(two) if line.startswith(two["StackName"])] == [
        f"{two['StackName']} {status}" for status in ("CREATE_IN_PROGRESS", "CREATE_FAILED", "DELETE_IN_PROGRESS", "DELETE_COMPLETE")]


def test_an_update_reaches_only_the_child_that_changed() -> None:
    aws = Aws()
    resources = tree(aws)
    record = aws.create(resources)
    aws.world.calls.clear()
    aws.templates["two-b"] = body({"P": parameter({"Fn::Sub": "${Arn}!"})}, Parameters={"Arn": {"Type": "String"}})
    assert aws.update(record, {**resources, "Two": {**resources["Two"], "Properties": {
        **resources["Two"]["Properties"], "TemplateURL": "https://b.s3.amazonaws.com/two-b"}}}) == ""
    assert aws.world.calls == ["update P"]
    assert aws.child(record, "One")["status"] == "CREATE_COMPLETE"
    assert aws.child(record, "Two")["status"] == "UPDATE_COMPLETE"
    assert aws.world.things["P-2"]["Value"] == "arn:A-1!"


def test_a_child_that_succeeded_comes_back_when_its_sibling_fails() -> None:
    aws = Aws()
    aws.templates["one"] = body({"A": bucket("one"), "Old": topic()}, Outputs={"Name": {"Value": {"Ref": "A"}}})
    aws.templates["two"] = body({"P": parameter({"Ref": "Name"})}, Parameters={"Name": {"Type": "String"}})
    aws.templates["one-b"] = body({"A": bucket("two"), "New": topic()}, Outputs={"Name": {"Value": {"Ref": "A"}}})
    name = {"Fn::GetAtt": ["One", "Outputs.Name"]}
    record = aws.create({"One": nested("one"), "Two": nested("two", Name=name)})
    things = json.loads(json.dumps(aws.world.things))
    aws.world.fail, aws.world.calls = {("update", "P")}, []

    def only_once(verb: str, request: Request) -> None:
        if (verb, request.logical_id) == ("update", "P") and aws.world.calls.count("update P") > 1:
            aws.world.fail = set()

    aws.world.before = only_once
    reason = aws.update(record, {"One": nested("one-b"), "Two": nested("two", Name=name)})
    assert reason == "The following resource(s) failed to update: [Two]."
    assert record["status"] == "UPDATE_ROLLBACK_COMPLETE"
    assert aws.world.things == things
    one, two = aws.child(record, "One"), aws.child(record, "Two")
    assert (one["status"], two["status"]) == ("UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")
    # Nothing old was deleted before the whole tree had succeeded, nothing new before the whole tree was back.
    assert "delete Old" not in aws.world.calls
    assert aws.world.calls.index("delete New") > max(index for index, call in enumerate(aws.world.calls) if call == "update P")
    assert one["outputs"]["Name"]["value"] == record["resources"]["Two"]["properties"]["Parameters"]["Name"] == "A-1"


def test_old_resources_of_children_go_only_when_the_whole_tree_has_succeeded() -> None:
    aws = Aws()
    aws.templates["one"] = body({"A": bucket("one")}, Outputs={"Name": {"Value": {"Ref": "A"}}})
    aws.templates["one-b"] = body({"A": bucket("two")}, Outputs={"Name": {"Value": {"Ref": "A"}}})
    after = {"Z": parameter({"Fn::GetAtt": ["One", "Outputs.Name"]})}
    record = aws.create({"One": nested("one"), **after})
    aws.world.calls.clear()
    assert aws.update(record, {"One": nested("one-b"), **after}) == ""
    assert aws.world.calls == ["create A", "update Z", "delete A"]
    assert (aws.child(record, "One")["status"], record["status"]) == ("UPDATE_COMPLETE", "UPDATE_COMPLETE")


def test_a_child_added_by_a_failed_update_is_deleted_again() -> None:
    aws = Aws()
    record = aws.create({"A": topic()})
    aws.templates["one"] = body({"B": topic(DeletionPolicy="RetainExceptOnCreate")})
    aws.world.fail = {("create", "C")}
    aws.update(record, {"A": topic(), "One": nested("one"), "C": topic(DependsOn="One")})
    assert record["status"] == "UPDATE_ROLLBACK_COMPLETE"
    assert list(aws.world.things) == ["A-1"]


def test_templates_are_read_with_the_callers_rights_and_children_need_their_own() -> None:
    aws = Aws()
    record = aws.create({"One": nested("not-there")})
    assert record["status"] == "ROLLBACK_COMPLETE"
    assert "S3 error: Access Denied" in json.dumps(aws.stores.at("000000000000", "us-east-1")["events"][record["StackId"]])
    aws = Aws()
    aws.templates["one"] = body({"A": topic()})
    aws.refused = {"cloudformation:CreateStack"}
    assert aws.create({"One": nested("one")})["status"] == "ROLLBACK_COMPLETE"
    assert not aws.world.things


def test_capabilities_are_needed_in_children_too() -> None:
    aws = Aws()
    aws.templates["one"] = body({"R": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}}})
    record = aws.create({"One": nested("one")})
    assert "Requires capabilities : [CAPABILITY_IAM]" in json.dumps(aws.stores.at("000000000000", "us-east-1")["events"][record["StackId"]])


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("resource", "reason"), [
    ({"Type": "AWS::SNS::Topic", "Properties": {"Nonsense": 1}},
     "Properties validation failed for resource R with message:\n#: extraneous key [Nonsense] is not permitted"),
    ({"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String"}},
     "Properties validation failed for resource R with message:\n#: required key [Value] not found"),
    ({"Type": "AWS::SSM::Parameter", "Properties": {"Type": "Strange", "Value": "x"}},
     "Properties validation failed for resource R with message:\n#/Type: #: Strange is not a valid enum value"),
    ({"Type": "AWS::SQS::Queue"}, "Resource type AWS::SQS::Queue is not served by the local AWS")])
def test_resources_that_cannot_be_made_fail_with_the_reason(resource: dict[str, Any], reason: str) -> None:
    aws = Aws()
    record = aws.create({"R": resource}, "DO_NOTHING")
    assert record["resources"]["R"]["reason"] == reason
    assert not aws.world.calls
    good = {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "x"}}
    assert aws.create({"R": good})["status"] == "CREATE_COMPLETE"


def test_statuses_follow_only_as_on_aws() -> None:
    aws = Aws()
    record = aws.create({"A": topic()})
    with pytest.raises(RuntimeError, match="cannot follow CREATE_COMPLETE"):
        aws.book.status(record, "ROLLBACK_COMPLETE")


# --- interruption -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "parent", "after"), [
    ("CREATE_IN_PROGRESS", None, "CREATE_FAILED"), ("UPDATE_IN_PROGRESS", None, "UPDATE_ROLLBACK_FAILED"),
    ("DELETE_IN_PROGRESS", None, "DELETE_FAILED"), ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", None, "UPDATE_COMPLETE"),
    ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
    ("REVIEW_IN_PROGRESS", None, "REVIEW_IN_PROGRESS"), ("CREATE_COMPLETE", None, "CREATE_COMPLETE")])
def test_cut_off_operations_end_where_a_next_one_can_begin(status: str, parent: str | None, after: str) -> None:
    assert engine.recover(status, parent) == after
    assert after == status or after in engine.DELETABLE


def test_leftovers_of_a_cut_off_clean_up_go_with_the_next_update_or_the_deletion() -> None:
    for last in ("update", "delete"):
        aws = Aws()
        record = aws.create({"B": bucket("one")})
        aws.runner.begin_update(record, {"template": body({"B": bucket("two")})})
        aws.runner.clean_up = lambda record, job: None  # type: ignore[method-assign]  # the process ends here
        aws.runner.update(record, aws.job.fresh())
        del aws.runner.clean_up
        record["status"] = engine.recover(record["status"], None)
        assert record["status"] == "UPDATE_COMPLETE"
        assert sorted(aws.world.things) == ["B-1", "B-2"]
        if last == "update":
            assert aws.update(record, {"B": bucket("two"), "T": topic()}) == ""
            assert sorted(aws.world.things) == ["B-2", "T-3"]
        else:
            aws.runner.delete(record, aws.job)
            assert not aws.world.things


def test_an_update_that_was_cut_off_comes_back_by_continue() -> None:
    aws = Aws()
    record = aws.create({"A": topic("x"), "B": bucket("one")})

    def power_cut(verb: str, request: Request) -> None:
        if verb == "update":
            raise KeyboardInterrupt

    aws.world.before = power_cut
    aws.runner.begin_update(record, {"template": body({"B": bucket("two"), "A": topic("y", DependsOn="B")})})
    with pytest.raises(KeyboardInterrupt):
        aws.runner.update(record, aws.job.fresh())
    aws.world.before = lambda verb, request: None
    record["status"] = engine.recover(record["status"], None)
    assert aws.runner.roll_back(record, aws.job.fresh(), "User Initiated")
    assert record["status"] == "UPDATE_ROLLBACK_COMPLETE"
    assert sorted(aws.world.things) == ["A-1", "B-2"]
    assert aws.world.things["A-1"] == {"DisplayName": "x"}


# --- rollback triggers ------------------------------------------------------------------------------------------------


def test_a_trigger_takes_an_update_back_even_after_its_resources_are_done() -> None:
    aws = Aws()
    record = aws.create({"A": topic("x")})
    record["rollback"] = {"RollbackTriggers": [{"Arn": "arn:aws:cloudwatch:us-east-1:0:alarm:a", "Type": "AWS::CloudWatch::Alarm"}],
                          "MonitoringTimeInMinutes": 5}
    started = aws.clock.now()
    aws.runner.watch = lambda record, job: "went to ALARM" if aws.clock.now() > started + 200 else ""
    assert aws.update(record, {"A": topic("y")}) == "went to ALARM"
    assert record["status"] == "UPDATE_ROLLBACK_COMPLETE"
    assert aws.world.things["A-1"] == {"DisplayName": "x"}
    aws.runner.watch = lambda record, job: ""
    started = aws.clock.now()
    assert aws.update(record, {"A": topic("y")}) == ""
    assert aws.clock.now() >= started + 300


# --- decisions --------------------------------------------------------------------------------------------------------


def test_walk_begins_what_is_free_and_stops_after_a_failure() -> None:
    walk = engine.Walk({"a": [], "b": ["a"], "c": [], "d": ["c"]})
    assert walk.take() == ["a", "c"]
    walk.finish("a", True)
    assert walk.take() == ["b"]
    walk.finish("c", False)
    assert walk.take() == []
    assert not walk.over
    walk.finish("b", True)
    assert walk.over
    assert not walk.complete
    walk = engine.Walk({"a": [], "b": ["a"], "c": []}, persevere=True)
    walk.take()
    walk.finish("a", False)
    walk.finish("c", True)
    assert walk.take() == []
    assert walk.over
    assert walk.failed == ["a"]
    assert walk.done == {"c"}


def test_decisions_compare_values_not_their_spelling() -> None:
    types = schemas("us-east-1")
    assert engine.decide("AWS::SNS::Topic", {"FifoTopic": True}, {"FifoTopic": "true"}, types).action == "none"
    assert engine.decide("AWS::SNS::Topic", {"DisplayName": "a"}, {}, types) == engine.Decision("update", ("DisplayName",))
    replaced = engine.decide("AWS::SNS::Topic", {"TopicName": "a"}, {"TopicName": "b"}, types)
    assert replaced == engine.Decision("replace", ("TopicName",), ("TopicName",))


def test_stack_tags_reach_what_has_tags_and_yield_to_its_own() -> None:
    types = schemas("us-east-1")
    own = {"Tags": [{"Key": "a", "Value": "mine"}]}
    assert engine.with_tags("AWS::SNS::Topic", own, {"a": "1", "b": "2"}, types)["Tags"] == [
        {"Key": "a", "Value": "mine"}, {"Key": "b", "Value": "2"}]
    assert engine.with_tags("AWS::SSM::Parameter", {"Tags": {"a": "mine"}}, {"a": "1", "b": "2"}, types)["Tags"] == {"a": "mine", "b": "2"}
    assert engine.with_tags("AWS::EC2::Route", {}, {"a": "1"}, types) == {}
    group = engine.with_tags("AWS::AutoScaling::AutoScalingGroup", {}, {"a": "1"}, types)
    assert group["Tags"] == [{"Key": "a", "Value": "1", "PropagateAtLaunch": True}]


@pytest.mark.parametrize(("signals", "count", "percent", "verdict"), [
    ({"a": "SUCCESS", "b": "SUCCESS"}, 2, 100, "enough"), ({"a": "SUCCESS"}, 2, 100, "wait"),
    ({"a": "SUCCESS", "b": "FAILURE"}, 2, 100, "failed"), ({"a": "FAILURE"}, 2, 50, "wait"),
    ({"a": "SUCCESS", "b": "FAILURE"}, 2, 50, "enough"), ({"a": "FAILURE", "b": "FAILURE"}, 2, 50, "failed")])
def test_signals(signals: dict[str, str], count: int, percent: int, verdict: str) -> None:
    assert engine.signal_verdict(signals, count, percent) == verdict


def test_children_that_wait_when_the_process_ends_come_back_or_go_with_their_parent() -> None:
    for last in ("continue", "delete"):
        aws = Aws()
        aws.templates["one"], aws.templates["one-b"] = body({"A": bucket("one")}), body({"A": bucket("two")})
        record = aws.create({"One": nested("one"), "Z": topic("x", DependsOn="One")})

        def power_cut(verb: str, request: Request) -> None:
            if (verb, request.logical_id) == ("update", "Z"):
                raise KeyboardInterrupt

        aws.world.before = power_cut
        aws.runner.begin_update(record, {"template": body({"One": nested("one-b"), "Z": topic("y", DependsOn="One")})})
        with pytest.raises(KeyboardInterrupt):
            aws.runner.update(record, aws.job.fresh())
        aws.world.before = lambda verb, request: None
        child = aws.child(record, "One")
        child["status"] = engine.recover(child["status"], record["status"])
        record["status"] = engine.recover(record["status"], None)
        assert (record["status"], child["status"]) == ("UPDATE_ROLLBACK_FAILED", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        if last == "continue":
            assert aws.runner.roll_back(record, aws.job.fresh(), "User Initiated")
            assert (record["status"], child["status"]) == ("UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")
            assert sorted(aws.world.things) == ["A-1", "Z-2"]
        else:
            assert aws.runner.delete(record, aws.job.fresh())
            assert not aws.world.things
