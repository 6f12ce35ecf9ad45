"""The CodeDeploy agent: its protocol, AppSpec files, hooks, Install, and signatures."""

from __future__ import annotations

import io
import json
import os
import subprocess
import time
import zipfile
from pathlib import Path
from typing import IO, Any

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from localaws.hosts.agent import appspec, executor, hooks, install, signing
from localaws.hosts.agent.__main__ import Agent

APPSPEC = """version: 0.0
os: linux
files:
  - source: release.json
    destination: {target}
hooks:
  ApplicationStop:
    - location: hooks/run.sh
  ValidateService:
    - location: hooks/run.sh
      timeout: 5
"""
SCRIPT = '#!/bin/sh\necho "$LIFECYCLE_EVENT $DEPLOYMENT_ID from {name}"\necho careful >&2\nexit {code}\n'


class Bundles:
    """S3 with the bundles that a test puts into it."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, target: Path, code: int = 0, **files: str) -> None:
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            for name, text in {"appspec.yml": APPSPEC.format(target=target), "hooks/run.sh": SCRIPT.format(name=key, code=code),
                               "release.json": json.dumps({"release": key}), **files}.items():
                archive.writestr(name, text)
        self.objects[key] = data.getvalue()

    def download(self, bucket: str, key: str, version: str | None, target: IO[bytes]) -> str:
        target.write(self.objects[key])
        return f"etag-{key}"


class CommandService:
    """The service's side of the protocol: hands out one command, notes what it hears."""

    def __init__(self, command: str, payload: dict[str, Any], acknowledged: str = "InProgress") -> None:
        self.command, self.payload, self.acknowledged = command, payload, acknowledged
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def json(self, service: str, target: str, body: dict[str, Any]) -> dict[str, Any]:
        assert service == "codedeploy-commands"
        assert target.startswith("CodeDeployCommandService_v20141006.")
        operation = target.rpartition(".")[2]
        self.calls.append((operation, body))
        if operation == "PollHostCommand":
            return {"HostCommand": {"HostCommandIdentifier": "c-1", "HostIdentifier": body["HostIdentifier"], "DeploymentExecutionId": "x",
                                    "CommandName": self.command, "Nonce": 1}} if self.command else {}
        if operation == "GetDeploymentSpecification":
            return {"DeploymentSystem": "CodeDeploy", "DeploymentSpecification": {"GenericEnvelope": {
                "Format": "PKCS7/JSON", "Payload": signed(json.dumps(self.payload))}}}
        return {"CommandStatus": self.acknowledged} if operation == "PutHostCommandAcknowledgement" else {}

    def completions(self) -> list[dict[str, Any]]:
        return [{**body, "Diagnostics": json.loads(body["Diagnostics"]["Payload"])} for name, body in self.calls
                if name == "PutHostCommandComplete"]


_KEY: dict[str, Path] = {}


def signed(text: str) -> str:
    """Return `text` as CodeDeploy signs specifications (any signer will do)."""
    folder = _KEY["folder"]
    return subprocess.run(["openssl", "smime", "-sign", "-binary", "-nodetach", "-outform", "PEM", "-signer", str(folder / "c.pem"),
                           "-inkey", str(folder / "k.pem")], input=text.encode(), capture_output=True, check=True).stdout.decode()


@pytest.fixture(autouse=True, scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("signer")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=x",
                    "-keyout", str(folder / "k.pem"), "-out", str(folder / "c.pem")], capture_output=True, check=True)
    _KEY["folder"] = folder


def payload(deployment: str, key: str, **more: Any) -> dict[str, Any]:
    return {"DeploymentId": deployment, "DeploymentGroupId": "group", "DeploymentGroupName": "fleet", "ApplicationName": "sample", "Revision": {
        "RevisionType": "S3", "S3Revision": {"Bucket": "b", "Key": key, "BundleType": "zip", "Version": "v", "ETag": f"etag-{key}"}}, **more}


def spec_of(deployment: str, key: str, **more: Any) -> executor.Specification:
    return executor.specification(payload(deployment, key, **more))


@pytest.fixture
def bundles(tmp_path: Path) -> Bundles:
    found = Bundles()
    for key, code in (("one", 0), ("two", 0), ("bad", 7)):
        found.put(key, tmp_path / "target", code)
    return found


@pytest.fixture
def runner(tmp_path: Path, bundles: Bundles) -> executor.Executor:
    return executor.Executor(bundles, tmp_path / "root")


def deploy(runner: executor.Executor, deployment: str, key: str, **more: Any) -> list[str]:
    spec = spec_of(deployment, key, **more)
    return [runner.run(command, spec) for command in ("ApplicationStop", "DownloadBundle", "BeforeInstall", "Install", "ValidateService")]


