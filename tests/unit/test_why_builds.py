"""What `why` says of builds that fail: carried out by CodeBuild's own engine with real commands, else recorded in AWS's documented shape."""

from __future__ import annotations

import io
import shutil
import sys
import tarfile
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from inprocess import InProcess
from localaws_fakes import ACCOUNT, CALLER, REGION, FakeAws

from localaws.codebuild import driver, files
from localaws.codebuild.api import Api
from localaws.service import ServiceError
from scripts.diagnosis import builds
from scripts.diagnosis.calls import Calls
from scripts.diagnosis.case import Action, Build, Case
from scripts.diagnosis.judge import catalogue, judge

sys.path.insert(0, str(Path(__file__).resolve().parent / "fake_commands"))
from sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
ROLE = f"arn:aws:iam::{ACCOUNT}:role/sample-build"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-1111-1111-1111-111111111111"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = f"111122223333.dkr.ecr.{REGION}.amazonaws.com/sample"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/sample-build/AWSCodeBuild-1"


def denied(action: str, resource: str = "*") -> str:
    """AWS's sentence about a permission that is missing."""
    return f"User: {SESSION} is not authorized to perform: {action} on resource: {resource} because no identity-based policy allows the {action} action"


class Refusing:
    """S3 and Logs of a build; what is in `refused` is answered with that error."""

    class exceptions:
        ResourceAlreadyExistsException = type("A", (Exception,), {})
        ResourceNotFoundException = type("N", (Exception,), {})

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.lines: list[dict[str, Any]] = []
        self.refused: dict[str, tuple[str, str]] = {}

    def _may(self, operation: str) -> None:
        if operation in self.refused:
            code, message = self.refused[operation]
            raise ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 403}}, operation)  # type: ignore[typeddict-item]

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        self._may("GetObject")
        return {"Body": io.BytesIO(self.objects[Key]), "ETag": '"e"'}

    def put_object(self, Bucket: str, Key: str, Body: bytes, **_: str) -> None:
        self._may("PutObject")
        self.objects[Key] = Body

    def create_log_stream(self, logGroupName: str, logStreamName: str) -> None:
        self._may("CreateLogStream")

    def put_log_events(self, logGroupName: str, logStreamName: str, logEvents: list[dict[str, Any]]) -> None:
        self.lines += logEvents

    def get_parameters(self, Names: list[str], WithDecryption: bool) -> dict[str, Any]:
        self._may("GetParameters")
        return {"Parameters": [], "InvalidParameters": Names}


class Shell:
    """A build container whose commands are really run, in a folder that stands for its root."""

    def __init__(self, folder: Path) -> None:
        self.root, self.sandbox = folder / "root", Sandbox(folder / "world")
        self.container, self.status = self, "running"
        self.on_command: Callable[[str], None] = lambda script: None

    def reload(self) -> None:
        """As docker's container."""

    def _here(self, text: str) -> str:
        return text.replace("/codebuild/", f"{self.root}/codebuild/")

    def exec(self, argv: list[str], env: dict[str, str] | None = None, cwd: str = "/", on_output: Callable[[str], None] | None = None,
             timeout: float | None = None) -> int:
        environment = {name: self._here(value) for name, value in (env or {}).items() if name != "HOME"}
        folder = Path(self._here(cwd)) if cwd != "/" else self.root
        done = self.sandbox.run([self._here(word) for word in argv], folder, **environment)
        assert on_output is not None
        on_output(done.said)
        self.on_command(argv[2])
        return done.code

    def put(self, tar_bytes: bytes, path: str) -> None:
        folder = Path(self._here(path))
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(tar_bytes)) as archive:
            archive.extractall(folder, filter="data")
        text = folder / "dir.txt"
        if text.exists():
            text.write_text(self._here(text.read_text()))

    def get(self, path: str) -> bytes:
        folder = Path(self._here(path))
        if not folder.is_dir():
            raise FileNotFoundError(path)
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            archive.add(folder, folder.name)
        return out.getvalue()

    def remove(self) -> None:
        """Nothing is left running."""


