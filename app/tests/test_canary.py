"""The canary against the service itself: good releases please it, and it says in words what does not."""

import importlib.util
import os
import socket
import unittest
from pathlib import Path
from unittest import mock

from service.behaviour import Behaviour

from .test_server import Running

SOURCE = Path(__file__).resolve().parent.parent / "canary" / "python" / "canary.py"
spec = importlib.util.spec_from_file_location("canary", SOURCE)
assert spec is not None and spec.loader is not None
canary = importlib.util.module_from_spec(spec)
spec.loader.exec_module(canary)


class CanaryTest(unittest.TestCase):
    def call(self, behaviour: Behaviour) -> str:
        running = Running(behaviour)
        self.addCleanup(running.stop)
        return self.call_url(f"http://127.0.0.1:{running.port}/")

    def call_url(self, url: str) -> str:
        with mock.patch.dict(os.environ, {"URL": url}):
            return canary.handler({}, None)

    def test_a_good_release_pleases_it(self) -> None:
        self.assertIn("c0ffee", self.call(Behaviour()))

    def test_a_wrong_greeting_with_200_does_not(self) -> None:
        with self.assertRaisesRegex(RuntimeError, "the greeting is 'hello, somebody else'"):
            self.call(Behaviour(wrong_greeting=True))

    def test_faults_do_not(self) -> None:
        with self.assertRaisesRegex(RuntimeError, "status 500"):
            self.call(Behaviour(fault_percent=100))

    def test_silence_does_not(self) -> None:
        impatient = mock.patch.object(canary, "TIMEOUT_SECONDS", 0.2)
        impatient.start()
        self.addCleanup(impatient.stop)
        with socket.create_server(("127.0.0.1", 0)) as silent, self.assertRaisesRegex(RuntimeError, "timed out"):
            self.call_url(f"http://127.0.0.1:{silent.getsockname()[1]}/")

    def test_nobody_there_does_not(self) -> None:
        with self.assertRaisesRegex(RuntimeError, "127.0.0.1:1/.*refused"):
            self.call_url("http://127.0.0.1:1/")


if __name__ == "__main__":
    unittest.main()
