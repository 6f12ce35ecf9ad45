"""The hooks of the image bundle, run as the agent runs them (sh, cwd /), with a docker and an aws of one file, and the real curl."""

import ast
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "fake_commands"))
from sandbox import Result, Sandbox

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "appspecs" / "image"
REPOSITORY = "111122223333.dkr.ecr.us-east-1.amazonaws.com/sample-images"
GOOD, BAD = "a" * 40, "b" * 40


def digest(commit: str) -> str:
    """A digest for a commit of one repeated letter."""
    return "sha256:" + commit[0] * 64


def image(commit: str) -> str:
    """The image of a commit, by digest."""
    return f"{REPOSITORY}@{digest(commit)}"


class Host:
    """A host: its files, its docker, and bundles as the agent unpacks them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sandbox = Sandbox(
            folder / "world",
            registry={REPOSITORY: {digest(commit): digest(commit) for commit in (GOOD, BAD, "c" * 40, "d" * 40, "e" * 40)}},
            parameters={"/sample/gamma/app/PORT": "8080"},
        )
        self.etc, self.run_dir, self.state_dir = folder / "etc", folder / "run", folder / "state"
        self.etc.mkdir()
        self.host_file = self.etc / "host.env"
        self.host_file.write_text("SERVICE=sample\nENVIRONMENT=gamma\nSCOPE=onebox\nREGION=us-east-1\nLOG_GROUP=/sample/hosts\n")
        self.variables = {
            "HANDSOFF_ETC": str(self.etc),
            "HANDSOFF_RUN": str(self.run_dir),
            "HANDSOFF_STATE": str(self.state_dir),
            "AWS_EC2_METADATA_DISABLED": "true",  # no test asks a metadata service that it did not start
        }

    def bundle(self, commit: str, /, **changes: Any) -> Path:
        """The unpacked bundle of a commit; `changes` go into its release.json."""
        target = self.folder / "deployments" / commit / "deployment-archive"
        if not target.exists():
            shutil.copytree(SOURCE, target)
        images = {"us-east-1": image(commit)}
        release = {"service": "sample", "commit": commit, "digest": digest(commit), "images": images, "built": "2026-01-01T00:00:00Z"}
        (target / "release.json").write_text(json.dumps({**release, **changes}))
        return target

    def hook(self, name: str, commit: str = GOOD, **environment: str) -> Result:
        """Run a hook of a commit's bundle."""
        target = self.folder / "deployments" / commit / "deployment-archive"
        if not target.exists():
            self.bundle(commit)
        return self.sandbox.run(["sh", str(target / "hooks" / f"{name}.sh")], Path("/"), **{**self.variables, **environment})

    def install(self, commit: str = GOOD) -> None:
        """All hooks up to the start."""
        for name in ("before-install", "after-install", "application-start"):
            result = self.hook(name, commit)
            assert result.code == 0, result.said

    @property
    def container(self) -> dict[str, Any]:
        """The service's container."""
        return dict(self.sandbox.state["containers"]["sample"])

    @property
    def env_file(self) -> Path:
        """The container's environment file."""
        return self.run_dir / "sample.env"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A fresh host."""
    return Host(tmp_path)


class App:
    """An HTTP server in the container's stead: `answers` maps a path to a list of (status, body), the last of which stays; status 0 hangs up."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, str]]] = {"/health": [(200, "{}")], "/version": [(200, json.dumps({"commit": GOOD}))]}
        app = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                queue = app.answers.get(self.path, [(404, "")])
                status, body = queue.pop(0) if len(queue) > 1 else queue[0]
                if not status:
                    return
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            do_PUT = do_GET

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def app() -> Iterator[App]:
    """The running app."""
    app = App()
    yield app
    app.server.shutdown()
    app.server.server_close()


@pytest.fixture
def installed(host: Host, app: App) -> Host:
    """A host as `Host.install` leaves it with the good release, its port being the app's."""
    settings = {"PORT": str(app.port), "START_SECONDS": "20"}
    host.run_dir.mkdir()
    host.env_file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    host.state_dir.mkdir()
    (host.state_dir / "sample.images").write_text(image(GOOD) + "\n")
    host.sandbox.put(
        parameters={f"/sample/gamma/app/{name}": value for name, value in settings.items()},
        images=[image(GOOD)],
        containers={"sample": {"status": "running", "exit": 0, "restarts": 0, "log": [], "image": image(GOOD), "environment": settings}},
    )
    return host


