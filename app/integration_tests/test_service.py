"""What the release must do where it runs. Run against each Region of beta and gamma: `ENDPOINT`, `SERVICE`, `COMMIT` say where and what.

An adopter keeps `Release` (any app offers health and version) and writes the rest anew.
"""

from __future__ import annotations

import json
import os
import unittest
import urllib.error
import urllib.request
from email.message import Message
from typing import Any

# As many as reach every host of a fleet through its load balancer, which takes them in turn.
ASKED_OFTEN = 30


def ask(path: str) -> tuple[int, Message, Any]:
    """Status, headers (in any case: balancers change it) and content (JSON) of GET `path`; KeyError without ENDPOINT, URLError if nobody answers."""
    url = os.environ["ENDPOINT"].rstrip("/") + path
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, json.load(error)


class Release(unittest.TestCase):
    """It is up, and it is the one that was deployed."""

    def test_health(self) -> None:
        status, _, _ = ask(os.environ.get("HEALTH_PATH", "/health"))
        self.assertEqual(status, 200)

    def test_every_host_runs_the_commit(self) -> None:
        expected = {"service": os.environ["SERVICE"], "commit": os.environ["COMMIT"]}
        for _ in range(ASKED_OFTEN):
            self.assertEqual(ask("/version")[::2], (200, expected))


class Page(unittest.TestCase):
    """What callers see."""

    def test_it_greets_and_says_who_it_is(self) -> None:
        status, headers, content = ask("/")
        self.assertEqual((status, content["message"]), (200, "hello"))
        self.assertEqual((content["service"], content["commit"]), (os.environ["SERVICE"], os.environ["COMMIT"]))
        self.assertEqual(headers["X-Release"], os.environ["COMMIT"])

    def test_a_page_that_is_not_there_is_no_fault(self) -> None:
        status, _, content = ask("/nowhere")
        self.assertEqual(status, 404)
        self.assertIn("/nowhere", content["error"])
