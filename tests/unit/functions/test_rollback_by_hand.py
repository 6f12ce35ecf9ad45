"""`make rollback`, `make block` and the like against the rollback function's own code: what one sends the other understands, and the way back is seen."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError
from world import GROUPS, SETTINGS, World

from commands import Commands
from ledger import _decimal
from scripts import block, override, rollback, status, unblock
from scripts.core import hosts
from scripts.core.console import Console
from scripts.core.world import World as Here

OLD, NEW, NEVER = "a" * 40, "b" * 40, "c" * 40
PROD = [name for name in GROUPS if name.startswith("prod/")]
OUTPUTS = [{"OutputKey": "RollbackFunctionName", "OutputValue": "the-function"}, {"OutputKey": "LedgerTableName", "OutputValue": "ledger"}]


def _bundles(commit: str) -> dict[str, dict[str, str]]:
    """Each group's bundle, in its own Region."""
    return {name: {"bucket": name.split("/")[1], "key": commit, "bundleType": "zip"} for name in PROD}


def _image(region: str, commit: str) -> str:
    return f"000000000000.dkr.ecr.{region}.amazonaws.com/sample@sha256:{commit[0] * 64}"


def _item(item: dict[str, Any]) -> dict[str, Any]:
    return {key: TypeSerializer().serialize(_decimal(value)) for key, value in item.items()}


class Account:
    """AWS as the commands see it: a deployed pipeline stack, the function behind it, and the release stores of each Region.

    `gone` are (Region, commit) whose bundle is no longer there, `imageless` those whose image is not.
    """

    local, endpoint = True, "http://127.0.0.1:4566"

    def __init__(self, world: World) -> None:
        self.world = world
        self.gone: set[tuple[str, str]] = set()
        self.imageless: set[tuple[str, str]] = set()
        self.commands = Commands(SETTINGS, world.ledger, world.reconciler, lambda: world.time)

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        if (Bucket, Key) in self.gone:
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": "The specified key does not exist."}}, "GetObject")
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as archive:
            archive.writestr("release.json", json.dumps({"commit": Key, "images": {Bucket: _image(Bucket, Key)}}))
        return {"Body": io.BytesIO(held.getvalue())}

    def describe_images(self, registryId: str, repositoryName: str, imageIds: list[dict[str, str]]) -> dict[str, Any]:
        if any(_image(region, commit).endswith(imageIds[0]["imageDigest"]) for region, commit in self.imageless):
            raise ClientError({"Error": {"Code": "ImageNotFoundException", "Message": "The image does not exist"}}, "DescribeImages")
        return {"imageDetails": [{}]}

    def client(self, service: str, region: str) -> Any:
        return self

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": "000000000000", "Arn": "arn:aws:iam::000000000000:user/someone"}

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        found = {"StackId": "s", "StackName": StackName, "StackStatus": "CREATE_COMPLETE", "CreationTime": None}
        endpoint = [{"OutputKey": "EndpointUrl", "OutputValue": "http://balancer.invalid/"}]
        return {"Stacks": [{**found, "Outputs": OUTPUTS if StackName.endswith("-pipeline") else endpoint}]}

    def get_item(self, TableName: str, Key: dict[str, Any], ConsistentRead: bool) -> dict[str, Any]:
        found = self.world.table.get(Key["id"]["S"], Key["at"]["S"])
        return {"Item": _item(found)} if found else {}

    def query(self, ExpressionAttributeValues: dict[str, Any], Limit: int, **_: Any) -> dict[str, Any]:
        return {"Items": [_item(item) for item in self.world.table.newest(ExpressionAttributeValues[":id"]["S"], Limit)]}

    def batch_get_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:
        found = [self.world.table.get(key["id"]["S"], key["at"]["S"]) for key in RequestItems["ledger"]["Keys"]]
        return {"Responses": {"ledger": [_item(item) for item in found if item]}}

    def invoke(self, FunctionName: str, InvocationType: str, Payload: bytes) -> dict[str, Any]:
        return {"Payload": io.BytesIO(json.dumps(self.commands.answer(json.loads(Payload))).encode())}


class WorldClock:
    """Sleeping lets the world go on: deployments end, and the function runs each minute."""

    def __init__(self, world: World) -> None:
        self.world, self.minute = world, 0.0

    def seconds(self) -> float:
        return self.world.time

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.world.time, UTC)

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
        self.account = Account(world)
        self.here = Here(root, {}, console, WorldClock(world), lambda local, environ: self.account)  # type: ignore[arg-type]
        for commit in (OLD, NEW):
            for name in PROD:
                world.deploy(name, commit, "user", False)
                world.end(world.fleets[name], "Succeeded")
            world.ledger.passed(commit, "Wave2", world.time)
            world.ledger.set_last_good("prod", commit, _bundles(commit), world.time)
            world.time += 10

    def run(self, command: Any, *options: str) -> int:
        return int(command.main(["--env", "prod", *(["--yes"] if command is rollback else []), *options], self.here))

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