def test_application_stop_runs_from_the_last_installed_bundle(runner: executor.Executor) -> None:
    overwrite = {"AgentActionOverrides": {"AgentOverrides": {"FileExistsBehavior": "OVERWRITE"}}}
    assert deploy(runner, "d-1", "one")[0] == ""
    logs = deploy(runner, "d-2", "two", **overwrite)
    assert "ApplicationStop d-2 from one" in logs[0]
    assert "ValidateService d-2 from two" in logs[4]


def test_a_failed_validation_leaves_the_pointer_on_the_failed_revision(runner: executor.Executor) -> None:
    deploy(runner, "d-1", "one")
    with pytest.raises(hooks.ScriptError):
        deploy(runner, "d-2", "bad")
    with pytest.raises(hooks.ScriptError) as failed:
        runner.run("ApplicationStop", spec_of("d-3", "one"))
    assert "from bad" in failed.value.log


def test_the_log_tail_names_event_script_and_streams(runner: executor.Executor) -> None:
    log = deploy(runner, "d-1", "one")[4]
    assert log.startswith("LifecycleEvent - ValidateService\nScript - hooks/run.sh\n")
    assert "[stdout]ValidateService d-1 from one\n" in log
    assert "[stderr]careful\n" in log


def test_the_log_tail_stays_below_its_limit_by_whole_lines() -> None:
    log = hooks.ScriptLog()
    for number in range(500):
        log.add(f"line {number}")
    assert len(log.text) < hooks.LOG_CHARACTERS
    assert log.text.endswith("line 499\n")
    assert all(line.startswith("line ") for line in log.text.splitlines())


@pytest.mark.parametrize(("text", "timeout", "code", "message"), [
    ("exit 9", 5, hooks.FAILED, "failed with exit code 9"),
    ("sleep 20", 1, hooks.TIMED_OUT, "failed to complete in 1 seconds"),
    ("sleep 3 & exit 0", 1, hooks.OUTPUTS_LEFT_OPEN, "failed to close STDOUT"),
    (None, 5, hooks.SCRIPT_MISSING, "Script does not exist at specified location"),
])
def test_the_codes_of_hooks(tmp_path: Path, text: str | None, timeout: int, code: int, message: str) -> None:
    if text is not None:
        (tmp_path / "h.sh").write_text("#!/bin/sh\n" + text + "\n")
    with pytest.raises(hooks.ScriptError, match=message) as failed:
        hooks.run_hook("BeforeInstall", (appspec.Script("h.sh", timeout=timeout),), tmp_path, tmp_path / "log", {})
    assert failed.value.code == code
    assert failed.value.script == "h.sh"


def test_a_missing_execute_bit_is_repaired_and_the_folder_is_the_root(tmp_path: Path) -> None:
    (tmp_path / "h.sh").write_text("#!/bin/sh\npwd\n")
    (tmp_path / "h.sh").chmod(0o644)
    assert "[stdout]/\n" in hooks.run_hook("BeforeInstall", (appspec.Script("h.sh"),), tmp_path, tmp_path / "log", {})


@pytest.mark.parametrize(("text", "message"), [
    ("os: linux", "invalid version value"),
    ("version: '0.0'\nos: linux", "invalid version value"),
    ("version: 1.0\nos: linux", "invalid version value"),
    ("version: 0.0\nos: plan9", "unsupported operating system"),
    ("version: 0.0\nos: linux\nhooks:\n  BeforeInstall:\n    - timeout: 3", "no location"),
    ("version: 0.0\nos: linux\nhooks:\n  BeforeInstall:\n    - location: x\n      timeout: soon", "invalid timeout"),
    ("version: 0.0\nos: linux\nfile_exists_behavior: MAYBE", "file_exists_behavior"),
    ("version: 0.0\nos: linux\nfiles:\n  - source: a", "no destination"),
    ("version: 0.0\nos: [linux", "invalid YAML"),
    ("", "was empty"),
])
def test_appspec_files_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(appspec.AppSpecError, match=message):
        appspec.parse(text)


def test_a_missing_appspec_names_both_paths(tmp_path: Path) -> None:
    with pytest.raises(appspec.AppSpecError, match=f'revision-relative path "appspec.yml".*"{tmp_path}"'):
        appspec.load(tmp_path)


def test_an_unquoted_mode_is_read_as_yaml_reads_it() -> None:
    text = "version: 0.0\nos: linux\npermissions:\n  - object: /x\n    mode: {mode}\n"
    assert appspec.parse(text.format(mode="0640")).permissions[0].mode == "416"
    assert appspec.parse(text.format(mode="'0640'")).permissions[0].mode == "0640"


