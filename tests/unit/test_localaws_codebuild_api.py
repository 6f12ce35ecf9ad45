"""Builds carried out against a container that is made up: sources, commands, artifacts, logs, stop, refusals."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from localaws_fakes import CALLER, FakeAws

from localaws.codebuild import driver, files
from localaws.codebuild.api import Api
from localaws.service import ServiceError

ROLE = "arn:aws:iam::000000000000:role/build"
SPEC = """version: 0.2
env: {variables: {LEVEL: low, MODE: spec}, parameter-store: {TOKEN: /t}, exported-variables: [DIGEST]}
phases:
  pre_build: {commands: [login]}
  build: {commands: [make, ship], finally: [tidy]}
  post_build: {commands: [tell]}
artifacts: {base-directory: out, files: ['**/*']}
"""


def refusal(code: str, message: str, status: int = 403) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Op")  # type: ignore[typeddict-item]


class S3:
    """Objects by key; puts of refused keys fail."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects, self.refused = objects, False

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        if Key not in self.objects:
            raise refusal("AccessDenied", "User: build is not authorized to perform: s3:GetObject")
        return {"Body": io.BytesIO(self.objects[Key]), "ETag": '"e"'}

    def put_object(self, Bucket: str, Key: str, Body: bytes, **encryption: str) -> None:
        if self.refused:
            raise refusal("AccessDenied", "User: build is not authorized to perform: s3:PutObject")
        self.objects[Key] = Body


class Logs:
    """One log stream's lines."""

    class exceptions:
        ResourceAlreadyExistsException = type("A", (Exception,), {})
        ResourceNotFoundException = type("N", (Exception,), {})

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.refused = False

    def create_log_stream(self, logGroupName: str, logStreamName: str) -> None:
        if self.refused:
            raise refusal("AccessDeniedException", "User: build is not authorized to perform: logs:CreateLogStream")

    def put_log_events(self, logGroupName: str, logStreamName: str, logEvents: list[dict[str, Any]]) -> None:
        self.lines += [event["message"].rstrip("\n") for event in logEvents]


class Ssm:
    def get_parameters(self, Names: list[str], WithDecryption: bool) -> dict[str, Any]:
        return {"Parameters": [{"Name": name, "Value": "geheim"} for name in Names if name != "/none"],
                "InvalidParameters": [name for name in Names if name == "/none"]}


class Box:
    """Takes commands by the line that matters and answers with the code the test gave it."""

    def __init__(self, codes: dict[str, int], on_command: Callable[[str], None]) -> None:
        self.codes, self.on_command = codes, on_command
        self.commands: list[str] = []
        self.environments: list[dict[str, str]] = []
        self.removed, self.container, self.status = False, self, "running"

    def reload(self) -> None:
        """As docker's container: the status is always fresh."""

    def exec(self, argv: list[str], env: dict[str, str] | None = None, cwd: str = "/",
             on_output: Callable[[str], None] | None = None, timeout: float | None = None) -> int:
        assert on_output is not None
        if "printf" in argv[2]:
            on_output("sha256:1\0")
            return 0
        command = argv[2].split("\n")[4]
        self.commands.append(command)
        self.environments.append(dict(env or {}))
        on_output(f"{command} says geheim\n")
        self.on_command(command)
        return self.codes.get(command, 0)

    def put(self, tar_bytes: bytes, path: str) -> None:
        pass

    def get(self, path: str) -> bytes:
        if not path.endswith("/out"):
            raise FileNotFoundError(path)
        return files.tar_of({"out/appspec.yml": b"a", "out/hooks/x.sh": b"x"})

    def remove(self) -> None:
        self.removed = True


class World:
    """A service with a project, and the box that its next build gets."""

    def __init__(self, tmp_path: Path, spec: str = SPEC, codes: dict[str, int] | None = None) -> None:
        self.s3 = S3({"src": files.zip_of({"spec.yaml": (spec.encode(), 0o644)})})
        self.logs = Logs()
        self.aws = FakeAws(tmp_path, {"s3": self.s3, "logs": self.logs, "ssm": Ssm()})
        self.on_command: Callable[[str], None] = lambda command: None
        self.box = Box(codes or {}, lambda command: self.on_command(command))
        self.aws.services["hosts"] = self
        self.api = Api(self.aws)  # type: ignore[arg-type]
        self.api.create_project(CALLER, {
            "name": "build", "source": {"type": "CODEPIPELINE", "buildspec": "spec.yaml"}, "artifacts": {"type": "CODEPIPELINE"},
            "environment": {"type": "LINUX_CONTAINER", "image": "i", "computeType": "c",
                            "environmentVariables": [{"name": "MODE", "value": "project"}]}, "serviceRole": ROLE})

    def start_box(self, name: str, environment: dict[str, str], credentials: Any, docker: bool, preload: list[str]) -> Box:
        return self.box

    def build(self, **more: Any) -> dict[str, Any]:
        identity = self.begin(**more)
        # The logs' sender waits for the build's end: only the build itself is run here.
        self.aws.spawned.pop(0)()
        return self.get(identity)

    def begin(self, **more: Any) -> str:
        build = self.api.start_build(CALLER, {
            "projectName": "build", "sourceVersion": "arn:aws:s3:::store/src",
            "artifactsOverride": {"type": "CODEPIPELINE", "location": "store", "path": "pipe/Release", "name": "abc"}, **more})["build"]
        return str(build["id"])

    def get(self, identity: str) -> dict[str, Any]:
        (found,) = self.api.batch_get_builds(CALLER, {"ids": [identity]})["builds"]
        return dict(found)


