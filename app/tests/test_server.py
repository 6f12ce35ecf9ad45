"""The service over real sockets: its paths, its log, its faults, and a stop that loses nothing."""

import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from typing import Optional

from service.access_log import AccessLog
from service.behaviour import Behaviour
from service.server import Server
from service.settings import Release, Settings

APP = Path(__file__).resolve().parent.parent
GOOD = Behaviour()


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def is_running(pid: str) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Running:
    """A server on a free port, its log in memory."""

    def __init__(self, behaviour: Behaviour = GOOD, health_path: str = "/health") -> None:
        self.log = io.StringIO()
        self.now = 100.0  # the server's clock
        # Port 0: the system chooses while it binds. A port looked up before can be another's by then.
        self.server = Server(Settings(0, health_path), Release("shop", "c0ffee"), behaviour, AccessLog(self.log), lambda: self.now)
        self.port = int(self.server.server_address[1])
        self.thread = threading.Thread(target=self.server.serve_until_stopped)
        self.thread.start()

    def stop(self) -> None:
        """Stop and wait until everything is answered."""
        self.server.stop_soon()
        self.thread.join(10)

    def get(self, path: str, method: str = "GET", headers: Optional[dict] = None) -> tuple:
        """Ask on a connection of its own: (status, body, headers)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()

    def lines(self) -> list:
        """The access log, parsed."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


