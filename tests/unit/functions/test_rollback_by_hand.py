"""`make rollback`, `make block` and the like against the rollback function's own code: what one sends the other understands, and the way back is seen."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from world import GROUPS, SETTINGS, World

from commands import Commands
from scripts import block, override, rollback, status, unblock
from scripts.core.console import Console
from scripts.core.world import World as Here

OLD, NEW, NEVER = "a" * 40, "b" * 40, "c" * 40
PROD = [name for name in GROUPS if name.startswith("prod/")]
OUTPUTS = [{"OutputKey": "RollbackFunctionName", "OutputValue": "the-function"}]


def _bundles(commit: str) -> dict[str, dict[str, str]]:
    """Each group's bundle, in its own Region."""
    return {name: {"bucket": name.split("/")[1], "key": commit, "bundleType": "zip"} for name in PROD}


class Account:
    """AWS as the commands see it: a deployed pipeline stack, and the function behind it."""

    local, endpoint = True, "http://127.0.0.1:4566"

    def __init__(self, world: World) -> None:
        self.world = world
        self.commands = Commands(SETTINGS, world.ledger, world.reconciler, lambda: world.time)

    def client(self, service: str, region: str) -> Any:
        return self

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": "000000000000", "Arn": "arn:aws:iam::000000000000:user/someone"}

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        found = {"StackId": "s", "StackName": StackName, "StackStatus": "CREATE_COMPLETE", "CreationTime": None}
        return {"Stacks": [{**found, "Outputs": OUTPUTS if StackName.endswith("-pipeline") else []}]}

    def invoke(self, FunctionName: str, InvocationType: str, Payload: bytes) -> dict[str, Any]:
        return {"Payload": io.BytesIO(json.dumps(self.commands.answer(json.loads(Payload))).encode())}


class WorldClock:
    """Sleeping lets the world go on: deployments end, and the function runs each minute."""

    def __init__(self, world: World) -> None:
        self.world, self.minute = world, 0.0

    def seconds(self) -> float:
        return self.world.time

    def sleep(self, seconds: float) -> None:
        self.world.time += seconds
        self.minute += seconds
        if self.minute >= 60:
            self.minute = 0.0
            self.world.deployments_go_on(0.0)
            self.world.look_after()


class Desk:
    """Prod runs the new release in every group; the old one was good before, and the new one is now."""

    def __init__(self, root: Path, world: World) -> None:
        self.world, self.out, self.err = world, io.StringIO(), io.StringIO()
        (root / "parameters").mkdir()
        for name, template in (("prod", "environment"), ("pipeline", "pipeline")):
            text = f"template: {template}\naccount: '000000000000'\nregions: [us-east-1]\nparameters: {{ServiceName: sample}}\n"
            (root / f"parameters/{name}.yaml").write_text(text)
        console = Console(self.out, self.err, live=False)
        self.here = Here(root, {}, console, WorldClock(world), lambda local, environ: Account(world))  # type: ignore[arg-type]
        for commit in (OLD, NEW):
            for name in PROD:
                world.deploy(name, commit, "user", False)
                world.end(world.fleets[name], "Succeeded")
            world.ledger.passed(commit, "Wave2", world.time)
            world.ledger.set_last_good("prod", commit, _bundles(commit), world.time)
            world.time += 10

    def run(self, command: Any, *options: str) -> int:
        return int(command.main(["--env", "prod", *options], self.here))

    def running(self) -> set[str | None]:
        found = (self.world.fleets[name].last_successful for name in PROD)
        return {deployment.commit for deployment in found if deployment}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, World(1))


def test_a_rollback_by_hand_brings_every_group_back_and_is_seen_to(desk: Desk) -> None:
    assert desk.run(rollback, "--reason", "customers call") == 0, desk.err.getvalue()
    assert desk.running() == {OLD}
    text = desk.out.getvalue()
    assert f"rollback of prod done: us-east-1/onebox, us-east-1/fleet, us-west-2/fleet, eu-west-1/fleet run {OLD[:12]}" in text
    assert "someone rolls prod back to" in text and "prod is blocked: " in text and "customers call" in text
    assert desk.world.ledger.release(NEW).bad is not None


def test_a_named_release_by_its_first_digits(desk: Desk) -> None:
    assert desk.run(rollback, "--reason", "x", "--to", OLD[:8]) == 0, desk.err.getvalue()
    assert desk.running() == {OLD}


def test_what_never_baked_is_refused_in_the_functions_words(desk: Desk) -> None:
    desk.world.ledger.passed(NEVER, "Gamma", desk.world.time)
    assert desk.run(rollback, "--reason", "x", "--to", NEVER[:7]) == 1
    assert "never baked in prod" in desk.err.getvalue() and desk.running() == {NEW}


def test_a_region_that_does_not_answer_is_not_called_done(desk: Desk) -> None:
    desk.world.silent.add("eu-west-1")
    assert desk.run(rollback, "--reason", "x", "--wait-minutes", "15") == 1
    assert "PAGED: " in desk.out.getvalue() and "eu-west-1 does not answer" in desk.err.getvalue()


def test_a_group_that_stays_down_is_told_as_paged_and_as_not_done(desk: Desk) -> None:
    desk.world.fleets["prod/us-west-2/fleet"].hopeless = True
    assert desk.run(rollback, "--reason", "x", "--wait-minutes", "60") == 1
    assert "PAGED: " in desk.out.getvalue() and "us-west-2/fleet" in desk.err.getvalue()


def test_a_freeze_is_seen_overridden_and_lifted(desk: Desk) -> None:
    assert desk.run(block, "--reason", "holidays") == 0, desk.err.getvalue()
    assert desk.run(status) == 0, desk.err.getvalue()
    assert "BLOCKED since" in desk.out.getvalue() and "holidays" in desk.out.getvalue()
    assert f"desired release {NEW[:12]}" in desk.out.getvalue() and "us-west-2  fleet   bbbbbbbbbbbb  as desired" in desk.out.getvalue()
    assert desk.run(override, "--reason", "the remedy", "--release", NEW[:7]) == 0, desk.err.getvalue()
    assert desk.run(unblock, "--reason", "over") == 0, desk.err.getvalue()
    assert desk.world.ledger.environment("prod").blocked is None
    assert desk.run(unblock, "--reason", "over") == 1 and "prod is not blocked" in desk.err.getvalue()
