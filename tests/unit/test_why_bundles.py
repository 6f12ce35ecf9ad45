"""Why a deployment fails, told by its bundle: the real agent runs real bundles and this project's own hooks, and each cause must be named first."""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.exceptions
import botocore.response
import pytest
from deployment_scene import ROOT, Scene, agent, archive, first, named, one_hook, saying, ship_bad

from localaws.codedeploy.simulator import REGION, failing
from localaws.hosts.agent.signing import AwsError
from localaws.service import ServiceError
from scripts.core import running
from scripts.diagnosis import bundles, deployments

sys.path.insert(0, str(Path(__file__).resolve().parent / "fake_commands"))
from sandbox import Sandbox

COMMIT = "b" * 40
DIGEST = "sha256:" + "b" * 64
REPOSITORY = "111122223333.dkr.ecr.us-east-1.amazonaws.com/sample-images"
made = pytest.mark.cause


def marked(cause: str, *values: Any, how: str = "made") -> Any:
    """A case of a parametrized test, with the cause that it makes."""
    return pytest.param(cause, *values, marks=pytest.mark.cause(cause, how), id=cause)


# ---- with the real agent and real bundles


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene()
    scene.agents(tmp_path)
    return scene


SCRIPT = "#!/bin/sh\n{}\n"


def with_hook(body: str, event: str = "AfterInstall", **more: int) -> dict[str, str | bytes]:
    return {"appspec.yml": one_hook(event, **more), "hooks/run.sh": SCRIPT.format(body)}


@pytest.mark.parametrize(("cause", "files", "words"), [
    marked("deployment-hook-failed", with_hook("echo cannot start >&2; exit 7"), "failed with exit code 7"),
    marked("deployment-hook-missing", {"appspec.yml": one_hook("AfterInstall", "hooks/gone.sh"), "hooks/here.sh": SCRIPT}, "hooks/here.sh"),
    marked("deployment-hook-timed-out", with_hook("echo waiting for the moon; exec sleep 30", timeout=1), "its timeout in appspec.yml is 1 s"),
    marked("deployment-hook-left-child", with_hook("sleep 6 & echo started", timeout=1), "failed to close STDOUT"),
    marked("deployment-appspec-missing", {"bundle/appspec.yml": "version: 0.0\nos: linux\n"}, "did not find an AppSpec file"),
    marked("deployment-appspec-malformed", {"appspec.yml": "version: 0.0\nos: linux\nhooks:\n\t- no tabs\n"}, "invalid YAML"),
    marked("deployment-appspec-version", {"appspec.yml": "version: 1.0\nos: linux\n"}, "its version is 1.0, not 0.0"),
    marked("deployment-line-ends", {"appspec.yml": one_hook("AfterInstall"), "hooks/run.sh": "#!/bin/sh\r\necho hello\r\nexit 0\r\n"}, "carriage returns"),
    marked("deployment-disk-full", with_hook("echo 'write /var/lib/docker/tmp/GetImageBlob7: no space left on device' >&2; exit 1"), "no space left"),
    marked("deployment-bundle-broken", {}, "extracting"),
])
def test_what_the_agent_says_of_a_bundle(scene: Scene, cause: str, files: dict[str, str | bytes], words: str) -> None:
    scene.bundle("two", files)
    if not files:
        scene.aws.buckets.put("bucket", "two", b"no zip at all")
    verdict = scene.why(ship_bad(scene))
    assert first(verdict) == cause
    assert verdict.first and words in "\n".join(verdict.first.match.evidence)
    assert named(verdict) == {cause}
    assert "1 of 3 instances" in "\n".join(verdict.first.match.evidence)


def test_a_bundle_that_is_good_has_none_of_these_causes(scene: Scene) -> None:
    scene.bundle("two", with_hook("echo 'no space left on device is what I do not say in earnest'"))
    identity = ship_bad(scene)
    assert scene.read(identity).status == "Succeeded"
    assert scene.why(identity).first is None