def impatient(host: Host) -> None:
    """Let ValidateService wait for a second only."""
    host.env_file.write_text(host.env_file.read_text().replace("START_SECONDS=20", "START_SECONDS=1"))


# ---- ApplicationStop


def test_stop_drains_the_container(host: Host) -> None:
    host.install()
    result = host.hook("application-stop")
    assert result.code == 0
    assert "Stopped the container sample (it was running; exit code 0)" in result.said
    assert host.container["status"] == "exited"
    assert any(re.fullmatch(r"docker stop -t 25 sample", call) for call in host.sandbox.calls)


def test_stop_says_when_the_container_had_to_be_killed(host: Host) -> None:
    host.install()
    host.sandbox.put(stop_exit=137)
    result = host.hook("application-stop")
    assert result.code == 0
    assert "was killed" in result.said


def test_stop_never_fails(host: Host) -> None:
    assert "no container sample to stop" in host.hook("application-stop").said
    host.install()
    host.sandbox.put(fail={"docker stop": -1})
    result = host.hook("application-stop")
    assert (result.code, host.container["status"]) == (0, "running")
    assert "ApplicationStart will replace it" in result.said
    host.host_file.unlink()
    result = host.hook("application-stop")
    assert result.code == 0
    assert "user data did not finish" in result.said


# ---- BeforeInstall


def test_the_image_is_pulled_by_digest_and_no_credential_stays(host: Host) -> None:
    result = host.hook("before-install")
    assert (result.code, host.sandbox.state["images"]) == (0, [image(GOOD)])
    assert result.said == f"Pulled the image of {GOOD}: {digest(GOOD)}.\n"
    assert list(host.sandbox.home.iterdir()) == []
    assert list(host.sandbox.temporary.iterdir()) == []
    assert not any("token" in call for call in host.sandbox.calls), "a password on a command line"


def test_an_image_that_is_here_needs_no_registry(host: Host) -> None:
    host.sandbox.put(images=[image(GOOD)], fail={"aws ecr get-login-password": -1, "docker pull": -1})
    result = host.hook("before-install")
    assert result.code == 0
    assert "on this host already" in result.said


def test_a_passing_fault_is_tried_again(host: Host) -> None:
    host.sandbox.put(fail={"aws ecr get-login-password": 1, "docker pull": 2})
    result = host.hook("before-install")
    assert result.code == 0
    assert "Try 2 of 3 failed (exit 1); trying again in 4 s." in result.said
    assert [call for call in host.sandbox.calls if call.startswith("sleep")] == ["sleep 2", "sleep 2", "sleep 4"]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("docker pull", "cannot pull " + image(GOOD)),
        ("docker login", "cannot log in to 111122223333"),
        ("aws ecr get-login-password", "ecr:GetAuthorizationToken"),
    ],
)
def test_a_lasting_fault_ends_in_words_and_without_credentials(host: Host, what: str, words: str) -> None:
    host.sandbox.put(fail={what: -1})
    result = host.hook("before-install")
    assert result.code == 1
    assert f"{what}: refused by the test" in result.said
    assert "FAILED: " in result.said
    assert words in result.said.splitlines()[-1]
    assert len([call for call in host.sandbox.calls if call.startswith(what)]) == 3
    assert list(host.sandbox.home.iterdir()) == []
    assert list(host.sandbox.temporary.iterdir()) == []


def test_an_image_that_does_not_exist_is_named(host: Host) -> None:
    host.sandbox.put(registry={})
    result = host.hook("before-install")
    assert result.code == 1
    assert "manifest unknown" in result.said
    assert image(GOOD) in result.said.splitlines()[-1]


def test_a_docker_that_does_not_answer(host: Host) -> None:
    host.sandbox.put(fail={"docker version": -1})
    result = host.hook("before-install")
    assert (result.code, "Docker does not answer on this host" in result.said) == (1, True)


