"""An answer that AWS could not have given is told after the local AWS that served it has ended, however it ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import recording
from botocore.exceptions import ClientError

from localaws import answers
from scripts.core.session import open_session

ROOT = Path(__file__).resolve().parents[2]


class Wrong:
    """A local AWS of its own, of a copy of the code that answers one operation with an error that AWS does not have."""

    def __init__(self, folder: Path) -> None:
        shutil.copytree(ROOT / "localaws", folder / "localaws", ignore=shutil.ignore_patterns("__pycache__"))
        api = folder / "localaws" / "service_quotas" / "api.py"
        text = api.read_text()
        assert text.count('"NoSuchResourceException", f"The quota') == 2
        api.write_text(text.replace('"NoSuchResourceException", f"The quota', '"NoSuchQuota", f"The quota'))
        self.folder, self.state, self.record = folder, folder / "state", folder / "record"
        self.record.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])

    @property
    def name(self) -> str:
        """Of its network and label."""
        return f"handsoff-wrong-{self.port}"

    def control(self, command: str, recorded: bool = True) -> str:
        """Run `python -m localaws …` and return what it prints, with a record of its own: the run's has nothing of what is wrong on purpose."""
        environ = {name: value for name, value in os.environ.items() if name != answers.RECORD} | ({answers.RECORD: str(self.record)} if recorded else {})
        done = subprocess.run([sys.executable, "-m", "localaws", command, "--state", str(self.state), "--port", str(self.port), "--name", self.name],
                              cwd=self.folder, env=environ, capture_output=True, text=True, check=False, timeout=200)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def serve(self) -> None:
        """Have it serve the wrong answer, and a right one."""
        exports = (line.removeprefix("export ").split("=", 1) for line in self.control("env").splitlines() if line.startswith("export "))
        client = open_session(True, dict(exports)).client("service-quotas", "us-east-1")
        assert client.get_aws_default_service_quota(ServiceCode="vpc", QuotaCode="L-F678F1CE")["Quota"]["Value"] == 5.0
        with pytest.raises(ClientError, match="NoSuchQuota"):
            client.get_aws_default_service_quota(ServiceCode="vpc", QuotaCode="L-00000000")

    def kill(self) -> None:
        """`kill -9` its process, once what it served has been looked at."""
        urllib.request.urlopen(f"http://127.0.0.1:{self.port}/_localaws/answers", timeout=60).close()
        pid = int((self.state / "pid").read_text())
        os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + 10
        while Path(f"/proc/{pid}").exists() and "State:\tZ" not in Path(f"/proc/{pid}/status").read_text():
            assert time.monotonic() < end, f"process {pid} does not end"
            time.sleep(0.1)


@pytest.fixture
def wrong(tmp_path: Path) -> Iterator[Wrong]:
    """It, not yet started; removed afterwards."""
    one = Wrong(tmp_path)
    try:
        yield one
    finally:
        one.control("reset")


_SAID = "servicequotas:GetAWSDefaultServiceQuota (HTTP 400): error NoSuchQuota (HTTP 400) is not one that GetAWSDefaultServiceQuota answers"


@pytest.mark.every
@pytest.mark.parametrize("end", ["stop", "reset", "kill"])
def test_a_wrong_answer_outlives_who_served_it(wrong: Wrong, end: str) -> None:
    wrong.control("start")
    wrong.serve()
    wrong.kill() if end == "kill" else wrong.control(end)
    seen = recording.Seen(wrong.record, afresh=False)
    assert seen.problems() == _SAID
    assert seen.problems() == "", "it is told once"
    if end == "kill":
        return  # nobody writes down what was called then
    called, = [json.loads(line) for line in (wrong.record / "served.jsonl").read_text().splitlines()]
    assert called["name"] == wrong.name
    assert called["calls"]["servicequotas:GetAWSDefaultServiceQuota"] == {"ok": 1, "NoSuchQuota": 1}


@pytest.mark.every
def test_without_a_record_it_is_in_the_state_folder_and_a_reset_leaves_it(wrong: Wrong) -> None:
    wrong.control("start", recorded=False)
    wrong.serve()
    wrong.control("reset", recorded=False)
    assert recording.Seen(wrong.state, afresh=False).problems() == _SAID
    assert not list(wrong.record.iterdir())
