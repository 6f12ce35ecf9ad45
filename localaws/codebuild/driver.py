"""One build, carried out: its container, its source, its commands, its artifact, its logs."""

from __future__ import annotations

import datetime as dt
import io
import json
import posixpath
import threading
import zipfile
from collections.abc import Callable
from typing import Any, Protocol

import docker.errors
from botocore.exceptions import ClientError

from localaws.codebuild import buildspec as specs
from localaws.codebuild import engine, files
from localaws.codebuild.buildspec import Buildspec, BuildspecError
from localaws.codepipeline import artifacts
from localaws.service import Aws, Clients, ServiceError, log

PRELOAD = ["localaws/python:bookworm"]
"""Images that a build's own Docker engine has from the start: nothing can be pulled from outside here."""
LOG_SECONDS = 1.0
LOG_BATCH = 1000
LOST_SECONDS = 30.0
"""How long a build whose container has gone waits for the word that the local AWS is ending."""
TIMED_OUT = 124
TMP = "/codebuild/output/tmp"


class Box(Protocol):
    """What a build needs of `localaws.hosts.box.Box`."""

    container: Any

    def exec(self, argv: list[str], env: dict[str, str] | None = None, cwd: str = "/",
             on_output: Callable[[str], None] | None = None, timeout: float | None = None) -> int:
        """Run a command and return its exit code, 124 after the timeout."""
        ...

    def put(self, tar_bytes: bytes, path: str) -> None:
        """Unpack an archive into a folder."""
        ...

    def get(self, path: str) -> bytes:
        """Return a file or folder as an archive."""
        ...

    def remove(self) -> None:
        """End it."""
        ...


class PhaseError(Exception):
    """A phase did not succeed: its status, and the code and message of its context."""

    def __init__(self, code: str, message: str, status: str = "FAILED") -> None:
        super().__init__(message)
        self.code, self.status = code, status


class Logs:
    """A build's lines on their way to CloudWatch Logs, with the build role's credentials, each second."""

    def __init__(self, clients: Clients, region: str, place: tuple[str, str] | None, now: Callable[[], float]) -> None:
        self._client = clients.client("logs", region) if place else None
        self._place, self._now = place, now
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._lines: list[dict[str, Any]] = []
        self._rest = ""
        self.secrets: set[str] = set()
        """Values that are shown as ***."""

    def open(self) -> None:
        """Make the stream, and the group if it is missing. Raises ClientError."""
        if self._client is None or self._place is None:
            return
        group, stream = self._place
        try:
            self._client.create_log_stream(logGroupName=group, logStreamName=stream)
        except self._client.exceptions.ResourceAlreadyExistsException:
            pass
        except self._client.exceptions.ResourceNotFoundException:
            self._client.create_log_group(logGroupName=group)
            self._client.create_log_stream(logGroupName=group, logStreamName=stream)

    def say(self, text: str) -> None:
        """A line of CodeBuild's own."""
        stamp = dt.datetime.fromtimestamp(self._now(), dt.UTC).strftime("%Y/%m/%d %H:%M:%S.%f")
        self.write(f"[Container] {stamp} {text}\n")

    def write(self, text: str) -> None:
        """Take output as it comes; what is no full line yet waits."""
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
            for line in lines:
                for secret in self.secrets:
                    line = line.replace(secret, "***")
                self._lines.append({"timestamp": int(self._now() * 1000), "message": line + "\n"})

    def flush(self, last: bool = False) -> None:
        """Send what there is. A refusal is logged, and the build goes on, as on AWS."""
        if last and self._rest:
            self.write("\n")
        with self._sending:
            while True:
                with self._lock:
                    batch, self._lines = self._lines[:LOG_BATCH], self._lines[LOG_BATCH:]
                if not batch or self._client is None or self._place is None:
                    return
                try:
                    self._client.put_log_events(logGroupName=self._place[0], logStreamName=self._place[1], logEvents=batch)
                except ClientError as error:
                    log.warning("logs of %s were not taken: %s", self._place, artifacts.message_of(error))
                    return