def test_a_hook_that_the_agent_ends_leaves_no_credentials(host: Host) -> None:
    host.bundle(GOOD)
    slow = host.folder / "slow"
    slow.mkdir()
    real = shutil.which("docker", path=host.sandbox.environment["PATH"])
    (slow / "docker").write_text(f'#!/bin/sh\n[ "$1" = pull ] || exec {real} "$@"\ntouch {slow}/pulling\nexec /bin/sleep 30\n')
    (slow / "docker").chmod(0o755)
    hook = host.folder / "deployments" / GOOD / "deployment-archive" / "hooks" / "before-install.sh"
    process = host.sandbox.start(["sh", str(hook)], Path("/"), **host.variables, PATH=f"{slow}:{host.sandbox.environment['PATH']}")
    deadline = time.monotonic() + 10
    while not (slow / "pulling").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (slow / "pulling").exists()
    assert list(host.sandbox.temporary.glob("*/config.json"))
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 143
    assert list(host.sandbox.temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": {"eu-west-1": image(GOOD)}}, "no image for us-east-1, only for eu-west-1"),
        ({"images": {}}, "only for no Region"),
        ({"digest": digest(BAD)}, "is not named by the digest"),
        ({"images": {"us-east-1": REPOSITORY + ":latest"}}, "is not named by the digest"),
        ({"commit": "main; reboot"}, "is not a commit"),
        ({"images": None}, "is not a release"),
    ],
)
def test_a_malformed_release_is_refused_in_words(host: Host, changes: dict[str, Any], words: str) -> None:
    host.bundle(GOOD, **changes)
    result = host.hook("before-install")
    assert result.code == 1
    assert result.said.startswith("FAILED: ")
    assert words in result.said
    assert "Traceback" not in result.said


def test_a_missing_release_is_refused_in_words(host: Host) -> None:
    (host.bundle(GOOD) / "release.json").unlink()
    result = host.hook("before-install")
    assert result.code == 1
    assert "No such file or directory; the bundle is not what the build makes" in result.said


@pytest.mark.parametrize("name", ["before-install", "after-install", "application-start", "validate-service"])
def test_a_host_whose_user_data_did_not_finish_is_said(host: Host, name: str) -> None:
    host.host_file.write_text("SERVICE=sample\nENVIRONMENT=gamma\nSCOPE=fleet\n")
    result = host.hook(name)
    assert (result.code, "has no REGION" in result.said) == (1, True)
    host.host_file.unlink()
    result = host.hook(name)
    assert (result.code, "is not there: this host's user data did not finish" in result.said) == (1, True)


# ---- AfterInstall


def test_the_scope_lies_over_the_app(host: Host) -> None:
    host.sandbox.put(
        parameters={
            "/sample/gamma/app/PORT": "8080",
            "/sample/gamma/app/MODE": "calm",
            "/sample/gamma/onebox/MODE": 'new = "en\'gine" $HOME',
            "/sample/gamma/fleet/MODE": "another scope's",
            "/sample/gamma/app/deeper/X": "another layer's",
            "/sample/prod/app/X": "another environment's",
        }
    )
    result = host.hook("after-install")
    assert result.code == 0, result.said
    assert host.env_file.read_text().splitlines() == [
        "AWS_REGION=us-east-1", "ENVIRONMENT=gamma", "MODE=new = \"en'gine\" $HOME", "PORT=8080", "SCOPE=onebox", "SERVICE=sample",
    ]  # fmt: skip
    assert "6 settings" in result.said
    assert "calm" not in result.said
    assert "en'gine" not in result.said


def test_only_root_reads_the_settings(host: Host) -> None:
    host.run_dir.mkdir()
    (host.run_dir / "sample.env.new").write_text("left by a run that was killed")
    (host.run_dir / "sample.env.new").chmod(0o644)
    assert host.hook("after-install").code == 0
    assert stat.S_IMODE(host.env_file.stat().st_mode) == 0o600
    assert [file.name for file in host.run_dir.iterdir()] == ["sample.env"], "answers with secrets were left behind"


