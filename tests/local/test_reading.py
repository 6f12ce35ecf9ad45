"""What only reads, with credentials that may only read: status and history of what was really shipped, and what they say where a permission is missing."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import shipping
from botocore.exceptions import ClientError

from scripts import demo, doctor, history, plan, status
from scripts.core import reads, world
from scripts.core.console import Console
from scripts.core.session import open_session

pytestmark = [pytest.mark.every, pytest.mark.usefixtures("calm")]

_MOST_SECONDS = 3.0
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Reader:
    """A role that may do what `reads` lists and nothing else, and a session of it."""

    iam: Any
    role: str
    here: world.World

    def may(self, *without: str) -> None:
        """Give the role all that it needs but this."""
        # Objects of the store are read by version; the local AWS asks for either name. A policy on '*': what is tried is which actions are called.
        actions = {*reads.STATUS, *reads.HISTORY, *reads.PLAN, *reads.DOCTOR, "s3:GetObject", "kms:Decrypt"} - set(without)
        statement = {"Effect": "Allow", "Action": sorted(actions), "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.iam.put_role_policy(RoleName=self.role, PolicyName="Read", PolicyDocument=document)

    def run(self, command: Any, environment: str, *options: str) -> str:
        """What a command prints; it must succeed."""
        out, err = io.StringIO(), io.StringIO()
        here = replace(self.here, console=Console(out, err, live=False))
        assert command.main(["--env", environment, "--local", *options], here) == 0, err.getvalue()
        return out.getvalue()

    def document(self, command: Any, environment: str) -> dict[str, Any]:
        """The same as data."""
        return dict(json.loads(self.run(command, environment, "--json")))


@pytest.fixture
def reader(delivery: demo.Demonstration, local_aws: Any) -> Iterator[Reader]:
    """A role of the account, and commands that run as it."""
    account = local_aws.client("sts").get_caller_identity()["Account"]
    iam, name = local_aws.client("iam"), f"reader-{uuid.uuid4().hex[:8]}"
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))["Role"]["Arn"]
    keys = local_aws.client("sts").assume_role(RoleArn=arn, RoleSessionName="person")["Credentials"]
    environ = {**local_aws.environ, "AWS_ACCESS_KEY_ID": keys["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
               "AWS_SESSION_TOKEN": keys["SessionToken"]}
    here = local_aws.world()
    one = Reader(iam, name, world.World(here.root, environ, here.console, here.clock, open_session))
    one.may()
    try:
        yield one
    finally:
        iam.delete_role_policy(RoleName=name, PolicyName="Read")
        iam.delete_role(RoleName=name)


def test_status_says_what_runs_where_by_reading_alone(delivery: demo.Demonstration, reader: Reader) -> None:
    with pytest.raises(ClientError, match="lambda:InvokeFunction"):
        open_session(True, reader.here.environ).client("lambda", delivery.region).invoke(FunctionName=delivery.control.name, Payload=b"{}")
    document = reader.document(status, "prod")
    (found,) = document["environments"]
    assert (document["schema"], found["unreadable"], found["notes"]) == (1, [], [])
    runs = {f"prod/{group['region']}/{group['scope']}": group["release"]["commit"] for group in found["groups"]}
    assert runs == {place: commit for place, commit in delivery.running().items() if place.startswith("prod/")}
    record = delivery.control.record("prod")
    assert found["releases"]["record"]["desired"] == record["desired"] and found["releases"]["record"]["last_good"] == record["last_good"]
    for group in found["groups"]:
        assert group["release"]["digest"].startswith("sha256:") and 0 < group["since"] <= time.time()
        assert group["drift"] == "last good", group
        assert {host["status"] for host in group["instances"]} == {"Succeeded"}
    assert found["stages"] == ["OneBox", "Wave1", "Wave2"]
    assert {alarm["state"] for alarm in found["alarms"] if alarm["composite"]} == {"OK"}


def test_a_plan_is_worked_out_by_reading_alone(reader: Reader) -> None:
    document = reader.document(plan, "prod")
    assert (document["schema"], document["lost"]) == (1, [])
    assert {(stack["how"], stack["status"]) for stack in document["stacks"]} == {("no change", "CREATE_COMPLETE")}


@pytest.mark.parametrize("environment", ["prod", "pipeline"])
def test_nothing_stands_in_the_way_of_what_is_deployed(reader: Reader, environment: str) -> None:
    document = reader.document(doctor, environment)
    assert [one for one in document["findings"] if one["level"] != "ok"] == []
    assert document["seconds"] < 10


def test_what_a_new_environment_needs_is_read_with_these_permissions(reader: Reader) -> None:
    # Beta is in the tree and deployed by no case but its own: its names are looked up, and its canary's runtime is not (it has none).
    document = reader.document(doctor, "beta")
    assert [one for one in document["findings"] if one["level"] not in ("ok", "warn")] == []


def test_status_takes_less_than_three_seconds(reader: Reader) -> None:
    took = []
    while len(took) < 3 and min(took, default=_MOST_SECONDS) >= _MOST_SECONDS:  # the releases of other cases share this machine
        begun = time.monotonic()
        reader.run(status, "prod")
        took.append(time.monotonic() - begun)
    print("status took", [f"{seconds:.2f} s" for seconds in took])
    assert min(took) < _MOST_SECONDS


@pytest.mark.parametrize("action", ["codedeploy:GetDeploymentGroup", "codedeploy:ListDeploymentTargets", "s3:GetObjectVersion", "kms:Decrypt",
                                    "codepipeline:GetPipelineState", "codepipeline:ListPipelineExecutions", "codepipeline:GetPipeline",
                                    "dynamodb:GetItem", "dynamodb:Query", "dynamodb:BatchGetItem", "cloudwatch:DescribeAlarms"])
def test_a_missing_permission_is_named_and_the_rest_is_shown(reader: Reader, action: str) -> None:
    reader.may(action, *(["s3:GetObject"] if action == "s3:GetObjectVersion" else []))
    text = reader.run(status, "prod")
    assert ("s3:GetObject" if action.startswith("s3:") else action) in text
    shown = [part for part in ("desired release", "pipeline ", "fleet (us-east-1)", "alarms", "sample-environment-prod") if part in text]
    assert len(shown) >= 4, text


def test_history_tells_of_a_release_that_came_back(delivery: demo.Demonstration, reader: Reader) -> None:
    shipped = shipping.ship(delivery, "History: dies at start\n\nThe second paragraph is not shown.", crash_on_start=True)
    shipping.came_back(delivery, shipped, "Gamma")
    commit = shipped.outcome.commit

    def row(environment: str) -> dict[str, Any]:
        return next(dict(one) for one in reader.document(history, environment)["releases"] if one["commit"] == commit)

    # The rollback function writes the end down when it next looks, within a minute.
    shipping.until("the end of the way back in the ledger", lambda: (row("gamma")["rollback"] or {}).get("ended"), _PATIENCE_SECONDS + 60, 2)
    document = reader.document(history, "gamma")
    assert document["unreadable"] == []
    bad = row("gamma")
    assert (bad["outcome"], bad["caught_in"], bad["message"], bad["deployed"]) == ("bad", "Gamma", "History: dies at start", True)
    assert bad["rollback"]["by"] == "handsoff" and 0 < bad["rollback"]["seconds"] < shipped.outcome.seconds + 120
    assert bad["committed"] is not None and bad["committed"] <= bad["pushed"] + 1 and bad["by"]
    assert "Gamma" in bad["cause"]
    good = next(one for one in document["releases"] if one["commit"] == delivery.control.record("gamma")["last_good"])
    assert good["outcome"] == "good" and good["out"] > good["pushed"]
    figures = {one["name"]: one["value"] for one in document["dora"]["figures"]}
    assert 0 < figures["change failure rate"] < 1 and figures["deployment frequency"] > 0
    assert figures["lead time for changes"] > 0 and figures["time to restore"] > 0
    # In prod it was never seen: it is no failure of prod's.
    there = row("prod")
    assert (there["deployed"], there["rollback"]) == (False, None) and there["outcome"] == "bad"
    assert "cause: " in reader.run(history, "prod", "--since", "1h", "--limit", "5")


def test_a_watch_shows_changes_and_ends_with_control_c(delivery: demo.Demonstration, reader: Reader) -> None:
    """As a person runs it, into a pipe."""
    watch = subprocess.Popen([sys.executable, "-u", "-m", "scripts.status", "--env", "prod", "--local", "--watch", "--every", "2"], cwd=delivery.here.root,
                             env={**os.environ, **reader.here.environ}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines: list[str] = []

    def listen() -> None:
        assert watch.stdout is not None
        lines.extend(iter(watch.stdout.readline, ""))

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        shipping.until("the first picture", lambda: any("desired release" in line for line in list(lines)), _PATIENCE_SECONDS)
        delivery.control.ask("block", "prod", reason="to be seen", by="a test")
        try:
            shipping.until("the block", lambda: any("prod: blocked: by a test: to be seen" in line for line in list(lines)), _PATIENCE_SECONDS)
        finally:
            delivery.control.ask("unblock", "prod", reason="seen", by="a test")
        watch.send_signal(signal.SIGINT)
        assert watch.wait(30) == 0
        listener.join(10)
        assert not any("\033" in line for line in lines)
    finally:
        if watch.poll() is None:
            watch.kill()
            watch.wait()
