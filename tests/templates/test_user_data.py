"""The hosts' user data, run for real in sh with stand-ins for what a host has: it signals the truth, and acts only on what is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from template_files import ROOT, read_yaml

VALUES = {
    "AWS::Region": "us-east-1",
    "AWS::StackName": "sample-environment-prod-Fleet-1ABC",
    "EnvironmentName": "prod",
    "HostLogGroup": "a-log-group",
    "Scope": "fleet",
    "ServiceName": "sample",
}


class Host:
    """A folder that stands for a host's file system, and the calls that user data made on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commands = folder / "bin"
        self.commands.mkdir()
        for tool in ("sh", "cat", "mkdir", "grep"):
            self.commands.joinpath(tool).symlink_to(shutil.which(tool) or tool)
        self.command("sleep", "")
        self.command("docker", "")
        self.command("curl", 'case "$*" in *api/token*) echo a-token ;; *instance-id*) echo i-0abc ;; esac')
        self.command("aws", 'case "$*" in *describe-auto-scaling-instances*) echo \'{"LifecycleState": "InService"}\' ;; esac')

    def command(self, name: str, script: str) -> None:
        """Put a command on the host that notes its call and then does `script`."""
        path = self.commands / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.folder}/calls\n{script}\n')
        path.chmod(0o755)

    def agent_runs(self) -> None:
        """Make the agent's pid file name a process that lives: this one."""
        pid = self.folder / "opt/codedeploy-agent/state/.pid/codedeploy-agent.pid"
        pid.parent.mkdir(parents=True)
        pid.write_text(f"{os.getpid()}\n")

    def boot(self) -> int:
        """Run the user data; return its exit status."""
        body = read_yaml((ROOT / "templates/environment/fleet.yaml").read_text())
        script = body["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"]["UserData"]["Fn::Base64"]["Fn::Sub"]
        script = re.sub(r"\$\{([\w:]+)\}", lambda match: VALUES[match.group(1)], script)
        script = re.sub(r"(?<![\w.])/(etc|opt)/", rf"{self.folder}/\1/", script)
        done = subprocess.run(["sh", "-c", script], env={"PATH": str(self.commands)}, capture_output=True, text=True, timeout=60)
        return done.returncode

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()

    @property
    def signals(self) -> list[str]:
        """The last word of each signal: its status."""
        sent = [call for call in self.calls if call.startswith("aws cloudformation signal-resource")]
        assert all("--unique-id i-0abc" in call and "--logical-resource-id Hosts" in call and VALUES["AWS::StackName"] in call for call in sent)
        return [call.split()[-1] for call in sent]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_ready_host_signals_success(host: Host) -> None:
    host.agent_runs()
    assert host.boot() == 0
    assert host.signals == ["SUCCESS"]
    expected = "SERVICE=sample\nENVIRONMENT=prod\nSCOPE=fleet\nREGION=us-east-1\nLOG_GROUP=a-log-group\n"
    assert (host.folder / "etc/handsoff/host.env").read_text() == expected


def test_nothing_is_installed_where_docker_runs(host: Host) -> None:
    host.agent_runs()
    host.command("dnf", "exit 1")
    host.command("systemctl", "exit 1")
    assert host.boot() == 0
    assert not [call for call in host.calls if call.startswith(("dnf", "systemctl"))]


def test_docker_is_installed_and_started_where_it_is_missing(host: Host) -> None:
    host.agent_runs()
    (host.commands / "docker").unlink()
    host.command("dnf", "")
    host.command("systemctl", "")
    assert host.boot() == 0
    made = [call for call in host.calls if call.startswith(("dnf", "systemctl"))]
    assert made == ["dnf -y install docker ruby3.2", "systemctl enable --now docker"]
    assert host.signals == ["SUCCESS"]


def test_failed_install_signals_failure(host: Host) -> None:
    host.agent_runs()
    (host.commands / "docker").unlink()
    host.command("dnf", "exit 7")
    assert host.boot() == 7
    assert host.signals == ["FAILURE"]


def test_missing_agent_signals_failure_in_bounded_time(host: Host) -> None:
    assert host.boot() == 1
    assert host.signals == ["FAILURE"]
    assert 100 < len([call for call in host.calls if call.startswith("sleep")]) < 700


def test_host_that_never_gets_in_service_signals_failure(host: Host) -> None:
    host.agent_runs()
    host.command("aws", 'case "$*" in *describe-auto-scaling-instances*) echo \'{"LifecycleState": "Pending:Wait"}\' ;; esac')
    assert host.boot() == 1
    assert host.signals == ["FAILURE"]


def test_host_that_no_stack_waits_for_is_well(host: Host) -> None:
    """A replacement launched outside a stack operation: CloudFormation refuses its signal."""
    host.agent_runs()
    host.command("aws", 'case "$*" in *signal-resource*) exit 254 ;; *) echo \'"InService"\' ;; esac')
    assert host.boot() == 0


def test_agent_starts_after_docker(host: Host) -> None:
    host.agent_runs()
    host.boot()
    drop_in = (host.folder / "etc/systemd/system/codedeploy-agent.service.d/docker.conf").read_text()
    assert drop_in.splitlines()[0] == "[Service]"
    assert 'ExecStartPre=/bin/sh -c "until docker info; do sleep 2; done"' in drop_in.splitlines()


def test_user_data_is_short_and_shows_no_commands() -> None:
    """It prints what it does, never its variables: no tracing."""
    body = read_yaml((ROOT / "templates/environment/fleet.yaml").read_text())
    lines = body["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"]["UserData"]["Fn::Base64"]["Fn::Sub"].splitlines()
    assert len(lines) <= 32
    assert not any(re.search(r"\bset -\w*x", line) for line in lines)