@pytest.mark.parametrize(
    ("name", "value", "words"), [("A", "two\nlines", "has a line break"), ("A-B", "x", "cannot be an environment variable"), ("1A", "x", "rename it")]
)
def test_a_parameter_that_cannot_be_passed_is_named(host: Host, name: str, value: str, words: str) -> None:
    host.sandbox.put(parameters={f"/sample/gamma/app/{name}": value})
    result = host.hook("after-install")
    assert (result.code, host.env_file.exists()) == (1, False)
    assert f"/sample/gamma/app/{name}" in result.said
    assert words in result.said
    assert "Traceback" not in result.said
    assert value not in result.said.replace(f"/{name}", "") or value == "x"


def test_parameters_that_cannot_be_read_stop_the_deployment(host: Host) -> None:
    host.sandbox.put(fail={"aws ssm get-parameters-by-path": -1})
    result = host.hook("after-install")
    assert (result.code, host.env_file.exists()) == (1, False)
    assert "FAILED: cannot read the parameters under /sample/gamma/app." in result.said
    assert "ssm:GetParametersByPath" in result.said
    assert list(host.run_dir.iterdir()) == []


# ---- ApplicationStart


def test_the_container_gets_its_settings_and_its_log(host: Host) -> None:
    host.sandbox.put(parameters={"/sample/gamma/app/PORT": "9000", "/sample/gamma/onebox/NEW_ENGINE": "on"})
    host.install()
    container = host.container
    assert container["image"] == image(GOOD)
    assert (container["environment"]["NEW_ENGINE"], container["environment"]["SCOPE"]) == ("on", "onebox")
    arguments = " ".join(container["arguments"])
    assert "-p 9000:9000" in arguments
    assert "--restart unless-stopped" in arguments
    assert "--pull never" in arguments
    assert "--log-driver awslogs --log-opt awslogs-region=us-east-1 --log-opt awslogs-group=/sample/hosts" in arguments
    assert f"--log-opt awslogs-stream=onebox/{os.uname().nodename}/{GOOD} --log-opt mode=non-blocking" in arguments


def test_the_log_stream_names_the_instance(host: Host, app: App) -> None:
    app.answers.update({"/latest/api/token": [(200, "secret")], "/latest/meta-data/instance-id": [(200, "i-0123")]})
    host.install()
    result = host.hook("application-start", AWS_EC2_METADATA_DISABLED="false", AWS_EC2_METADATA_SERVICE_ENDPOINT=f"http://127.0.0.1:{app.port}/")
    assert f"stream onebox/i-0123/{GOOD}" in result.said


def test_another_log_driver(host: Host) -> None:
    with host.host_file.open("a") as file:
        file.write("LOG_DRIVER=json-file\nLOG_GROUP=\n")
    host.install()
    assert "--log-driver json-file --log-opt max-size=10m" in " ".join(host.container["arguments"])


def test_a_log_without_a_group_is_refused(host: Host) -> None:
    with host.host_file.open("a") as file:
        file.write("LOG_GROUP=\n")
    host.hook("before-install")
    host.hook("after-install")
    result = host.hook("application-start")
    assert (result.code, "has no LOG_GROUP" in result.said) == (1, True)


def test_starting_twice_is_starting_once(host: Host) -> None:
    host.install()
    first = host.sandbox.state["containers"]
    assert host.hook("application-start").code == 0
    assert host.sandbox.state["containers"] == first


def test_a_container_that_still_runs_is_drained_and_replaced(host: Host) -> None:
    host.install(BAD)
    host.install(GOOD)
    assert host.container["image"] == image(GOOD)
    calls = host.sandbox.calls
    assert calls.index("docker stop -t 30 sample") < calls.index("docker rm -f sample")


def test_a_container_that_docker_cannot_start_leaves_nothing(host: Host) -> None:
    host.hook("before-install")
    host.hook("after-install")
    host.sandbox.put(fail_after=["run"])
    result = host.hook("application-start")
    assert (result.code, host.sandbox.state["containers"]) == (1, {})
    assert "port is already allocated" in result.said
    assert "something else on this host has 8080" in result.said.splitlines()[-1]


def test_start_without_settings_says_who_makes_them(host: Host) -> None:
    result = host.hook("application-start")
    assert (result.code, "AfterInstall makes it" in result.said) == (1, True)


# ---- ValidateService