@pytest.mark.parametrize("lagging", [False, True])
def test_at_the_end_the_hosts_are_asked(desk: Desk, monkeypatch: pytest.MonkeyPatch, lagging: bool) -> None:
    asked: list[str] = []

    def ask(url: str, direct: bool) -> str:
        asked.append(url)
        return NEW if lagging and len(asked) % 4 == 0 else OLD

    monkeypatch.setattr(hosts, "ask", ask)
    monkeypatch.setattr(hosts, "addresses", lambda source: {"balancer.invalid": "http://127.0.0.1:7"} if source == "http://list" else {})
    assert desk.run(rollback, "--reason", "x", "--addresses", "http://list") == (1 if lagging else 0)
    assert set(asked) == {"http://127.0.0.1:7/version"}
    if lagging:
        assert f"not every host of prod answers with {OLD[:12]}" in desk.err.getvalue() and f"{NEW[:12]} 5 times" in desk.err.getvalue()
    else:
        assert f"  us-east-1: GET http://127.0.0.1:7/version answered {OLD[:12]} 20 of 20 times" in desk.out.getvalue()
    assert desk.running() == {OLD}


def test_what_will_change_is_shown_and_a_no_changes_nothing(desk: Desk) -> None:
    asked: list[str] = []

    def no(question: str) -> str:
        asked.append(question)
        return "n"

    desk.here = dataclasses.replace(desk.here, console=Console(desk.out, desk.err, ask=no, live=False))
    desk.world.time += 3 * 3600
    assert rollback.main(["--env", "prod", "--reason", "x"], desk.here) == 1
    text = desk.out.getvalue()
    assert asked == [f"Roll prod back to {OLD[:12]}? [y/N] "] and "nothing was done" in desk.err.getvalue()
    assert f"prod goes back to {OLD[:12]}\n  it baked in Wave2 on 2023-11-14 22:13:20 UTC, 3h00m ago" in text
    assert f"    eu-west-1  fleet   {NEW[:12]}  3h00m  {OLD[:12]}" in text.splitlines()
    assert f"{NEW[:12]} is marked bad and is never deployed again" in text and "prod then takes no release until: make unblock ENV=prod" in text
    assert all(len(line) <= 80 for line in text.splitlines()[1:])
    assert desk.running() == {NEW} and desk.world.ledger.environment("prod").rollback is None and desk.world.ledger.release(NEW).bad is None


def test_what_is_in_flight_is_shown_as_marked_too(desk: Desk) -> None:
    desk.world.deploy("prod/us-west-2/fleet", NEVER, "user", False)
    assert desk.run(rollback, "--reason", "x", "--to", OLD) == 0, desk.err.getvalue()
    assert f"  {NEW[:12]}, {NEVER[:12]} are marked bad and are never deployed again" in desk.out.getvalue()
    assert desk.world.ledger.release(NEVER).bad is not None and desk.running() == {OLD}


@pytest.mark.parametrize("older", [False, True])
def test_a_release_that_came_while_a_person_thought_is_not_marked(desk: Desk, older: bool) -> None:
    if older:  # a function that does not say which it would mark
        answer = desk.account.commands.answer

        def without(event: Any) -> dict[str, Any]:
            told = answer(event)
            told.get("plan", {}).pop("marks", None)
            return told

        desk.account.commands.answer = without  # type: ignore[method-assign]

    def think(question: str) -> str:
        desk.world.deploy("prod/us-west-2/fleet", NEVER, "user", False)
        return "y"

    desk.here = dataclasses.replace(desk.here, console=Console(desk.out, desk.err, ask=think, live=False))
    assert rollback.main(["--env", "prod", "--reason", "x"], desk.here) == 1
    assert f"{NEVER[:12]} came to us-west-2/fleet meanwhile" in desk.err.getvalue() and "Run the command again" in desk.err.getvalue()
    assert desk.world.ledger.environment("prod").rollback is None
    assert desk.world.ledger.release(NEVER).bad is None and desk.world.ledger.release(NEW).bad is None
    assert desk.run(rollback, "--reason", "x") == 0 and desk.world.ledger.release(NEVER).bad is not None