class Workshop:
    """The build project of the pipeline over a copy of the source, in CodeBuild's own engine; `read` is what `why` reads of a build."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "source"
        for part in ("app", "appspecs", "buildspecs"):
            shutil.copytree(ROOT / part, self.source / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.rmtree(self.source / "app" / "tests")
        (self.source / "app" / "tests").mkdir()
        (self.source / "app" / "tests" / "__init__.py").touch()
        self.test("pass")
        self.stores, self.box = Refusing(), Shell(folder)
        self.aws = FakeAws(folder, {"s3": self.stores, "logs": self.stores, "ssm": self.stores})
        self.aws.services["hosts"] = self
        self.api = Api(self.aws)  # type: ignore[arg-type]
        variables = {"SERVICE": "sample", "IMAGE_REPOSITORIES": f"{REGION}={REPOSITORY}", "BASE_IMAGE": "base:1"}
        self.api.create_project(CALLER, {
            "name": "sample-build", "source": {"type": "CODEPIPELINE", "buildspec": "buildspecs/image.yaml"}, "artifacts": {"type": "CODEPIPELINE"},
            "environment": {"type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0", "computeType": "BUILD_GENERAL1_SMALL", "privilegedMode": True,
                            "environmentVariables": [{"name": name, "value": value} for name, value in variables.items()]},
            "serviceRole": ROLE, "encryptionKey": KEY, "timeoutInMinutes": 5, "queuedTimeoutInMinutes": 5})

    def start_box(self, name: str, environment: dict[str, str], credentials: Any, docker: bool, preload: list[str]) -> Shell:
        return self.box

    def test(self, body: str) -> None:
        """Make the app's only unit test."""
        (self.source / "app" / "tests" / "test_it.py").write_text(
            f"import unittest\n\n\nclass It(unittest.TestCase):\n    def test_it(self):\n        {body}\n")

    def run(self, spec: str = "", **more: Any) -> str:
        """Build the source as it is (with another buildspec, say) and return the build's id."""
        tree = {str(path.relative_to(self.source)): (path.read_bytes(), 0o644) for path in self.source.rglob("*") if path.is_file()}
        self.stores.objects["src"] = files.zip_of(tree)
        if spec:
            more["buildspecOverride"] = "version: 0.2\n" + textwrap.dedent(spec)
        more.setdefault("environmentVariablesOverride", []).append({"name": "CODEBUILD_RESOLVED_SOURCE_VERSION", "value": COMMIT})
        self.aws.spawned.clear()
        build = self.api.start_build(CALLER, {"projectName": "sample-build", "sourceVersion": "arn:aws:s3:::store/src", "artifactsOverride": {
            "type": "CODEPIPELINE", "location": "store", "path": "pipe/Release", "name": "abc"}, **more})["build"]
        self.aws.spawned.pop(0)()  # the logs' sender waits for the build's end
        return str(build["id"])

    def read(self, build_id: str) -> tuple[Build, Calls]:
        """The build as `why` reads it."""
        aws = InProcess({"codebuild": self.api}, account=ACCOUNT)
        aws.record("logs", "GetLogEvents", lambda params: {"events": self.stores.lines[-params["limit"]:]})
        calls = Calls(aws)
        return builds.read(calls, REGION, build_id), calls


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def case_of(*found: Build, **more: Any) -> Case:
    return Case("pipeline", "sample", "execution", 2e9, region=REGION, builds=found, **more)


def named(case: Case) -> str:
    """The id of the cause that is named first."""
    verdict = judge(case)
    assert verdict.first is not None
    finding = verdict.first
    assert finding.title and finding.match.evidence and finding.match.fix and finding.cause.document.url.startswith("https://")
    assert finding.cause.source.startswith("https://"), finding.cause.id
    return finding.cause.id


def made(workshop: Workshop, build_id: str) -> tuple[str, Case]:
    """(the first cause, the case) of a build that was carried out; reading it takes two calls."""
    build, calls = workshop.read(build_id)
    assert (calls.count, calls.unreadable) == (2, ())
    case = case_of(build)
    return named(case), case


def title(case: Case) -> str:
    finding = judge(case).first
    assert finding is not None
    return finding.title


# --- made to happen -------------------------------------------------------------------------------------------------------


