"""Nothing leaves this machine: whatever AWS settings a user has, LOCAL=1 acts on the local AWS; without it, a target is named first."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import projects
import pytest

# Imported by every Python process below: notes whom it connects to and whose address it asks for, also where that fails.
_RECORDER = '''
import json, os, socket, sys

def note(event, arguments):
    if event == "socket.connect":
        if arguments[0].family not in (socket.AF_INET, socket.AF_INET6):
            return
        host = arguments[1][0]
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    line = json.dumps({"host": host, "event": event, "command": " ".join(getattr(sys, "orig_argv", []))})
    file = os.open(os.environ["RECORD_CONNECTIONS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, (line + "\\n").encode())
    os.close(file)

sys.addaudithook(note)
'''
_FOREIGN = "255.255.255.255"
"""Nobody: the kernel refuses TCP to the broadcast address at once, so nobody can be reached by mistake, and nothing waits."""


@dataclass(frozen=True)
class Clone:
    """A copy of the whole project with a local AWS of its own, in the environment of a user of AWS."""

    root: Path
    environ: dict[str, str]
    port: int
    record: Path

    @property
    def name(self) -> str:
        return f"handsoff-clone-{self.port}"

    def make(self, *arguments: str, seconds: float = 240) -> subprocess.CompletedProcess[str]:
        """Run make in the copy."""
        return subprocess.run(
            ["make", f"LOCAL_PORT={self.port}", f"LOCAL_NAME={self.name}", "YES=1", *arguments], cwd=self.root, env=self.environ,
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=seconds, check=False)

    def recorded(self) -> list[dict[str, str]]:
        """What the recorder noted so far."""
        return [json.loads(line) for line in self.record.read_text().splitlines()] if self.record.exists() else []

    def outside(self) -> list[str]:
        """Each address or name that is neither loopback nor of one of Docker's bridges, with the command that asked for it."""
        inside = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"), *_bridges()]
        return sorted({f"{one['host']} ({one['command']})" for one in self.recorded() if not _is_inside(one["host"], inside)})


def _bridges() -> list[Any]:
    """The networks of Docker's bridges."""
    networks = docker.from_env().networks.list(filters={"driver": "bridge"})
    return [ipaddress.ip_network(config["Subnet"]) for network in networks for config in network.attrs["IPAM"]["Config"] or []]