@pytest.mark.parametrize("more", [{}, {"expected": None}, {"expected": [NEW]}, {"expected": NEW}])
def test_an_order_that_does_not_say_what_was_shown_is_done_as_ever(desk: Desk, more: dict[str, Any]) -> None:
    done = desk.account.commands.answer({"command": "rollback", "environment": "prod", "reason": "x", "by": "someone", **more})
    assert done["ok"] is not isinstance(more.get("expected"), str)
    assert (desk.world.ledger.release(NEW).bad is not None) is done["ok"]


def test_without_a_terminal_it_says_how_to_agree(desk: Desk) -> None:
    assert rollback.main(["--env", "prod", "--reason", "x"], desk.here) == 1
    assert "YES=1" in desk.err.getvalue() and desk.running() == {NEW}


@pytest.mark.parametrize("what", ["gone", "imageless"])
def test_a_release_that_is_no_longer_there_is_refused_with_those_that_are(desk: Desk, what: str) -> None:
    desk.world.ledger.passed(NEVER, "Gamma", desk.world.time)
    desk.world.ledger.learn(NEVER, {"gamma/us-east-1/fleet": {"bucket": "us-east-1", "key": NEVER, "bundleType": "zip"}})
    getattr(desk.account, what).add(("us-west-2", OLD))
    assert desk.run(rollback, "--reason", "x") == 1
    error = desk.err.getvalue()
    assert f"{OLD[:12]} can no longer be had, so prod is left as it is" in error and ("NoSuchKey" in error or "ImageNotFoundException" in error)
    assert f"{NEW[:12]} baked: Wave2 2023-11-14 22:13:30 UTC runs now" in " ".join(error.split())
    assert f"{NEVER[:12]}  passed: Gamma" in error and "with FORCE=1 only; no bundle known for us-west-2/fleet, eu-west-1/fleet" in error
    assert f"make rollback ENV=prod TO={OLD[:12]} FORCE=1 REASON=…" in error
    assert desk.running() == {NEW} and desk.world.ledger.environment("prod").rollback is None
    assert desk.run(rollback, "--reason", "it must", "--force") == 0, desk.err.getvalue()
    assert "not sure: us-west-2/fleet: its" in desk.out.getvalue()


def _forget(desk: Desk, *names: str) -> None:
    """The ledger and CodeDeploy no longer know of the old release's bundles for these groups."""
    for name in names:
        desk.world.fleets[name].deployments = [each for each in desk.world.fleets[name].deployments if each.commit != OLD]
    release = desk.world.ledger.release(OLD)
    kept = {place: bundle for place, bundle in release.revisions.items() if place not in names}
    desk.world.ledger._update_release(OLD, lambda r: dataclasses.replace(r, revisions=kept))


def test_a_new_region_that_nothing_was_deployed_to_does_not_keep_the_others(desk: Desk) -> None:
    _forget(desk, "prod/eu-west-1/fleet")
    desk.world.fleets["prod/eu-west-1/fleet"].deployments.clear()
    assert desk.run(rollback, "--reason", "it burns", "--no-wait") == 0, desk.err.getvalue()
    rows = [line.split() for line in desk.out.getvalue().splitlines() if line.startswith("    ")]
    assert ["eu-west-1", "fleet", "-", "-", "no", "deployment", "yet"] in rows and "no bundle" not in desk.out.getvalue()
    for _ in range(10):
        desk.here.clock.sleep(60)
    assert desk.running() == {OLD} and not desk.world.fleets["prod/eu-west-1/fleet"].deployments


def test_a_region_without_a_bundle_is_noted_and_does_not_keep_the_others(desk: Desk) -> None:
    _forget(desk, "prod/eu-west-1/fleet")
    assert desk.run(rollback, "--reason", "it burns") == 1, "that group is stuck"
    assert "  eu-west-1/fleet: no bundle of it is known there, so that group is not taken back, and is paged as stuck" in desk.out.getvalue()
    assert [desk.world.fleets[name].last_successful.commit == OLD for name in PROD] == [True, True, True, False]  # type: ignore[union-attr]


def test_a_release_without_any_bundle_is_refused_and_force_is_named(desk: Desk) -> None:
    _forget(desk, *PROD)
    assert desk.run(rollback, "--reason", "it burns") == 1
    assert "us-east-1/fleet: no bundle of it is known there" in desk.err.getvalue() and f"TO={OLD[:12]} FORCE=1" in desk.err.getvalue()
    assert desk.running() == {NEW} and desk.world.ledger.environment("prod").rollback is None