@pytest.mark.cause("build-tests-failed", "made")
def test_a_failing_unit_test_is_named(workshop: Workshop) -> None:
    workshop.test("self.fail('two is not three')")
    cause, case = made(workshop, workshop.run())
    assert (cause, title(case)) == ("build-tests-failed", "Unit tests failed: FAIL: test_it (tests.test_it.It.test_it)")
    verdict = judge(case)
    assert verdict.first is not None
    assert any("two is not three" in line for line in verdict.first.match.evidence)
    assert ("build-buildspec-invalid", "the buildspec was read: the build went past DOWNLOAD_SOURCE") in verdict.ruled_out
    assert not verdict.others, "the catch-all says nothing beside it"


@pytest.mark.cause("build-compile-failed", "made")
def test_code_that_does_not_compile_comes_before_the_tests_that_it_fails(workshop: Workshop) -> None:
    workshop.test("return 1 +")
    cause, case = made(workshop, workshop.run())
    assert cause == "build-compile-failed"
    assert "SyntaxError" in title(case)
    assert judge(case).others == (), "the tests failed for that reason"


@pytest.mark.cause("build-docker-build-failed", "made")
def test_a_docker_build_that_fails_is_not_hidden_by_the_push_that_is_then_refused(workshop: Workshop) -> None:
    workshop.box.sandbox.put(fail={"docker build": -1})
    cause, case = made(workshop, workshop.run())
    assert cause == "build-docker-build-failed"
    (build,) = case.builds
    assert [phase.name for phase in build.phases if phase.status == "FAILED"] == ["BUILD", "POST_BUILD", "UPLOAD_ARTIFACTS"]
    assert not any("nothing to push" in line for line in judge(case).first.match.evidence)  # type: ignore[union-attr]


@pytest.mark.cause("build-base-image-not-pulled", "made")
def test_an_image_of_the_release_that_cannot_be_pulled_again(workshop: Workshop) -> None:
    workshop.box.sandbox.put(registry={REPOSITORY: {COMMIT: "sha256:" + "9" * 64}})
    cause, case = made(workshop, workshop.run())
    assert cause == "build-base-image-not-pulled"
    assert REPOSITORY in title(case)


@pytest.mark.cause("build-registry-login-denied", "made")
def test_a_registry_that_gives_no_password(workshop: Workshop) -> None:
    workshop.box.sandbox.put(fail={"aws ecr get-login-password": -1})
    assert made(workshop, workshop.run())[0] == "build-registry-login-denied"


@pytest.mark.cause("build-command-not-found", "made")
def test_a_command_that_is_not_in_the_image(workshop: Workshop) -> None:
    cause, case = made(workshop, workshop.run("phases: {build: {commands: [no-such-command --now]}}"))
    assert (cause, title(case)) == ("build-command-not-found", "no-such-command is not in the build image aws/codebuild/standard:7.0")


@pytest.mark.cause("build-command-failed", "made")
def test_any_other_command(workshop: Workshop) -> None:
    cause, case = made(workshop, workshop.run("phases: {build: {commands: ['echo FAILED: the moon is not full; exit 3']}}"))
    assert (cause, title(case)) == ("build-command-failed", "the moon is not full")
    cause, case = made(workshop, workshop.run("phases: {pre_build: {commands: [exit 3]}}"))
    assert (cause, title(case)) == ("build-command-failed", "exit 3 ended with exit status 3")


@pytest.mark.parametrize("spec", [
    pytest.param("phases: {builds: {commands: [a]}}", marks=pytest.mark.cause("build-buildspec-invalid", "made")),
    "phases:\n  build:\n    commands:\n      - echo a: b\n"])
def test_a_buildspec_that_cannot_be_used(workshop: Workshop, spec: str) -> None:
    assert made(workshop, workshop.run(spec))[0] == "build-buildspec-invalid"


def test_a_buildspec_that_is_not_there(workshop: Workshop) -> None:
    cause, case = made(workshop, workshop.run(buildspecOverride="ci/other.yaml"))
    assert (cause, title(case)) == ("build-buildspec-invalid", "ci/other.yaml is not in the source")