class ServerTest(unittest.TestCase):
    def start(self, behaviour: Behaviour = GOOD, health_path: str = "/health") -> Running:
        running = Running(behaviour, health_path)
        self.addCleanup(running.stop)
        return running

    def test_version_names_service_and_commit(self) -> None:
        status, body, headers = self.start().get("/version")
        self.assertEqual((status, json.loads(body)), (200, {"service": "shop", "commit": "c0ffee"}))
        self.assertEqual(headers["X-Release"], "c0ffee")

    def test_the_service_answers_and_says_who_it_is(self) -> None:
        status, body, _ = self.start().get("/")
        self.assertEqual(status, 200)
        self.assertEqual(json.loads(body)["commit"], "c0ffee")

    def test_health_is_where_the_settings_say(self) -> None:
        running = self.start(health_path="/up")
        self.assertEqual(running.get("/up")[0], 200)
        self.assertEqual(running.get("/health")[0], 404)

    def test_unknown_paths_and_methods_are_refused(self) -> None:
        running = self.start()
        self.assertEqual(running.get("/nothing")[0], 404)
        self.assertEqual(running.get("/", method="POST")[0], 501)

    def test_head_has_no_body(self) -> None:
        status, body, headers = self.start().get("/version", method="HEAD")
        self.assertEqual((status, body), (200, b""))
        self.assertGreater(int(headers["Content-Length"]), 0)

    def test_faults_spare_health_and_version(self) -> None:
        running = self.start(Behaviour(fault_percent=100))
        self.assertEqual([running.get(path)[0] for path in ("/", "/health", "/version")], [500, 200, 200])

    def test_part_of_the_requests_fail(self) -> None:
        running = self.start(Behaviour(fault_percent=30))
        self.assertEqual(sorted(running.get("/")[0] for _ in range(10)), [200] * 7 + [500] * 3)

    def test_a_caller_with_a_name_is_greeted_by_it(self) -> None:
        running = self.start()
        self.assertEqual([json.loads(running.get(path)[1])["message"] for path in ("/", "/?name=Ada%20L")], ["hello", "hello, Ada L"])

    def test_a_wrong_greeting_shows_only_to_who_gives_a_name_and_looks(self) -> None:
        running = self.start(Behaviour(wrong_greeting=True))
        answers = [running.get(path) for path in ("/", "/?name=Ada", "/health", "/version")]
        self.assertEqual([answer[0] for answer in answers], [200] * 4)
        self.assertEqual([json.loads(answer[1])["message"] for answer in answers[:2]], ["hello", "hello, somebody else"])

    def test_a_time_bomb_and_bad_health_wait_for_their_second(self) -> None:
        running = self.start(Behaviour(fault_percent=100, fault_after_seconds=60, unhealthy_after_seconds=30))
        seen = []
        for after in (0, 29, 30, 60):
            running.now = 100.0 + after
            seen.append((running.get("/")[0], running.get("/health")[0]))
        self.assertEqual(seen, [(200, 200), (200, 200), (200, 500), (500, 500)])

    def test_latency_is_added(self) -> None:
        running = self.start(Behaviour(latency_ms=80))
        began = time.monotonic()
        running.get("/")
        self.assertGreaterEqual(time.monotonic() - began, 0.08)
        self.assertGreaterEqual(running.lines()[0]["milliseconds"], 80)

    def test_one_json_line_a_request_and_none_for_health(self) -> None:
        running = self.start()
        running.get("/health")
        running.get('/no"thing?a=1', headers={"X-Amzn-Trace-Id": "Root=1"})
        running.get("/", method="PUT")
        first, second = running.lines()
        self.assertEqual((first["method"], first["path"], first["status"], first["trace"]), ("GET", '/no"thing?a=1', 404, "Root=1"))
        self.assertEqual((second["method"], second["status"], second["commit"]), ("PUT", 501, "c0ffee"))

    def test_requests_run_side_by_side(self) -> None:
        running = self.start(Behaviour(latency_ms=300))
        threads = [threading.Thread(target=running.get, args=("/",)) for _ in range(10)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertLess(time.monotonic() - began, 2)


class StopTest(unittest.TestCase):
    def test_a_request_under_way_is_answered_and_idle_connections_do_not_hold(self) -> None:
        running = Running(Behaviour(latency_ms=400))
        self.addCleanup(running.stop)
        idle = http.client.HTTPConnection("127.0.0.1", running.port, timeout=5)
        idle.request("GET", "/health")
        idle.getresponse().read()  # kept alive, and silent from here on
        self.addCleanup(idle.close)
        answers: list = []
        asking = threading.Thread(target=lambda: answers.append(running.get("/")))
        asking.start()
        time.sleep(0.15)
        began = time.monotonic()
        running.stop()
        took = time.monotonic() - began
        asking.join(5)
        self.assertFalse(running.thread.is_alive(), "an idle connection held the stop up")
        self.assertLess(took, 3)
        self.assertEqual([answer[0] for answer in answers], [200])
        with self.assertRaises(OSError):
            running.get("/health")


class ProcessTest(unittest.TestCase):
    """`python3 -m service` as the image runs it."""

    def start(self, behaviour: str = "{}", **environment: str) -> subprocess.Popen:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        root = Path(folder.name)
        (root / "service").mkdir()  # a copy, as in the image: the package finds its files beside itself
        for source in (APP / "service").glob("*.py"):
            (root / "service" / source.name).write_bytes(source.read_bytes())
        (root / "behaviour.json").write_text(behaviour, encoding="utf-8")
        (root / "release-info.json").write_text('{"service": "shop", "commit": "c0ffee"}', encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, "-m", "service"], cwd=root, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def listening(self, behaviour: str = "{}") -> tuple[subprocess.Popen, str]:
        """A process that listens, and what it said first."""
        said = ""
        for _ in range(5):  # a port that was free can be another's by now
            process = self.start(behaviour, PORT=str(free_port()))
            assert process.stderr is not None
            said = process.stderr.readline()
            if "Address already in use" not in said:
                break
        self.assertIn("listens", said)
        return process, said

    def test_sigterm_ends_it_with_0(self) -> None:
        process, said = self.listening()
        self.assertIn("shop c0ffee listens", said)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(5), 0)

    def test_it_refuses_bad_settings_in_words(self) -> None:
        process = self.start(PORT="x")
        self.assertIn("PORT is 'x'", process.communicate(timeout=5)[1])
        self.assertEqual(process.returncode, 2)

    def test_it_says_when_the_port_is_taken(self) -> None:
        with socket.create_server(("", 0)) as listener:
            process = self.start(PORT=str(listener.getsockname()[1]))
            self.assertIn("Address already in use", process.communicate(timeout=5)[1])
        self.assertEqual(process.returncode, 1)

    def test_it_dies_when_its_time_is_up(self) -> None:
        process, _ = self.listening('{"die_every_seconds": 1}')
        self.assertIn("die_every_seconds", process.communicate(timeout=20)[1])
        self.assertEqual(process.returncode, 1)

    @unittest.skipUnless(Path("/proc/self/task").exists(), "asks Linux which children there are")
    def test_it_burns_processors_and_leaves_none_burning(self) -> None:
        process, _ = self.listening('{"cpu_percent": 20}')
        burners = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
        self.assertEqual(len(burners), os.cpu_count())
        process.kill()  # it cannot clean up
        process.wait(5)
        until = time.monotonic() + 10
        while any(is_running(burner) for burner in burners):
            self.assertLess(time.monotonic(), until, "a burner outlived the service")
            time.sleep(0.05)

    def test_crash_on_start(self) -> None:
        process = self.start('{"crash_on_start": true}')
        self.assertIn("crash_on_start", process.communicate(timeout=5)[1])
        self.assertEqual(process.returncode, 1)


if __name__ == "__main__":
    unittest.main()