def test_a_command_that_is_not_found_is_not_about_line_ends(scene: Scene) -> None:
    scene.bundle("two", with_hook("exec /no/such/command"))
    assert first(scene.why(ship_bad(scene))) == "deployment-hook-failed"


@made("deployment-appspec-malformed", "recorded")
def test_an_event_that_codedeploy_does_not_know() -> None:
    """command_executor.rb of https://github.com/aws/aws-codedeploy-agent."""
    scene = Scene()
    words = 'appspec.yml file contains unknown lifecycle events: ["AfterLunch"]'
    assert first(scene.why(ship_bad(scene, saying("BeforeInstall", message=words)))) == "deployment-appspec-malformed"


@pytest.mark.parametrize(("event", "words", "cause"), [
    ("BeforeInstall", "The deployment failed because of a YAML parsing error: found character that cannot start any token", "deployment-appspec-malformed"),
    ("BeforeInstall", "appspec.yaml file contains unknown lifecycle events: AfterLunch", "deployment-appspec-malformed"),
    ("DownloadBundle", "The disk is (or was) full during extraction.", "deployment-disk-full"),
    ("DownloadBundle", "tar failed (exit 2): tar: This does not look like a tar archive", "deployment-bundle-broken"),
    ("DownloadBundle", "failed to download s3://bucket/two.zip (version 1): NoSuchKey: The specified key does not exist.", "deployment-revision-missing"),
    ("DownloadBundle", "failed to download s3://bucket/two.zip: AccessDenied: Access Denied", "deployment-bundle-denied"),
    ("DownloadBundle", "failed to download s3://bucket/two.zip: dispatch failure: io error: dns error", "deployment-bundle-unreachable"),
])
def test_the_words_of_the_agent_that_is_written_in_rust(event: str, words: str, cause: str) -> None:
    """Its repository, src/: application_specification/error.rs, host_command/appspec_validator.rs, bundle_unpacker.rs, aws_clients/s3_client.rs."""
    scene = Scene()
    assert first(scene.why(ship_bad(scene, saying(event, message=words)))) == cause


VALIDATE = "hooks/validate.sh"
EXIT_1 = f"Script at specified location: {VALIDATE} failed with exit code 1"


@pytest.mark.parametrize(("log", "cause"), [
    ("[stdout]content-type: text/html\r\n[stderr]FAILED: http://127.0.0.1:8080/health did not answer 200 within 30 s", "deployment-app-unhealthy"),
    ("[stderr]FAILED: http://127.0.0.1:8080/version did not answer within 30 s, though http://127.0.0.1:8080/health did.", "deployment-app-unhealthy"),
    ("[stderr]GET /: 404 page not found\r\n[stderr]FAILED: the container of app died", "deployment-app-died"),
    ("[stdout]downloading\rdownloaded\n[stderr]config not found", "deployment-hook-failed"),
    ("[stderr]/bin/sh\r: bad interpreter: No such file or directory", "deployment-line-ends"),
    ("[stderr]hooks/validate.sh: 2: echo\r: not found", "deployment-line-ends"),
    ("[stderr]hooks/validate.sh: line 2: $'\\r': command not found", "deployment-line-ends"),
    ("[stderr]env: ‘bash\\r’: No such file or directory", "deployment-line-ends"),
])
def test_a_carriage_return_in_a_log_is_about_line_ends_only_with_its_words(log: str, cause: str) -> None:
    scene = Scene("abc")
    assert first(scene.why(ship_bad(scene, saying("ValidateService", 4, EXIT_1, log, VALIDATE)))) == cause


