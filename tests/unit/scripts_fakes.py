"""Hand-made stand-ins for the edges of scripts/: a clock that jumps, a console that records, a small CloudFormation."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from scripts.core.console import Console
from scripts.core.world import World

PROJECT = Path(__file__).parent / "fixtures" / "project"
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
STACK = "AWS::CloudFormation::Stack"


def refusal(code: str, message: str, operation: str = "Operation") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


class FakeClock:
    """Sleeping turns it on at once."""

    def __init__(self) -> None:
        self.passed = 0.0

    def seconds(self) -> float:
        return self.passed

    def now(self) -> datetime:
        return _EPOCH + timedelta(seconds=self.passed)

    def sleep(self, seconds: float) -> None:
        self.passed += seconds


class Recorder:
    """A console with what it showed; `answers` are typed one by one."""

    def __init__(self, *answers: str) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        left = list(answers)
        self.console = Console(self.out, self.err, ask=(lambda question: left.pop(0)) if answers else None, live=False)

    @property
    def text(self) -> str:
        return self.out.getvalue()

    @property
    def errors(self) -> str:
        return self.err.getvalue()


@dataclass
class FakeCloudFormation:
    """Stacks without resources: each operation ends, after two looks, as the next of `endings` says (default: well).

    An ending is a final status, or (status, [(resource, type, status, reason)]) with the events of resources.
    """

    clock: FakeClock
    endings: list[Any] = field(default_factory=list)
    stacks: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    change_sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    refuse_change_set: str | None = None
    fail_change_set: str | None = None
    refuse_protection: str | None = None
    resource_summaries: list[dict[str, Any]] = field(default_factory=list)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def add(self, name: str, status: str, **more: Any) -> str:
        """A stack that is already there."""
        stack_id = f"arn:aws:cloudformation:us-east-1:000000000000:stack/{name}/{next(self._numbers)}"
        self.stacks[stack_id] = {
            "StackId": stack_id,
            "StackName": name,
            "StackStatus": status,
            "CreationTime": self.clock.now(),
            "_body": "",
            **more,
        }
        self.events[stack_id] = []
        self._event(stack_id, name, STACK, stack_id, status, "")
        return stack_id

    def run(self, stack_id: str, begins: str, ending: Any) -> None:
        """Begins an operation on a stack."""
        stack = self.stacks[stack_id]
        stack["StackStatus"] = begins
        self._event(stack_id, stack["StackName"], STACK, stack_id, begins, "User Initiated")
        stack["_ending"], stack["_looks"] = ending, 2

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        stack = self._find(StackName)
        if stack.get("_ending"):
            stack["_looks"] -= 1
            if stack["_looks"] <= 0:
                self._end(stack)
        return {"Stacks": [stack]}

    def create_change_set(self, **request: Any) -> dict[str, str]:
        self.calls.append("create_change_set")
        self.requests.append(request)
        if self.refuse_change_set:
            raise refusal("ValidationError", self.refuse_change_set, "CreateChangeSet")
        name = request["StackName"]
        if request["ChangeSetType"] == "CREATE":
            waiting = [
                stack for stack in self.stacks.values() if stack["StackName"] == name and stack["StackStatus"] == "REVIEW_IN_PROGRESS"
            ]
            stack_id = waiting[0]["StackId"] if waiting else self.add(name, "REVIEW_IN_PROGRESS")
        else:
            stack_id = self._find(name)["StackId"]
        identifier = f"arn:aws:cloudformation:us-east-1:000000000000:changeSet/{request['ChangeSetName']}/{next(self._numbers)}"
        unchanged = self.stacks[stack_id]["_body"] == request.get("TemplateBody", request.get("TemplateURL"))
        failed = (
            "The submitted information didn't contain changes. Submit different information to create a change set." if unchanged else None
        )
        failed = failed or self.fail_change_set
        change = {"ResourceChange": {"Action": "Add", "LogicalResourceId": "Thing", "ResourceType": "AWS::SNS::Topic"}}
        self.change_sets[identifier] = {
            "Status": "FAILED" if failed else "CREATE_COMPLETE",
            "StatusReason": failed or "",
            "Changes": [] if failed else [change],
            "StackId": stack_id,
            "_request": request,
        }
        return {"Id": identifier, "StackId": stack_id}

    def _allowed(self, operation: str, identifier: str, stack_name: str) -> dict[str, Any]:
        """The change set, for a caller whose policy names stacks and no change sets: with the change set's ARN alone nothing of it matches."""
        made = self.change_sets[identifier]
        if stack_name != made["StackId"]:
            raise refusal("AccessDenied", f"not authorized to perform: cloudformation:{operation} on resource: {identifier}", operation)
        return made

    def describe_change_set(self, ChangeSetName: str, StackName: str = "", **_: Any) -> dict[str, Any]:
        return dict(self._allowed("DescribeChangeSet", ChangeSetName, StackName))

    def list_change_sets(self, StackName: str) -> dict[str, Any]:
        return {
            "Summaries": [
                {"ChangeSetId": key} for key, made in self.change_sets.items() if made["StackId"] == self._find(StackName)["StackId"]
            ]
        }

    def delete_change_set(self, ChangeSetName: str, StackName: str = "") -> None:
        self.calls.append("delete_change_set")
        self._allowed("DeleteChangeSet", ChangeSetName, StackName)
        del self.change_sets[ChangeSetName]

    def execute_change_set(self, ChangeSetName: str, StackName: str = "") -> None:
        self.calls.append("execute_change_set")
        made = self._allowed("ExecuteChangeSet", ChangeSetName, StackName)
        request = made["_request"]
        stack = self.stacks[made["StackId"]]
        stack.update(_body=request.get("TemplateBody", request.get("TemplateURL")), Parameters=request["Parameters"], Tags=request["Tags"])
        kind = request["ChangeSetType"]
        self.run(made["StackId"], f"{kind}_IN_PROGRESS", self.endings.pop(0) if self.endings else f"{kind}_COMPLETE")

    def delete_stack(self, StackName: str) -> None:
        self.calls.append("delete_stack")
        if self._find(StackName).get("EnableTerminationProtection"):
            raise refusal("ValidationError", f"Stack [{StackName}] cannot be deleted while TerminationProtection is enabled", "DeleteStack")
        self.run(self._find(StackName)["StackId"], "DELETE_IN_PROGRESS", self.endings.pop(0) if self.endings else "DELETE_COMPLETE")

    def update_termination_protection(self, StackName: str, EnableTerminationProtection: bool) -> None:
        self.calls.append("protect" if EnableTerminationProtection else "unprotect")
        if self.refuse_protection:
            raise refusal("AccessDenied", self.refuse_protection, "UpdateTerminationProtection")
        self._find(StackName)["EnableTerminationProtection"] = EnableTerminationProtection

    def continue_update_rollback(self, StackName: str) -> None:
        self.calls.append("continue_update_rollback")
        ending = self.endings.pop(0) if self.endings else "UPDATE_ROLLBACK_COMPLETE"
        self.run(self._find(StackName)["StackId"], "UPDATE_ROLLBACK_IN_PROGRESS", ending)

    def describe_stack_events(self, StackName: str) -> dict[str, Any]:
        return {"StackEvents": self.events[self._find(StackName)["StackId"]][::-1]}

    def list_stack_resources(self, StackName: str) -> dict[str, Any]:
        return {"StackResourceSummaries": self.resource_summaries}

    def get_template(self, StackName: str, TemplateStage: str) -> dict[str, Any]:
        return {"TemplateBody": self._find(StackName)["_body"]}

    def _find(self, name_or_id: str) -> dict[str, Any]:
        if name_or_id in self.stacks:
            return self.stacks[name_or_id]
        for stack in self.stacks.values():
            if stack["StackName"] == name_or_id and stack["StackStatus"] != "DELETE_COMPLETE":
                return stack
        raise refusal("ValidationError", f"Stack with id {name_or_id} does not exist", "DescribeStacks")

    def _end(self, stack: dict[str, Any]) -> None:
        ending = stack.pop("_ending")
        status, resources = (ending, []) if isinstance(ending, str) else ending
        for resource, kind, resource_status, reason in resources:
            self._event(stack["StackId"], resource, kind, f"physical-{resource}", resource_status, reason)
        stack["StackStatus"] = status
        self._event(stack["StackId"], stack["StackName"], STACK, stack["StackId"], status, "")

    def _event(self, stack_id: str, resource: str, kind: str, physical_id: str, status: str, reason: str) -> None:
        self.clock.passed += 0.001
        self.events[stack_id].append(
            {
                "EventId": str(next(self._numbers)),
                "StackId": stack_id,
                "StackName": self.stacks[stack_id]["StackName"],
                "LogicalResourceId": resource,
                "PhysicalResourceId": physical_id,
                "ResourceType": kind,
                "ResourceStatus": status,
                "ResourceStatusReason": reason,
                "Timestamp": self.clock.now(),
            }
        )


