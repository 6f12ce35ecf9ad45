"""What a deploy of the pipeline does about its connection, against the local AWS's own pipelines and connections (real git, no network)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from inprocess import InProcess
from localaws_fakes import CALLER
from scripts_fakes import FakeClock, Recorder
from test_localaws_codepipeline_api import World

from scripts.core import connection
from scripts.core.stacks import Stack


class Waits(FakeClock):
    """Whoever waits sees `then` happen."""

    def __init__(self, then: Callable[[], None]) -> None:
        super().__init__()
        self.then = then

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.then()


def complete(world: World, clock: FakeClock | None = None, wait_seconds: float = 60) -> str:
    """Run it, and return what it says."""
    recorder = Recorder()
    aws = InProcess({"codeconnections": world.connections, "codepipeline": world.api}, account=CALLER.account)
    stack = Stack("arn", "pipeline", "CREATE_COMPLETE", "", {}, {"ConnectionArn": world.arn, "PipelineName": "pipe"}, {}, None)
    connection.complete(aws, "us-east-1", stack, recorder.console, clock or FakeClock(), wait_seconds)
    world.settle()
    return recorder.text


def version(world: World) -> int:
    return int(world.api.get_pipeline(CALLER, {"name": "pipe"})["pipeline"]["version"])


def pending(tmp_path: Path) -> World:
    world = World(tmp_path, complete=False)
    world.create()
    assert "PENDING" in world.error("Source")["message"]
    return world


def heard(world: World) -> bool:
    """Whether a push starts an execution."""
    before = world.latest()["pipelineExecutionId"]
    world.push("heard.txt", f"after {before}")
    return bool(world.latest()["pipelineExecutionId"] != before and world.latest()["trigger"]["triggerType"] == "WebhookV2")


def test_once_the_connection_is_completed_pushes_are_heard_and_the_release_is_started(tmp_path: Path) -> None:
    world = pending(tmp_path)
    before = world.api.get_pipeline(CALLER, {"name": "pipe"})["pipeline"]
    told = complete(world, Waits(lambda: world.connections.complete(world.arn) and None))
    assert "so that it hears of pushes" in told and "started" in told
    assert world.latest()["trigger"]["triggerType"] == "StartPipelineExecution"
    assert world.api.get_pipeline(CALLER, {"name": "pipe"})["pipeline"] == {**before, "version": 2}
    assert heard(world)


def test_without_it_a_push_starts_nothing(tmp_path: Path) -> None:
    world = pending(tmp_path)
    world.connections.complete(world.arn)
    assert not heard(world)


def test_what_an_interruption_left_the_next_one_does(tmp_path: Path) -> None:
    world = pending(tmp_path)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        complete(world, Waits(interrupted))
    assert version(world) == 1
    world.connections.complete(world.arn)
    complete(world)
    assert version(world) == 2 and heard(world)


def test_a_release_that_somebody_started_by_hand_in_between_hides_nothing(tmp_path: Path) -> None:
    world = pending(tmp_path)
    world.connections.complete(world.arn)
    world.api.start_pipeline_execution(CALLER, {"name": "pipe"})
    world.settle()
    complete(world)
    assert world.latest()["trigger"]["triggerType"] == "StartPipelineExecution"
    assert heard(world)


def test_a_pipeline_that_a_push_has_started_stays_as_it_is(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.create()
    assert heard(world)
    assert complete(world) == ""
    assert version(world) == 1


def test_another_connection_is_heard_once_it_is_completed_though_pushes_came_by_the_one_before(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.create()
    assert heard(world)
    world.build_done("FAILED")
    world.arn = world.connections.create_connection(CALLER, {"ConnectionName": "another", "ProviderType": "GitHub"})["ConnectionArn"]
    world.api.update_pipeline(CALLER, {"pipeline": world.declaration()})
    complete(world, wait_seconds=0)
    world.connections.complete(world.arn)
    complete(world)
    assert heard(world)


def test_no_execution_is_ended_by_the_update(tmp_path: Path) -> None:
    world = pending(tmp_path)
    world.connections.complete(world.arn)
    assert not heard(world)
    world.api.start_pipeline_execution(CALLER, {"name": "pipe"})
    world.settle()
    assert world.latest()["status"] == "InProgress"
    assert f"run this again once execution {world.latest()['pipelineExecutionId']} has ended" in complete(world)
    assert version(world) == 1
    world.build_done("FAILED")
    assert world.latest()["status"] == "Failed"
    complete(world)
    assert version(world) == 2 and heard(world)


def test_while_it_is_pending_and_nobody_waits_it_says_what_is_left(tmp_path: Path) -> None:
    world = pending(tmp_path)
    told = complete(world, wait_seconds=0)
    assert "Update pending connection" in told and "a push may start nothing" in told
    assert version(world) == 1
