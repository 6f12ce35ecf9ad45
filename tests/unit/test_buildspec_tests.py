"""buildspecs/tests.yaml, run as CodeBuild does against the app itself; and the load, against services that answer wrong."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BUILDSPEC: dict[str, Any] = yaml.safe_load((ROOT / "buildspecs" / "tests.yaml").read_text())
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40


def _load_module() -> Any:
    spec = importlib.util.spec_from_file_location("load", ROOT / "buildspecs" / "load.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["load"] = module
    spec.loader.exec_module(module)
    return module


load = _load_module()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Start the app as a release; gives its URL."""
    started = []

    def start(commit: str = COMMIT, **behaviour: Any) -> str:
        folder = tmp_path / f"app{len(started)}"
        shutil.copytree(ROOT / "app", folder, ignore=shutil.ignore_patterns("__pycache__"))
        switches = json.loads((folder / "behaviour.json").read_text())
        (folder / "behaviour.json").write_text(json.dumps(switches | behaviour))
        (folder / "release-info.json").write_text(json.dumps({"service": "sample", "commit": commit}))
        port = _free_port()
        environment = {"PATH": os.environ["PATH"], "PORT": str(port)}
        started.append(subprocess.Popen([sys.executable, "-m", "service"], cwd=folder, env=environment, stdout=subprocess.DEVNULL))
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return f"http://127.0.0.1:{port}"
            time.sleep(0.05)
        raise AssertionError("the app did not start")

    yield start
    for process in started:
        process.terminate()
        process.wait(30)


def build(endpoints: str, phases: tuple[str, ...] = ("pre_build", "build"), source: Path = ROOT, **variables: str) -> tuple[int, str]:
    """Run the phases' commands in one shell until one fails; the exit status and all that was said."""
    given = {"SERVICE": "sample", "ENDPOINTS": endpoints, "LOAD_SECONDS": "1", "LOAD_RATE": "20", "CODEBUILD_RESOLVED_SOURCE_VERSION": COMMIT}
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1", **BUILDSPEC["env"]["variables"], **given}
    script = "\n".join(["set -e", *[command for phase in phases for command in BUILDSPEC["phases"][phase]["commands"]]])
    done = subprocess.run(
        ["sh", "-c", script], cwd=source, env=environment | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60
    )
    return done.returncode, done.stdout


def test_a_good_release_passes_in_every_region(app: Callable[..., str]) -> None:
    code, said = build(f"us-east-1={app()} us-west-2={app()}/")
    assert code == 0, said
    assert re.findall(r"load: (\S+): (\d+) requests, 0 wrong", said) == [("us-east-1", "20"), ("us-west-2", "20")]
    assert said.count("Tests against ") == 2


def test_no_load_is_made_where_none_is_asked_for(app: Callable[..., str]) -> None:
    code, said = build(f"us-east-1={app()}", LOAD_SECONDS="0")
    assert (code, "No load is asked for" in said) == (0, True), said


def test_without_integration_tests_the_load_still_judges(app: Callable[..., str], tmp_path: Path) -> None:
    shutil.copytree(ROOT / "buildspecs", tmp_path / "source" / "buildspecs")
    code, said = build(f"us-east-1={app()}", source=tmp_path / "source")
    assert (code, "There is no app/integration_tests" in said, "20 requests, 0 wrong" in said) == (0, True, True), said
    code, said = build(f"us-east-1={app(OTHER)}", source=tmp_path / "source")
    assert (code, "answers of us-east-1 were wrong" in said) == (1, True), said


def test_another_release_in_one_region_fails_and_the_others_are_tested_all_the_same(app: Callable[..., str]) -> None:
    code, said = build(f"us-east-1={app(OTHER)} us-west-2={app()}")
    assert (code, "FAILED: tests against us-east-1;" in said) == (1, True), said
    assert "Tests against us-west-2" in said
    assert "load:" not in said


def test_a_release_with_faults_fails_under_load(app: Callable[..., str]) -> None:
    """One fault in twenty: the tests, which ask a few times, do not see it."""
    code, said = build(f"us-east-1={app(fault_percent=5)} us-west-2={app()}", LOAD_SECONDS="2", LOAD_RATE="30")
    assert (code, "answers of us-east-1 were wrong" in said) == (1, True), said
    assert "times status 500" in said