def test_a_carriage_return_in_a_log_is_about_line_ends_with_a_hook_that_has_them() -> None:
    scene = Scene("abc")
    scene.bundle("two", {"appspec.yml": one_hook("ValidateService", VALIDATE), VALIDATE: "#!/bin/sh -e\r\necho hello\r\n"})
    verdict = scene.why(ship_bad(scene, saying("ValidateService", 4, EXIT_1, "[stderr]/bin/sh: 0: Illegal option -\r", VALIDATE)))
    assert first(verdict) == "deployment-line-ends"


@made("deployment-hook-not-executable", "made")
def test_a_script_that_cannot_be_made_executable(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, mode: int) -> None:
        raise PermissionError(30, "Read-only file system", str(path))

    scene.bundle("two", with_hook("exit 0"), {"hooks/run.sh": 0o644})
    monkeypatch.setattr(Path, "chmod", refuse)
    verdict = scene.why(ship_bad(scene))
    assert first(verdict) == "deployment-hook-not-executable"
    assert verdict.first and "its mode in the bundle is 0644" in verdict.first.match.evidence


def test_a_missing_bit_alone_is_repaired(scene: Scene) -> None:
    scene.bundle("two", with_hook("exit 0"), {"hooks/run.sh": 0o644})
    assert scene.why(ship_bad(scene)).first is None