class Run:
    """Carries a build through its phases on the calling thread.

    `record` is the build (see `engine`), changed under `lock`; `changed` is called after each change of its status.
    """

    def __init__(self, aws: Aws, account: str, region: str, record: engine.Record, lock: Any, slots: threading.Semaphore,
                 changed: Callable[[engine.Record], None]) -> None:
        self.aws, self.account, self.region, self.record, self.lock = aws, account, region, record, lock
        self._slots, self._changed = slots, changed
        self.stopped = threading.Event()
        self.suspended = threading.Event()
        """The local AWS ends: leave the record as it is, the next start begins the build anew."""
        self._box: Box | None = None
        self._spec: Buildspec | None = None
        self._uuid = record["id"].split(":", 1)[1]
        self._source = f"/codebuild/output/src{int(self._uuid[:8], 16)}/src"
        self._environment: dict[str, str] = {}
        self._deadline = 0.0
        self._clients: Clients | None = None
        self._logs: Logs | None = None
        self._has_slot = False

    def stop(self, suspend: bool = False) -> None:
        """End the build now: what runs in its container is killed. With `suspend` the record stays for the next start."""
        (self.suspended if suspend else self.stopped).set()
        box = self._box
        if box is not None:
            box.remove()

    def run(self) -> None:
        """Do everything; returns when the build is complete or suspended."""
        done = threading.Event()
        self.aws.spawn(f"logs {self.record['id']}", lambda: self._send_logs(done))
        try:
            phase = "QUEUED"
            while phase != "COMPLETED" and not self.suspended.is_set():
                phase = engine.following(self._spec, phase, self._phase(phase))
            if self.suspended.is_set():
                return
            with self.lock:
                engine.complete(self.record, self.aws.clock.now())
            self._changed(self.record)
        finally:
            done.set()
            if self._box is not None:
                self._box.remove()
            if self._has_slot:
                self._slots.release()

    def _phase(self, phase: str) -> str:
        """Carry out one phase; return its status."""
        with self.lock:
            engine.begin(self.record, phase, self.aws.clock.now())
        status, code, message = "SUCCEEDED", "", ""
        try:
            if self.stopped.is_set() and phase != "FINALIZING":
                raise PhaseError("", "", "STOPPED")
            if phase in engine.COMMAND_PHASES:
                self._commands(phase)
            else:
                getattr(self, f"_{phase.lower()}")()
        except PhaseError as error:
            status, code, message = error.status, error.code, str(error)
        except Exception as error:
            if self.stopped.is_set() or self.suspended.is_set():
                status = "STOPPED"
            else:
                log.exception("build %s: %s", self.record["id"], phase)
                status, code, message = "FAULT", "INTERNAL_SERVICE_ERROR", f"{type(error).__name__}: {artifacts.message_of(error)}"
        if status not in ("SUCCEEDED", "STOPPED") and self._lost():
            if self.suspended.wait(LOST_SECONDS) or self.stopped.is_set():
                status, code, message = "STOPPED", "", ""
            else:
                status, code, message = "FAULT", "INTERNAL_SERVICE_ERROR", "The build container has ended"
        if self.suspended.is_set():
            return "STOPPED"
        if self._logs and phase not in ("QUEUED", "PROVISIONING", "FINALIZING"):
            self._logs.say(f"Phase complete: {phase} State: {status}")
            self._logs.say(f"Phase context status code: {code} Message: {message}")
        if phase == "FINALIZING" and self._logs:
            self._logs.flush(last=True)
        with self.lock:
            engine.end(self.record, phase, status, self.aws.clock.now(), code, message)
        return status

    # The phases

    def _queued(self) -> None:
        limit = self.aws.clock.now() + 60 * self.record["queuedTimeoutInMinutes"]
        while not self._slots.acquire(timeout=1):
            if self.stopped.is_set() or self.suspended.is_set():
                raise PhaseError("", "", "STOPPED")
            if self.aws.clock.now() > limit:
                raise PhaseError("QUEUED_TIMED_OUT", "Build timed out while it was queued.", "TIMED_OUT")
        self._has_slot = True
        role = self.record["serviceRole"]
        self._clients = self.aws.as_role(role, "codebuild.amazonaws.com", f"AWSCodeBuild-{self._uuid}")
        place = engine.log_place(self.record["projectName"], self.record["logsConfig"], self._uuid)
        logs = Logs(self._clients, self.region, place, self.aws.clock.now)
        try:
            logs.open()
        except ClientError as error:
            raise PhaseError("ACCESS_DENIED", (
                f"Service role {role} does not allow AWS CodeBuild to create Amazon CloudWatch Logs log streams for build "
                f"{self.record['arn']}. Error message: {artifacts.message_of(error)}")) from None
        self._logs = logs
        if place:
            with self.lock:
                self.record["logs"] = _log_links(self.account, self.region, *place)

    def _provisioning(self) -> None:
        assert self._clients is not None
        privileged = self.record["environment"].get("privilegedMode", False)
        hosts: Any = self.aws.services["hosts"]
        self._box = hosts.start_box(
            f"codebuild-{self._uuid}", {}, self._clients.credentials, docker=privileged, preload=PRELOAD if privileged else [])
        self._deadline = self.aws.clock.now() + 60 * self.record["timeoutInMinutes"]

    def _download_source(self) -> None:
        box, logs, clients = self._must()
        logs.say(f"Waiting for agent ping: done. CodeBuild of the local AWS, build {self.record['id']}")
        self._environment = engine.variables(self.record, self.region, self._source)
        source: dict[str, bytes] = {}
        if self.record["source"]["type"] == "CODEPIPELINE":
            bucket, _, key = self.record["sourceVersion"].removeprefix("arn:aws:s3:::").partition("/")
            try:
                data, _ = artifacts.get(clients, self.region, bucket, key)
                box.put(files.tar_of_zip(data), self._source)
                source = _text_files(data)
            except (ClientError, ServiceError) as error:
                code = "AccessDenied" if artifacts.denied(error) else getattr(error, "code", "Error")
                raise PhaseError("CLIENT_ERROR", f"error while downloading key {key}, error: {code}: {artifacts.message_of(error)}") from None
            except zipfile.BadZipFile as error:
                raise PhaseError("CLIENT_ERROR", f"error while unpacking key {key}, error: {error}") from None
        else:
            box.put(files.tar_of({}), self._source)
        box.put(files.tar_of({"env.sh": b"", "dir.txt": self._source.encode()}), TMP)
        self._spec = self._read_spec(source)
        for note in self._spec.notes:
            logs.say(f"Note: {note}")
        self._environment = {**self._spec.variables, **self._resolved(clients, logs), **self._environment}

    def _read_spec(self, source: dict[str, bytes]) -> Buildspec:
        given = self.record["source"].get("buildspec") or "buildspec.yml"
        try:
            if specs.is_inline(given):
                return specs.parse(given)
            path = posixpath.normpath(given)
            if path not in source:
                raise BuildspecError(f"stat {self._source}/{path}: no such file or directory")
            return specs.parse(source[path].decode(errors="replace"))
        except BuildspecError as error:
            raise PhaseError("YAML_FILE_ERROR", str(error)) from None

    def _resolved(self, clients: Clients, logs: Logs) -> dict[str, str]:
        """The variables of project and StartBuild, which win over the buildspec's, and every looked-up value."""
        assert self._spec is not None
        parameters, secrets = dict(self._spec.parameter_store), dict(self._spec.secrets_manager)
        plain: dict[str, str] = {}
        for variable in self.record["environment"].get("environmentVariables", []):
            kind = variable.get("type", "PLAINTEXT")
            for group in (parameters, secrets):
                group.pop(variable["name"], None)
            {"PLAINTEXT": plain, "PARAMETER_STORE": parameters, "SECRETS_MANAGER": secrets}[kind][variable["name"]] = variable["value"]
        try:
            looked_up = {**_parameters(clients.client("ssm", self.region), parameters),
                         **(_secrets(clients.client("secretsmanager", self.region), secrets) if secrets else {})}
        except (ClientError, LookupError) as error:
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else "InvalidParameters"
            raise PhaseError("Decrypted Variables Error", f"{code}: {artifacts.message_of(error)}") from None
        logs.secrets |= {value for value in looked_up.values() if value}
        return {**plain, **looked_up}

    def _commands(self, phase: str) -> None:
        box, logs, _ = self._must()
        assert self._spec is not None
        spec = self._spec.phases.get(engine.COMMAND_PHASES[phase], specs.Phase())
        logs.say(f"Entering phase {phase}")
        failure: PhaseError | None = None
        for group in (spec.commands, spec.finally_):
            for command in group:
                try:
                    self._command(box, logs, command, failure is None)
                except PhaseError as error:
                    failure = failure or error
                    if error.status != "FAILED":
                        raise
                    break
        self._export(box)
        if failure:
            raise failure

    def _command(self, box: Box, logs: Logs, command: str, fine: bool) -> None:
        assert self._spec is not None
        logs.say(f"Running command {command}")
        left = self._deadline - self.aws.clock.now()
        with self.lock:
            fine = fine and engine.succeeding(self.record)
        code = TIMED_OUT if left <= 0 else box.exec([self._spec.shell, "-c", engine.script(command, fine)], self._environment,
                                                    self._source, logs.write, left)
        if self.stopped.is_set() or self.suspended.is_set():
            raise PhaseError("", "", "STOPPED")
        if code == TIMED_OUT and self.aws.clock.now() >= self._deadline:
            raise PhaseError("BUILD_TIMED_OUT", "Build has timed out. ", "TIMED_OUT")
        if code:
            logs.say(f"Command did not exit successfully {command} exit status {code}")
            raise PhaseError("COMMAND_EXECUTION_ERROR", f"Error while executing command: {command}. Reason: exit status {code}")

    def _export(self, box: Box) -> None:
        """Note the exported variables as they are after a phase."""
        assert self._spec is not None
        if not self._spec.exported or self.stopped.is_set() or self.suspended.is_set():
            return
        pieces: list[str] = []
        show = "".join(f'printf "%s\\0" "${{{name}-}}"; ' for name in self._spec.exported)
        if box.exec([self._spec.shell, "-c", f"set -a; . {TMP}/env.sh; {show}"], self._environment, "/", pieces.append, 30):
            return
        values = "".join(pieces).split("\0")
        with self.lock:
            self.record["exportedEnvironmentVariables"] = [
                {"name": name, "value": value} for name, value in zip(self._spec.exported, values, strict=False)]

    def _upload_artifacts(self) -> None:
        box, logs, clients = self._must()
        assert self._spec is not None
        wanted = self.record["artifacts_wanted"]
        if wanted["type"] == "NO_ARTIFACTS":
            return
        chosen = self._spec.artifacts
        if chosen is None:
            raise PhaseError("CLIENT_ERROR", "no matching artifact paths found: the buildspec has no artifacts")
        base = posixpath.normpath(posixpath.join(self._source, chosen.base_directory))
        logs.say(f"Expanding base directory path: {chosen.base_directory or '.'}")
        try:
            there = files.files_of_tar(box.get(base))
        except FileNotFoundError:
            raise PhaseError("CLIENT_ERROR", f"no matching base directory path found for {chosen.base_directory}") from None
        taken = specs.select(chosen, there)
        if not taken:
            raise PhaseError("CLIENT_ERROR", "no matching artifact paths found")
        logs.say(f"Found {len(taken)} file(s)")
        key = f"{wanted['path']}/{wanted['name']}"
        own_key = None if ":alias/aws/s3" in self.record["encryptionKey"] else self.record["encryptionKey"]
        try:
            artifacts.put(clients, self.region, wanted["location"], key,
                          files.zip_of({target: there[name] for name, target in taken.items()}), own_key)
        except ClientError as error:
            code = "AccessDenied" if artifacts.denied(error) else error.response["Error"]["Code"]
            raise PhaseError("CLIENT_ERROR", f"Error in UPLOAD_ARTIFACTS phase: [{key}]: upload failed, error: {code}: "
                                             f"{artifacts.message_of(error)}") from None
        with self.lock:
            self.record["artifacts"] = {"location": f"arn:aws:s3:::{wanted['location']}/{key}"}

    def _finalizing(self) -> None:
        if self._box is not None:
            self._box.remove()
            self._box = None

    def _lost(self) -> bool:
        """Say whether the container has gone: someone killed it, or the local AWS is ending and ended it first."""
        if self._box is None:
            return False
        try:
            self._box.container.reload()
            return bool(self._box.container.status != "running")
        except docker.errors.DockerException:
            return True

    def _must(self) -> tuple[Box, Logs, Clients]:
        """The things that earlier phases made."""
        assert self._box is not None
        assert self._logs is not None
        assert self._clients is not None
        return self._box, self._logs, self._clients

    def _send_logs(self, done: threading.Event) -> None:
        while not done.wait(LOG_SECONDS):
            if self._logs:
                self._logs.flush()


