"""The gate's handler in a small world: what becomes of the job, the ledger and the release."""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
from typing import Any

import pytest
from gate_world import COMMIT, OTHER, REGIONS, SECRET, START, World

import decide_gate
import gate
from gate import AnswerError, answer, read_memory, write_token
from model import Block, Override, Rollback

GATE = {"do": "gate", "environment": "prod", "stage": "OneBox", "scope": "onebox", "regions": "us-east-1", "execution": "e-1", "commit": COMMIT,
        "bake": 600, "settle": 60, "limit": 3600, "requests": 100, "final": "false"}
FINAL = {**GATE, "stage": "Wave2", "scope": "fleet", "regions": "us-west-2,eu-west-1", "final": "true"}
ENTER = {"do": "enter", "environment": "prod", "stage": "OneBox", "regions": "us-east-1", "execution": "e-1", "commit": COMMIT, "limit": 3600}


@pytest.fixture
def world() -> World:
    return World().callers()


def home(world: World) -> Any:
    return world.regions["us-east-1"].watching


# Gate: to pass


def test_a_release_bakes_and_passes(world: World) -> None:
    assert world.run(GATE) == 660
    assert world.jobs.state == "Succeeded" and "Baked 10 min; no alarm fired. Requests: us-east-1 " in world.jobs.text
    assert world.ledger.release(COMMIT).passed == {"OneBox": int(START + 660)}
    assert set(world.ledger.release(COMMIT).revisions) == {"prod/us-east-1/onebox", "prod/us-east-1/fleet"}
    assert world.ledger.environment("prod").last_good is None
    assert [entry["commit"] for entry in world.logged("passed")] == [COMMIT]
    assert world.invocations.calls == []
    assert "Baking: 30 s of 10 min." in world.jobs.told[1] and world.jobs.percent[:3] == [0, 4, 9]


def test_the_last_wave_makes_it_last_good_everywhere(world: World) -> None:
    world.run(FINAL)
    record = world.ledger.environment("prod")
    assert (world.jobs.state, record.last_good, record.desired) == ("Succeeded", COMMIT, COMMIT)
    assert set(world.ledger.release(COMMIT).revisions) == {"prod/us-east-1/fleet", "prod/us-east-1/onebox", "prod/us-west-2/fleet", "prod/eu-west-1/fleet"}
    assert world.ledger.release(COMMIT).revisions["prod/eu-west-1/fleet"]["bucket"] == "artifacts-eu-west-1"
    assert len(world.logged("good")) == 1


def test_the_last_wave_fails_where_another_group_runs_something_else(world: World) -> None:
    world.regions["us-east-1"].groups[1] = world.group("us-east-1", "onebox", OTHER)
    world.run(FINAL)
    assert world.jobs.state == "Failed" and "prod/us-east-1/onebox runs release 0ddba11" in world.jobs.text
    assert world.ledger.environment("prod").last_good is None


def test_no_minimum_passes_with_a_warning_that_is_written_down() -> None:
    world = World()
    world.run({**GATE, "requests": 0})
    assert world.jobs.state == "Succeeded" and "Warning: no minimum" in world.jobs.text
    assert "Warning: no minimum" in world.logged("passed")[0]["text"]


# Gate: to fail


def failed(world: World, *words: str) -> None:
    """The job failed for these words, and everything that follows from it was done."""
    assert world.jobs.state == "Failed", world.jobs.text
    for word in words:
        assert word in world.jobs.text
    assert world.jobs.text.startswith("prod ") and "make status ENV=prod" in world.jobs.text
    assert world.ledger.release(COMMIT).passed == {} and world.ledger.environment("prod").last_good in (None, OTHER)
    assert len(world.logged("refused")) == 1
    assert [(call["name"], call["type"]) for call in world.invocations.calls] == [("the-rollback-function", "Event")]