@made("deployment-file-exists", "made")
def test_a_file_that_is_there_already(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt" / "app.conf").write_text("made by hand")
    appspec = f"version: 0.0\nos: linux\nfiles:\n  - source: app.conf\n    destination: {tmp_path}/opt\n"
    scene.bundle("two", {"appspec.yml": appspec, "app.conf": "x"})
    verdict = scene.why(ship_bad(scene))
    assert first(verdict) == "deployment-file-exists"
    assert verdict.first and any("OVERWRITE" in step for step in verdict.first.match.fix)


@made("deployment-event-failed", "made")
def test_a_file_that_is_to_be_installed_and_is_not_there(scene: Scene, tmp_path: Path) -> None:
    scene.bundle("two", {"appspec.yml": f"version: 0.0\nos: linux\nfiles:\n  - source: gone.conf\n    destination: {tmp_path}/opt\n"})
    verdict = scene.why(ship_bad(scene))
    assert first(verdict) == "deployment-event-failed"
    assert "No such file or directory" in "\n".join(verdict.first.match.evidence if verdict.first else ())


@made("deployment-previous-stop-failed", "made")
def test_the_previous_revision_cannot_be_stopped(scene: Scene) -> None:
    scene.bundle("one", with_hook('echo cannot stop >&2; exit 3', "ApplicationStop"))
    verdict = scene.why(ship_bad(scene))
    assert first(verdict) == "deployment-previous-stop-failed"
    assert verdict.first
    assert "--ignore-application-stop-failures" in verdict.first.match.fix[0]
    assert "key=two" in verdict.first.match.fix[0]
    assert "s3://bucket/one" in "\n".join(verdict.first.match.evidence)
    assert named(verdict) == {"deployment-previous-stop-failed"}


def test_on_hosts_that_have_no_revision_yet_it_is_not_a_previous_ones_script() -> None:
    scene = Scene()
    for host in scene.hosts:
        host.behave = saying("BeforeBlockTraffic", message="POST codedeploy-commands.us-east-1.amazonaws.com/: 500")
    verdict = scene.why(str(scene.sim.ship("two")["deploymentId"]))
    assert first(verdict) == "deployment-event-failed"
    assert "500" in "\n".join(verdict.first.match.evidence if verdict.first else ())


def test_ignoring_it_is_the_way_out(scene: Scene) -> None:
    scene.bundle("one", with_hook("exit 3", "ApplicationStop"))
    scene.sim.ship("one")
    assert scene.sim.ship("two", ignoreApplicationStopFailures=True)["status"] == "Succeeded"


@pytest.mark.parametrize(("cause", "error"), [
    marked("deployment-revision-missing", ServiceError("NoSuchKey", "The specified key does not exist.", 404)),
    marked("deployment-bundle-denied", AwsError("GET bucket.s3.us-east-1.amazonaws.com/two: 403 <Error><Code>AccessDenied</Code>"
                                                "<Message>Access Denied</Message></Error>", 403)),
    marked("deployment-kms-denied", AwsError("GET bucket.s3.us-east-1.amazonaws.com/two: 403 <Error><Code>AccessDenied</Code><Message>User: "
                                             "arn:aws:sts::111122223333:assumed-role/host/i-1 is not authorized to perform: kms:Decrypt on resource: "
                                             "arn:aws:kms:us-east-1:111122223333:key/k because no identity-based policy allows the kms:Decrypt action"
                                             "</Message></Error>", 403)),
    marked("deployment-bundle-unreachable", AwsError("bucket.s3.us-east-1.amazonaws.com does not answer: timed out")),
    marked("deployment-agent-clock-wrong", AwsError(
        "GET bucket.s3.us-east-1.amazonaws.com/two: 403 <Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the "
        "current time is too large.</Message></Error>", 403)),
])
def test_what_s3_says_to_the_agent(tmp_path: Path, cause: str, error: Exception) -> None:
    class Refusing:
        def download(self, bucket: str, key: str, version: str | None, target: Any) -> str:
            if key == "two":
                raise error
            target.write(archive({"appspec.yml": "version: 0.0\nos: linux\n"}))
            return ""

    scene = Scene()
    for host in scene.hosts:
        host.behave = agent(tmp_path / host.id, scene.aws, Refusing())
    if cause == "deployment-revision-missing":
        del scene.aws.buckets.objects["bucket", "two"]
    verdict = scene.why(ship_bad(scene))
    assert first(verdict) == cause
    assert named(verdict) == {cause}


@made("deployment-agent-clock-wrong", "recorded")
def test_a_clock_that_is_off_in_awss_own_words() -> None:
    """https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-ec2-instances.html (InvalidSignatureException)."""
    words = "InvalidSignatureException - Signature expired: 20180822T133033Z is now earlier than 20180822T133135Z (20180822T133635Z - 5 min.)"
    scene = Scene()
    assert first(scene.why(ship_bad(scene, saying("DownloadBundle", message=words)))) == "deployment-agent-clock-wrong"


# ---- the hooks of appspecs/image as they are, with a docker and an aws of one file


class Host:
    """This project's hooks on hosts whose docker and aws say what a test wants."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, scene: Scene) -> None:
        self.sandbox = Sandbox(folder / "world", registry={REPOSITORY: {DIGEST: DIGEST}},
                               parameters={"/sample/gamma/app/PORT": "18099", "/sample/gamma/app/START_SECONDS": "1"})
        (folder / "etc").mkdir()
        (folder / "etc" / "host.env").write_text("SERVICE=sample\nENVIRONMENT=gamma\nSCOPE=fleet\nREGION=us-east-1\nLOG_GROUP=/sample/hosts\n")
        environment = self.sandbox.environment | {
            "HANDSOFF_ETC": str(folder / "etc"), "HANDSOFF_RUN": str(folder / "run"), "HANDSOFF_STATE": str(folder / "state"),
            "AWS_EC2_METADATA_DISABLED": "true"}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        source = ROOT / "appspecs" / "image"
        files: dict[str, str | bytes] = {str(path.relative_to(source)): path.read_bytes() for path in sorted(source.rglob("*")) if path.is_file()
                                         and "__pycache__" not in str(path)}
        appspec = (source / "appspec.yml").read_text().replace("/opt/handsoff/release", str(folder / "opt"))
        files["appspec.yml"] = appspec.replace("owner: root", f"owner: {_me()}").replace("group: root", f"group: {_mine()}")
        files["release.json"] = json.dumps({"service": "sample", "commit": COMMIT, "digest": DIGEST, "images": {"us-east-1": f"{REPOSITORY}@{DIGEST}"}})
        scene.bundle("two", files)


def _me() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _mine() -> str:
    import grp

    return grp.getgrgid(os.getgid()).gr_name


DENIED = ("User: arn:aws:sts::111122223333:assumed-role/host/i-1 is not authorized to perform: {} on resource: {} because no identity-based policy "
          "allows the {} action")


@pytest.mark.parametrize(("cause", "world"), [
    marked("deployment-image-missing", {"registry": {REPOSITORY: {}}}),
    marked("deployment-image-denied", {"fail": {"docker pull": -1}, "says": {"docker pull": (
        "Error response from daemon: pull access denied for 111122223333.dkr.ecr.us-east-1.amazonaws.com/sample-images, repository does not exist or may "
        "require 'docker login': denied: " + DENIED.format("ecr:BatchGetImage", "arn:aws:ecr:us-east-1:111122223333:repository/sample-images",
                                                           "ecr:BatchGetImage"))}}),
    marked("deployment-image-login-denied", {"fail": {"aws ecr get-login-password": -1}, "says": {"aws ecr get-login-password": (
        "An error occurred (AccessDeniedException) when calling the GetAuthorizationToken operation: "
        + DENIED.format("ecr:GetAuthorizationToken", "*", "ecr:GetAuthorizationToken"))}}),
    marked("deployment-disk-full", {"fail": {"docker pull": -1}, "says": {"docker pull": (
        "failed to register layer: write /usr/lib/libpython3.11.so: no space left on device")}}),
    marked("deployment-image-architecture", {"next": {"status": "restarting", "restarts": 3, "exit": 255,
                                                      "log": ["exec /usr/local/bin/python: exec format error"] * 3}}),
    marked("deployment-app-died", {"next": {"status": "restarting", "restarts": 2, "exit": 1, "log": ["ModuleNotFoundError: No module named 'service'"]}}),
    marked("deployment-app-unhealthy", {}),
    marked("deployment-port-taken", {"fail_after": ["run"]}),
    marked("deployment-parameters-denied", {"fail": {"aws ssm get-parameters-by-path": -1}, "says": {"aws ssm get-parameters-by-path": (
        "An error occurred (AccessDeniedException) when calling the GetParametersByPath operation: "
        + DENIED.format("ssm:GetParametersByPath", "arn:aws:ssm:us-east-1:111122223333:parameter/sample/gamma/app", "ssm:GetParametersByPath"))}}),
    marked("deployment-host-not-ready", {"fail": {"docker version": -1}}),
])
def test_what_this_projects_hooks_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scene: Scene, cause: str, world: dict[str, Any]) -> None:
    host = Host(tmp_path, monkeypatch, scene)
    host.sandbox.put(**world)
    verdict = scene.why(ship_bad(scene))
    assert first(verdict) == cause, verdict.first
    assert named(verdict) == {cause}
    assert verdict.first and any("FAILED: " in line for line in verdict.first.match.evidence)


@made("deployment-app-other-release", "made")
def test_another_release_answers() -> None:
    words = (f"[stdout]FAILED: http://127.0.0.1:8080 answers as commit {'a' * 40}, not {COMMIT}: the image was built without COMMIT, or another process "
             "has the port.")
    scene = Scene()
    assert first(scene.why(ship_bad(scene, saying("ValidateService", 4, "Script at specified location: hooks/validate-service.sh failed with exit code 1",
                                                  words, "hooks/validate-service.sh")))) == "deployment-app-other-release"


# ---- bundles as they are read


def test_a_bundle_is_read_in_every_form_and_says_why_where_it_is_not() -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as made_tar:
        for name, text in {"./appspec.yml": one_hook("ApplicationStart", timeout=9), "./hooks/run.sh": "#!/bin/sh\n"}.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(text), 0o755
            made_tar.addfile(info, io.BytesIO(text.encode()))
    found = bundles.look_into("s3://b/k", data.getvalue(), "tgz")
    assert found.hooks == {"ApplicationStart": (("hooks/run.sh", 9, ""),)}
    assert found.modes["hooks/run.sh"] == 0o755 and found.texts["hooks/run.sh"] == "#!/bin/sh\n"
    assert "no zip" in bundles.look_into("s3://b/k", b"x").note
    assert bundles.look_into("s3://b/k", archive({"appspec.yml": "- a\n"})).appspec_problem == "it is no mapping"


FILES: dict[str, str | bytes] = {"appspec.yml": one_hook("ApplicationStart"), "hooks/run.sh": SCRIPT.format("exit 0"), "release.json": '{"commit": "c"}'}


def tarred(mode: str) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as made_tar:  # type: ignore[call-overload]
        for name, text in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            made_tar.addfile(info, io.BytesIO(str(text).encode()))
    return data.getvalue()


def packed(method: int) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as made_zip:
        for name, text in FILES.items():
            made_zip.writestr(name, text)
    return data.getvalue()


@pytest.mark.parametrize(("data", "kind"), [
    (packed(zipfile.ZIP_STORED), "zip"), (packed(zipfile.ZIP_DEFLATED), "zip"), (packed(zipfile.ZIP_LZMA), "zip"), (tarred("w:gz"), "tgz"),
    (tarred("w:xz"), "tgz")], ids=["zip", "deflated", "lzma", "tgz", "txz"])
def test_an_archive_with_one_wrong_byte_or_an_end_too_early_is_said_to_be_broken(data: bytes, kind: str) -> None:
    assert bundles.look_into("s3://b/k", data, kind).commit == "c"
    found = [bundles.look_into("s3://b/k", data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1:], kind) for at in range(len(data))]
    found += [bundles.look_into("s3://b/k", data[:at], kind) for at in range(0, len(data), 7)]
    assert any(one.note.startswith(f"the archive is no {kind}, or a broken one (") for one in found)


@pytest.mark.parametrize(("offset", "value"), [(8, 1), (10, 99)], ids=["encrypted", "unknown compression"])
def test_a_zip_that_python_cannot_read_says_so(offset: int, value: int) -> None:
    data = bytearray(packed(zipfile.ZIP_STORED))
    data[data.index(b"PK\x01\x02") + offset] = value
    data[(6 if offset == 8 else 8)] = value
    assert "a broken one" in bundles.look_into("s3://b/k", bytes(data)).note


@pytest.mark.parametrize("broken", [botocore.exceptions.ReadTimeoutError(endpoint_url="s3"), botocore.exceptions.IncompleteReadError(
    actual_bytes=1, expected_bytes=2), zlib.error("Error -3"), None], ids=["time-out", "cut off", "zlib", "changed"])
def test_a_bundle_that_breaks_off_drops_nothing_else(broken: Exception | None, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene("abc")
    identity = ship_bad(scene, failing("two", "Install"))
    data = bytearray(packed(zipfile.ZIP_STORED))
    data[data.index(b'"commit"')] ^= 1
    for name in ("one", "two"):
        scene.aws.buckets.put("bucket", name, bytes(data))
    if isinstance(broken, zlib.error):
        monkeypatch.setattr(zipfile.ZipExtFile, "read", raises(broken))
    elif broken:
        monkeypatch.setattr(botocore.response.StreamingBody, "read", raises(broken))
    made = deployments.read(scene.calls, REGION, identity)
    assert made.bundle and made.bundle.note and made.targets
    assert bool(scene.calls.unreadable) is isinstance(broken, botocore.exceptions.BotoCoreError)
    group = running.group(scene.aws, REGION, "fleet", "app", "fleet", running.Bundles())
    assert group.attempted and group.attempted.note and group.instances


def raises(error: Exception) -> Callable[..., bytes]:
    def read(*_: Any, **__: Any) -> bytes:
        raise error
    return read