class FakeAws:
    """Clients by service, the same in every Region. Asking for one that a test did not give is the test's failure."""

    def __init__(self, clients: Mapping[str, Any], local: bool = False, endpoint: str | None = None, account: str = "123456789012") -> None:
        self.clients = {"sts": FakeSts(account), "iam": FakeIam(), **clients}
        self.local, self.endpoint = local, endpoint

    def client(self, service: str, region: str) -> Any:
        return self.clients[service]

    def dns_suffix(self, region: str) -> str:
        return "amazonaws.com"


class FakeSts:
    def __init__(self, account: str) -> None:
        self.account = account

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": self.account, "Arn": f"arn:aws:iam::{self.account}:user/someone"}


class FakeIam:
    def list_account_aliases(self) -> dict[str, list[str]]:
        return {"AccountAliases": ["the-alias"]}


class FakeS3:
    """Objects by key; counts what is put."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.puts: list[str] = []

    def head_object(self, Bucket: str, Key: str, ExpectedBucketOwner: str) -> dict[str, Any]:
        if Key not in self.objects:
            raise refusal("404", "Not Found", "HeadObject")
        return {}

    def put_object(self, Bucket: str, Key: str, Body: bytes, ContentType: str, ExpectedBucketOwner: str) -> None:
        self.objects[Key] = Body
        self.puts.append(Key)


def a_world(root: Path, aws: Any, recorder: Recorder, clock: FakeClock) -> World:
    return World(root, {}, recorder.console, clock, lambda local, environ: aws)