def test_what_may_not_be_looked_at_does_not_keep_anybody(desk: Desk) -> None:
    def denied(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "Access Denied"}}, "GetObject")

    desk.account.get_object = denied  # type: ignore[method-assign]
    assert desk.run(rollback, "--reason", "x") == 0, desk.err.getvalue()
    assert "may not be looked at (needs s3:GetObject)" in desk.out.getvalue()


@pytest.mark.parametrize("damage", ["no archive", "deflated", "encrypted", "method"])
def test_a_bundle_that_cannot_be_read_is_told_and_does_not_keep_anybody(desk: Desk, damage: str) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("release.json", json.dumps({"commit": OLD, "images": {}}))
    content = bytearray(held.getvalue())
    entry, data = content.index(b"PK\x01\x02"), 30 + len("release.json")
    if damage == "no archive":
        content = bytearray(b"<html>")
    elif damage == "deflated":
        content[data: data + 4] = b"\xff\xff\xff\xff"
    elif damage == "encrypted":
        content[6] |= 1
        content[entry + 8] |= 1
    else:
        content[8] = content[entry + 10] = 99
    desk.account.get_object = lambda **_: {"Body": io.BytesIO(content)}  # type: ignore[method-assign]
    assert desk.run(rollback, "--reason", "x") == 0, desk.err.getvalue()
    assert f"us-east-1/fleet: its bundle s3://us-east-1/{OLD} cannot be read (" in desk.out.getvalue()


def test_run_again_while_it_goes_on_it_is_watched_and_afterwards_it_is_said(desk: Desk) -> None:
    assert desk.run(rollback, "--reason", "customers call", "--no-wait") == 0
    orders = [entry for entry in desk.world.ledger.newest_log("prod") if entry["kind"] == "rollback" and entry.get("reason")]
    assert desk.run(rollback, "--reason", "customers call") == 0, desk.err.getvalue()
    assert f"a rollback to {OLD[:12]} is under way since" in desk.out.getvalue() and desk.running() == {OLD}
    assert desk.run(rollback, "--reason", "customers call") == 0
    assert f"prod was rolled back to {OLD[:12]} already; TO=<commit> goes further back" in desk.out.getvalue()
    assert desk.run(rollback, "--reason", "x", "--to", OLD) == 0
    assert f"every group of prod runs {OLD[:12]} already" in desk.out.getvalue()
    assert [entry for entry in desk.world.ledger.newest_log("prod") if entry["kind"] == "rollback" and entry.get("reason")] == orders


def test_a_whole_commit_that_nobody_knows_is_wrong_use(desk: Desk) -> None:
    assert desk.run(rollback, "--reason", "x", "--to", "d" * 40) == 2
    assert "there is no such release" in desk.err.getvalue() and f"{OLD[:12]}  baked: Wave2" in desk.err.getvalue()


def test_with_a_function_of_before_it_goes_on_without_a_plan(desk: Desk) -> None:
    answer = desk.account.commands.answer
    desk.account.commands.answer = lambda event: (  # type: ignore[method-assign]
        {"ok": False, "error": "unknown command 'plan'; there are others"} if event["command"] == "plan" else answer(event))
    assert desk.run(rollback, "--reason", "x") == 0, desk.err.getvalue()
    assert "is of before this command" in desk.out.getvalue() and desk.running() == {OLD}


def test_a_named_release_by_its_first_digits(desk: Desk) -> None:
    assert desk.run(rollback, "--reason", "x", "--to", OLD[:8]) == 0, desk.err.getvalue()
    assert desk.running() == {OLD}


def test_what_never_baked_is_refused_with_those_that_did(desk: Desk) -> None:
    desk.world.ledger.passed(NEVER, "Gamma", desk.world.time)
    assert desk.run(rollback, "--reason", "x", "--to", NEVER[:7]) == 1
    error = desk.err.getvalue()
    assert "never baked in prod" in error and desk.running() == {NEW}
    assert "those that can be had; make rollback ENV=prod TO=<commit> REASON=…\n" in error
    assert f"\n          {NEW[:12]}  baked: Wave2 2023-11-14 22:13:30 UTC  runs now\n" in error
    assert f"{OLD[:12]}  baked: Wave2 2023-11-14 22:13:20 UTC" in error


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
    assert f"desired release {NEW[:12]}" in desk.out.getvalue()
    assert desk.run(override, "--reason", "the remedy", "--release", NEW[:7]) == 0, desk.err.getvalue()
    assert desk.run(unblock, "--reason", "over") == 0, desk.err.getvalue()
    assert desk.world.ledger.environment("prod").blocked is None
    assert desk.run(unblock, "--reason", "over") == 1 and "prod is not blocked" in desk.err.getvalue()
