"""The pipeline's state machine, in virtual time."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from localaws.clock import VirtualClock
from localaws.codepipeline import engine, views
from localaws.codepipeline.engine import EngineError, Event, Observation, Start


def action(name: str, category: str = "Build", provider: str = "CodeBuild", order: int = 1, **rest: Any) -> dict[str, Any]:
    return {"name": name, "actionTypeId": {"category": category, "owner": "AWS", "provider": provider, "version": "1"},
            "runOrder": order, "configuration": {"ProjectName": "p"}, **rest}


def declaration(*stages: tuple[str, list[dict[str, Any]]], mode: str = "SUPERSEDED") -> dict[str, Any]:
    source = {**action("Source", "Source", "CodeStarSourceConnection"), "namespace": "Source",
              "configuration": {"ConnectionArn": "c", "FullRepositoryId": "o/r", "BranchName": "main"}, "outputArtifacts": [{"name": "Src"}]}
    return {"name": "pipe", "pipelineType": "V2", "executionMode": mode, "stages": [
        {"name": "Source", "actions": [source]}, *({"name": name, "actions": actions} for name, actions in stages)]}


class World:
    """A pipeline, a clock, and what was started and published."""

    def __init__(self, structure: dict[str, Any]) -> None:
        self.clock = VirtualClock()
        self.pipeline = engine.new_pipeline(structure, "arn:aws:codepipeline:us-east-1:000000000000:pipe", self.clock.now())
        self.started: list[Start] = []
        self.events: list[Event] = []

    def take(self, effects: list[engine.Effect]) -> None:
        for effect in effects:
            (self.started if isinstance(effect, Start) else self.events).append(effect)  # type: ignore[arg-type]
            if isinstance(effect, Event):
                json.dumps(views.event(self.pipeline, effect))

    def start(self, **rest: Any) -> str:
        identity = str(uuid.uuid4())
        self.clock.advance(1)
        self.take(engine.start(self.pipeline, identity, {"triggerType": "StartPipelineExecution", "triggerDetail": "me"},
                               self.clock.now(), **rest))
        return identity

    def running(self) -> list[tuple[str, str]]:
        """(execution id, action name) of what runs."""
        return [(e["id"], a["name"]) for e, a in engine.in_progress(self.pipeline)]

    def finish(self, execution_id: str, name: str, status: str = "Succeeded", **rest: Any) -> None:
        (action_id,) = [a["id"] for e, a in engine.in_progress(self.pipeline) if e["id"] == execution_id and a["name"] == name]
        self.clock.advance(5)
        self.take(engine.observe(self.pipeline, execution_id, action_id, Observation(status, "ext-1", **rest), self.clock.now()))

    def status(self, execution_id: str) -> str:
        return str(self.pipeline["executions"][execution_id]["status"])

    def stage(self, name: str) -> dict[str, Any]:
        return next(s for s in views.pipeline_state(self.pipeline)["stageStates"] if s["stageName"] == name)

    def call(self, function: Any, *arguments: Any) -> None:
        self.clock.advance(1)
        self.take(function(self.pipeline, *arguments, self.clock.now()))


def two_stages(mode: str = "SUPERSEDED") -> World:
    return World(declaration(("Build", [action("Build")]), ("Gamma", [action("Deploy")]), mode=mode))


def test_an_execution_goes_through_its_stages_in_order() -> None:
    world = two_stages()
    one = world.start()
    seen = []
    for name in ("Source", "Build", "Deploy"):
        assert world.running() == [(one, name)]
        seen.append(name)
        world.finish(one, name)
    assert world.status(one) == "Succeeded"
    assert world.running() == []
    assert len({start.action_execution_id for start in world.started}) == 3
    assert all(uuid.UUID(start.action_execution_id) for start in world.started)
    assert [(e.level, e.state) for e in world.events][:3] == [("Pipeline", "STARTED"), ("Stage", "STARTED"), ("Action", "STARTED")]
    assert [(e.level, e.state) for e in world.events][-3:] == [("Action", "SUCCEEDED"), ("Stage", "SUCCEEDED"), ("Pipeline", "SUCCEEDED")]


def test_a_newer_execution_supersedes_the_one_that_waits_at_the_same_stage() -> None:
    world = two_stages()
    one, two, three = world.start(), "", ""
    world.finish(one, "Source")
    two = world.start()
    world.finish(two, "Source")
    assert world.stage("Build")["inboundExecution"]["pipelineExecutionId"] == two
    three = world.start()
    assert world.status(two) == "InProgress"
    world.finish(three, "Source")
    assert world.status(two) == "Superseded"
    assert world.status(three) == "InProgress"
    assert world.running() == [(one, "Build")]
    world.finish(one, "Build")
    assert sorted(world.running()) == sorted([(one, "Deploy"), (three, "Build")])


def test_an_execution_inside_a_stage_is_never_superseded() -> None:
    world = two_stages()
    one = world.start()
    world.finish(one, "Source")
    for _ in range(3):
        world.finish(world.start(), "Source")
    assert world.status(one) == "InProgress"
    assert world.running() == [(one, "Build")]


def test_queued_executions_enter_in_their_order() -> None:
    world = two_stages("QUEUED")
    one = world.start()
    world.finish(one, "Source")
    two = world.start()
    world.finish(two, "Source")
    three = world.start()
    world.finish(three, "Source")
    assert world.status(two) == "InProgress"
    world.finish(one, "Build")
    assert (two, "Build") in world.running()
    assert (three, "Build") not in world.running()


def test_one_failing_action_fails_the_stage_and_those_beside_it_run_on_and_hold_it() -> None:
    world = World(declaration(("Waves", [action("A"), action("B"), action("After", order=2)])))
    one = world.start()
    world.finish(one, "Source")
    assert {name for _, name in world.running()} == {"A", "B"}
    world.finish(one, "A", "Failed", error_code="ALARM_ACTIVE", error_message="an alarm")
    assert world.status(one) == "Failed"
    assert world.stage("Waves")["latestExecution"]["status"] == "Failed"
    assert world.running() == [(one, "B")]
    two = world.start()
    world.finish(two, "Source")
    assert (two, "A") not in world.running()
    world.finish(one, "B")
    assert (two, "A") in world.running()
    assert {a["name"] for a in world.pipeline["executions"][one]["actions"]} == {"Source", "A", "B"}
    error = world.pipeline["executions"][one]["actions"][1]["error"]
    assert error == {"code": "ALARM_ACTIVE", "message": "an alarm"}


def test_retry_of_failed_actions_runs_only_those_again_and_then_goes_on() -> None:
    world = World(declaration(("Waves", [action("A"), action("B"), action("After", order=2)])))
    one = world.start()
    world.finish(one, "Source")
    world.finish(one, "B")
    world.finish(one, "A", "Failed")
    world.call(engine.retry, "Waves", one, "FAILED_ACTIONS")
    assert world.running() == [(one, "A")]
    assert world.status(one) == "InProgress"
    world.finish(one, "A")
    assert world.running() == [(one, "After")]
    world.finish(one, "After")
    assert world.status(one) == "Succeeded"
    assert ("Stage", "RESUMED") in [(e.level, e.state) for e in world.events]
    assert world.stage("Waves")["retryStageMetadata"]["manualStageRetryAttempt"] == 1


def test_retry_of_all_actions_runs_the_whole_stage_again() -> None:
    world = World(declaration(("Waves", [action("A"), action("B", order=2)])))
    one = world.start()
    world.finish(one, "Source")
    world.finish(one, "A")
    world.finish(one, "B", "Failed")
    world.call(engine.retry, "Waves", one, "ALL_ACTIONS")
    assert world.running() == [(one, "A")]


def test_retry_refuses_what_aws_refuses() -> None:
    world = two_stages()
    one = world.start()
    with pytest.raises(EngineError) as refused:
        world.call(engine.retry, "Source", one, "FAILED_ACTIONS")
    assert refused.value.code == "StageNotRetryableException"
    world.finish(one, "Source", "Failed")
    with pytest.raises(EngineError) as refused:
        world.call(engine.retry, "Nowhere", one, "FAILED_ACTIONS")
    assert refused.value.code == "StageNotFoundException"
    two = world.start()
    with pytest.raises(EngineError) as refused:
        world.call(engine.retry, "Source", one, "FAILED_ACTIONS")
    assert refused.value.code == "NotLatestPipelineExecutionException"
    world.finish(two, "Source", "Failed")
    world.call(engine.update, declaration(("Build", [action("Build")])))
    with pytest.raises(EngineError) as refused:
        world.call(engine.retry, "Source", two, "FAILED_ACTIONS")
    assert refused.value.code == "StageNotRetryableException"


def test_stop_and_wait_lets_running_actions_end_and_starts_none() -> None:
    world = two_stages()
    one = world.start()
    world.finish(one, "Source")
    world.call(engine.stop, one, False, "enough")
    assert world.status(one) == "Stopping"
    assert world.stage("Build")["latestExecution"]["status"] == "Stopping"
    with pytest.raises(EngineError) as refused:
        world.call(engine.stop, one, False, None)
    assert refused.value.code == "DuplicatedStopRequestException"
    world.finish(one, "Build")
    assert world.status(one) == "Stopped"
    assert world.running() == []
    assert views.execution_summary(world.pipeline, world.pipeline["executions"][one])["stopTrigger"] == {"reason": "enough"}
    with pytest.raises(EngineError) as refused:
        world.call(engine.stop, one, True, None)
    assert refused.value.code == "PipelineExecutionNotStoppableException"


def test_stop_and_abandon_ends_at_once_and_late_news_change_nothing() -> None:
    world = two_stages()
    one = world.start()
    world.finish(one, "Source")
    action_id = world.started[-1].action_execution_id
    world.call(engine.stop, one, True, None)
    assert world.status(one) == "Stopped"
    assert world.stage("Build")["actionStates"][0]["latestExecution"]["status"] == "Abandoned"
    world.take(engine.observe(world.pipeline, one, action_id, Observation("Succeeded"), world.clock.now()))
    assert world.stage("Build")["actionStates"][0]["latestExecution"]["status"] == "Abandoned"
    world.call(engine.retry, "Build", one, "FAILED_ACTIONS")
    assert world.running() == [(one, "Build")]


def test_a_disabled_transition_holds_executions_until_it_is_enabled_and_only_the_newest_goes_in() -> None:
    world = two_stages()
    world.call(engine.set_transition, "Gamma", "Inbound", False, "me", "blocked: a bad release")
    one = world.start()
    world.finish(one, "Source")
    world.finish(one, "Build")
    assert world.running() == []
    assert world.status(one) == "InProgress"
    assert world.stage("Gamma")["inboundTransitionState"]["disabledReason"] == "blocked: a bad release"
    two = world.start()
    world.finish(two, "Source")
    world.finish(two, "Build")
    assert world.status(one) == "Superseded"
    world.call(engine.set_transition, "Gamma", "Inbound", True, "me", None)
    assert world.running() == [(two, "Deploy")]
    with pytest.raises(EngineError):
        world.call(engine.set_transition, "Delta", "Inbound", False, "me", "x")


def test_variables_come_from_namespaces_the_pipeline_and_the_execution() -> None:
    structure = declaration(("Build", [action("Build")]))
    structure["variables"] = [{"name": "Colour", "defaultValue": "red"}]
    structure["stages"][1]["actions"][0]["configuration"] = {
        "ProjectName": "p", "EnvironmentVariables": "#{Source.CommitId} #{variables.Colour} #{codepipeline.PipelineExecutionId}"}
    world = World(structure)
    one = world.start(variables={"Colour": "blue"})
    world.finish(one, "Source", variables={"CommitId": "abc"}, outputs={"Src": {"bucket": "b", "key": "k"}})
    build = world.pipeline["executions"][one]["actions"][1]
    assert build["resolved"]["EnvironmentVariables"] == f"abc blue {one}"
    assert build["configuration"]["EnvironmentVariables"].startswith("#{")


def test_a_variable_without_a_value_fails_the_action_and_nothing_is_started() -> None:
    structure = declaration(("Build", [action("Build")]))
    structure["stages"][1]["actions"][0]["configuration"]["EnvironmentVariables"] = "#{Source.Typo}"
    world = World(structure)
    one = world.start()
    world.finish(one, "Source", variables={"CommitId": "abc"})
    assert world.status(one) == "Failed"
    assert len(world.started) == 1
    assert "#{Source.Typo}" in world.pipeline["executions"][one]["actions"][1]["error"]["message"]


def test_artifacts_reach_the_actions_that_take_them() -> None:
    world = World(declaration(("Build", [action("Build", inputArtifacts=[{"name": "Src"}])])))
    one = world.start()
    world.finish(one, "Source", outputs={"Src": {"bucket": "b", "key": "pipe/Src/1234567"}})
    listed = views.action_execution(world.pipeline, world.pipeline["executions"][one], world.pipeline["executions"][one]["actions"][1])
    assert listed["input"]["inputArtifacts"] == [{"name": "Src", "s3location": {"bucket": "b", "key": "pipe/Src/1234567"}}]


def test_an_update_cancels_executions_of_the_old_structure_after_their_running_actions() -> None:
    world = two_stages()
    one = world.start()
    world.finish(one, "Source")
    world.call(engine.update, declaration(("Build", [action("Build")])))
    assert world.status(one) == "InProgress"
    assert world.pipeline["version"] == 2
    world.finish(one, "Build")
    assert world.status(one) == "Cancelled"
    two = world.start()
    world.finish(two, "Source")
    world.finish(two, "Build")
    assert world.status(two) == "Succeeded"


def test_an_action_that_exceeds_its_own_time_fails() -> None:
    world = World(declaration(("Build", [action("Build", timeoutInMinutes=5)])))
    one = world.start()
    world.finish(one, "Source")
    world.clock.advance(299)
    world.take(engine.advance(world.pipeline, world.clock.now()))
    assert world.status(one) == "InProgress"
    world.clock.advance(2)
    world.take(engine.advance(world.pipeline, world.clock.now()))
    assert world.status(one) == "Failed"


def test_the_record_survives_json_in_the_middle_of_an_execution() -> None:
    world = two_stages()
    one = world.start()
    world.finish(one, "Source", revision={"revisionId": "abc", "revisionSummary": "s", "revisionUrl": "u"})
    world.pipeline = json.loads(json.dumps(world.pipeline))
    assert world.running() == [(one, "Build")]
    world.finish(one, "Build")
    world.finish(one, "Deploy")
    assert world.status(one) == "Succeeded"


def test_a_thousand_releases_leave_at_most_one_execution_in_each_stage() -> None:
    world = two_stages()
    for number in range(1000):
        world.start()
        running = world.running()
        stages = [name for _, name in running]
        assert len(stages) == len(set(stages))
        execution_id, name = running[number % len(running)]
        world.finish(execution_id, name, "Failed" if number % 7 == 3 else "Succeeded")
    assert {e["status"] for e in world.pipeline["executions"].values()} == {"Succeeded", "Failed", "Superseded", "InProgress"}
