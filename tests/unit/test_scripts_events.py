"""Finding the first cause in the events of a tree of stacks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from scripts.core import events
from scripts.core.events import Event

ROOT = "arn:aws:cloudformation:us-east-1:000000000000:stack/top/1"
FLEET = "arn:aws:cloudformation:us-east-1:000000000000:stack/root-Fleet-X/2"
START = datetime(2026, 1, 1, tzinfo=UTC)
STACK = "AWS::CloudFormation::Stack"


def event(second: int, stack: str, resource: str, kind: str, status: str, reason: str = "", physical_id: str = "p") -> Event:
    return Event(
        f"{second}{resource}{status}",
        stack,
        stack.split("/")[1],
        resource,
        physical_id,
        kind,
        status,
        reason,
        START + timedelta(seconds=second),
    )


def own(second: int, stack: str, status: str, reason: str = "") -> Event:
    return event(second, stack, stack.split("/")[1], STACK, status, reason, stack)


NESTED_FAILURE = [
    own(0, ROOT, "UPDATE_IN_PROGRESS", "User Initiated"),
    event(1, ROOT, "Fleet", STACK, "UPDATE_IN_PROGRESS", physical_id=FLEET),
    own(2, FLEET, "UPDATE_IN_PROGRESS"),
    event(3, FLEET, "Topic", "AWS::SNS::Topic", "UPDATE_FAILED", "Resource update cancelled"),
    event(3, FLEET, "Group", "AWS::AutoScaling::AutoScalingGroup", "UPDATE_FAILED", "Received 1 FAILURE signal(s) out of 2"),
    own(4, FLEET, "UPDATE_ROLLBACK_IN_PROGRESS", "The following resource(s) failed to update: [Group]."),
    event(5, ROOT, "Fleet", STACK, "UPDATE_FAILED", "Embedded stack arn was not successfully updated.", FLEET),
    own(6, ROOT, "UPDATE_ROLLBACK_IN_PROGRESS", "The following resource(s) failed to update: [Fleet]."),
    event(7, FLEET, "Queue", "AWS::SQS::Queue", "DELETE_FAILED", "something else"),
    own(8, ROOT, "UPDATE_ROLLBACK_COMPLETE"),
]


def test_the_resource_in_the_nested_stack_is_the_cause_not_its_echoes() -> None:
    cause = events.first_cause(reversed(NESTED_FAILURE), ROOT)
    assert cause is not None
    assert (cause.where, cause.reason) == ("Fleet/Group", "Received 1 FAILURE signal(s) out of 2")
    assert "cloud-init-output.log" in cause.hint


def test_a_nested_stack_that_fails_without_a_resource_is_the_cause_though_the_rollback_fails_too() -> None:
    without = [e for e in NESTED_FAILURE if e.resource not in {"Group", "Topic"} and not e.reason.startswith("Embedded")]
    told = event(5, ROOT, "Fleet", STACK, "UPDATE_FAILED", "Parameters: [Size] must have values", FLEET)
    cause = events.first_cause([*without, told], ROOT)
    assert cause is not None and (cause.where, cause.reason) == ("Fleet", "Parameters: [Size] must have values")


def test_a_rollback_trigger_is_the_cause_when_no_resource_failed() -> None:
    told = [
        own(0, ROOT, "UPDATE_IN_PROGRESS", "User Initiated"),
        event(1, ROOT, "Topic", "AWS::SNS::Topic", "UPDATE_COMPLETE"),
        own(2, ROOT, "UPDATE_ROLLBACK_IN_PROGRESS", "The following alarm is in ALARM state: sample-gamma-fleet-high-severity"),
    ]
    cause = events.first_cause(told, ROOT)
    assert cause is not None and "sample-gamma-fleet-high-severity" in cause.reason and "alarm" in cause.hint


def test_a_continued_rollback_names_what_failed_in_it() -> None:
    told = [
        own(0, ROOT, "UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated"),
        event(1, ROOT, "Group", "AWS::AutoScaling::AutoScalingGroup", "UPDATE_FAILED", "no capacity"),
        own(2, ROOT, "UPDATE_ROLLBACK_FAILED", "The following resource(s) failed to update: [Group]."),
    ]
    cause = events.first_cause(told, ROOT)
    assert cause is not None and (cause.where, cause.reason) == ("Group", "no capacity")


def test_nothing_failed() -> None:
    assert events.first_cause([own(0, ROOT, "CREATE_IN_PROGRESS"), own(1, ROOT, "CREATE_COMPLETE")], ROOT) is None


def test_paths_go_through_several_levels() -> None:
    inner = "arn:aws:cloudformation:us-east-1:000000000000:stack/inner/3"
    told = [
        event(0, FLEET, "Inner", STACK, "CREATE_IN_PROGRESS", physical_id=inner),
        event(0, ROOT, "Fleet", STACK, "CREATE_IN_PROGRESS", physical_id=FLEET),
    ]
    assert events.paths(told, ROOT) == {ROOT: "", FLEET: "Fleet", inner: "Fleet/Inner"}
    assert events.place(own(1, inner, "CREATE_COMPLETE"), events.paths(told, ROOT)) == "Fleet/Inner"


def test_an_operation_begins_with_the_newest_start_of_its_own_stack() -> None:
    newest_first = [
        event(5, ROOT, "Fleet", STACK, "UPDATE_IN_PROGRESS", physical_id=FLEET),
        own(4, ROOT, "UPDATE_IN_PROGRESS", "User Initiated"),
        own(3, ROOT, "CREATE_COMPLETE"),
        own(1, ROOT, "CREATE_IN_PROGRESS"),
        own(0, ROOT, "REVIEW_IN_PROGRESS"),
    ]
    assert events.operation_start(newest_first) is newest_first[1]
    assert events.operation_start(newest_first[4:]) is None


def test_a_creation_that_deletes_what_it_made_is_one_operation() -> None:
    told = [
        own(0, ROOT, "CREATE_IN_PROGRESS", "User Initiated"),
        event(1, ROOT, "Topic", "AWS::SNS::Topic", "CREATE_FAILED", "no"),
        own(2, ROOT, "DELETE_IN_PROGRESS", "The following resource(s) failed to create: [Topic]. Delete requested by user."),
        own(3, ROOT, "DELETE_COMPLETE"),
    ]
    assert events.operation_start(told[::-1]) is told[0]


def test_the_newest_operation_is_read_from_its_beginning_in_few_pages() -> None:
    told = [own(0, ROOT, "CREATE_IN_PROGRESS", "User Initiated"), own(1, ROOT, "CREATE_COMPLETE"), own(2, ROOT, "UPDATE_IN_PROGRESS", "User Initiated"),
            own(3, ROOT, "X")]
    pages = Pages(told)
    assert [e.status for e in events.newest_operation(pages, ROOT, 5)] == ["UPDATE_IN_PROGRESS", "X"]
    assert pages.asked == 1
    many = Pages([own(0, ROOT, "UPDATE_IN_PROGRESS", "User Initiated"), *(own(second, ROOT, f"S{second}") for second in range(1, 9))])
    assert len(events.newest_operation(many, ROOT, 2)) == 4
    assert len(events.read(many, ROOT, None, most_pages=3)) == 6


def test_an_echo_is_what_failed_only_because_another_did() -> None:
    echoes = [e for e in NESTED_FAILURE if e.failed and events.is_echo(e)]
    assert [e.resource for e in echoes] == ["Topic", "Fleet"]


class Pages:
    """DescribeStackEvents in pages of two, newest first."""

    def __init__(self, told: list[Event]) -> None:
        self.told, self.asked = told[::-1], 0

    def describe_stack_events(self, StackName: str, NextToken: str = "0") -> dict[str, object]:
        self.asked += 1
        start = int(NextToken)
        rows = [
            {
                "EventId": e.id,
                "StackId": e.stack_id,
                "StackName": e.stack_name,
                "LogicalResourceId": e.resource,
                "PhysicalResourceId": e.physical_id,
                "ResourceType": e.type,
                "ResourceStatus": e.status,
                "Timestamp": e.time,
            }
            for e in self.told[start : start + 2]
        ]
        return {"StackEvents": rows, **({"NextToken": str(start + 2)} if start + 2 < len(self.told) else {})}


def test_reading_stops_at_what_is_known() -> None:
    told = [own(second, ROOT, f"S{second}") for second in range(6)]
    pages = Pages(told)
    assert [e.status for e in events.read(pages, ROOT, None)] == ["S0", "S1", "S2", "S3", "S4", "S5"]
    pages.asked = 0
    assert [e.status for e in events.read(pages, ROOT, None, seen={told[4].id})] == ["S5"]
    assert pages.asked == 1
    assert [e.status for e in events.read(pages, ROOT, START + timedelta(seconds=3))] == ["S3", "S4", "S5"]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("User: arn:x is not authorized to perform: iam:PassRole on resource: y", "allow iam:PassRole"),
        ("The maximum number of addresses has been reached.", "Service Quotas"),
        ("sample already exists in stack arn:x", "delete or rename it"),
        ("The bucket you tried to delete is not empty", "empty the bucket"),
        ("Something new", ""),
    ],
)
def test_hints(reason: str, said: str) -> None:
    found = events.hint(reason, "AWS::X::Y")
    assert said in found
    assert bool(found) == bool(said)