@pytest.mark.cause("build-timed-out", "made")
def test_a_build_that_takes_too_long(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop.box.on_command = lambda script: workshop.aws.clock.advance(301) if "sleep" in script else None
    monkeypatch.setattr(Shell, "exec", _killed(Shell.exec))
    cause, case = made(workshop, workshop.run("phases: {build: {commands: [sleep 900]}}"))
    assert (cause, title(case)) == ("build-timed-out", "The build took longer than its 5 minutes, in BUILD")


def _killed(real: Callable[..., int]) -> Callable[..., int]:
    """As real, but the command `sleep` is killed at its limit."""
    def exec(self: Shell, argv: list[str], *more: Any) -> int:
        return real(self, argv, *more) or (driver.TIMED_OUT if "sleep" in argv[2] else 0)
    return exec


@pytest.mark.cause("build-queued-too-long", "made")
def test_a_build_that_waits_too_long_for_others(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        """Slots that are all taken; each second of waiting is a minute."""

        def acquire(self, timeout: float) -> bool:
            workshop.aws.clock.advance(61)
            return False

    monkeypatch.setattr(workshop.api, "_slots", Full())
    build_id = workshop.run()
    build, calls = workshop.read(build_id)
    assert (build.log, build.log_note, calls.count) == ((), "the build ended before it had a log", 1)
    assert (named(case_of(build)), title(case_of(build))) == ("build-queued-too-long", "The build waited more than 5 minutes in the queue")


@pytest.mark.cause("build-source-not-downloaded", "made")
def test_a_source_that_may_not_be_read(workshop: Workshop) -> None:
    workshop.stores.refused["GetObject"] = ("AccessDenied", "Access Denied")
    assert made(workshop, workshop.run())[0] == "build-source-not-downloaded"


@pytest.mark.cause("build-artifact-not-uploaded", "made")
def test_an_artifact_that_was_not_made(workshop: Workshop) -> None:
    spec = "phases: {build: {commands: ['true']}}\nartifacts: {base-directory: nowhere, files: ['**/*']}"
    cause, case = made(workshop, workshop.run(spec))
    assert (cause, title(case)) == ("build-artifact-not-uploaded", "The build made no artifact: no matching base directory path found for nowhere")


@pytest.mark.parametrize(("operation", "action"), [
    pytest.param("PutObject", "s3:PutObject", marks=pytest.mark.cause("build-role-denied", "made")),
    ("GetObject", "s3:GetObject"), ("GetParameters", "ssm:GetParameters")])
def test_each_permission_that_the_role_lacks_is_named(workshop: Workshop, operation: str, action: str) -> None:
    workshop.stores.refused[operation] = ("AccessDenied", denied(action, "arn:aws:s3:::store/src"))
    spec = "env: {parameter-store: {TOKEN: /t}}\n" if operation == "GetParameters" else ""
    spec += "phases: {build: {commands: [mkdir out, date > out/x]}}\nartifacts: {base-directory: out, files: ['**/*']}"
    cause, case = made(workshop, workshop.run(spec))
    assert (cause, title(case)) == ("build-role-denied", f"The build role lacks a permission: {action}")
    assert any(ROLE in step and "arn:aws:s3:::store/src" in step for step in judge(case).first.match.fix)  # type: ignore[union-attr]


def test_a_role_that_may_not_write_the_log_is_named_without_one(workshop: Workshop) -> None:
    workshop.stores.refused["CreateLogStream"] = ("AccessDeniedException", denied("logs:CreateLogStream"))
    build, _ = workshop.read(workshop.run())
    assert build.log_note == "the build ended before it had a log"
    assert title(case_of(build)) == "The build role lacks a permission: logs:CreateLogStream"


@pytest.mark.cause("build-key-denied", "made")
def test_a_key_that_the_role_may_not_use(workshop: Workshop) -> None:
    workshop.stores.refused["GetObject"] = ("AccessDenied", denied("kms:Decrypt", KEY))
    cause, case = made(workshop, workshop.run())
    assert (cause, title(case)) == ("build-key-denied", "The build role may not use an encryption key: kms:Decrypt is denied")


@pytest.mark.cause("build-variable-not-resolved", "made")
def test_a_parameter_that_is_not_there(workshop: Workshop) -> None:
    cause, case = made(workshop, workshop.run("env: {parameter-store: {TOKEN: /sample/none}}\nphases: {build: {commands: ['true']}}"))
    assert (cause, title(case)) == ("build-variable-not-resolved", "A variable of the build is not there: /sample/none")


@pytest.mark.cause("build-stopped", "made")
def test_a_build_that_somebody_stopped(workshop: Workshop) -> None:
    def stop(script: str) -> None:
        if "stop me" in script:
            (build_id,) = workshop.api._runs
            workshop.api.stop_build(CALLER, {"id": build_id})

    workshop.box.on_command = stop
    cause, case = made(workshop, workshop.run("phases: {build: {commands: [echo stop me]}}"))
    assert (cause, title(case)) == ("build-stopped", "The build was stopped in BUILD")


@pytest.mark.cause("build-fault", "made")
def test_a_container_that_is_gone_is_codebuilds_own_fault(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "LOST_SECONDS", 0.01)
    workshop.box.on_command = lambda script: setattr(workshop.box, "status", "exited") if "vanish" in script else None
    assert made(workshop, workshop.run("phases: {build: {commands: [echo vanish; exit 9]}}"))[0] == "build-fault"


@pytest.mark.cause("build-release-tests-failed", "made")
def test_functional_tests_of_a_release(workshop: Workshop) -> None:
    tests = workshop.source / "app" / "integration_tests"
    shutil.rmtree(tests)
    tests.mkdir()
    (tests / "__init__.py").touch()
    (tests / "test_it.py").write_text("import unittest\n\n\nclass It(unittest.TestCase):\n    def test_answers(self):\n        self.fail('no')\n")
    variables = {"ENDPOINTS": "eu-west-1=http://127.0.0.1:9", "LOAD_SECONDS": "0", "LOAD_RATE": "1"}
    cause, case = made(workshop, workshop.run(buildspecOverride="buildspecs/tests.yaml", environmentVariablesOverride=[
        {"name": name, "value": value} for name, value in variables.items()]))
    assert cause == "build-release-tests-failed"
    assert title(case) == "The release's tests failed against eu-west-1: FAIL: test_answers (integration_tests.test_it.It.test_answers)"


@pytest.mark.cause("build-load-failed", "made")
def test_a_release_that_answers_wrongly_under_load(workshop: Workshop) -> None:
    shutil.rmtree(workshop.source / "app" / "integration_tests", ignore_errors=True)
    variables = {"ENDPOINTS": "eu-west-1=http://127.0.0.1:9", "LOAD_SECONDS": "0.2", "LOAD_RATE": "20"}
    cause, case = made(workshop, workshop.run(buildspecOverride="buildspecs/tests.yaml", environmentVariablesOverride=[
        {"name": name, "value": value} for name, value in variables.items()]))
    assert (cause, title(case)) == ("build-load-failed", "Under load more than 1 % of the answers of eu-west-1 were wrong")
    assert any(line.startswith("load: eu-west-1: ") for line in judge(case).first.match.evidence)  # type: ignore[union-attr]


def test_a_good_build_matches_nothing(workshop: Workshop) -> None:
    build, _ = workshop.read(workshop.run())
    assert build.status == "SUCCEEDED", build.phases
    verdict = judge(case_of(build))
    assert (verdict.first, verdict.others) == (None, ())


# --- recorded answers -----------------------------------------------------------------------------------------------------


def answer(phase: str, code: str, message: str, status: str = "FAILED", *, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """BatchGetBuilds' answer for a build that failed so."""
    order = ("SUBMITTED", "QUEUED", "PROVISIONING", "DOWNLOAD_SOURCE", "INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD", "UPLOAD_ARTIFACTS")
    phases: list[dict[str, Any]] = [
        {"phaseType": name, "phaseStatus": "SUCCEEDED", "startTime": 1e9, "endTime": 1e9 + 1, "durationInSeconds": 1,
         "contexts": [{"statusCode": "", "message": ""}]}
        for name in order[:order.index(phase)]]
    phases.append({"phaseType": phase, "phaseStatus": status, "startTime": 1e9, "endTime": 1e9 + 9, "durationInSeconds": 9,
                   "contexts": [{"statusCode": code, "message": message}]})
    phases.append({"phaseType": "COMPLETED", "startTime": 1e9 + 9})
    return {"buildsNotFound": [], "builds": [{
        "id": "sample-build:1", "arn": f"arn:aws:codebuild:{REGION}:{ACCOUNT}:build/sample-build:1", "buildNumber": 1, "startTime": 1e9, "endTime": 1e9 + 20,
        "currentPhase": "COMPLETED", "buildStatus": status, "projectName": "sample-build", "phases": phases, "serviceRole": ROLE, "encryptionKey": KEY,
        "source": {"type": "CODEPIPELINE", "buildspec": "buildspecs/image.yaml"}, "timeoutInMinutes": 30, "queuedTimeoutInMinutes": 480, "buildComplete": True,
        "environment": {"type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0", "computeType": "BUILD_GENERAL1_SMALL", "privilegedMode": True},
        "logs": {"groupName": "/aws/codebuild/sample-build", "streamName": "1", "deepLink": "https://console.aws.amazon.com/x"}, **(more or {})}]}


def recorded(told: Mapping[str, Any], *lines: str) -> tuple[Build, Calls]:
    """A build as `why` reads it from an answer, with these lines in the log of the failed phase."""
    aws = InProcess()
    aws.record("codebuild", "BatchGetBuilds", told)
    phase = next(one["phaseType"] for one in told["builds"][0]["phases"] if one.get("phaseStatus") not in ("SUCCEEDED", None))
    stamp = "[Container] 2026/01/01 10:00:00.000001 "
    log = [f"{stamp}Entering phase {phase}\n", f"{stamp}Running command do it\n", *(f"{line}\n" for line in lines),
           f"{stamp}Phase complete: {phase} State: FAILED\n",
           f"{stamp}Entering phase POST_BUILD\n", "toomanyrequests: of a later phase\n"]
    aws.record("logs", "GetLogEvents", {"events": [{"timestamp": 1_000_000_000_000, "message": line, "ingestionTime": 1_000_000_000_000} for line in log]})
    calls = Calls(aws)
    return builds.read(calls, REGION, "sample-build:1"), calls


def command(*lines: str, status: int = 1, **more: Any) -> Build:
    """A build whose command wrote these lines and ended with an exit status."""
    return recorded(answer("BUILD", "COMMAND_EXECUTION_ERROR", f"Error while executing command: do it. Reason: exit status {status}", more=more), *lines)[0]


PUSH = denied("ecr:InitiateLayerUpload", f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/sample")
RECORDED = {
    # https://github.com/aws-samples/aws-modern-application-workshop/issues/95
    "build-push-denied": lambda: command(f"denied: {PUSH}"),
    # https://github.com/actions/starter-workflows/issues/2647
    "build-repository-missing": lambda: command("name unknown: The repository with name 'sample' does not exist in the registry with id '000000000000'"),
    # https://github.com/moby/buildkit/issues/3776
    "build-tag-immutable": lambda: command(
        "tag invalid: The image tag 'v1' already exists in the 'sample' repository and cannot be overwritten because the repository is immutable."),
    # https://github.com/kalrish/aws-csgo/issues/6
    "build-image-not-pulled": lambda: recorded(answer(
        "PROVISIONING", "BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE", "Unable to pull customer's container image. CannotPullContainerError: Error response "
        "from daemon: pull access denied for x.dkr.ecr.ca-central-1.amazonaws.com/ami-build-env, repository does not exist or may require 'docker login'"))[0],
    # https://docs.aws.amazon.com/codebuild/latest/userguide/troubleshooting.html#troubleshooting-cannot-connect-to-docker-daemon
    "build-docker-not-running": lambda: command("Cannot connect to the Docker daemon at unix:/var/run/docker.sock. Is the docker daemon running?", environment={
        "type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0", "computeType": "BUILD_GENERAL1_SMALL", "privilegedMode": False}),
    # https://github.com/aws-samples/aws-modern-application-workshop/issues/237
    "build-pull-limit": lambda: command(
        "Step 1/9 : FROM python:3.13-slim", "toomanyrequests: You have reached your pull rate limit. You may increase the limit by authenticating and "
        "upgrading: https://www.docker.com/increase-rate-limit", "FAILED: docker build of app/ failed; the lines above say why."),
    "build-disk-full": lambda: command("failed to register layer: write /usr/lib/x: no space left on device", "FAILED: docker build of app/ failed"),
    # https://docs.aws.amazon.com/codebuild/latest/userguide/troubleshooting.html#windows-server-core-version
    "build-out-of-memory": lambda: recorded(answer(
        "BUILD", "CLIENT_ERROR", "Build container found dead before completing the build. Build container died because it was out of memory, or the Docker "
        "image is not supported. ErrorCode: 500"))[0],
    # buildspecs/rollback_safety.py
    "build-rollback-unsafe": lambda: command("FAILED: while both releases served: 400 requests, 30 wrong; 30 times status 500. Make the change in two phases"),
    # https://docs.aws.amazon.com/codebuild/latest/userguide/troubleshooting.html#queued-insufficient-subnet-error
    "build-failed": lambda: recorded(answer("PROVISIONING", "INSUFFICIENT_SUBNET", "The subnet has no free addresses"))[0],
}


@pytest.mark.parametrize("cause", [pytest.param(cause, marks=pytest.mark.cause(cause, "recorded")) for cause in RECORDED])
def test_a_recorded_failure_is_named(cause: str) -> None:
    case = case_of(RECORDED[cause]())
    assert named(case) == cause
    assert "later phase" not in str(judge(case)), "a later phase's lines do not belong to the failure"


@pytest.mark.cause("build-quota-exceeded", "recorded")
def test_a_build_that_was_not_started_for_want_of_quota() -> None:
    action = Action("Build", "Image", "Failed", "CodeBuild", REGION, "", "", "JobFailed", (
        "Error calling startBuild: Cannot have more than 1 builds in queue for the account (Service: AWSCodeBuild; Status Code: 400; Error Code: "
        "AccountLimitExceededException; Request ID: 1)"), 1e9, 1e9 + 1, {"ProjectName": "sample-build"})
    assert named(case_of(actions=(action,))) == "build-quota-exceeded"


# --- words alone are not enough -------------------------------------------------------------------------------------------

NEAR = {
    "build-tests-failed": lambda: command("OK: 3 tests, none FAILED"),
    "build-compile-failed": lambda: command("warning: SyntaxWarning: invalid escape sequence"),
    "build-docker-build-failed": lambda: command("The command docker build was not needed"),
    "build-push-denied": lambda: command(denied("ecr:GetAuthorizationToken")),
    "build-repository-missing": lambda: command("The repository of the source does not exist"),
    "build-tag-immutable": lambda: command("the tag 'v1' already exists: fetch first"),
    "build-image-not-pulled": lambda: recorded(answer("PROVISIONING", "BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE", "toomanyrequests: try later"))[0],
    "build-timed-out": lambda: recorded(answer("QUEUED", "QUEUED_TIMED_OUT", "", "TIMED_OUT"))[0],
    "build-queued-too-long": lambda: recorded(answer("BUILD", "BUILD_TIMED_OUT", "Build has timed out.", "TIMED_OUT"))[0],
    "build-command-not-found": lambda: command("page not found", status=1),
    "build-command-failed": lambda: recorded(answer("UPLOAD_ARTIFACTS", "CLIENT_ERROR", "no matching artifact paths found"))[0],
    "build-buildspec-invalid": lambda: command("YAML_FILE_ERROR in another tool"),
    "build-source-not-downloaded": lambda: recorded(answer("DOWNLOAD_SOURCE", "YAML_FILE_ERROR", "found character that cannot start any token at line 3"))[0],
    "build-docker-not-running": lambda: command("the Docker daemon was restarted"),
    "build-registry-login-denied": lambda: command(PUSH),
    "build-pull-limit": lambda: command("429 of a service of ours: try later"),
    "build-base-image-not-pulled": lambda: command("toomanyrequests: You have reached your pull rate limit", "manifest unknown"),
    "build-role-denied": lambda: command("the user is not authorized to see this page"),
    "build-key-denied": lambda: command(denied("s3:GetObject")),
    "build-artifact-not-uploaded": lambda: command("Error in UPLOAD_ARTIFACTS"),
    "build-variable-not-resolved": lambda: recorded(answer("DOWNLOAD_SOURCE", "Decrypted Variables Error",
                                                            f"AccessDeniedException: {denied('ssm:GetParameters')}"))[0],
    "build-disk-full": lambda: command("disk usage: 40 %"),
    "build-out-of-memory": lambda: command("killed the process of before", status=1),
    "build-stopped": lambda: command("stopped", status=1),
    "build-fault": lambda: command("Segmentation fault", status=139),
    "build-failed": lambda: command("anything"),
    "build-release-tests-failed": lambda: command("FAILED: the unit tests of app/; the lines above say which."),
    "build-load-failed": lambda: command("load: eu-west-1: 400 requests, 1 wrong; 1 times status 500"),
    "build-rollback-unsafe": lambda: command("FAILED: docker build of app/ failed"),
    "build-quota-exceeded": lambda: command("Cannot have more than one"),
}


@pytest.mark.parametrize("cause", NEAR)
def test_a_near_miss_is_not_taken_for_it(cause: str) -> None:
    (entry,) = [one for one in catalogue() if one.id == cause]
    case = case_of(NEAR[cause]())
    assert entry.check(case) is None
    assert named(case) != cause


def test_every_build_cause_has_a_near_miss() -> None:
    assert {one.id for one in catalogue() if one.area == "build" and one.id.startswith("build-")} == set(NEAR)


# --- reading --------------------------------------------------------------------------------------------------------------


def test_the_cause_is_named_without_the_log_too_and_says_what_is_missing() -> None:
    aws = InProcess()
    aws.record("codebuild", "BatchGetBuilds", answer("BUILD", "COMMAND_EXECUTION_ERROR", "Error while executing command: make. Reason: exit status 2"))
    aws.denied.add("logs:GetLogEvents")
    calls = Calls(aws)
    build = builds.read(calls, REGION, f"arn:aws:codebuild:{REGION}:{ACCOUNT}:build/sample-build:1")
    assert (build.log, build.log_note) == ((), "its log is empty, or could not be read")
    (missing,) = calls.unreadable
    assert missing.permission == "logs:GetLogEvents"
    assert title(case_of(build)) == "make ended with exit status 2"
    assert build.log_note in judge(case_of(build)).first.match.evidence  # type: ignore[union-attr]


def test_a_log_that_has_expired() -> None:
    aws = InProcess()
    aws.record("codebuild", "BatchGetBuilds", answer("BUILD", "COMMAND_EXECUTION_ERROR", "Error while executing command: make. Reason: exit status 2"))
    aws.record("logs", "GetLogEvents", ServiceError("ResourceNotFoundException", "The specified log stream does not exist."))
    build = builds.read(Calls(aws), REGION, "sample-build:1")
    assert build.log_note == "its log /aws/codebuild/sample-build 1 is not there any more"


def test_a_build_that_codebuild_has_forgotten_or_may_not_be_read() -> None:
    aws = InProcess()
    aws.record("codebuild", "BatchGetBuilds", {"builds": [], "buildsNotFound": ["sample-build:1"]})
    assert "does not know this build any more" in builds.read(Calls(aws), REGION, "sample-build:1").log_note
    aws.denied.add("codebuild:BatchGetBuilds")
    calls = Calls(aws)
    assert builds.read(calls, REGION, "sample-build:1").project == "sample-build"
    assert calls.unreadable[0].permission == "codebuild:BatchGetBuilds"


def test_throttling_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    aws = InProcess()
    aws.record("codebuild", "BatchGetBuilds", answer("BUILD", "COMMAND_EXECUTION_ERROR", "x"))
    aws.record("logs", "GetLogEvents", {"events": [{"timestamp": 1, "message": "\x1b[31mred\x1b[0m\n", "ingestionTime": 1}]})
    aws.throttled["codebuild:BatchGetBuilds"] = 2
    calls = Calls(aws)
    build = builds.read(calls, REGION, "sample-build:1")
    assert (build.log, calls.count, calls.unreadable) == (("red",), 2, ())


def test_of_two_faults_the_first_is_named_and_the_other_told() -> None:
    early, late = command("no space left on device"), RECORDED["build-tag-immutable"]()
    late = replace(late, id="sample-build:2", project="other-build", started=2e9, ended=2e9 + 20)
    verdict = judge(case_of(late, early))
    assert verdict.first is not None
    assert verdict.first.cause.id == "build-disk-full"
    assert "build-tag-immutable" in [one.cause.id for one in verdict.others]