def _log_links(account: str, region: str, group: str, stream: str) -> dict[str, Any]:
    link = (f"https://console.aws.amazon.com/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{group.replace('/', '$252F')}"
            f"/log-events/{stream.replace('/', '$252F')}")
    return {"groupName": group, "streamName": stream, "deepLink": link,
            "cloudWatchLogsArn": f"arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:{stream}",
            "cloudWatchLogs": {"status": "ENABLED", "groupName": group}}


def _text_files(data: bytes) -> dict[str, bytes]:
    """The files among which a buildspec can be: YAML of the source."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name.endswith((".yml", ".yaml", ".json"))}


def _parameters(ssm: Any, wanted: dict[str, str]) -> dict[str, str]:
    """Values of SSM parameters by variable name; LookupError names what does not exist."""
    names = sorted(set(wanted.values()))
    values: dict[str, str] = {}
    for begin in range(0, len(names), 10):
        answer = ssm.get_parameters(Names=names[begin:begin + 10], WithDecryption=True)
        if answer.get("InvalidParameters"):
            raise LookupError(f"parameter does not exist: {', '.join(answer['InvalidParameters'])}")
        values.update({p["Name"]: p["Value"] for p in answer["Parameters"]})
    return {variable: values[name] for variable, name in wanted.items()}


def _secrets(client: Any, wanted: dict[str, str]) -> dict[str, str]:
    """Values of secrets by variable name; LookupError names a JSON key that is not there."""
    values = {}
    for variable, text in wanted.items():
        reference = specs.secret_reference(text)
        more = {key: reference[part] for key, part in (("VersionStage", "stage"), ("VersionId", "version")) if reference[part]}
        value = client.get_secret_value(SecretId=reference["id"], **more)["SecretString"]
        if reference["key"]:
            fields = json.loads(value)
            if reference["key"] not in fields:
                raise LookupError(f"secret {reference['id']} has no key {reference['key']}")
            value = str(fields[reference["key"]])
        values[variable] = value
    return values