def context(build: dict[str, Any], phase: str) -> tuple[str, str, str]:
    (found,) = [p for p in build["phases"] if p["phaseType"] == phase]
    return found["phaseStatus"], found["contexts"][0]["statusCode"], found["contexts"][0]["message"]


def test_a_good_build_leaves_artifact_variables_and_logs(tmp_path: Path) -> None:
    world = World(tmp_path)
    build = world.build(environmentVariablesOverride=[{"name": "EXTRA", "value": "yes"}])
    assert build["buildStatus"] == "SUCCEEDED"
    assert build["buildComplete"]
    assert world.box.commands == ["login", "make", "ship", "tidy", "tell"]
    assert world.box.removed
    environment = world.box.environments[0]
    assert (environment["LEVEL"], environment["MODE"], environment["EXTRA"], environment["TOKEN"]) == ("low", "project", "yes", "geheim")
    assert build["artifacts"] == {"location": "arn:aws:s3:::store/pipe/Release/abc"}
    with zipfile.ZipFile(io.BytesIO(world.s3.objects["pipe/Release/abc"])) as bundle:
        assert bundle.namelist() == ["appspec.yml", "hooks/x.sh"]
    assert build["exportedEnvironmentVariables"] == [{"name": "DIGEST", "value": "sha256:1"}]
    assert "make says ***" in world.logs.lines
    assert not any("geheim" in line for line in world.logs.lines)
    assert any(line.endswith("Running command make") for line in world.logs.lines)
    assert build["logs"]["groupName"] == "/aws/codebuild/build"
    assert build["id"].endswith(build["logs"]["streamName"])
    assert [detail["build-status"] for _, _, detail in world.aws.events] == ["IN_PROGRESS", "SUCCEEDED"]


def test_a_failing_command_ends_its_phase_but_finally_and_post_build_run(tmp_path: Path) -> None:
    world = World(tmp_path, codes={"make": 2})
    build = world.build()
    assert build["buildStatus"] == "FAILED"
    assert world.box.commands == ["login", "make", "tidy", "tell"]
    assert context(build, "BUILD") == ("FAILED", "COMMAND_EXECUTION_ERROR", "Error while executing command: make. Reason: exit status 2")
    assert context(build, "POST_BUILD")[0] == "SUCCEEDED"
    assert context(build, "UPLOAD_ARTIFACTS")[0] == "SUCCEEDED"


def test_a_failing_finally_fails_the_phase(tmp_path: Path) -> None:
    assert context(World(tmp_path, codes={"tidy": 1}).build(), "BUILD")[2].endswith("command: tidy. Reason: exit status 1")


@pytest.mark.parametrize(("spec", "phase", "code", "message"), [
    ("version: 0.2\nphases: {builds: {commands: [a]}}", "DOWNLOAD_SOURCE", "YAML_FILE_ERROR", "Invalid buildspec phase name: builds"),
    (SPEC.replace("/t", "/none"), "DOWNLOAD_SOURCE", "Decrypted Variables Error", "parameter does not exist: /none"),
    (SPEC.replace("out", "nowhere"), "UPLOAD_ARTIFACTS", "CLIENT_ERROR", "no matching base directory path found for nowhere"),
    (SPEC.replace("**/*", "*.jar"), "UPLOAD_ARTIFACTS", "CLIENT_ERROR", "no matching artifact paths found"),
    (SPEC.split("artifacts")[0], "UPLOAD_ARTIFACTS", "CLIENT_ERROR", "no matching artifact paths found"),
])
def test_what_is_wrong_in_a_buildspec_is_said_in_the_phase(tmp_path: Path, spec: str, phase: str, code: str, message: str) -> None:
    build = World(tmp_path, spec).build()
    status, found, words = context(build, phase)
    assert (build["buildStatus"], status, found) == ("FAILED", "FAILED", code)
    assert message in words


def test_a_buildspec_that_is_not_there(tmp_path: Path) -> None:
    world = World(tmp_path)
    build = world.build(buildspecOverride="ci/other.yaml")
    assert context(build, "DOWNLOAD_SOURCE")[2].endswith("/src/ci/other.yaml: no such file or directory")