def test_the_release_that_answers_is_valid(installed: Host, app: App) -> None:
    result = installed.hook("validate-service")
    assert (result.code, result.said) == (0, f"{GOOD} answers on http://127.0.0.1:{app.port} and is healthy.\n")
    assert list(installed.sandbox.temporary.iterdir()) == []


def test_it_waits_for_health(installed: Host, app: App) -> None:
    app.answers["/health"] = [(503, ""), (503, ""), (200, "")]
    assert installed.hook("validate-service").code == 0
    assert installed.sandbox.calls.count("sleep 1") == 2


def test_a_version_that_does_not_come_at_once_is_waited_for(installed: Host, app: App) -> None:
    app.answers["/version"] = [(0, ""), (0, ""), (200, json.dumps({"commit": GOOD}))]
    result = installed.hook("validate-service")
    assert result.code == 0, result.said
    assert installed.sandbox.calls.count("sleep 1") == 2


def test_one_that_never_says_its_version_is_given_up(installed: Host, app: App) -> None:
    impatient(installed)
    app.answers["/version"] = [(0, "")]
    result = installed.hook("validate-service")
    assert result.code == 1
    assert "/version did not answer within 1 s, though http" in result.said.splitlines()[-1]


def test_the_health_path_is_a_setting(host: Host, app: App) -> None:
    app.answers["/up"] = app.answers.pop("/health")
    host.sandbox.put(parameters={"/sample/gamma/app/PORT": str(app.port), "/sample/gamma/app/HEALTH_PATH": "/up"})
    host.install()
    assert host.hook("validate-service").code == 0


def test_one_that_is_never_healthy_is_given_up(installed: Host, app: App) -> None:
    impatient(installed)
    app.answers["/health"] = [(503, "")]
    result = installed.hook("validate-service")
    assert result.code == 1
    assert "/health did not answer 200 within 1 s (last: 503" in result.said.splitlines()[-1]
    assert "Container: status running, exit code 0, restarts 0, out of memory false." in result.said


def test_one_that_listens_to_nobody_is_given_up(installed: Host, app: App) -> None:
    impatient(installed)
    app.server.shutdown()
    app.server.server_close()
    result = installed.hook("validate-service")
    assert (result.code, "(last: 000; 000 is no answer)" in result.said) == (1, True)


@pytest.mark.parametrize("health", [200, 503])
@pytest.mark.parametrize(
    "state", [{"status": "restarting", "restarts": 2}, {"status": "running", "restarts": 1}, {"status": "exited", "restarts": 0}]
)
def test_one_that_died_is_given_up_at_once(installed: Host, app: App, state: dict[str, Any], health: int) -> None:
    app.answers["/health"] = [(health, "")]
    log = [f"line {number} " + "x" * 500 for number in range(30)] + ["ValueError: no database"]
    installed.sandbox.put(containers={"sample": {**installed.container, **state, "exit": 3, "log": log}})
    result = installed.hook("validate-service")
    assert result.code == 1
    assert result.said.splitlines()[-1].startswith(f"FAILED: the container of {GOOD} died")
    assert "ValueError: no database" in result.said
    assert "exit code 3" in result.said
    assert not any(call.startswith("sleep") for call in installed.sandbox.calls)
    assert len(result.said) < 2048, "CodeDeploy shows no more"


def test_a_container_that_is_not_there(installed: Host) -> None:
    installed.sandbox.put(containers={})
    result = installed.hook("validate-service")
    assert (result.code, "there is no container sample; ApplicationStart makes it" in result.said) == (1, True)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, json.dumps({"commit": BAD})), f"answers as commit {BAD}, not {GOOD}"),
        ((200, "<html>hello"), "did not answer JSON with a commit: <html>hello"),
        ((200, "{}"), "did not answer JSON with a commit"),
        ((404, ""), "/version answered 404, not 200"),
    ],
)
def test_another_release_is_not_this_one(installed: Host, app: App, answer: tuple[int, str], words: str) -> None:
    app.answers["/version"] = [answer]
    result = installed.hook("validate-service")
    assert result.code == 1
    assert words in result.said
    assert "Traceback" not in result.said


