"""One local AWS for all end-to-end cases, beside any that the user has running, with everything deployed and a first release on it."""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import projects
import pytest
import recording

from localaws import answers
from scripts import demo, deploy
from scripts.core import world
from scripts.core.clock import RealClock
from scripts.core.console import Console
from scripts.core.session import open_session

ROOT = Path(__file__).resolve().parents[2]
PORT = int(os.environ.get("LOCAL_TEST_PORT", "4568"))
STATE = ROOT / "build" / f"test-local-{PORT}"
NAME = f"handsoff-test-{PORT}"
KEEP = os.environ.get("KEEP_LOCAL") == "1"
"""Leave the local AWS up afterwards and take it up again next time: for working on a case."""


@dataclass
class LocalAws:
    """The local AWS of the end-to-end cases."""

    environ: dict[str, str] = field(default_factory=dict)
    name: str = NAME
    port: int = PORT
    state: Path = STATE

    def control(self, *arguments: str, check: bool = True) -> str:
        """Run `python -m localaws …` and return what it prints."""
        done = subprocess.run([sys.executable, "-m", "localaws", *arguments, "--state", str(STATE), "--port", str(PORT), "--name", NAME],
                              cwd=ROOT, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise RuntimeError(f"localaws {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def asked(self, path: str) -> Any:
        """What the local AWS itself says below /_localaws/."""
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/_localaws/{path}", timeout=60) as answer:
            return json.load(answer)

    def is_up(self) -> bool:
        """Whether anything answers on its port."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", PORT)) == 0

    def client(self, service: str, region: str = "us-east-1") -> Any:
        """A boto3 client of it with root credentials."""
        return open_session(True, self.environ).client(service, region)

    def world(self) -> world.World:
        """What commands run in, pointed at it."""
        return world.World(ROOT, self.environ, Console(), RealClock(), open_session)


@pytest.fixture(scope="session", autouse=True)
def seen() -> Iterator[recording.Seen]:
    """Where every local AWS that a case starts, in whatever folder and by whatever command, leaves what it saw; looked at once more when all are gone."""
    one = recording.Seen(recording.FOLDER / f"seen-{PORT}", afresh=not KEEP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(answers.RECORD, str(one.folder))
        yield one
    one.keep(PORT, NAME)
    problems = one.problems()
    assert not problems, f"answers that AWS could not have given, after the last case:\n{problems}"


@pytest.fixture(scope="session")
def local_aws() -> Iterator[LocalAws]:
    """A fresh local AWS, gone afterwards; its state stays for reading where a case failed."""
    one = LocalAws()
    if not KEEP:
        one.control("reset", check=False)
    one.control("start")
    exports = dict(line.removeprefix("export ").split("=", 1) for line in one.control("env").splitlines() if line.startswith("export "))
    one.environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | exports
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(one.environ)
    try:
        yield one
    finally:
        os.environ.clear()
        os.environ.update(before)
        if not KEEP:
            one.control("reset", check=False)


@pytest.fixture(autouse=True)
def answers_are_aws_own(request: pytest.FixtureRequest, seen: recording.Seen) -> Iterator[None]:
    """Fails the first case after which any local AWS had served an answer that AWS could not have given (localaws/answers.py)."""
    yield
    alive: list[dict[str, Any]] = []
    if "local_aws" in request.fixturenames:
        one: LocalAws = request.getfixturevalue("local_aws")
        if one.is_up():  # where a case ended with it down, what it left behind says all
            report = one.asked("answers")
            alive = report["invalid"]
            recording.keep(one, report)
    seen.keep(PORT, NAME)
    problems = seen.problems(alive)
    assert not problems, f"answers that AWS could not have given:\n{problems}"


@pytest.fixture(scope="session")
def delivery(local_aws: LocalAws) -> Iterator[demo.Demonstration]:
    """Gamma, prod and the pipeline deployed, customers in every Region, and a first release everywhere."""
    options = argparse.Namespace(
        remote=str(STATE / "git"), rate=15.0, local=True, addresses=f"http://127.0.0.1:{PORT}/_localaws/endpoints",
        complete_connection=f"{sys.executable} -m localaws connect --state {STATE} --port {PORT} --name {NAME}")
    one = demo.Demonstration(options, local_aws.world())
    one.deploy()
    one.begin_traffic()
    try:
        one.first_release()
        yield one
    finally:
        one.traffic.stop()


@pytest.fixture
def calm(delivery: demo.Demonstration) -> Iterator[None]:
    """Customers everywhere, quiet alarms and an open prod before a case, and again after it."""
    _calm(delivery)
    yield
    _calm(delivery)


def _calm(delivery: demo.Demonstration) -> None:
    delivery.traffic.resume()
    delivery.repository.behave()
    if delivery.control.record("prod").get("blocked"):
        delivery.control.ask("unblock", "prod", reason="the next case begins", by="a test")
    assert delivery.quiet() == [], "an alarm of the case before would stop the next one's releases"


@pytest.fixture
def deployed_with(local_aws: LocalAws, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Deploys an environment, or the pipeline, with other parameters, as a change of its file would; afterwards as it was."""
    changed: list[str] = []

    def change(environment: str, **parameters: str) -> None:
        root = tmp_path / f"changed-{len(changed)}"
        changed.append(environment)
        projects.copy_folders(root)
        projects.overlay(root, environment, parameters)
        _deploy(local_aws, root, environment)

    yield change
    for environment in dict.fromkeys(changed):
        _deploy(local_aws, ROOT, environment)


def _deploy(local_aws: LocalAws, root: Path, environment: str) -> None:
    """`make deploy ENV=<environment> LOCAL=1 YES=1` in a copy of the project."""
    here = world.World(root, local_aws.environ, Console(), RealClock(), open_session)
    code = deploy.main(["--env", environment, "--local", "--yes"], here)
    assert code == 0, f"deploying {environment} ended with code {code}"
