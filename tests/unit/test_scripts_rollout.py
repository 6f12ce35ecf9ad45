"""Deploying over whatever state an earlier operation left."""

from __future__ import annotations

import pytest
from scripts_fakes import FakeClock, FakeCloudFormation, Recorder

from scripts.core import changesets, recover, rollout, stacks, watch
from scripts.core.changesets import Request
from scripts.core.errors import CommandError
from scripts.core.progress import Board
from scripts.core.recover import Driver
from scripts.core.stacks import Step

NAME = "sample-environment-gamma"


def request(**more: object) -> Request:
    fields: dict[str, object] = {
        "stack_name": NAME,
        "region": "us-east-1",
        "template_text": "new",
        "template_url": None,
        "parameters": {"A": "1"},
        "tags": {},
        "nested": False,
        **more,
    }
    return Request(**fields)  # type: ignore[arg-type]


class Bench:
    """One Region with its stand-ins."""

    def __init__(self, *answers: str) -> None:
        self.clock, self.recorder = FakeClock(), Recorder(*answers)
        self.cloudformation = FakeCloudFormation(self.clock)

    def driver(self, yes: bool = True) -> Driver:
        console = self.recorder.console
        return Driver(
            self.cloudformation, "us-east-1", Board(console), self.clock, 2.0, False, lambda question: console.confirm(question, yes)
        )

    def deploy(
        self, wanted: Request | None = None, yes: bool = True, adjust: rollout.Adjust = lambda request, stack: request
    ) -> stacks.Stack:
        work = {"us-east-1": (self.driver(yes), wanted or request())}
        return rollout.deploy(work, self.recorder.console, self.clock, yes, False, adjust)["us-east-1"]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(
    ("status", "step"),
    [
        (None, Step.CREATE),
        ("DELETE_COMPLETE", Step.CREATE),
        ("REVIEW_IN_PROGRESS", Step.REMOVE_REVIEW),
        ("CREATE_IN_PROGRESS", Step.WAIT),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Step.WAIT),
        ("UPDATE_ROLLBACK_IN_PROGRESS", Step.WAIT),
        ("DELETE_IN_PROGRESS", Step.WAIT),
        ("ROLLBACK_COMPLETE", Step.DELETE_FIRST),
        ("ROLLBACK_FAILED", Step.DELETE_FIRST),
        ("CREATE_FAILED", Step.DELETE_FIRST),
        ("DELETE_FAILED", Step.DELETE_FIRST),
        ("UPDATE_ROLLBACK_FAILED", Step.CONTINUE_ROLLBACK),
        ("UPDATE_ROLLBACK_COMPLETE", Step.UPDATE),
        ("CREATE_COMPLETE", Step.UPDATE),
        ("UPDATE_FAILED", Step.BY_HAND),
    ],
)
def test_the_step_for_each_status(status: str | None, step: Step) -> None:
    assert stacks.next_step(status) is step


def test_a_first_deploy_creates(bench: Bench) -> None:
    assert bench.deploy().status == "CREATE_COMPLETE"
    assert "create, 1 added" in bench.recorder.text
    assert bench.cloudformation.requests[0]["Capabilities"] == ["CAPABILITY_IAM"]
    assert "RollbackConfiguration" not in bench.cloudformation.requests[0]


def test_an_unchanged_stack_needs_no_change_set(bench: Bench) -> None:
    bench.deploy()
    bench.cloudformation.calls.clear()
    bench.deploy()
    assert bench.cloudformation.calls == []
    assert "no change" in bench.recorder.text


def test_a_changed_value_is_a_change(bench: Bench) -> None:
    bench.deploy()
    assert bench.deploy(request(parameters={"A": "2"}, template_text="newer")).status == "UPDATE_COMPLETE"