def test_an_alarm_that_came_and_went_between_two_calls(world: World) -> None:
    def flicker() -> None:
        home(world).set("s-prod-onebox-latency", "ALARM", world.time - 20)
        home(world).set("s-prod-onebox-latency", "OK", world.time - 10)

    assert world.run(GATE, {300: flicker}) == 300
    failed(world, "Alarm s-prod-onebox-latency of prod/us-east-1/onebox was in ALARM at")
    assert (world.logged("refused")[0]["alarm"], world.logged("refused")[0]["region"]) == ("s-prod-onebox-latency", "us-east-1")


def test_a_composite_that_came_and_went(world: World) -> None:
    def flicker() -> None:
        home(world).set("s-prod-high-severity", "ALARM", world.time - 20)
        home(world).set("s-prod-high-severity", "OK", world.time - 10)

    world.run(GATE, {300: flicker})
    failed(world, "s-prod-high-severity of prod/us-east-1 was in ALARM")


def test_an_alarm_that_fired_until_after_the_deployment(world: World) -> None:
    home(world).set("s-prod-onebox-faults", "ALARM", START - 90)
    home(world).set("s-prod-onebox-faults", "OK", START - 30)
    assert world.run(GATE) == 0
    failed(world, "s-prod-onebox-faults")


def test_an_alarm_that_fired_before_the_deployment_is_history(world: World) -> None:
    home(world).set("s-prod-onebox-faults", "ALARM", START - 400)
    home(world).set("s-prod-onebox-faults", "OK", START - 200)
    world.run(GATE)
    assert world.jobs.state == "Succeeded"
    assert home(world).history_asked == 0


def test_an_alarm_that_fires_since_before_the_stage(world: World) -> None:
    home(world).set("s-prod-canary", "ALARM", START - 4000)
    assert world.run(GATE) == 0
    failed(world, "Alarm s-prod-canary of prod/us-east-1 is firing")


def test_an_alarm_elsewhere_is_not_this_gates(world: World) -> None:
    world.regions["eu-west-1"].watching.set("s-prod-fleet-faults", "ALARM")
    world.run(GATE)
    assert world.jobs.state == "Succeeded"


def test_an_alarm_at_home_in_the_last_wave(world: World) -> None:
    assert world.run(FINAL, {300: lambda: home(world).set("s-prod-onebox-faults", "ALARM")}) == 300
    failed(world, "s-prod-onebox-faults of prod/us-east-1/onebox")


@pytest.mark.parametrize("name", ["s-prod-onebox-faults", "s-prod-onebox-high-severity", "s-prod-high-severity", "s-prod-canary"])
def test_an_alarm_that_does_not_exist(world: World, name: str) -> None:
    del home(world).alarms[name]
    assert world.run(GATE) == 0
    failed(world, f"Alarm {name}", "does not exist")


def test_an_alarm_that_was_deleted_and_made_again_keeps_its_history(world: World) -> None:
    def again() -> None:
        home(world).set("s-prod-onebox-faults", "ALARM", world.time - 20)
        home(world).alarms["s-prod-onebox-faults"].update(state="OK", changed=world.time)

    world.run(GATE, {300: again})
    failed(world, "s-prod-onebox-faults")


def test_a_composite_without_data_is_waited_for(world: World) -> None:
    home(world).alarms["s-prod-onebox-high-severity"]["state"] = "INSUFFICIENT_DATA"
    assert world.run(GATE, {900: lambda: home(world).alarms["s-prod-onebox-high-severity"].update(state="OK")}) == 900
    assert world.jobs.state == "Succeeded"


@pytest.mark.parametrize(("told", "state"), [({"EvaluateLowSampleCountPercentile": "ignore"}, "Succeeded"), ({"TreatMissingData": "ignore"}, "Succeeded"),
                                             ({"EvaluateLowSampleCountPercentile": "evaluate"}, "Failed"), ({}, "Failed")])