def _is_inside(host: str | None, inside: list[Any]) -> bool:
    if host in (None, "", "localhost", "0.0.0.0"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False  # a name: only a resolver of the user's could know it
    return any(address in network for network in inside if network.version == address.version)


@pytest.fixture
def clone(tmp_path: Path, unused_tcp_port: int) -> Iterator[Clone]:
    """A fresh clone, set up, on whose machine somebody also works with an AWS of their own."""
    root = tmp_path / "clone"
    for name in ("templates", "parameters", "functions", "scripts", "localaws", "app", "appspecs", "buildspecs"):
        shutil.copytree(projects.ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "requirements.txt", "requirements-guard.txt"):
        shutil.copy2(projects.ROOT / name, root / name)
    (root / "build").mkdir()
    (root / "build" / "venv").symlink_to(projects.ROOT / "build" / "venv")
    recorder = tmp_path / "recorder"
    recorder.mkdir()
    (recorder / "sitecustomize.py").write_text(_RECORDER)
    record = tmp_path / "connections.jsonl"
    one = Clone(root, {**_users_environment(tmp_path), "PYTHONPATH": str(recorder), "RECORD_CONNECTIONS": str(record)}, unused_tcp_port, record)
    yield one
    one.make("local-reset")


@pytest.fixture
def unused_tcp_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _users_environment(folder: Path) -> dict[str, str]:
    """The environment variables and files of somebody who works with another AWS, through a proxy."""
    home = folder / "home" / ".aws"
    home.mkdir(parents=True)
    (home / "config").write_text(
        "[default]\nregion = eu-west-3\n[profile company]\nregion = eu-west-3\n"
        f"endpoint_url = http://{_FOREIGN}:8000\nuse_fips_endpoint = true\nservices = others\n"
        f"[services others]\ncloudformation =\n  endpoint_url = http://{_FOREIGN}:8001\n")
    (home / "credentials").write_text("".join(
        f"[{name}]\naws_access_key_id = AKIAFOREIGN{name.upper()}\naws_secret_access_key = foreign\n" for name in ("default", "company")))
    users = {name: value for name, value in os.environ.items() if not name.startswith("AWS_") and "proxy" not in name.lower()}
    return users | {
        "HOME": str(home.parent), "AWS_CONFIG_FILE": str(home / "config"), "AWS_SHARED_CREDENTIALS_FILE": str(home / "credentials"),
        "AWS_PROFILE": "company", "AWS_DEFAULT_PROFILE": "company", "AWS_ACCESS_KEY_ID": "AKIAFOREIGN", "AWS_SECRET_ACCESS_KEY": "foreign",
        "AWS_SESSION_TOKEN": "foreign", "AWS_REGION": "eu-west-3", "AWS_DEFAULT_REGION": "eu-west-3",
        "AWS_ENDPOINT_URL": f"http://{_FOREIGN}:8002", "AWS_ENDPOINT_URL_S3": f"http://{_FOREIGN}:8003",
        "AWS_ENDPOINT_URL_CLOUDFORMATION": f"http://{_FOREIGN}:8004", "AWS_USE_FIPS_ENDPOINT": "true",
        "HTTP_PROXY": f"http://{_FOREIGN}:3128", "http_proxy": f"http://{_FOREIGN}:3128", "HTTPS_PROXY": f"http://{_FOREIGN}:3128",
        "https_proxy": f"http://{_FOREIGN}:3128",
    }


@pytest.mark.every
def test_deploy_to_the_local_aws_reaches_nobody_else_whatever_the_users_settings(clone: Clone) -> None:
    done = clone.make("deploy", "ENV=gamma", "LOCAL=1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Target: local AWS at http://127.0.0.1:{clone.port} · account 000000000000 · us-east-1" in done.stdout
    # On its own it brought the release store that it needs.
    assert "sample-release-store (us-east-1): CREATE_COMPLETE" in done.stdout
    assert "sample-environment-gamma (us-east-1): CREATE_COMPLETE" in done.stdout
    for command in (("status", "ENV=gamma", "LOCAL=1"), ("package", "ENV=gamma", "LOCAL=1"), ("destroy", "ENV=all", "LOCAL=1")):
        done = clone.make(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    commands = " ".join(one["command"] for one in clone.recorded())
    for part in ("localaws --port", "localaws serve", "scripts.deploy", "scripts.status", "scripts.package", "scripts.destroy"):
        assert part in commands, f"{part} was not recorded: this proves nothing about it"
    assert clone.outside() == []
    # Hosts, builds and balancers have no way out either, whatever runs on them.
    assert docker.from_env().networks.get(clone.name).attrs["Internal"] is True


@pytest.mark.every
def test_the_demonstration_reaches_nobody_else_whatever_the_users_settings(clone: Clone) -> None:
    done = clone.make("demo", seconds=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert any("scripts.demo" in one["command"] for one in clone.recorded())
    assert clone.outside() == []


@pytest.mark.every
@pytest.mark.parametrize(("file", "guard", "without"), [
    pytest.param("scripts/core/session.py", "    if not local:\n", "    if True:\n", id="the session's"),
    pytest.param("Makefile", '$(LOCALAWS) start >&2 && eval "$$($(LOCALAWS) env)" &&\nendif', "$(LOCALAWS) start >&2 &&\nendif", id="make's"),
])
def test_without_a_guard_the_recorder_sees_calls_that_leave(clone: Clone, file: str, guard: str, without: str) -> None:
    """Each guard alone keeps calls in; with both gone the case above would fail."""
    session, makefile = clone.root / "scripts" / "core" / "session.py", clone.root / "Makefile"
    text = (clone.root / file).read_text()
    assert text.count(guard) == 1
    (clone.root / file).write_text(text.replace(guard, without))
    clone.make("deploy", "ENV=gamma", "LOCAL=1")
    assert clone.outside() == [], "one guard is left"
    session.write_text(session.read_text().replace("    if not local:\n", "    if True:\n"))
    makefile.write_text(makefile.read_text().replace('&& eval "$$($(LOCALAWS) env)" &&\nendif', "&&\nendif"))
    done = clone.make("deploy", "ENV=gamma", "LOCAL=1")
    assert done.returncode != 0
    assert any(_FOREIGN in one or "amazonaws.com" in one for one in clone.outside())


def test_without_local_a_deploy_names_its_target_and_refuses_a_wrong_account(local_aws: Any, tmp_path: Path,
                                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """The local AWS stands for AWS: its account is not the one that the parameters file names."""
    account = projects.new_account()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", account)
    one = projects.copy(tmp_path / account, local_aws.environ, account)
    one.edit("parameters/gamma.yaml", "ami-00000000000000000", "ami-0123456789abcdef0", times=2)
    one.edit("parameters/gamma.yaml", "AgentVersion: 0.0.0", "AgentVersion: 1.8.1")
    one.edit("parameters/gamma.yaml", "111122223333", "444455556666", times=2)
    one.edit("parameters/pipeline.yaml", "111122223333", "444455556666")
    done = one.run("deploy", "gamma", local=False)
    assert done.code == 2, done.text
    assert done.out.startswith(f"Target: account {account} · us-east-1, us-west-2 · caller arn:aws:iam::{account}:root")
    assert f"the caller's account is {account}, not 444455556666" in done.err
    assert "parameters/gamma.yaml says account: 444455556666" in done.err
    assert "next:" in done.err
    assert one.leftovers() == {}


def test_local_refuses_an_endpoint_that_is_not_this_machine(local_aws: Any, tmp_path: Path) -> None:
    one = projects.copy(tmp_path / "copy", {**local_aws.environ, "AWS_ENDPOINT_URL_S3": f"http://{_FOREIGN}:8003"}, projects.new_account())
    done = one.run("deploy", "gamma")
    assert done.code == 2, done.text
    assert f"AWS_ENDPOINT_URL_S3=http://{_FOREIGN}:8003 is not a loopback address" in done.err
    assert "next:   unset AWS_ENDPOINT_URL_S3" in done.err


# -- Starting where it cannot start: one message, nothing begun ---------------------------------------------------------------------------

def _start(folder: Path, port: int, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "localaws", "start", "--state", str(folder), "--port", str(port), "--name", f"handsoff-no-{port}"],
                          cwd=projects.ROOT, env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=False)


def test_a_port_that_is_in_use_is_named_and_nothing_is_begun(local_aws: Any, tmp_path: Path) -> None:
    port = int(local_aws.environ["AWS_ENDPOINT_URL"].rpartition(":")[2])
    done = _start(tmp_path / "state", port)
    assert done.returncode == 1
    assert done.stderr == f"local AWS: port {port} is in use by another process. Next: end it, or use LOCAL_PORT=<other>\n"
    assert not (tmp_path / "state").exists()
    assert docker.from_env().networks.list(names=[f"handsoff-no-{port}"]) == []
    assert local_aws.client("sts").get_caller_identity()["Account"] == "000000000000", "what runs there goes on"


def test_the_same_local_aws_on_another_port_is_refused(local_aws: Any, unused_tcp_port: int) -> None:
    port = int(local_aws.environ["AWS_ENDPOINT_URL"].rpartition(":")[2])
    done = _start(projects.ROOT / "build" / f"test-local-{port}", unused_tcp_port)
    assert done.returncode == 1
    assert f"is up already, on port {port} and not {unused_tcp_port}. Next: use LOCAL_PORT={port}" in done.stderr


def test_without_a_docker_engine_it_says_so_and_nothing_is_begun(tmp_path: Path, unused_tcp_port: int) -> None:
    done = _start(tmp_path / "state", unused_tcp_port, DOCKER_HOST="unix:///nowhere/docker.sock")
    assert done.returncode == 1
    assert done.stderr.startswith("local AWS: No Docker engine answers (")
    assert "Next: make setup" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "state").exists()
