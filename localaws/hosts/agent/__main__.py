"""The agent's process: poll each second, run what comes, report. `python3 -m agent`."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Protocol

from . import executor, hooks, signing

SERVICE = "codedeploy-commands"
TARGET = "CodeDeployCommandService_v20141006."
POLL_SECONDS = 1.0
NEXT_SECONDS = 0.1
"""Wait after a command: AWS's agent waits its second there too, which is most of a small deployment's time."""
ERROR_SECONDS_MAX = 10.0
HOME = Path("/opt/codedeploy-agent")


class Commands(Protocol):
    """The command service (signing.Caller is one)."""

    def json(self, service: str, target: str, body: dict[str, object]) -> dict[str, object]:
        """Call an operation."""
        ...


class Agent:
    """One host's agent: `host` is the instance's ARN, `ongoing` the file that remembers the command that runs."""

    def __init__(self, commands: Commands, runner: executor.Executor, host: str, ongoing: Path) -> None:
        self._commands, self._runner, self._host, self._ongoing = commands, runner, host, ongoing

    def recover(self) -> None:
        """Report a command during which an earlier agent died as failed."""
        if self._ongoing.exists():
            command_id = self._ongoing.read_text(encoding="utf-8")
            self._complete(command_id, hooks.FAILED_AFTER_RESTART, "Failing in-progress lifecycle event after an agent restart.")
            self._ongoing.unlink()

    def poll(self) -> str | None:
        """Ask for a command, run it and report it; return what was done, None if there was none. Raises AwsError."""
        command = self._call("PollHostCommand", {"HostIdentifier": self._host}).get("HostCommand")
        if not isinstance(command, dict):
            return None
        command_id, name = str(command["HostCommandIdentifier"]), str(command["CommandName"])
        try:
            spec = self._specification(str(command["DeploymentExecutionId"]))
            noop = self._runner.is_noop(name, spec)
            answer = self._call("PutHostCommandAcknowledgement", {
                "HostCommandIdentifier": command_id,
                "Diagnostics": {"Format": "JSON", "Payload": json.dumps({"IsCommandNoop": noop})}})
            if answer.get("CommandStatus") in ("Succeeded", "Failed"):
                return f"{name} of {spec.deployment_id}: is complete already"
            self._ongoing.parent.mkdir(parents=True, exist_ok=True)
            self._ongoing.write_text(command_id, encoding="utf-8")
            try:
                log = self._runner.run(name, spec)
            finally:
                self._ongoing.unlink(missing_ok=True)
        except hooks.ScriptError as error:
            self._complete(command_id, error.code, str(error), error.script, error.log)
            # AWS's agent reports a failure a second time from its outer handler; the service keeps the first.
            self._complete(command_id, hooks.UNKNOWN_ERROR, str(error))
            return f"{name}: {error}"
        except Exception as error:
            self._complete(command_id, hooks.UNKNOWN_ERROR, str(error))
            return f"{name}: {error!r}"
        self._complete(command_id, hooks.SUCCEEDED, "Succeeded", log=log)
        return f"{name} of {spec.deployment_id}: Succeeded"

    def _specification(self, execution: str) -> executor.Specification:
        answer = self._call("GetDeploymentSpecification", {"DeploymentExecutionId": execution, "HostIdentifier": self._host})
        if answer.get("DeploymentSystem") != "CodeDeploy":
            raise executor.CommandError(f"Deployment System mismatch: {answer.get('DeploymentSystem')}")
        specification = answer["DeploymentSpecification"]
        assert isinstance(specification, dict)
        return executor.read_specification(specification["GenericEnvelope"])

    def _complete(self, command_id: str, code: int, message: str, script: str = "", log: str = "") -> None:
        payload = json.dumps({"error_code": code, "script_name": script, "message": message, "log": log})
        self._call("PutHostCommandComplete", {
            "HostCommandIdentifier": command_id, "CommandStatus": "Succeeded" if code == hooks.SUCCEEDED else "Failed",
            "Diagnostics": {"Format": "JSON", "Payload": payload}})

    def _call(self, operation: str, body: dict[str, object]) -> dict[str, object]:
        return self._commands.json(SERVICE, TARGET + operation, body)


def say(text: str) -> None:
    """Write a line to the agent's log (standard output)."""
    print(time.strftime("%Y-%m-%d %H:%M:%S"), text, flush=True)


def main() -> int:
    """Run until TERM, which waits for the command that runs."""
    pid_file = HOME / "state" / ".pid" / "codedeploy-agent.pid"
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    pid_file.write_text(str(os.getpid()), encoding="utf-8")
    ending: list[bool] = []
    signal.signal(signal.SIGTERM, lambda *_: ending.append(True))
    metadata = signing.Metadata()
    wait = POLL_SECONDS
    agent: Agent | None = None
    while not ending:
        try:
            if agent is None:
                identity = json.loads(metadata.get("dynamic/instance-identity/document"))
                caller = signing.Caller(identity["region"], metadata)
                host = f"arn:aws:ec2:{identity['region']}:{identity['accountId']}:instance/{identity['instanceId']}"
                agent = Agent(caller, executor.Executor(caller, say=say), host, executor.ROOT / "ongoing-deployment" / "command")
                agent.recover()
                say(f"started as {host}")
            done = agent.poll()
            wait = POLL_SECONDS if done is None else NEXT_SECONDS
            if done is not None:
                say(done)
        except Exception as error:
            say(f"error: {error!r}")
            wait = min(max(wait, POLL_SECONDS) * 2, ERROR_SECONDS_MAX)
        time.sleep(wait)
    pid_file.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