def test_an_empty_change_set_is_success_and_leaves_nothing(bench: Bench) -> None:
    bench.deploy()
    assert bench.deploy(request(no_shortcut=True)).status == "CREATE_COMPLETE"
    assert bench.cloudformation.calls[-2:] == ["create_change_set", "delete_change_set"]


def test_after_a_failed_create_the_stack_is_made_anew(bench: Bench) -> None:
    bench.cloudformation.add(NAME, "ROLLBACK_COMPLETE")
    assert bench.deploy().status == "CREATE_COMPLETE"
    assert bench.cloudformation.calls[0] == "delete_stack"
    assert "deleting it and creating it again" in bench.recorder.text


@pytest.mark.parametrize("status", ["CREATE_FAILED", "ROLLBACK_FAILED", "DELETE_FAILED"])
def test_a_stack_that_still_has_resources_is_deleted_only_if_agreed(status: str) -> None:
    refusing = Bench("n")
    refusing.cloudformation.add(NAME, status)
    with pytest.raises(CommandError, match="left as it is"):
        refusing.deploy(yes=False)
    assert "delete_stack" not in refusing.cloudformation.calls
    agreeing = Bench("y", "y")
    agreeing.cloudformation.add(NAME, status)
    assert agreeing.deploy(yes=False).status == "CREATE_COMPLETE"


def test_a_left_over_review_is_removed_first(bench: Bench) -> None:
    stack_id = bench.cloudformation.add(NAME, "REVIEW_IN_PROGRESS")
    bench.cloudformation.change_sets["old"] = {"StackId": stack_id, "Status": "CREATE_COMPLETE"}
    assert bench.deploy().status == "CREATE_COMPLETE"
    assert bench.cloudformation.calls[:2] == ["delete_change_set", "delete_stack"]


def test_a_failed_rollback_is_continued_then_the_deploy_goes_on(bench: Bench) -> None:
    bench.cloudformation.add(NAME, "UPDATE_ROLLBACK_FAILED")
    assert bench.deploy().status == "UPDATE_COMPLETE"
    assert bench.cloudformation.calls[0] == "continue_update_rollback"


def test_a_rollback_that_fails_again_names_the_resource(bench: Bench) -> None:
    bench.cloudformation.add(NAME, "UPDATE_ROLLBACK_FAILED")
    bench.cloudformation.endings = [("UPDATE_ROLLBACK_FAILED", [("Group", "T", "UPDATE_FAILED", "no capacity")])]
    with pytest.raises(CommandError, match="Group: no capacity"):
        bench.deploy()


def test_an_interrupted_deploy_is_watched_to_its_end_and_gone_on_with(bench: Bench) -> None:
    stack_id = bench.cloudformation.add(NAME, "REVIEW_IN_PROGRESS")
    bench.cloudformation.run(stack_id, "CREATE_IN_PROGRESS", "CREATE_COMPLETE")
    assert bench.deploy().status == "UPDATE_COMPLETE"
    assert "waiting for it" in bench.recorder.text
    assert "delete_stack" not in bench.cloudformation.calls


def test_a_failure_gives_the_first_cause(bench: Bench) -> None:
    bench.cloudformation.endings = [
        (
            "ROLLBACK_COMPLETE",
            [
                ("Role", "AWS::IAM::Role", "CREATE_FAILED", "Resource creation cancelled"),
                ("Bucket", "AWS::S3::Bucket", "CREATE_FAILED", "the name is taken"),
            ],
        )
    ]
    with pytest.raises(CommandError) as caught:
        bench.deploy()
    assert "first cause was Bucket (AWS::S3::Bucket) CREATE_FAILED" in str(caught.value)
    assert caught.value.reason == "the name is taken"
    assert "ROLLBACK_COMPLETE in" in bench.recorder.text


def test_a_refused_change_set_says_why(bench: Bench) -> None:
    bench.cloudformation.refuse_change_set = "Template format error: unresolved resource dependencies [X]"
    with pytest.raises(CommandError, match=r"unresolved resource dependencies \[X\]"):
        bench.deploy()