def test_install_removes_what_the_last_one_copied_and_nothing_else(tmp_path: Path) -> None:
    archive, target = tmp_path / "archive", tmp_path / "target"
    (archive / "site" / "deep").mkdir(parents=True)
    (archive / "site" / "deep" / "a.txt").write_text("1")
    target.mkdir()
    (target / "mine.txt").write_text("stays")
    spec = appspec.AppSpec(files=(appspec.File("site", str(target)),))
    install.install("g", archive, tmp_path / "instructions", spec, "DISALLOW")
    assert (target / "deep" / "a.txt").read_text() == "1"
    (archive / "site" / "deep" / "a.txt").rename(archive / "site" / "b.txt")
    install.install("g", archive, tmp_path / "instructions", spec, "DISALLOW")
    assert sorted(path.name for path in target.rglob("*")) == ["b.txt", "deep", "mine.txt"]


@pytest.mark.parametrize(("behavior", "expected"), [("OVERWRITE", "new"), ("RETAIN", "old"), ("DISALLOW", None)])
def test_what_happens_to_files_that_exist(tmp_path: Path, behavior: str, expected: str | None) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "f").write_text("new")
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "f").write_text("old")
    spec = appspec.AppSpec(files=(appspec.File("f", str(tmp_path / "target")),))
    if expected is None:
        with pytest.raises(install.InstallError, match="already exists at this location"):
            install.install("g", tmp_path / "archive", tmp_path / "i", spec, behavior)
    else:
        install.install("g", tmp_path / "archive", tmp_path / "i", spec, behavior)
        assert (tmp_path / "target" / "f").read_text() == expected


def test_the_appspec_files_behavior_goes_before_the_deployments(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "f").write_text("new")
    (tmp_path / "f").write_text("old")
    spec = appspec.AppSpec(files=(appspec.File("f", str(tmp_path)),), file_exists_behavior="RETAIN")
    install.install("g", tmp_path / "archive", tmp_path / "i", spec, "DISALLOW")
    assert (tmp_path / "f").read_text() == "old"


def test_permissions_change_what_matches_and_not_what_is_excepted(tmp_path: Path) -> None:
    for name in ("a.sh", "b.sh", "c.txt"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o600)
    install.apply_permission(appspec.Permission(str(tmp_path), "*.sh", ("b.sh",), ("file",), mode="0755"))
    assert [oct((tmp_path / name).stat().st_mode & 0o777) for name in ("a.sh", "b.sh", "c.txt")] == ["0o755", "0o600", "0o600"]


def test_five_archives_are_kept_and_the_last_installed_never_goes(runner: executor.Executor, tmp_path: Path) -> None:
    deploy(runner, "d-0", "one")
    for number in range(1, 9):
        runner.run("DownloadBundle", spec_of(f"d-{number}", "two"))
        time.sleep(0.01)
    kept = sorted(path.name for path in (tmp_path / "root" / "group").iterdir())
    assert len(kept) == 5
    assert "d-0" in kept
    assert "d-8" in kept


def test_a_wrong_etag_fails_the_download(runner: executor.Executor) -> None:
    spec = executor.specification(payload("d-1", "one") | {"Revision": {"RevisionType": "S3", "S3Revision": {
        "Bucket": "b", "Key": "one", "BundleType": "zip", "ETag": "other"}}})
    with pytest.raises(executor.CommandError, match="Expected deployment artifact bundle etag other but was actually etag-one"):
        runner.run("DownloadBundle", spec)


def test_a_tar_bundle_is_unpacked(bundles: Bundles, runner: executor.Executor, tmp_path: Path) -> None:
    from localaws.hosts.image import tar_of

    bundles.objects["tar"] = tar_of({"appspec.yml": "version: 0.0\nos: linux\n"})
    data = payload("d-1", "tar")
    data["Revision"]["S3Revision"]["BundleType"] = "tar"
    runner.run("DownloadBundle", executor.specification(data))
    assert (tmp_path / "root/group/d-1/deployment-archive/appspec.yml").exists()


def agent_for(service: CommandService, runner: executor.Executor, tmp_path: Path) -> Agent:
    return Agent(service, runner, "arn:aws:ec2:us-east-1:1:instance/i-1", tmp_path / "ongoing" / "command")


def test_a_command_goes_poll_specification_acknowledge_complete(runner: executor.Executor, tmp_path: Path) -> None:
    service = CommandService("DownloadBundle", payload("d-1", "one"))
    agent_for(service, runner, tmp_path).poll()
    assert [name for name, _ in service.calls] == ["PollHostCommand", "GetDeploymentSpecification", "PutHostCommandAcknowledgement",
                                                   "PutHostCommandComplete"]
    assert json.loads(service.calls[2][1]["Diagnostics"]["Payload"]) == {"IsCommandNoop": False}
    assert service.completions()[0]["CommandStatus"] == "Succeeded"
    assert service.completions()[0]["Diagnostics"]["error_code"] == 0


