"""Copies of the project that a case may break, each with an account of its own on the local AWS."""

from __future__ import annotations

import io
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts import deploy, deployer, destroy
from scripts.core import world
from scripts.core.clock import RealClock
from scripts.core.console import Console
from scripts.core.session import open_session

ROOT = Path(__file__).resolve().parents[2]
_COMMANDS = {"deploy": deploy.main, "deployer": deployer.main, "destroy": destroy.main}
_LOCAL_ACCOUNT = "000000000000"
_FOLDERS = ("templates", "parameters", "functions", "app", "appspecs", "buildspecs")
"""What a deploy reads: templates, their values, and the code that is packaged with them; and what a release is made of."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what a person saw of it."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


@dataclass(frozen=True)
class Project:
    """A copy of templates/ and parameters/, deployed to an account in which nothing else is."""

    root: Path
    environ: dict[str, str]
    account: str

    def run(self, command: str, environment: str, *options: str, local: bool = True) -> Outcome:
        """Run a command as `make <command> ENV=<environment> LOCAL=1 YES=1` does."""
        out, err = io.StringIO(), io.StringIO()
        here = world.World(self.root, self.environ, Console(out, err, live=False), RealClock(), open_session)
        given = ["--env", environment, "--yes", "--poll", "0.5", *(["--local"] if local else []), *options]
        return Outcome(_COMMANDS[command](given, here), out.getvalue(), err.getvalue())

    def client(self, service: str) -> Any:
        """A boto3 client with the root credentials of the account."""
        return open_session(True, self.environ).client(service, "us-east-1")

    def edit(self, file: str, old: str, new: str, times: int = 1) -> None:
        """Replace the occurrences of `old` in a file of the copy, of which there are `times`."""
        path = self.root / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == times, f"{file} has {old!r} {text.count(old)} times"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def stacks(self) -> dict[str, dict[str, Any]]:
        """The stacks that there are, nested ones too, by name; not the deployer's, which is there before any."""
        pages = self.client("cloudformation").get_paginator("describe_stacks").paginate()
        return {stack["StackName"]: stack for page in pages for stack in page["Stacks"] if not stack["StackName"].endswith("-deployer")}

    def child(self, logical_id: str, root: str = "sample-environment-gamma") -> dict[str, Any]:
        """A nested stack by its logical id in the root."""
        found = self.client("cloudformation").describe_stack_resource(StackName=root, LogicalResourceId=logical_id)
        return dict(self.client("cloudformation").describe_stacks(StackName=found["StackResourceDetail"]["PhysicalResourceId"])["Stacks"][0])

    def composites(self) -> dict[str, str]:
        """The state of each composite alarm."""
        found = self.client("cloudwatch").describe_alarms(AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
        return {alarm["AlarmName"]: alarm["StateValue"] for alarm in found}

    def leftovers(self) -> dict[str, list[str]]:
        """Everything in the account that a deploy of an environment begins with; empty when nothing was begun. Its deployer is there before."""
        ec2 = self.client("ec2")
        found = {
            "stacks": list(self.stacks()),
            "buckets": [bucket["Name"] for bucket in self.client("s3").list_buckets()["Buckets"]],
            "vpcs": [vpc["VpcId"] for vpc in ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["false"]}])["Vpcs"]],
            "roles": [role["RoleName"] for role in self.client("iam").list_roles()["Roles"] if not role["RoleName"].endswith("-deployer")],
        }
        return {kind: names for kind, names in found.items() if names}


def new_account() -> str:
    """The id of an account that nobody has used: an emptied one still has what was kept."""
    return f"1{random.randrange(10**11):011d}"


def copy_folders(folder: Path) -> None:
    """All that a deploy reads, as it is, into `folder`."""
    for name in _FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))


def overlay(folder: Path, name: str, parameters: dict[str, str], **keys: Any) -> None:
    """Lay parameters and other keys over a copy's parameters/local/<name>.yaml."""
    file = folder / "parameters" / "local" / f"{name}.yaml"
    document = yaml.safe_load(file.read_text(encoding="utf-8")) | keys
    document["parameters"] = document["parameters"] | parameters
    file.write_text(yaml.safe_dump(document), encoding="utf-8")


def copy(folder: Path, environ: dict[str, str], account: str) -> Project:
    """A copy of the project in `folder` whose local account is `account`, 12 digits. Its environments have their first Region only.

    What deploys, fails and goes back in one Region does so in each: more of them would only cost time.
    """
    copy_folders(folder)
    for overlay in (folder / "parameters" / "local").glob("*.yaml"):
        text = overlay.read_text(encoding="utf-8").replace(_LOCAL_ACCOUNT, account)
        assert "\nregions:" not in text, f"{overlay.name} has Regions of its own"
        overlay.write_text(text + "\nregions: [us-east-1]\n", encoding="utf-8")
    return Project(folder, {**environ, "AWS_ACCESS_KEY_ID": account}, account)


def in_one_region(folder: Path) -> None:
    """Empty the pipeline's slots of further Regions in a copy whose environments have their first Region only."""
    slots = yaml.safe_load((folder / "parameters" / "pipeline.yaml").read_text(encoding="utf-8"))["parameters"]
    overlay(folder, "pipeline", {name: "" for name in slots if name.startswith(("Gamma2", "Gamma3", "Prod2", "Prod3", "Prod4", "Store2", "Store3", "Store4"))})