@pytest.mark.parametrize("value", ["soon", "-1", "1e3", "99999"])
def test_a_wait_that_is_no_number_is_refused(host: Host, app: App, value: str) -> None:
    host.sandbox.put(parameters={"/sample/gamma/app/PORT": str(app.port), "/sample/gamma/app/START_SECONDS": value})
    host.install()
    result = host.hook("validate-service")
    assert (result.code, f"START_SECONDS is '{value}'" in result.said) == (1, True)


def test_old_images_go_and_those_for_a_way_back_stay(installed: Host, app: App) -> None:
    commits = [letter * 40 for letter in "abcde"]
    for commit in commits:
        app.answers["/version"] = [(200, json.dumps({"commit": commit}))]
        installed.install(commit)
        result = installed.hook("validate-service", commit)
        assert result.code == 0, result.said
    assert installed.sandbox.state["images"] == [image(commit) for commit in commits[-3:]]
    # Going back and forth between two does not age the others away.
    for commit in commits[-2:] * 2:
        installed.hook("application-start", commit)
    assert (installed.state_dir / "sample.images").read_text().splitlines() == [image(commit) for commit in commits[-3:]]


def test_images_of_others_stay_and_a_failing_clean_up_does_not_fail(installed: Host) -> None:
    images = ["elsewhere/other@sha256:" + "f" * 64, REPOSITORY + "@sha256:" + "f" * 64, image(GOOD)]
    installed.sandbox.put(images=images, fail={"docker image rm": -1})
    assert installed.hook("validate-service").code == 0
    installed.sandbox.put(images=images, fail={})
    assert installed.hook("validate-service").code == 0
    assert installed.sandbox.state["images"] == [images[0], image(GOOD)]


# ---- together


def test_all_that_a_hook_says_is_one_stream(host: Host) -> None:
    """The agent reads two streams side by side; only within one does an error stay below what it is about."""
    host.bundle(GOOD)
    host.sandbox.put(fail={"docker pull": -1})
    hook = host.folder / "deployments" / GOOD / "deployment-archive" / "hooks" / "before-install.sh"
    process = subprocess.run(["sh", str(hook)], env={**host.sandbox.environment, **host.variables}, capture_output=True, text=True, timeout=30)
    assert process.stderr == ""
    assert process.stdout.index("refused by the test") < process.stdout.index("FAILED: ")


def test_a_release_that_dies_is_taken_back_without_the_registry(installed: Host, app: App) -> None:
    assert installed.hook("application-stop", GOOD).code == 0
    installed.sandbox.put(next={"status": "restarting", "restarts": 1, "exit": 1, "log": ["boom"]})
    installed.install(BAD)
    assert installed.hook("validate-service", BAD).code == 1
    # CodeDeploy's own way back: stop from the failed bundle, then the old bundle again.
    assert installed.hook("application-stop", BAD).code == 0
    installed.sandbox.put(next={}, fail={"aws ecr get-login-password": -1, "docker pull": -1})
    installed.install(GOOD)
    assert installed.hook("validate-service", GOOD).code == 0
    assert installed.container["image"] == image(GOOD)


@pytest.mark.parametrize("script", sorted(SOURCE.glob("hooks/*.sh")), ids=lambda path: path.name)
def test_scripts_are_posix_and_strict(script: Path) -> None:
    assert subprocess.run(["sh", "-n", str(script)], capture_output=True).returncode == 0
    if script.name != "lib.sh":
        text = script.read_text()
        assert text.startswith("#!/bin/sh\n")
        assert "\nset -eu\n" in text
        assert os.access(script, os.X_OK)
        assert not re.search(r"\[\[|set -x|^\s*(function|local)\b(?! \|)", re.sub(r"#.*", "", text), re.MULTILINE), "not POSIX, or shows secrets"


@pytest.mark.parametrize("script", sorted([*SOURCE.glob("hooks/*.py"), *(ROOT / "app" / "service").glob("*.py")]), ids=lambda path: path.name)
def test_python_is_that_of_amazon_linux(script: Path) -> None:
    """Amazon Linux 2023's python3 is 3.9."""
    tree = ast.parse(script.read_text(), feature_version=(3, 9))
    unions = any(isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) for node in ast.walk(tree))
    assert not unions or "from __future__ import annotations" in script.read_text()