def test_a_failed_change_set_leaves_no_empty_stack(bench: Bench) -> None:
    bench.cloudformation.fail_change_set = "Parameters: [Colour] do not exist"
    with pytest.raises(CommandError, match="do not exist"):
        bench.deploy()
    assert bench.cloudformation.change_sets == {}
    assert stacks.find(bench.cloudformation, NAME).status in {"DELETE_IN_PROGRESS", "DELETE_COMPLETE"}  # type: ignore[union-attr]


def test_a_no_changes_nothing_and_leaves_nothing() -> None:
    bench = Bench("n")
    with pytest.raises(CommandError, match="Nothing was changed"):
        bench.deploy(yes=False)
    assert "execute_change_set" not in bench.cloudformation.calls
    assert bench.cloudformation.calls[-2:] == ["delete_change_set", "delete_stack"]


def test_without_a_terminal_nothing_is_executed_unasked(bench: Bench) -> None:
    bench.recorder.console._can_ask = False
    with pytest.raises(CommandError, match="YES=1"):
        bench.deploy(yes=False)
    assert "execute_change_set" not in bench.cloudformation.calls


def test_triggers_are_given_and_an_empty_list_removes_them(bench: Bench) -> None:
    bench.deploy()
    alarm = "arn:aws:cloudwatch:us-east-1:000000000000:alarm:sample-gamma-fleet-high-severity"
    bench.deploy(request(template_text="2", triggers=(alarm,), monitor_minutes=5))
    assert bench.cloudformation.requests[-1]["RollbackConfiguration"] == {
        "RollbackTriggers": [{"Arn": alarm, "Type": "AWS::CloudWatch::CompositeAlarm"}],
        "MonitoringTimeInMinutes": 5,
    }
    bench.deploy(request(template_text="3", triggers=(), monitor_minutes=5))
    assert bench.cloudformation.requests[-1]["RollbackConfiguration"] == {"RollbackTriggers": [], "MonitoringTimeInMinutes": 0}


def test_one_region_that_cannot_be_planned_stops_all_before_anything_is_executed() -> None:
    good, bad = Bench(), Bench()
    bad.cloudformation.refuse_change_set = "no"
    work = {"a": (good.driver(), request()), "b": (bad.driver(), request())}
    with pytest.raises(CommandError):
        rollout.deploy(work, good.recorder.console, good.clock, True, False)
    assert good.cloudformation.change_sets == {} and "execute_change_set" not in good.cloudformation.calls


def test_a_nested_preview_that_cannot_know_values_falls_back_to_the_root(bench: Bench) -> None:
    limit = "Template error: Fn::Select cannot select nonexistent value at index 1"

    class Limited(FakeCloudFormation):
        def create_change_set(self, **call: object) -> dict[str, str]:
            self.fail_change_set = limit if call["IncludeNestedStacks"] else None
            return super().create_change_set(**call)

    bench.cloudformation = Limited(bench.clock)
    assert bench.deploy(request(nested=True)).status == "CREATE_COMPLETE"
    assert [call["IncludeNestedStacks"] for call in bench.cloudformation.requests] == [True, False]
    assert "note: CloudFormation cannot preview" in bench.recorder.text


def test_a_watch_is_bounded_and_says_how_to_go_on(bench: Bench) -> None:
    stack_id = bench.cloudformation.add(NAME, "CREATE_IN_PROGRESS")
    driver = bench.driver()
    with pytest.raises(CommandError, match="run the same command again"):
        driver.watch(stack_id, watch.Mark(None, frozenset()), "x")
    assert bench.clock.passed > watch.LONGEST_SECONDS