def test_which_alarms_may_have_judged_nothing(world: World, told: dict[str, str], state: str) -> None:
    home(world).alarms["s-prod-onebox-latency"].update(state="INSUFFICIENT_DATA", told=told)
    world.run(GATE)
    assert world.jobs.state == state


def test_a_history_item_whose_data_cannot_be_read_is_known_by_its_summary(world: World) -> None:
    for state in ("ALARM", "OK"):
        home(world).set("s-prod-onebox-latency", state)
        home(world).history[-1]["HistoryData"] = "{"
    world.run(GATE)
    failed(world, "Alarm s-prod-onebox-latency of prod/us-east-1/onebox was in ALARM")


def with_customers(world: World) -> World:
    """Prod had a release before this one."""
    world.ledger.set_last_good("prod", OTHER, {}, START - 9000)
    return world


def test_a_first_release_is_not_asked_for_customers() -> None:
    world = World()
    world.run(GATE)
    assert world.jobs.state == "Succeeded" and "Warning: no minimum" in world.jobs.text


def test_too_few_requests_until_the_limit() -> None:
    world = with_customers(World().callers(minutes=3, count=30))
    assert world.run(GATE) == 3600
    failed(world, "prod/us-east-1/onebox had 60 of the 100 requests", "Not proven within 60 min")