@pytest.mark.parametrize("name", ["SERVICE", "ENDPOINTS", "LOAD_SECONDS"])
def test_a_missing_variable_is_named(name: str) -> None:
    code, said = build("us-east-1=http://127.0.0.1:9", **{name: ""})
    assert (code, f"FAILED: {name} is not set" in said) == (1, True), said


@pytest.mark.parametrize("endpoints", ["us-east-1", "us-east-1=ftp://x", "us-east-1=http://x =http://y"])
def test_an_endpoint_that_is_none_is_named(endpoints: str) -> None:
    code, said = build(endpoints)
    assert (code, "in ENDPOINTS is not <Region>=<URL>" in said) == (1, True), said


def test_a_source_that_is_no_commit_is_refused() -> None:
    code, said = build("us-east-1=http://127.0.0.1:9", CODEBUILD_RESOLVED_SOURCE_VERSION="main")
    assert (code, "'main' is not a commit" in said) == (1, True), said


class Service(ThreadingHTTPServer):
    """Answers as `answer` says: (status, body) of a path."""

    daemon_threads = True

    def __init__(self, answer: Callable[[str], tuple[int, bytes]]) -> None:
        self.answer = answer
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        status, body = self.server.answer(self.path)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def right(path: str) -> tuple[int, bytes]:
    return 200, json.dumps({"commit": COMMIT}).encode() if path == "/version" else b"a page"


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (right, {}),
        (lambda path: (503, b""), {"status 503": 20}),
        (lambda path: (200, json.dumps({"commit": OTHER}).encode()), {f"commit {OTHER}": 2}),
        (lambda path: (200, b"a page"), {"a /version that names no commit": 2}),
        (lambda path: right(path) if path != "/b" else (404, b""), {"status 404": 9}),
    ],
)
def test_what_is_wrong_is_counted(answer: Callable[[str], tuple[int, bytes]], wrong: dict[str, int]) -> None:
    service, tally = Service(answer), load.Tally(1)
    load.load(service.url, ["/a", "/b"], COMMIT, 1, 20, tally, threading.Event())
    service.shutdown()
    service.server_close()
    assert (tally.answered, dict(tally.wrong), tally.is_wrong()) == (20, wrong, bool(wrong))


def test_nobody_there_is_wrong() -> None:
    tally = load.Tally(1)
    load.load(f"http://127.0.0.1:{_free_port()}", ["/"], COMMIT, 0.2, 20, tally, threading.Event())
    assert (tally.answered, tally.is_wrong(), sum(tally.wrong.values())) == (4, True, 4)


def test_a_slow_service_gets_no_rest() -> None:
    """Requests go out at their times: the load's length is that of its last request, not the sum of all."""

    def slow(path: str) -> tuple[int, bytes]:
        time.sleep(0.5)
        return right(path)

    service, tally, began = Service(slow), load.Tally(1), time.monotonic()
    load.load(service.url, ["/"], COMMIT, 1, 20, tally, threading.Event())
    service.shutdown()
    service.server_close()
    assert (tally.answered, tally.is_wrong()) == (20, False)
    assert time.monotonic() - began < 4


def test_requests_that_cannot_be_sent_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "MOST_WAITING", 2)

    def slow(path: str) -> tuple[int, bytes]:
        time.sleep(1)
        return right(path)

    service, tally = Service(slow), load.Tally(1)
    load.load(service.url, ["/"], COMMIT, 0.5, 20, tally, threading.Event())
    service.shutdown()
    service.server_close()
    assert (tally.answered, dict(tally.wrong)) == (10, {"not sent, as 2 were without an answer": 8})


def test_as_many_faults_as_are_allowed_are_not_wrong() -> None:
    tally = load.Tally(1)
    for number in range(1000):
        tally.note("status 500" if 200 <= number < 210 else None, float(number))
    assert not tally.is_wrong()
    tally.note("status 500", 1000.0)
    assert tally.is_wrong()


def test_a_wrong_load_goes_on_until_alarms_have_seen_it() -> None:
    tally = load.Tally(1)
    tally.note("status 500", 50.0)
    assert not tally.is_hopeless(50.0 + load.PATIENCE_SECONDS - 1)
    assert tally.is_hopeless(50.0 + load.PATIENCE_SECONDS)


def test_a_load_that_recovers_is_not_given_up() -> None:
    tally = load.Tally(1)
    tally.note("status 500", 0.0)
    for number in range(100):
        tally.note(None, float(number))
    assert not tally.is_hopeless(1000.0)