def test_each_permission_that_the_role_lacks_is_named_where_aws_names_it(tmp_path: Path) -> None:
    world = World(tmp_path / "a")
    world.logs.refused = True
    assert "logs:CreateLogStream" in context(world.build(), "QUEUED")[2]
    world = World(tmp_path / "b")
    del world.s3.objects["src"]
    assert "s3:GetObject" in context(world.build(), "DOWNLOAD_SOURCE")[2]
    world = World(tmp_path / "c")
    world.s3.refused = True
    assert "s3:PutObject" in context(world.build(), "UPLOAD_ARTIFACTS")[2]


def test_a_stopped_build_is_stopped_and_its_container_gone(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.on_command = lambda command: world.api.stop_build(CALLER, {"id": identity}) and None
    identity = world.begin()
    world.aws.spawned.pop(0)()
    build = world.get(identity)
    assert build["buildStatus"] == "STOPPED"
    assert world.box.commands == ["login"]
    assert world.box.removed
    assert context(build, "PRE_BUILD")[0] == "STOPPED"


def test_a_build_that_takes_too_long_is_timed_out(tmp_path: Path) -> None:
    world = World(tmp_path, codes={"make": 124})
    world.on_command = lambda command: world.aws.clock.advance(301) if command == "make" else None
    build = world.build(timeoutInMinutesOverride=5)
    assert build["buildStatus"] == "TIMED_OUT"
    assert context(build, "BUILD")[1] == "BUILD_TIMED_OUT"
    assert "ship" not in world.box.commands


def test_a_build_cut_off_by_the_end_of_the_local_aws_goes_on_in_the_next(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.on_command = lambda command: [run.stop(suspend=True) for run in world.api._runs.values()] and None if command == "make" else None
    identity = world.begin()
    world.aws.spawned.pop(0)()
    assert world.get(identity)["buildStatus"] == "IN_PROGRESS"
    state = world.api.dump()
    again = World(tmp_path / "again")
    again.api.stores._data.clear()
    again.api.load(state)
    again.api.start()
    again.aws.spawned.pop(0)()
    assert again.get(identity)["buildStatus"] == "SUCCEEDED"
    assert "make" in again.box.commands


def test_a_container_that_is_killed_is_a_fault_unless_the_local_aws_is_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "LOST_SECONDS", 0.01)
    world = World(tmp_path, codes={"make": 137})
    world.on_command = lambda command: setattr(world.box, "status", "exited") if command == "make" else None
    build = world.build()
    assert build["buildStatus"] == "FAULT"
    assert context(build, "BUILD") == ("FAULT", "INTERNAL_SERVICE_ERROR", "The build container has ended")


def test_the_same_token_starts_one_build(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.begin(idempotencyToken="t") == world.begin(idempotencyToken="t") != world.begin(idempotencyToken="u")


def test_the_builds_of_a_deleted_project_can_be_read(tmp_path: Path) -> None:
    world = World(tmp_path)
    build = world.build()
    world.api.delete_project(CALLER, {"name": "build"})
    assert world.get(build["id"]) == build
    assert world.api.batch_get_projects(CALLER, {"names": ["build"]})["projectsNotFound"] == ["build"]


def test_refusals(tmp_path: Path) -> None:
    world = World(tmp_path)
    project = world.api.batch_get_projects(CALLER, {"names": ["build", "none"]})
    assert project["projectsNotFound"] == ["none"]
    assert project["projects"][0]["encryptionKey"].endswith("alias/aws/s3")
    given = {key: project["projects"][0][key] for key in ("source", "artifacts", "environment", "serviceRole")}
    for more, words in (({"name": "build"}, "already exists"), ({"name": "x", "vpcConfig": {"vpcId": "v"}}, "vpcConfig"),
                        ({"name": "x", "artifacts": {"type": "NO_ARTIFACTS"}}, "CODEPIPELINE"),
                        ({"name": "x", "source": {"type": "GITHUB"}, "artifacts": {"type": "NO_ARTIFACTS"}}, "GITHUB")):
        with pytest.raises(ServiceError, match=words):
            world.api.create_project(CALLER, {**given, **more})
    with pytest.raises(ServiceError, match="Project cannot be found: arn:aws:codebuild:us-east-1:000000000000:project/none"):
        world.api.start_build(CALLER, {"projectName": "none"})
    with pytest.raises(ServiceError, match="does not serve debugSessionEnabled"):
        world.begin(debugSessionEnabled=True)
    world.aws.denied.add("iam:PassRole")
    with pytest.raises(ServiceError, match="iam:PassRole"):
        world.api.create_project(CALLER, {**given, "name": "y"})
    world.aws.denied.clear()
    world.aws.untrusted.add(ROLE)
    with pytest.raises(ServiceError, match="sts:AssumeRole on service role"):
        world.begin()