def test_requests_that_come_late() -> None:
    world = with_customers(World())
    assert world.run(GATE, {1000: lambda: home(world).requests.append((world.time // 60 * 60, "targetgroup/us-east-1-onebox/1", 100))}) >= 1000
    assert world.jobs.state == "Succeeded"


def test_requests_of_the_minute_in_which_the_bake_began_do_not_count() -> None:
    world = with_customers(World())
    home(world).requests.append((START // 60 * 60, "targetgroup/us-east-1-onebox/1", 1000))
    world.run(GATE)
    failed(world, "had 0 of the 100")


def test_requests_that_cloudwatch_does_not_tell_in_full(world: World) -> None:
    home(world).incomplete = True
    world.run(GATE)
    failed(world, "us-east-1 has not answered")


def test_a_gate_that_is_retried_after_the_rollback(world: World) -> None:
    world.run(GATE, {300: lambda: home(world).set("s-prod-onebox-faults", "ALARM")})
    home(world).set("s-prod-onebox-faults", "OK")
    world.regions["us-east-1"].groups[1] = world.group("us-east-1", "onebox", OTHER)
    world.time += 10_000
    world.jobs.state, world.jobs.token = "InProgress", None
    assert world.run(GATE) == 0
    assert world.jobs.state == "Failed" and "runs release 0ddba11" in world.jobs.text


def test_a_gate_that_is_retried_when_the_release_is_marked_bad(world: World) -> None:
    world.ledger.mark_bad(COMMIT, "faults in Wave1", "prod", START)
    assert world.run(GATE) == 0
    failed(world, "marked bad (faults in Wave1)")


def test_an_environment_that_is_blocked(world: World) -> None:
    world.ledger.update_environment("prod", lambda record: dataclasses.replace(record, blocked=Block("Wave1 failed", "rollback", 1, rollback="r-1")))
    assert world.run(GATE) == 0
    failed(world, "blocked by a rollback (Wave1 failed)")


def test_a_freeze_by_hand_does_not_take_back_what_bakes(world: World) -> None:
    world.ledger.update_environment("prod", lambda record: dataclasses.replace(record, blocked=Block("a holiday", "ana", 1)))
    world.run(GATE)
    assert world.jobs.state == "Succeeded" and "frozen by hand (a holiday, by ana)" in world.jobs.text


def test_a_release_marked_bad_while_the_gate_decides(world: World) -> None:
    read: list[str] = []

    def bad_after_the_decision(identity: str) -> None:
        read.append(identity)
        if read.count(f"release#{COMMIT}") == 2:
            world.table.on_get = lambda identity: None
            world.ledger.mark_bad(COMMIT, "by hand", "prod", world.time)

    def arm() -> None:
        world.table.on_get = bad_after_the_decision

    world.run(GATE, {660: arm})
    failed(world, "The ledger refuses", "marked bad (by hand)")


# Gate: Regions and ledger that do not answer


def test_a_region_that_is_silent_for_a_while(world: World) -> None:
    def silence(error: str | None) -> None:
        world.regions["eu-west-1"].watching.refuses = error

    world.run(FINAL, {120: lambda: silence("AccessDeniedException"), 360: lambda: silence(None)})
    assert world.jobs.state == "Succeeded"
    assert any("eu-west-1 has not answered" in told for told in world.jobs.told)


def test_a_region_that_stays_silent(world: World) -> None:
    world.regions["eu-west-1"].watching.refuses = "AccessDeniedException"
    assert world.run(FINAL) == 300
    failed(world, "eu-west-1 has not answered for 5 min", "AccessDenied")


def test_what_fired_while_a_region_was_silent_is_seen_after(world: World) -> None:
    there = world.regions["eu-west-1"]

    def silence() -> None:
        there.broken = TimeoutError("no route")

    def back() -> None:
        there.broken = None
        there.watching.set("s-prod-fleet-faults", "ALARM", world.time - 100)
        there.watching.set("s-prod-fleet-faults", "OK", world.time - 50)

    assert world.run(FINAL, {120: silence, 300: back}) == 300
    failed(world, "s-prod-fleet-faults of prod/eu-west-1/fleet was in ALARM")


def test_a_region_that_the_pipeline_does_not_know(world: World) -> None:
    world.run({**GATE, "regions": "us-east-1,ap-south-1"})
    failed(world, "ap-south-1 has not answered", "no control role")


def test_a_history_that_cannot_be_read_is_silence(world: World) -> None:
    home(world).set("s-prod-onebox-faults", "OK")
    home(world).history[-1] |= {"HistoryData": "?", "HistorySummary": "?"}
    world.run(GATE)
    failed(world, "us-east-1 has not answered", "s-prod-onebox-faults cannot be read")


def test_a_ledger_that_is_silent_for_long_and_comes_back(world: World) -> None:
    world.table.broken = True
    assert world.run(GATE, {1500: lambda: setattr(world.table, "broken", False)}) == 1500
    assert world.jobs.state == "Succeeded"


def test_a_ledger_that_stays_silent(world: World) -> None:
    world.table.broken = True
    assert world.run(GATE) == 3600
    assert world.jobs.state == "Failed" and "The ledger could not be read" in world.jobs.text


def test_an_alarm_while_the_ledger_is_silent(world: World) -> None:
    world.table.broken = True
    assert world.run(GATE, {60: lambda: home(world).set("s-prod-onebox-faults", "ALARM")}) == 60
    assert world.jobs.state == "Failed" and len(world.invocations.calls) == 1


# Gate: called twice, at once, cut off


def test_the_event_of_an_answered_job_comes_again(world: World) -> None:
    event = world.event(GATE)
    world.run(GATE)
    text, log = world.jobs.text, len(world.logged("passed"))
    world.jobs.state, at = "Succeeded", world.time
    answer(event, world.tools())  # without a token: the first of all
    assert (world.jobs.state, world.jobs.text, world.time, len(world.logged("passed"))) == ("Succeeded", text, at, log)


def test_an_answered_failure_is_not_told_again(world: World) -> None:
    home(world).set("s-prod-canary", "ALARM")
    event = world.event(GATE)
    answer(event, world.tools())
    answer(event, world.tools())
    failed(world)


def test_two_calls_at_the_same_time_give_one_answer(world: World) -> None:
    world.time += 1
    world.call(FINAL)
    world.time += 660
    event = world.event(FINAL)
    threads = [threading.Thread(target=answer, args=(event, world.tools())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (world.jobs.state, world.ledger.environment("prod").last_good, len(world.jobs.told)) == ("Succeeded", COMMIT, 2)


def test_cut_off_between_last_good_and_the_answer(world: World) -> None:
    """It was last good when an alarm came: failing it now would leave nothing to go back to."""
    world.jobs.breaks = ["success"]
    with pytest.raises(AnswerError):
        world.run(FINAL)
    assert world.ledger.environment("prod").last_good == COMMIT
    world.regions["eu-west-1"].watching.set("s-prod-fleet-faults", "ALARM")
    world.time += 60
    world.call(FINAL)
    assert world.jobs.state == "Succeeded"


def test_cut_off_between_the_pass_of_an_early_stage_and_the_answer(world: World) -> None:
    world.jobs.breaks = ["success"]
    with pytest.raises(AnswerError):
        world.run(GATE)
    home(world).set("s-prod-onebox-faults", "ALARM")
    world.call(GATE)
    assert world.jobs.state == "Failed"


def test_last_good_once_is_no_pass_for_a_later_gate(world: World) -> None:
    world.run(FINAL)
    world.jobs.state, world.jobs.token = "InProgress", None
    world.time += 1000
    world.call(FINAL)
    assert world.jobs.state == "InProgress" and "Baking: 0 s" in world.jobs.text


def test_cut_off_before_a_failure_was_told(world: World) -> None:
    world.jobs.breaks = ["failure"]
    home(world).set("s-prod-canary", "ALARM")
    with pytest.raises(AnswerError):
        world.call(GATE)
    assert world.logged("refused") == [] and world.invocations.calls == []
    world.call(GATE)
    failed(world)


def test_a_rollback_function_that_cannot_be_called_is_no_matter(world: World) -> None:
    world.invocations.refuses = "AccessDeniedException"
    home(world).set("s-prod-canary", "ALARM")
    world.call(GATE)
    assert world.jobs.state == "Failed" and len(world.logged("refused")) == 1


def test_what_goes_wrong_unforeseen_waits_and_then_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(decide_gate, "decide", broken)
    assert world.run(GATE) == 3600
    assert world.jobs.state == "Failed" and "could not decide (ZeroDivisionError: a mistake of ours)" in world.jobs.text
    assert "trying again" in world.jobs.told[0] and world.ledger.release(COMMIT).passed == {}


# What the action says, and what is kept between calls


@pytest.mark.parametrize("parameters", [
    "", "{}", "[]", "null", json.dumps({**GATE, "do": "open"}), json.dumps({**GATE, "commit": ""}), json.dumps({**GATE, "commit": "#{Source.CommitId}"}),
    json.dumps({**GATE, "bake": "long"}), json.dumps({key: value for key, value in GATE.items() if key != "requests"}),
])
def test_parameters_that_cannot_be_used_fail_at_once(world: World, parameters: str) -> None:
    world.call(parameters)
    assert world.jobs.state == "Failed" and "UserParameters" in world.jobs.text and "pipeline's stack" in world.jobs.text


@pytest.mark.parametrize("token", ["", "x", "[]", "{}", '{"began": "x"}', '{"began": 1, "silent": 3}'])
def test_a_token_that_cannot_be_read_begins_the_bake_anew(token: str) -> None:
    assert read_memory(token, 1000.9) == decide_gate.Memory(1000.0)


def test_the_token_is_small() -> None:
    places = {f"ap-southeast-{index}/{scope}": 1.7e9 for index in range(4) for scope in ("fleet", "onebox", "")}
    memory = decide_gate.Memory(1.7e9, dict.fromkeys(("a" * 14, "b" * 14, "c" * 14, "d" * 14), 1700000000.0), places)
    assert len(write_token(memory)) < 1024 and read_memory(write_token(memory), 0) == memory


def test_words_are_cut_to_what_codepipeline_takes(world: World) -> None:
    world.ledger.mark_bad(COMMIT, "x" * 9000, "prod", START)
    world.call(GATE)
    assert world.jobs.state == "Failed" and len(world.jobs.text) == 5000 and world.jobs.text.endswith("…")


def test_nothing_of_the_event_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "handsoff.gate")
    world.run(GATE)
    world.call("{")
    assert caplog.text and SECRET not in caplog.text


def test_a_function_without_configuration_waits_and_then_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    monkeypatch.setattr(gate.os, "environ", {})
    monkeypatch.setattr(gate.boto3, "client", lambda service, config: world.codepipeline)
    for seconds, state in ((0, "InProgress"), (299, "InProgress"), (301, "Failed")):
        monkeypatch.setattr(gate.time, "time", lambda at=START + seconds: at)
        gate.handler(world.event(GATE), None)
        assert world.jobs.state == state
    assert "environment variable" in world.jobs.text


# Enter


def test_a_release_enters_a_quiet_environment(world: World) -> None:
    assert world.run(ENTER) == 0
    assert world.jobs.state == "Succeeded" and "prod is open" in world.jobs.text


def test_entering_waits_for_an_alarm_of_another_region(world: World) -> None:
    there = world.regions["eu-west-1"].watching
    there.set("s-prod-high-severity", "ALARM")
    assert world.run(ENTER, {600: lambda: there.set("s-prod-high-severity", "OK")}) == 600
    assert world.jobs.state == "Succeeded" and "s-prod-high-severity of prod/eu-west-1 is firing" in world.jobs.told[0]


def test_entering_waits_while_another_release_is_in_a_later_stage(world: World) -> None:
    world.jobs.inside = {"OneBox": "e-1", "Wave1": "another"}
    world.ledger.update_environment("prod", lambda record: dataclasses.replace(record, override=Override("hurry", "ana", 1, commit=COMMIT)))
    assert world.run(ENTER) == 3600, "no override opens for this: the other's gates would take both back"
    assert world.jobs.state == "Failed" and "another one is in Wave1" in world.jobs.text
    assert world.logged("override") == []


def test_entering_does_not_wait_for_itself_nor_for_what_is_through(world: World) -> None:
    world.jobs.inside = {"Gamma": "another", "OneBox": "e-1"}
    assert world.run(ENTER) == 0 and world.jobs.state == "Succeeded"


def test_entering_is_given_up(world: World) -> None:
    world.regions["eu-west-1"].watching.set("s-prod-fleet-high-severity", "ALARM")
    assert world.run(ENTER) == 3600
    assert world.jobs.state == "Failed" and "retry the stage OneBox" in world.jobs.text
    assert world.logged("refused")[0]["alarm"] == "s-prod-fleet-high-severity" and len(world.invocations.calls) == 1


@pytest.mark.parametrize("names", [{"commit": COMMIT}, {"execution": "e-1"}])
def test_an_override_lets_one_release_in_once_and_is_written_down(world: World, names: dict[str, str]) -> None:
    override = Override("customers wait", "ana", 1, **names)
    world.ledger.update_environment("prod", lambda record: dataclasses.replace(record, override=override))
    home(world).set("s-prod-high-severity", "ALARM")
    assert world.run(ENTER) == 0
    assert world.jobs.state == "Succeeded" and "Let in by ana (customers wait)" in world.jobs.text
    assert world.logged("override")[0]["by"] == "ana" and world.ledger.environment("prod").override is None


@pytest.mark.parametrize("override", [Override("r", "ana", 1, commit=OTHER), Override("r", "ana", 1, execution="e-2"), Override("r", "ana", 1)])
def test_an_override_of_another_release_does_not_count(world: World, override: Override) -> None:
    world.ledger.update_environment("prod", lambda record: dataclasses.replace(record, override=override))
    home(world).set("s-prod-high-severity", "ALARM")
    world.call(ENTER)
    assert world.jobs.state == "InProgress" and world.ledger.environment("prod").override == override


def test_an_override_that_is_not_needed_is_kept(world: World) -> None:
    override = Override("customers wait", "ana", 1, commit=COMMIT)
    world.ledger.update_environment("prod", lambda record: dataclasses.replace(record, override=override))
    world.run(ENTER)
    assert world.jobs.state == "Succeeded" and world.ledger.environment("prod").override == override and world.logged("override") == []


@pytest.mark.parametrize(("override", "left"), [(Override("r", "ana", 1, commit=COMMIT), False), (Override("r", "ana", 1, execution="e-1"), False),
                                                (Override("r", "ana", 1, commit=OTHER), True)])
def test_an_override_ends_with_its_release(world: World, override: Override, left: bool) -> None:
    world.ledger.update_environment("prod", lambda record: dataclasses.replace(record, override=override))
    world.run(GATE)
    assert world.ledger.environment("prod").override == override
    world.jobs.state, world.jobs.token = "InProgress", None
    world.run(FINAL)
    assert world.jobs.state == "Succeeded" and (world.ledger.environment("prod").override is not None) is left


def test_an_override_that_cannot_be_written_down_lets_nothing_in(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise TimeoutError("no route")

    world.ledger.update_environment("prod", lambda record: dataclasses.replace(record, override=Override("r", "ana", 1, commit=COMMIT)))
    home(world).set("s-prod-high-severity", "ALARM")
    monkeypatch.setattr(world.ledger, "log", broken)
    world.call(ENTER)
    assert world.jobs.state == "InProgress" and "could not decide" in world.jobs.text


@pytest.mark.parametrize("override", [None, Override("r", "ana", 1, commit=COMMIT)])
def test_a_release_marked_bad_is_refused_at_once(world: World, override: Override | None) -> None:
    world.ledger.update_environment("prod", lambda record: dataclasses.replace(record, override=override))
    world.ledger.mark_bad(COMMIT, "faults", "prod", START)
    assert world.run(ENTER) == 0
    assert world.jobs.state == "Failed" and "marked bad (faults)" in world.jobs.text


def test_entering_waits_while_prod_goes_back_and_is_blocked(world: World) -> None:
    world.ledger.update_environment("prod", lambda record: dataclasses.replace(record, rollback=Rollback("r-1", OTHER, None, "faults", "gate", 1)))
    world.call(ENTER)
    assert world.jobs.state == "InProgress" and "blocked by a rollback" in world.jobs.text
    world.ledger.update_environment("prod", lambda record: dataclasses.replace(record, rollback=None, blocked=Block("faults", "rollback", 1, rollback="r-1")))
    world.call(ENTER)
    assert world.jobs.state == "InProgress"
    world.ledger.update_environment("prod", lambda record: dataclasses.replace(record, blocked=None))
    world.call(ENTER)
    assert world.jobs.state == "Succeeded"


def test_a_closed_window_is_waited_for_to_the_end_at_a_later_stage(world: World) -> None:
    """START is a Tuesday, 22:13:20 UTC."""
    world.variables = {"WINDOW_HOURS": "08-15"}
    assert world.run({**ENTER, "stage": "Wave1"}, step=600) >= 9.5 * 3600
    assert world.jobs.state == "Succeeded"
    world.jobs.state, world.jobs.token, world.time = "InProgress", None, START
    assert world.run(ENTER, step=600) == 3600
    assert world.jobs.state == "Failed" and "From WED 2023-11-15 08:00 UTC on, retry the stage OneBox" in world.jobs.text


@pytest.mark.parametrize("region", REGIONS)
def test_entering_needs_every_region_to_answer(world: World, region: str) -> None:
    world.regions[region].broken = TimeoutError("no route")
    assert world.run(ENTER) == 300
    assert world.jobs.state == "Failed" and f"{region} has not answered" in world.jobs.text
