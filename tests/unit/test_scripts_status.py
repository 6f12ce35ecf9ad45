"""`make status`: what runs against what should, for how long, who took what back; in five Regions, some of which fail; once, and again and again."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from reading_place import BAD, DAY, GOOD, HOUR, NEW, NOW, OLD, Place
from scripts_fakes import Recorder

from localaws.service import ServiceError
from scripts import status
from scripts.core import layout, running, standing
from scripts.core.console import Console
from scripts.core.errors import Interrupted
from scripts.core.pipelines import Execution, PipelineState
from scripts.core.reading import Gatherer, Late
from scripts.core.standing import Ledger, Status, Unread


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)  # botocore's pauses between tries
    return Place(tmp_path)


def test_it_says_what_runs_where_for_how_long_and_who_took_what_back(place: Place) -> None:
    text = place.run(status)
    assert f"desired release {GOOD[:12]}, last good {GOOD[:12]} since 2025-12-31 21:00:00 UTC (3 h)" in text
    for region in ("us-east-1", "us-west-2", "eu-west-1"):
        assert f"onebox ({region}): {GOOD[:12]} for 3 h, last good" in text and f"fleet ({region}): {GOOD[:12]} for 3 h, last good" in text
    assert f"last rollback from {BAD[:12]} to {OLD[:12]} at 2025-12-31 00:13:31 UTC, by handsoff, took 3 min 20 s" in text
    assert f"bad release {BAD[:12]}, seen in prod: OneBox/Gate" in text
    assert "OneBox*  Succeeded  aaaaaaaaaaaa  for 2 h" in text and "newest execution e-5: InProgress for 10 min cccccccccccc Newer answers" in text
    assert "deployment window MON TUE 08-15 UTC" in text and "alarms (3 metric alarms OK)" in text


def test_gamma_has_no_window_and_its_own_stages(place: Place) -> None:
    text = place.run(status, environment="gamma")
    assert "window" not in text and "Gamma*" in text and "OneBox*" not in text


def test_without_an_environment_the_pipeline_stands_once_and_stacks_too(place: Place) -> None:
    text = place.run(status, environment="")
    assert [line for line in text.splitlines() if line and not line.startswith((" ", "Target"))] == ["gamma", "pipeline", "prod"]
    stores = [line for line in text.splitlines() if line.split()[:2] == ["sample-release-store", "us-east-1"]]
    assert text.count("  pipeline sample\n") == 1 and len(stores) == 1


def test_no_function_is_called(place: Place) -> None:
    place.run(status)
    assert "lambda" not in {service for service, _ in place.aws.called}


def test_a_rollback_a_block_and_an_override_say_who_and_since_when(place: Place) -> None:
    place.table.add("environment#prod", name="prod", desired=OLD, last_good=OLD, last_good_at=int(NOW - 9 * DAY), goods=[OLD], version=4,
                    blocked={"reason": "faults in OneBox", "by": "handsoff", "at": int(NOW - 60), "rollback": "r-1"},
                    rollback={"id": "r-1", "bad": GOOD, "to": OLD, "reason": "faults", "by": "handsoff", "began": int(NOW - 65), "alarm": "Faults"},
                    override={"reason": "the remedy", "by": "someone", "at": int(NOW - 30), "commit": NEW, "execution": None})
    place.deploy("prod-fleet", "d-back", OLD, "InProgress", description="handsoff rollback r-1 third")
    text = place.run(status)
    assert "ROLLBACK under way from aaaaaaaaaaaa to 000000000000 since 2025-12-31 23:58:55 UTC (1 min 5 s), by handsoff, alarm Faults: faults" in text
    assert "BLOCKED since 2025-12-31 23:59:00 UTC (1 min), by handsoff: faults in OneBox" in text and "make unblock ENV=prod" in text
    assert "override for cccccccccccc since 2025-12-31 23:59:30 UTC (30 s), by someone: the remedy" in text
    assert "onebox (us-east-1): aaaaaaaaaaaa for 3 h, DRIFT: desired is 000000000000" in text
    assert "last deployment d-back of 000000000000: InProgress, created by handsoff's rollback" in text
    (found,) = json.loads(place.run(status, "--json"))["environments"]
    group = next(one for one in found["releases"]["groups"] if one["scope"] == "fleet")
    assert group["in_flight"] == {"deployment": "d-back", "commit": OLD} and group["desired"] is False
    assert found["releases"]["record"]["rollback"]["by"] == "handsoff"


def test_what_no_execution_brings_is_drift_and_what_one_brings_is_on_its_way(place: Place) -> None:
    place.deploy("prod-onebox", "d-new", NEW, ended=NOW - 60)
    assert f"onebox (us-east-1): {NEW[:12]} for 1 min, on its way; last good is {GOOD[:12]}" in place.run(status)
    place.executions = place.executions[1:]
    assert f"onebox (us-east-1): {NEW[:12]} for 1 min, DRIFT: last good is {GOOD[:12]}" in place.run(status)
    assert json.loads(place.run(status, "--json"))["environments"][0]["groups"][0]["drift"].startswith("DRIFT")


def a_group(commit: str, **more: Any) -> running.Group:
    release = running.Release("s3://b/k", commit) if commit else None
    values: dict[str, Any] = {"attempted": release, **more}
    return running.Group("fleet", "us-east-1", "g", "d-1", values.pop("status", "Succeeded"), "user", release, (), **values)


def a_status(**record: Any) -> Status:
    carried = PipelineState("p", (), (Execution("e", "InProgress", NEW, ""),))
    return Status("prod", pipeline=carried, ledger=Ledger({"desired": GOOD, "last_good": GOOD, **record}))


@pytest.mark.parametrize(
    ("group", "of", "word"),
    [
        (a_group(GOOD), a_status(), "last good"),
        (a_group(GOOD), a_status(desired=NEW), f"DRIFT: desired is {NEW[:12]}"),
        (a_group(NEW), a_status(desired=NEW), f"desired; last good is {GOOD[:12]}"),
        (a_group(NEW), a_status(), f"on its way; last good is {GOOD[:12]}"),
        (a_group(NEW), a_status(blocked={"rollback": "r-1"}), f"DRIFT: desired is {GOOD[:12]}"),
        (a_group(NEW), a_status(blocked={"rollback": None}), f"on its way; last good is {GOOD[:12]}"),
        (a_group(OLD), a_status(), f"DRIFT: last good is {GOOD[:12]}"),
        (a_group(NEW), a_status(desired=None, last_good=None), "no release has baked yet"),
        (a_group(GOOD, status="Failed", attempted=running.Release("", BAD), error="HEALTH_CONSTRAINTS"), a_status(),
         f"DRIFT: d-1 of {BAD[:12]} failed (HEALTH_CONSTRAINTS), hosts may run either"),
        (a_group(GOOD, status="Failed"), a_status(), "last good"),  # the same release again: all the hosts run it
        (a_group(""), a_status(), ""),
        (a_group(GOOD), Status("prod", ledger=Ledger(None)), ""),
        (a_group(GOOD), Status("prod"), ""),
    ],
)
def test_drift_is_judged_by_the_ledger_and_the_executions(group: running.Group, of: Status, word: str) -> None:
    assert standing.drift(group, of) == word


def test_a_region_that_fails_hides_no_other(place: Place) -> None:
    place.aws.dead = {"us-west-2"}
    text = place.run(status)
    assert "not readable: stack sample-environment-prod (us-west-2): InternalFailure" in text
    assert "fleet (us-east-1)" in text and "fleet (eu-west-1)" in text and "fleet (us-west-2)" not in text


def test_one_group_that_fails_hides_no_other(place: Place) -> None:
    place.gone = {"prod-onebox"}
    place.aws.denied = {"codedeploy:ListDeploymentTargets"}
    text = place.run(status)
    assert "fleet (us-east-1): aaaaaaaaaaaa" in text and "onebox (us-east-1): the deployment group is gone: deploy the environment" in text
    assert "not readable: targets of deployment d-prod-fleet (us-east-1): access denied: codedeploy:ListDeploymentTargets" in text


def test_before_the_first_release_the_hosts_are_there_without_one(place: Place) -> None:
    place.never_deployed("prod-fleet")
    text = place.run(status)
    assert "  fleet (us-east-1): no release yet\n    i-8  without a release  InService\n    i-9  without a release  Pending:Wait\n" in text
    group = next(one for one in json.loads(place.run(status, "--json"))["environments"][0]["groups"] if one["scope"] == "fleet")
    assert [(one["id"], one["status"], one["commit"], one["lifecycle"]) for one in group["instances"]] == [
        ("i-8", "without a release", "", "InService"), ("i-9", "without a release", "", "Pending:Wait")]


@pytest.mark.parametrize("code", ["DeploymentNotStartedException", ""])
def test_while_the_first_release_has_reached_nobody_the_hosts_are_there_too(place: Place, code: str) -> None:
    place.never_deployed("prod-fleet")
    place.deploy("prod-fleet", "d-first", NEW, "Created")
    place.aws.record("codedeploy", "ListDeploymentTargets", ServiceError(code, "not yet", 400) if code else {"targetIds": []})
    text = place.run(status)
    assert "fleet (us-east-1): no deployment has succeeded yet" in text and "i-8  without a release  InService" in text


def test_while_a_deployment_has_reached_nobody_the_hosts_run_what_the_one_before_brought(place: Place) -> None:
    place.deploy("prod-fleet", "d-next", NEW, "Created")
    place.aws.record("codedeploy", "ListDeploymentTargets", lambda given: {"targetIds": [] if given["deploymentId"] == "d-next" else ["i-1"]})
    text = place.run(status)
    assert f"last deployment d-next of {NEW[:12]}: Created" in text and f"i-1  Succeeded  {GOOD[:12]}" in text and "without a release" not in text


@pytest.mark.parametrize("ledger_knows", [GOOD, ""], ids=["the ledger knows the one before", "the ledger knows only the new one"])
def test_hosts_that_a_deployment_has_not_reached_never_bear_its_release(place: Place, ledger_knows: str) -> None:
    place.deploy("prod-fleet", "d-next", NEW, "Created")
    place.aws.record("codedeploy", "ListDeploymentTargets", lambda given: {"targetIds": [] if given["deploymentId"] == "d-next" else ["i-1"]})
    place.aws.denied = {"s3:*"}
    for commit in (GOOD, NEW):
        location = {"bucket": "the-bucket", "key": f"sample/Release/{commit[:7]}", "bundleType": "zip"}
        place.table.release(commit, int(NOW - 4 * HOUR), bad=None, passed={}, revisions={"prod": location} if commit in (ledger_knows, NEW) else {})
    text = place.run(status)
    assert f"last deployment d-next of {NEW[:12]}: Created" in text
    assert f"i-1  Succeeded  {ledger_knows[:12] or 'release not known'}  for 3 h" in text and f"i-1  Succeeded  {NEW[:12]}" not in text
    group = next(one for one in json.loads(place.run(status, "--json"))["environments"][0]["groups"] if one["scope"] == "fleet")
    assert [(one["commit"], one["revision"]) for one in group["instances"]] == [(ledger_knows, f"s3://the-bucket/sample/Release/{GOOD[:7]}")]


@pytest.mark.parametrize("first", [False, True], ids=["after another", "the first"])
def test_hosts_that_a_deployment_may_have_reached_are_not_said_to_run_what_was_before(place: Place, first: bool) -> None:
    if first:
        place.never_deployed("prod-fleet")
    place.deploy("prod-fleet", "d-next", NEW, "InProgress")
    refused = ServiceError("DeploymentDoesNotExistException", "gone", 400)

    def targets(given: dict[str, Any]) -> Any:
        if given["deploymentId"] == "d-next":
            raise refused
        return {"targetIds": ["i-1"]}

    place.aws.record("codedeploy", "ListDeploymentTargets", targets)
    text = place.run(status)
    fleet = text.split("  fleet (us-east-1)")[1].split("  onebox")[0]
    assert "    (instances not readable)" in fleet and "i-1" not in fleet and "without a release" not in fleet
    assert "not readable: targets of deployment d-next (us-east-1)" in text


def test_a_group_with_no_host_at_all_says_so(place: Place) -> None:
    place.never_deployed("prod-fleet")
    place.aws.record("autoscaling", "DescribeAutoScalingGroups", {"AutoScalingGroups": []})
    assert "fleet (us-east-1): no release yet\n    (no instances)" in place.run(status)


def test_five_regions_are_read_in_under_three_seconds_and_a_bounded_number_of_calls(place: Place) -> None:
    regions = ["us-east-1", "us-west-2", "eu-west-1", "ap-south-1", "sa-east-1"]
    file = place.root / "parameters" / "prod.yaml"
    file.write_text(file.read_text().replace("us-east-1, us-west-2, eu-west-1", ", ".join(regions)))
    place.run(status)
    called = len(place.aws.called)
    assert called <= 5 * (2 + 2 * 5 + 2) + 10
    serve, get = place.aws._serve, place.aws._object
    # A call to the other side of the world. Clients are there by now: making them is not waiting for AWS.
    place.aws._serve = lambda *given: time.sleep(0.15) or serve(*given)  # type: ignore[method-assign, func-returns-value]
    place.aws._object = lambda *given: time.sleep(0.15) or get(*given)  # type: ignore[method-assign, func-returns-value]
    took = []
    while len(took) < 3 and min(took, default=9) >= 3:  # a machine that is busy with other things may be slow once
        begun = time.monotonic()
        assert "fleet (sa-east-1): aaaaaaaaaaaa" in place.run(status)
        took.append(time.monotonic() - begun)
    assert min(took) < 3


def test_json_has_what_it_had_and_more(place: Place) -> None:
    document = json.loads(place.run(status, "--json"))
    assert (document["schema"], document["account"], document["local"]) == (1, "111122223333", False)
    (found,) = document["environments"]
    assert set(found) >= {"environment", "stacks", "pipeline", "groups", "alarms", "notes", "releases", "unreadable", "stages", "window"}
    assert set(found["releases"]) == {"record", "groups", "releases", "log"}
    group = next(one for one in found["groups"] if one["scope"] == "fleet")
    assert group["release"]["commit"] == GOOD and group["since"] == NOW - 3 * HOUR and group["instances"][0]["commit"] == GOOD
    assert found["stages"] == ["OneBox", "Wave1"] and found["unreadable"] == [] and found["notes"] == []


# Again and again


class Turns:
    """A clock whose sleeps do, one after the other, what a test says; after the last, Ctrl-C."""

    def __init__(self, *turns: Callable[[], Any], end: type[BaseException] = KeyboardInterrupt) -> None:
        self.left, self.end, self.slept, self.passed = list(turns), end, list[float](), 0.0

    def seconds(self) -> float:
        return self.passed

    def now(self) -> datetime:
        return datetime.fromtimestamp(NOW + self.passed, UTC)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.passed += seconds
        if not self.left:
            raise self.end
        self.left.pop(0)()


def watch(place: Place, clock: Turns, *options: str) -> str:
    place.clock = clock  # type: ignore[assignment]
    return place.run(status, "--watch", *options)


def nothing() -> None:
    """A turn in which nothing happens."""


@pytest.mark.parametrize("end", [KeyboardInterrupt, Interrupted])
def test_piped_it_shows_all_once_and_then_what_changes(place: Place, end: type[BaseException]) -> None:
    begin, finish = (lambda: place.deploy("prod-onebox", "d-new", NEW, "InProgress")), (lambda: place.deploy("prod-onebox", "d-new", NEW, ended=NOW))
    text = watch(place, Turns(nothing, begin, finish, end=end))
    assert text.count("desired release") == 1 and "\033" not in text
    said = [line for line in text.splitlines() if line.startswith("2026-") and "us-east-1" in line]
    assert said == [
        "2026-01-01 00:00:20 UTC  prod/us-east-1/onebox: deployment: d-new InProgress (was d-prod-onebox Succeeded)",
        "2026-01-01 00:00:20 UTC  prod/us-east-1/onebox: i-1: InProgress (was Succeeded)",
        "2026-01-01 00:00:20 UTC  prod/us-east-1/onebox: i-2: InProgress (was Succeeded)",
        f"2026-01-01 00:00:30 UTC  prod/us-east-1/onebox: {NEW[:12]} on its way; last good is {GOOD[:12]} (was {GOOD[:12]} last good)",
        "2026-01-01 00:00:30 UTC  prod/us-east-1/onebox: deployment: d-new Succeeded (was d-new InProgress)",
        "2026-01-01 00:00:30 UTC  prod/us-east-1/onebox: i-1: Succeeded (was InProgress)",
        "2026-01-01 00:00:30 UTC  prod/us-east-1/onebox: i-2: Succeeded (was InProgress)",
    ]


def test_on_a_terminal_it_draws_over_itself_and_leaves_the_terminal_as_it_was(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    place.clock, place.environ = Turns(nothing, nothing), {"COLUMNS": "80", "TERM": "xterm"}  # type: ignore[assignment]
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "30")
    here = replace(place.world(), console=Console(out, io.StringIO(), live=True))
    assert status.main(["--env", "prod", "--watch"], here) == 0
    text = out.getvalue()
    assert text.startswith("\033[?1049h\033[?25l") and "\033[?25h\033[?1049l" in text
    frames = text.split("\033[H")[1:]
    assert len(frames) == 3 and all("desired release" in frame for frame in frames)
    lines = frames[0].replace("\033[K", "").replace("\033[J", "").splitlines()
    assert len(lines) == 30 and "more lines" in lines[-1] and max(len(line) for line in lines[3:]) <= 80
    assert frames[-1].split("\033[?1049l")[1].startswith("watched until")


def test_throttled_it_looks_less_often_and_goes_on(place: Place) -> None:
    def throttle() -> None:
        place.aws.throttled["codepipeline:GetPipelineState"] = 100

    def calm() -> None:
        place.aws.throttled.clear()

    clock = Turns(throttle, nothing, calm)
    text = watch(place, clock, "--every", "4")
    assert clock.slept == [4, 8, 16, 4]
    assert "prod: stages: not readable: Throttling: Rate exceeded" in text
    assert "prod: stages: gone" in text


def test_a_region_that_fails_for_a_while_is_said_and_comes_back(place: Place) -> None:
    text = watch(place, Turns(lambda: place.aws.dead.add("us-west-2"), lambda: place.aws.dead.clear()))
    assert "prod/us-west-2/fleet: gone (was aaaaaaaaaaaa last good)" in text
    assert text.rstrip().splitlines()[-1].endswith("gone (was not readable: InternalFailure: The request processing has failed because of an unknown error.)")
    assert f"2026-01-01 00:00:20 UTC  prod/us-west-2/fleet: {GOOD[:12]} last good" in text


def test_it_is_not_read_more_often_than_every_two_seconds(place: Place) -> None:
    clock = Turns(nothing)
    watch(place, clock, "--every", "0.1")
    assert clock.slept == [2, 2]


def test_bundles_are_read_once_however_long_it_is_watched(place: Place) -> None:
    watch(place, Turns(nothing, nothing, nothing))
    assert place.aws.called.count(("s3", "GetObject")) <= 6


def test_json_and_watch_are_refused_together(place: Place) -> None:
    recorder = Recorder()
    assert status.main(["--env", "prod", "--watch", "--json"], place.world(recorder)) == 2
    assert "do not go together" in recorder.errors


# Pure parts


def test_what_does_not_answer_is_late_once_and_not_begun_twice() -> None:
    gatherer: Gatherer[int] = Gatherer()
    begun: list[int] = []

    def slow() -> int:
        begun.append(1)
        time.sleep(0.3)
        return 7

    first = gatherer.gather({"slow": slow, "quick": lambda: 1}, 0.05)
    assert isinstance(first["slow"].error, Late) and first["quick"].value == 1
    second = gatherer.gather({"slow": slow, "quick": lambda: 2}, 5)
    assert (second["slow"].value, second["quick"].value, begun) == (7, 2, [1])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (125, "2 min 5 s"), (3600, "1 h"), (12_000, "3 h 20 min"), (86_400, "1 d"), (3 * DAY + 2 * HOUR, "3 d 2 h")],
)
def test_lengths_of_time(seconds: float, text: str) -> None:
    assert layout.span(seconds) == text


def test_long_lines_are_broken_between_words_and_ids_never() -> None:
    assert layout.fit(["  one two three four"], 12) == ["  one two", "      three", "      four"]
    assert layout.fit([f"  {'x' * 50}"], 40) == [f"  {'x' * 50}"]
    assert layout.fit([f"a{layout.FIRM}b c{layout.FIRM}d"], 4) == ["a b", "    c d"] and layout.fit(["x" * 500], None) == ["x" * 500]


def test_changes_name_what_is_new_other_and_gone() -> None:
    assert standing.changes({"a": "1", "b": "2"}, {"b": "3", "c": "4"}) == ["b: 3 (was 2)", "c: 4", "a: gone (was 1)"]


def test_what_is_unreadable_is_said_with_its_permission() -> None:
    assert str(Unread("alarms", "access denied", "cloudwatch:DescribeAlarms")) == "alarms: access denied: cloudwatch:DescribeAlarms"