def test_an_event_without_scripts_is_a_noop(runner: executor.Executor, tmp_path: Path) -> None:
    runner.run("DownloadBundle", spec_of("d-1", "one"))
    service = CommandService("AfterInstall", payload("d-1", "one"))
    agent_for(service, runner, tmp_path).poll()
    assert json.loads(service.calls[2][1]["Diagnostics"]["Payload"]) == {"IsCommandNoop": True}


def test_a_failed_script_is_completed_twice_the_real_code_first(runner: executor.Executor, tmp_path: Path) -> None:
    runner.run("DownloadBundle", spec_of("d-1", "bad"))
    service = CommandService("ValidateService", payload("d-1", "bad"))
    agent_for(service, runner, tmp_path).poll()
    first, second = service.completions()
    assert (first["Diagnostics"]["error_code"], second["Diagnostics"]["error_code"]) == (hooks.FAILED, hooks.UNKNOWN_ERROR)
    assert first["Diagnostics"]["script_name"] == "hooks/run.sh"
    assert "from bad" in first["Diagnostics"]["log"]
    assert first["CommandStatus"] == "Failed"


def test_a_malformed_appspec_fails_without_acknowledgement(bundles: Bundles, runner: executor.Executor, tmp_path: Path) -> None:
    bundles.put("broken", tmp_path / "target", **{"appspec.yml": "version: 2"})
    runner.run("DownloadBundle", spec_of("d-1", "broken"))
    service = CommandService("BeforeInstall", payload("d-1", "broken"))
    agent_for(service, runner, tmp_path).poll()
    assert "PutHostCommandAcknowledgement" not in [name for name, _ in service.calls]
    assert service.completions()[0]["Diagnostics"]["error_code"] == hooks.UNKNOWN_ERROR


def test_a_command_that_is_complete_already_is_not_run(runner: executor.Executor, tmp_path: Path) -> None:
    service = CommandService("DownloadBundle", payload("d-1", "one"), acknowledged="Failed")
    agent_for(service, runner, tmp_path).poll()
    assert not (tmp_path / "root").exists()
    assert service.completions() == []


def test_a_command_under_which_the_agent_died_is_reported(runner: executor.Executor, tmp_path: Path) -> None:
    service = CommandService("", {})
    agent = agent_for(service, runner, tmp_path)
    (tmp_path / "ongoing").mkdir()
    (tmp_path / "ongoing" / "command").write_text("c-9")
    agent.recover()
    assert service.completions()[0]["Diagnostics"]["error_code"] == hooks.FAILED_AFTER_RESTART
    assert service.completions()[0]["HostCommandIdentifier"] == "c-9"
    agent.recover()
    assert len(service.completions()) == 1


def test_a_specification_of_another_signer_format_is_refused() -> None:
    with pytest.raises(executor.CommandError, match="Unsupported DeploymentSpecification format: TEXT/JSON"):
        executor.read_specification({"Format": "TEXT/JSON", "Payload": "{}"})
    with pytest.raises(executor.CommandError, match="PKCS7"):
        executor.read_specification({"Format": "PKCS7/JSON", "Payload": "nothing"})


@pytest.mark.parametrize(("method", "url", "service"), [
    ("POST", "https://codedeploy-commands.us-east-1.amazonaws.com/", "codedeploy-commands"),
    ("GET", "https://b.s3.us-east-1.amazonaws.com/p/Release/a%20b~c?versionId=x%2By", "s3"),
])
def test_signatures_are_botocores(monkeypatch: pytest.MonkeyPatch, method: str, url: str, service: str) -> None:
    now = 1_700_000_000.0
    credentials = signing.Credentials("AKID", "secret", "token", now + 3600)
    body_hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    ours = signing.sign(method, url, {"Content-Type": "application/x-amz-json-1.1"}, body_hash, service, "us-east-1", credentials, now)
    kind = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
    signer = kind(botocore.credentials.Credentials("AKID", "secret", "token"), service, "us-east-1")
    request = botocore.awsrequest.AWSRequest(method, url, {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Content-SHA256": body_hash}, b"")
    request.context["timestamp"] = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    request.headers["X-Amz-Date"], request.headers["X-Amz-Security-Token"] = request.context["timestamp"], "token"
    text = signer.string_to_sign(request, signer.canonical_request(request))
    theirs = signer.signature(text, request)
    assert ours["Authorization"].endswith(f"Signature={theirs}")


@pytest.mark.skipif(os.geteuid() != 0, reason="su asks others than root for a password")
def test_runas_runs_as_that_user(tmp_path: Path) -> None:
    (tmp_path / "h.sh").write_text("#!/bin/sh\nid -un\n")
    log = hooks.run_hook("BeforeInstall", (appspec.Script("h.sh", runas="root"),), tmp_path, tmp_path / "log", {})
    assert "[stdout]root\n" in log
