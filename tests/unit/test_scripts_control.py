"""Orders to the rollback function, over a stand-in for it: what is sent, what is refused, how a way back is watched."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripts_fakes import PROJECT, FakeAws, FakeClock, FakeCloudFormation, Recorder, a_world, refusal

from scripts import block, override, rollback, unblock
from scripts.core import control, follow
from scripts.core.errors import CommandError, WrongUse

GOOD, BAD = "a" * 40, "b" * 40
CALLER = "arn:aws:iam::000000000000:user/someone"


def a_group(region: str, running: str, desired: bool, flight: str = "") -> dict[str, Any]:
    in_flight = {"deployment": flight, "commit": GOOD} if flight else None
    return {"region": region, "scope": "fleet", "group": "g", "running": running, "desired": desired, "in_flight": in_flight, "note": ""}


def described(*groups: dict[str, Any], under_way: bool = False, blocked: str = "", log: tuple[str, ...] = ()) -> dict[str, Any]:
    """An answer to `describe`: the good release is desired."""
    record = {"desired": GOOD, "last_good": GOOD, "last_good_at": 1767225600, "goods": [GOOD], "override": None}
    record["rollback"] = {"bad": BAD, "to": GOOD, "reason": "faults", "by": "gate", "began": 1767225600, "alarm": "x"} if under_way else None
    record["blocked"] = {"reason": blocked, "by": "gate", "at": 1767225600} if blocked else None
    releases = [{"commit": BAD, "bad": {"reason": "faults", "where": "OneBox", "at": 1}}, {"commit": GOOD, "bad": None}]
    entries = [{"at": f"2026-01-01T00:00:0{index}Z", "kind": "step", "text": text} for index, text in enumerate(log)][::-1]
    return {"ok": True, "error": None, "record": record, "groups": list(groups), "releases": releases, "log": entries}


class FakeFunction:
    """Answers `describe` with one description after the other (the last again and again), `plan` with `plan` or a good one, other orders with `answer`."""

    def __init__(self, *descriptions: Any, answer: Any = None) -> None:
        self.descriptions, self.answer, self.orders = list(descriptions), answer or {"ok": True, "error": None}, []  # type: ignore[var-annotated]
        self.plan: Any = None
        self.before: Any = None

    def invoke(self, FunctionName: str, InvocationType: str, Payload: bytes) -> dict[str, Any]:
        assert (FunctionName, InvocationType) == ("the-function", "RequestResponse")
        order = json.loads(Payload)
        self.orders.append(order)
        given = self.answer
        if order["command"] == "describe":
            given = self.before = self.descriptions.pop(0) if len(self.descriptions) > 1 else self.descriptions[0]
        if order["command"] == "plan":
            plan = {"to": order["to"] or GOOD, "wrong": None, "known": True, "final": "Wave2", "blocks": True, "choices": []}
            given = self.plan or {**self.before, "plan": plan}
        if isinstance(given, Exception):
            raise given
        raised = {"FunctionError": "Unhandled"} if "errorMessage" in given else {}
        return {"StatusCode": 200, "Payload": io.BytesIO(json.dumps(given).encode()), **raised}

    def given(self, command: str) -> list[dict[str, Any]]:
        return [order for order in self.orders if order["command"] == command]


class Place:
    """The small project with a prod and a deployed pipeline, and the function behind it."""

    def __init__(self, folder: Path, function: FakeFunction, pipeline: bool = True) -> None:
        self.root = Path(shutil.copytree(PROJECT, folder / "project"))
        overlay = (self.root / "parameters/local/gamma.yaml").read_text()
        (self.root / "parameters/prod.yaml").write_text((self.root / "parameters/gamma.yaml").read_text())
        (self.root / "parameters/local/prod.yaml").write_text(overlay)
        text = "template: pipeline\naccount: '000000000000'\nregions: [us-east-1]\nparameters: {ServiceName: sample}\n"
        (self.root / "parameters/pipeline.yaml").write_text(text)
        self.clock, self.recorder, self.function = FakeClock(), Recorder(), function
        self.cloudformation = FakeCloudFormation(self.clock)
        if pipeline:
            outputs = [{"OutputKey": "RollbackFunctionName", "OutputValue": "the-function"}]
            self.cloudformation.add("sample-pipeline", "CREATE_COMPLETE", Outputs=outputs)
        aws = FakeAws({"cloudformation": self.cloudformation, "lambda": function}, local=True, account="000000000000")
        self.world = a_world(self.root, aws, self.recorder, self.clock)

    def run(self, command: Any, *options: str, environment: str = "prod") -> int:
        agreed = ["--yes"] if command is rollback else []
        return int(command.main(["--env", environment, "--local", *agreed, *options], self.world))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Place]:
    return lambda *descriptions, **more: Place(tmp_path, FakeFunction(*descriptions, answer=more.pop("answer", None)), **more)


def test_a_rollback_is_ordered_with_who_and_why_and_watched_to_its_end(make: Callable[..., Place]) -> None:
    place = make(
        described(a_group("us-east-1", BAD, False), log=("old news",)),
        described(a_group("us-east-1", BAD, False, "d-1"), under_way=True, log=("old news", "d-1 begins")),
        described(a_group("us-east-1", GOOD, True), under_way=True, log=("old news", "d-1 begins")),
        described(a_group("us-east-1", GOOD, True), blocked="rolled back", log=("old news", "d-1 begins", "done")),
    )
    assert place.run(rollback, "--reason", " it's slow ") == 0
    (order,) = place.function.given("rollback")
    assert order == {"command": "rollback", "environment": "prod", "to": GOOD, "reason": "it's slow", "by": CALLER, "force": False, "expected": [BAD]}
    assert place.recorder.text.startswith("Target:")
    assert [line.split("] ")[1] for line in place.recorder.text.splitlines() if line.startswith("  [")] == ["d-1 begins", "done"]
    assert f"done: us-east-1/fleet run {GOOD[:12]}" in place.recorder.text and "make unblock ENV=prod" in place.recorder.text


def test_a_region_that_never_had_a_release_does_not_keep_a_way_back_from_its_end() -> None:
    empty = {**a_group("eu-west-1", "", False), "note": follow.NOTHING_YET}
    now = follow.standing(described(a_group("us-east-1", GOOD, True), empty, under_way=False))
    assert now.done and now.arrived == ("us-east-1/fleet",) and not now.hopeless


def test_a_group_with_a_deployment_in_flight_has_not_arrived() -> None:
    now = follow.standing(described(a_group("us-east-1", GOOD, True, "d-2"), a_group("us-west-2", GOOD, True)))
    assert now.left == (f"us-east-1/fleet d-2 to {GOOD[:12]}",) and now.arrived == ("us-west-2/fleet",) and not now.done


def test_a_way_back_that_does_not_end_is_an_error_that_says_where_it_is(make: Callable[..., Place]) -> None:
    place = make(described(a_group("us-east-1", BAD, False), under_way=True))
    assert place.run(rollback, "--reason", "x", "--wait-minutes", "5") == 1
    assert f"us-east-1/fleet runs {BAD[:12]}" in place.recorder.errors and "goes on" in place.recorder.errors
    assert 300 <= place.clock.passed < 320
    assert place.recorder.text.count("0 of 1 groups run") > 5  # a line now and then where there is no terminal


def test_what_the_function_gives_up_is_an_error_long_before_the_time_is_over(make: Callable[..., Place]) -> None:
    stuck = described(a_group("us-east-1", GOOD, True), a_group("us-west-2", BAD, False), under_way=True, log=("west has no bundle of it",))
    stuck["record"]["rollback"]["paged"] = {"r-1/began": {"sent": True}, "r-1/stuck/us-west-2/fleet": {"sent": True}}
    stuck["log"][0]["kind"] = "page"
    place = make(described(), stuck)
    assert place.run(rollback, "--reason", "x") == 1
    assert "PAGED: west has no bundle of it" in place.recorder.text and place.clock.passed < 120
    assert f"cannot go back to {GOOD[:12]} by itself\n  reason: us-west-2/fleet runs {BAD[:12]}" in place.recorder.errors


def test_a_rollback_that_ended_with_nothing_to_go_back_to_is_an_error(make: Callable[..., Place]) -> None:
    ended = described(a_group("us-east-1", BAD, False), log=("THERE IS NOTHING TO GO BACK TO",))
    place = make(described(), ended)
    assert place.run(rollback, "--reason", "x") == 1 and place.clock.passed < 120
    assert "NOTHING TO GO BACK TO" in place.recorder.text


def test_what_is_stuck_waits_for_what_is_in_flight() -> None:
    both = described(a_group("us-east-1", BAD, False, "d-1"), a_group("us-west-2", BAD, False), under_way=True)
    both["record"]["rollback"]["paged"] = {"r-1/stuck/us-west-2/fleet": {"sent": True}}
    assert not follow.standing(both).hopeless


def test_a_description_that_fails_now_and_then_does_not_end_the_watch(make: Callable[..., Place]) -> None:
    here, there = described(a_group("us-east-1", BAD, False)), described(a_group("us-east-1", GOOD, True))
    assert make(here, refusal("ThrottlingException", "slow down", "Invoke"), there).run(rollback, "--reason", "x") == 0


def test_a_description_that_fails_always_does(make: Callable[..., Place]) -> None:
    place = make(described(a_group("us-east-1", BAD, False)), {"errorType": "KeyError", "errorMessage": "'desired'"})
    assert place.run(rollback, "--reason", "x") == 1
    assert "KeyError: 'desired'" in place.recorder.errors


def test_a_prefix_names_a_release_and_force_is_passed_on(make: Callable[..., Place]) -> None:
    place = make(described(a_group("us-east-1", GOOD, True)))
    assert place.run(rollback, "--reason", "x", "--to", BAD[:7].upper(), "--force", "--no-wait") == 0
    (order,) = place.function.given("rollback")
    assert order["to"] == BAD and order["force"] is True
    assert len(place.function.given("describe")) == 1 and "not watched" in place.recorder.text


@pytest.mark.parametrize(
    ("to", "said"),
    [("main", "is not a commit"), ("bbbbbb", "at least 7"), ("ccccccc", "there is no such release"), (BAD + "b", "is not a commit")],
)
def test_a_release_that_cannot_be_meant_is_refused_before_anything(make: Callable[..., Place], to: str, said: str) -> None:
    place = make(described())
    assert place.run(rollback, "--reason", "x", "--to", to) == 2
    assert said in place.recorder.errors and place.function.given("rollback") == []


def test_a_prefix_of_two_releases_is_refused_and_a_whole_commit_is_the_functions_to_judge() -> None:
    known = {"releases": [{"commit": "abcdef0" + "1" * 33}, {"commit": "abcdef0" + "2" * 33}]}
    with pytest.raises(WrongUse, match="begins several"):
        control.find_release(known, "abcdef0", "TO")
    assert control.find_release(known, "abcdef01", "TO").endswith("1")
    assert control.find_release(known, "c" * 40, "TO") == "c" * 40


@pytest.mark.parametrize("command", [rollback, block, unblock])
@pytest.mark.parametrize("reason", [[], ["--reason", ""], ["--reason", "  "]])
def test_without_a_reason_nothing_is_asked(make: Callable[..., Place], command: Any, reason: list[str]) -> None:
    place = make(described())
    assert place.run(command, *reason) == 2
    assert "a reason is missing" in place.recorder.errors and place.function.orders == []


@pytest.mark.parametrize(("command", "name"), [(block, "block"), (unblock, "unblock")])
def test_block_and_unblock_are_ordered(make: Callable[..., Place], command: Any, name: str) -> None:
    place = make(described())
    assert place.run(command, "--reason", "holidays") == 0
    more = {"force": False} if command is unblock else {}
    assert place.function.orders == [{"command": name, "environment": "prod", "reason": "holidays", "by": CALLER, **more}]


def test_a_rollback_is_given_up_by_force_only(make: Callable[..., Place]) -> None:
    place = make(described())
    assert place.run(unblock, "--reason", "x", "--force") == 0
    assert place.function.orders[0]["force"] is True


def test_a_region_that_does_not_answer_is_not_there_yet() -> None:
    silent = {"region": "eu-west-1", "scope": None, "group": None, "running": None, "desired": False, "in_flight": None, "note": "does not answer: x"}
    now = follow.standing(described(a_group("us-east-1", GOOD, True), silent, under_way=True))
    assert now.left == ("eu-west-1 does not answer: x",) and "None" not in follow.groups_table(described(silent))


def test_an_override_is_for_one_release(make: Callable[..., Place]) -> None:
    place = make(described())
    assert place.run(override, "--reason", "x") == 2 and "no release is named" in place.recorder.errors
    assert place.run(override, "--reason", "the remedy", "--release", GOOD[:10]) == 0
    assert place.function.given("override") == [
        {"command": "override", "environment": "prod", "commit": GOOD, "reason": "the remedy", "by": CALLER}
    ]


def test_what_the_function_refuses_is_told_in_its_words(make: Callable[..., Place]) -> None:
    place = make(described(), answer={"ok": False, "error": "prod is not blocked"})
    assert place.run(unblock, "--reason", "x") == 1
    assert "unblock of prod was refused\n  reason: prod is not blocked" in place.recorder.errors


def test_an_answer_in_no_known_form_is_not_taken_for_a_yes(make: Callable[..., Place]) -> None:
    place = make(described(), answer={"statusCode": 200})
    assert place.run(unblock, "--reason", "x") == 1
    assert "gave no answer to unblock" in place.recorder.errors


@pytest.mark.parametrize("command", [rollback, block, unblock])
def test_before_there_is_a_pipeline_it_says_what_to_run(make: Callable[..., Place], command: Any) -> None:
    place = make(described(), pipeline=False)
    assert place.run(command, "--reason", "x") == 1
    assert "the stack sample-pipeline does not exist" in place.recorder.errors and "make deploy ENV=pipeline" in place.recorder.errors


def test_the_pipeline_is_no_environment(make: Callable[..., Place]) -> None:
    place = make(described())
    assert place.run(block, "--reason", "x", environment="pipeline") == 2
    assert "is not an environment that releases go to" in place.recorder.errors


def test_a_function_that_is_gone_is_named() -> None:
    function = FakeFunction(refusal("ResourceNotFoundException", "Function not found", "Invoke"))
    with pytest.raises(CommandError, match="there is no function the-function"):
        control.Control(function, "the-function", "prod", CALLER).describe()