def test_a_status_from_before_the_operation_is_not_taken_for_its_end(bench: Bench) -> None:
    stack_id = bench.cloudformation.add(NAME, "CREATE_COMPLETE")
    begun = watch.mark(bench.cloudformation, stack_id)

    class Late(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if bench.cloudformation.stacks[stack_id]["StackStatus"] == "CREATE_COMPLETE":
                bench.cloudformation.run(stack_id, "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE")

    driver = Driver(bench.cloudformation, "us-east-1", Board(bench.recorder.console), Late(), 2.0, False, lambda question: True)
    assert driver.watch(stack_id, begun, "x").stack.status == "UPDATE_COMPLETE"


def test_deleting_that_fails_gives_the_cause(bench: Bench) -> None:
    stack_id = bench.cloudformation.add(NAME, "CREATE_COMPLETE")
    bench.cloudformation.endings = [
        ("DELETE_FAILED", [("Bucket", "AWS::S3::Bucket", "DELETE_FAILED", "The bucket you tried to delete is not empty")])
    ]
    stack = stacks.find(bench.cloudformation, stack_id)
    assert stack is not None
    with pytest.raises(CommandError, match=r"Bucket .*not empty") as caught:
        recover.delete(bench.driver(), stack, "deleting")
    assert "empty the bucket" in caught.value.next_step


def test_a_change_of_tags_alone_is_a_change() -> None:
    stack = stacks.Stack("id", NAME, "UPDATE_COMPLETE", "", {"A": "1"}, {}, {"team": "x"}, None)
    assert changesets.is_unchanged(stack, "new\n", request(tags={"team": "x"}))
    assert not changesets.is_unchanged(stack, "new", request(tags={"team": "y"}))
    assert not changesets.is_unchanged(stack, "old", request(tags={"team": "x"}))
    assert not changesets.is_unchanged(stack, None, request(tags={"team": "x"}))


def in_waves(*waves: list[str], endings: dict[str, str]) -> tuple[dict[str, Bench], dict[str, str], CommandError | None]:
    """Three Regions, each with its own CloudFormation; `endings` says how one ends if not well."""
    benches = {region: Bench() for region in ("a", "b", "c")}
    for region, ending in endings.items():
        benches[region].cloudformation.endings = [ending]
    work = {region: (bench.driver(), request()) for region, bench in benches.items()}
    verdict: dict[str, str] = {}
    first = benches["a"]
    try:
        rollout.deploy(work, first.recorder.console, first.clock, True, False, waves=waves, verdict=verdict)
    except CommandError as error:
        return benches, verdict, error
    return benches, verdict, None


def test_waves_follow_one_another_and_the_verdict_names_every_region() -> None:
    benches, verdict, error = in_waves(["b"], ["c", "a"], endings={})
    assert error is None and verdict == {"b": "CREATE_COMPLETE", "c": "CREATE_COMPLETE", "a": "CREATE_COMPLETE"}
    assert list(verdict) == ["b", "c", "a"]
    lines = [line for line in benches["a"].recorder.text.splitlines() if line.startswith("wave")]
    assert lines == ["wave 1 of 2: b", "wave 2 of 2: c, a"]


def test_a_wave_that_fails_stops_the_next() -> None:
    benches, verdict, error = in_waves(["a"], ["b"], ["c"], endings={"b": "ROLLBACK_COMPLETE"})
    assert error is not None
    assert verdict == {"a": "CREATE_COMPLETE", "b": "ROLLBACK_COMPLETE", "c": "not begun"}
    untouched = benches["c"].cloudformation
    assert "execute_change_set" not in untouched.calls and untouched.change_sets == {}
    assert "not begun, because a wave before it failed: c" in benches["a"].recorder.text


def test_regions_of_one_wave_are_brought_to_their_end() -> None:
    benches, verdict, error = in_waves(["a", "b"], ["c"], endings={"a": "ROLLBACK_COMPLETE"})
    assert error is not None and verdict == {"a": "ROLLBACK_COMPLETE", "b": "CREATE_COMPLETE", "c": "not begun"}
    assert benches["b"].cloudformation.calls[-1] == "execute_change_set"
