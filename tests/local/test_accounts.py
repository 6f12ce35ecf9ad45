"""Tools, gamma and prod in three accounts: releases go out through the environments' roles, and come back through them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import disturb
import projects
import pytest
import shipping

from scripts import demo, destroy
from scripts.core import world
from scripts.core.clock import RealClock
from scripts.core.console import Console
from scripts.core.session import open_session

ADMINISTRATOR = "administrator"


def _administer(environ: dict[str, str], account: str, tools: str) -> str:
    """What an administrator of an environment's account does once: a role that leads into it, by which its deployer is made and assumed."""
    iam = open_session(True, {**environ, "AWS_ACCESS_KEY_ID": account}).client("iam", "us-east-1")
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{tools}:root"}, "Action": "sts:AssumeRole"}
    arn = iam.create_role(RoleName=ADMINISTRATOR, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))["Role"]["Arn"]
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam.put_role_policy(RoleName=ADMINISTRATOR, PolicyName="Everything", PolicyDocument=json.dumps(everything))
    return str(arn)


@pytest.fixture
def in_three_accounts(local_aws: Any, tmp_path: Path) -> Iterator[demo.Demonstration]:
    """A copy of the project whose pipeline, gamma and prod have an account each; gamma in one Region, prod in two."""
    tools, gamma, prod = (projects.new_account() for _ in range(3))
    root = tmp_path / "project"
    projects.copy_folders(root)
    unused = {name: "" for name in _slots(root) if name.startswith(("Gamma2", "Prod3", "Store3"))}
    projects.overlay(root, "pipeline", {**unused, "RepositoryId": "local/three-accounts", "EnvironmentAccountIds": ",".join(sorted((gamma, prod)))},
                     account=tools)
    # Not deployed; an account of its own would have to be named above.
    projects.overlay(root, "beta", {"ToolsAccountId": tools}, account=tools)
    projects.overlay(root, "gamma", {"ToolsAccountId": tools}, account=gamma, role=_administer(local_aws.environ, gamma, tools), regions=["us-east-1"])
    projects.overlay(root, "prod", {"ToolsAccountId": tools}, account=prod, role=_administer(local_aws.environ, prod, tools),
                     regions=["us-east-1", "us-west-2"])
    here = world.World(root, {**local_aws.environ, "AWS_ACCESS_KEY_ID": tools}, Console(), RealClock(), open_session)
    control = f"--state {local_aws.state} --port {local_aws.port} --name {local_aws.name}"
    one = demo.Demonstration(argparse.Namespace(
        remote=str(local_aws.state / "git"), rate=10.0, local=True, addresses=f"http://127.0.0.1:{local_aws.port}/_localaws/endpoints",
        complete_connection=f"{sys.executable} -m localaws connect {control}"), here)
    one.deploy()
    one.begin_traffic()
    try:
        yield one
    finally:
        one.traffic.stop()
        destroy.main(["--env", "all", "--local", "--yes"], here)


def _slots(root: Path) -> list[str]:
    import yaml

    return list(yaml.safe_load((root / "parameters" / "pipeline.yaml").read_text(encoding="utf-8"))["parameters"])


@pytest.mark.every
@pytest.mark.timeout(2700)
def test_a_release_goes_through_three_accounts_and_a_bad_one_comes_back_in_all(in_three_accounts: demo.Demonstration) -> None:
    one = in_three_accounts
    assert len({settings.account for settings in one.settings.values()}) == 3
    one.first_release()
    assert one.first is not None
    assert one.first.unsettled == ()
    assert set(one.running().values()) == {one.first.commit}
    west = disturb.place_of(one, "prod", "us-west-2")
    with disturb.setting([west], one.settings["prod"].service, "app", "SHOW_FAULTS"):
        shipped = shipping.ship(one, "Bad in the second wave, in another account", crash_on_start=True, fault_only_if_env="SHOW_FAULTS")
    shipping.came_back(one, shipped, "Wave2", by="reconciler")
    assert one.control.record("prod")["blocked"]
