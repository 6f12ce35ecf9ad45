"""A steady load on every endpoint of an environment, and whether the answers were right. `python3 buildspecs/load.py`; exit 0 right, 1 wrong, 2 wrong use.

Environment variables: ENDPOINTS ("<Region>=<URL>", separated by blanks), COMMIT, LOAD_SECONDS, LOAD_RATE (requests a second to each endpoint),
LOAD_PATHS (asked in turn, separated by blanks), LOAD_FAULT_PERCENT (of an endpoint's requests; more is wrong). Requests go out at their time whether or
not earlier ones were answered: a service that becomes slow gets no rest. Every tenth request asks /version, which must name COMMIT.

Needs Python 3.9 and nothing else.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

TIMEOUT_SECONDS = 10
MOST_WAITING = 100
"""Requests of one endpoint that may wait for their answers; one more is not sent, and counts as wrong."""
PATIENCE_SECONDS = 120
"""How long a load goes on that is wrong already: so long alarms, which look at whole minutes, have something to see and to name."""
REPORT_SECONDS = 30
VERSION_EVERY = 10


@dataclass
class Tally:
    """What came of one endpoint's requests. `wrong`: why, and how often."""

    fault_percent: float
    answered: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    wrong_since: float | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, reason: str | None, now: float) -> None:
        """Count a request; `reason` says what was wrong with its answer."""
        with self.lock:
            self.answered += 1
            if reason:
                self.wrong[reason] += 1
            if not self.is_wrong():
                self.wrong_since = None
            elif self.wrong_since is None:
                self.wrong_since = now

    def is_wrong(self) -> bool:
        """Whether more requests than allowed went wrong, of all until now."""
        return sum(self.wrong.values()) * 100 > self.fault_percent * self.answered

    def is_hopeless(self, now: float) -> bool:
        """Whether it is wrong, and has been seen to be for long enough."""
        return self.wrong_since is not None and now - self.wrong_since >= PATIENCE_SECONDS

    def __str__(self) -> str:
        reasons = "".join(f"; {times} times {reason}" for reason, times in self.wrong.most_common(3))
        return f"{self.answered} requests, {sum(self.wrong.values())} wrong{reasons}"


def ask(url: str, commit: str | None) -> str | None:
    """What is wrong with the answer to GET `url`, or None. With `commit` the answer must name it."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return f"status {error.code}"
    except OSError as error:
        return str(getattr(error, "reason", error)) or type(error).__name__
    if commit is None:
        return None
    try:
        found = json.loads(body)["commit"]
    except (ValueError, KeyError, TypeError):
        return "a /version that names no commit"
    return None if found == commit else f"commit {found}"


def load(url: str, paths: list[str], commit: str | None, seconds: float, rate: float, tally: Tally, stop: threading.Event) -> None:
    """Send requests at their times for `seconds` or until `stop`; count each, and wait for the last answers. With `commit` some ask /version."""
    url, began = url.rstrip("/"), time.monotonic()
    free, path = threading.Semaphore(MOST_WAITING), itertools.cycle(paths)

    def one(path: str, expected: str | None) -> None:
        try:
            reason = ask(url + path, expected)
        finally:
            free.release()
        tally.note(reason, time.monotonic())

    with ThreadPoolExecutor(MOST_WAITING) as pool:
        for number in range(int(seconds * rate)):
            if stop.wait(max(0.0, began + number / rate - time.monotonic())):
                return
            if not free.acquire(blocking=False):
                tally.note(f"not sent, as {MOST_WAITING} were without an answer", time.monotonic())
            elif commit and number % VERSION_EVERY == 0:
                pool.submit(one, "/version", commit)
            else:
                pool.submit(one, next(path), None)


def endpoints_of(text: str) -> dict[str, str]:
    """{Region: URL} of ENDPOINTS. ValueError names the entry that is none."""
    endpoints = {}
    for entry in text.split():
        region, _, url = entry.partition("=")
        if not region or not url.startswith(("http://", "https://")):
            raise ValueError(f"'{entry}' in ENDPOINTS is not <Region>=<URL>")
        endpoints[region] = url
    if not endpoints:
        raise ValueError("ENDPOINTS is empty")
    return endpoints


def main() -> int:
    """Load every endpoint at once; say how it goes each half minute, and what it came to."""
    try:
        endpoints = endpoints_of(os.environ["ENDPOINTS"])
        commit = os.environ["COMMIT"]
        seconds, rate = float(os.environ["LOAD_SECONDS"]), float(os.environ["LOAD_RATE"])
        paths, fault_percent = os.environ["LOAD_PATHS"].split(), float(os.environ["LOAD_FAULT_PERCENT"])
    except KeyError as error:
        print(f"load: {error.args[0]} is not set; buildspecs/tests.yaml and the pipeline set it", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"load: {error}", file=sys.stderr)
        return 2
    print(f"load: {rate:g} requests a second to each of {', '.join(endpoints)} for {seconds:g} s", flush=True)
    stop = threading.Event()
    tallies = {region: Tally(fault_percent) for region in endpoints}
    threads = [
        threading.Thread(target=load, args=(url, paths, commit, seconds, rate, tallies[region], stop), name=region) for region, url in endpoints.items()
    ]
    for thread in threads:
        thread.start()
    reported = time.monotonic()
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.2)
        now = time.monotonic()
        if any(tally.is_hopeless(now) for tally in tallies.values()):
            stop.set()
        if now - reported >= REPORT_SECONDS:
            reported = now
            print("load: " + " | ".join(f"{region}: {tally}" for region, tally in tallies.items()), flush=True)
    for region, tally in tallies.items():
        print(f"load: {region}: {tally}")
    failed = [region for region, tally in tallies.items() if tally.is_wrong()]
    if failed:
        print(f"FAILED: more than {fault_percent:g} % of the answers of {', '.join(failed)} were wrong", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
