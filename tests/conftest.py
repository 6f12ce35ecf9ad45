"""Options of the whole suite: shards, and going on where an earlier run stopped."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

_DONE = Path(__file__).resolve().parents[1] / "build" / "test-all.done"
_FAILED = _DONE.with_suffix(".failed")
"""Every failure of an end-to-end case as it happens: hours may pass before pytest shows it, and a run that is cut off never does."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --shard and --resume (`make test-all`)."""
    parser.addoption("--shard", default="1/1", help="K/N: only every N-th end-to-end case, from the K-th on")
    parser.addoption("--resume", action="store_true", help="leave out end-to-end cases that passed since the last whole run")


def pytest_configure() -> None:
    """A shell's background job ignores Ctrl-C, and so would every command that a case starts and interrupts: it is inherited."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run what is quick first; leave out other shards' end-to-end cases, and with --resume those that have passed."""
    items.sort(key=lambda item: "tests/local/" in item.nodeid)
    number, _, of = config.getoption("--shard").partition("/")
    done = set(_DONE.read_text().splitlines()) if config.getoption("--resume") and _DONE.exists() else set()
    end_to_end = [item for item in items if "tests/local/" in item.nodeid]
    others = {id(item) for index, item in enumerate(end_to_end) if index % int(of) != int(number) - 1 or item.nodeid in done}
    left_out = [item for item in items if id(item) in others]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if id(item) not in others]


_PASSED: set[str] = set()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note an end-to-end case that passed, so that an interrupted run can go on; one whose end failed has not (an invalid answer shows only there)."""
    if report.failed and "tests/local/" in report.nodeid:
        _FAILED.parent.mkdir(exist_ok=True)
        with _FAILED.open("a") as file:
            file.write(f"==== {report.nodeid} ({report.when})\n{report.longreprtext}\n{report.caplog}{report.capstdout}{report.capstderr}\n")
    if report.when == "call" and report.passed:
        _PASSED.add(report.nodeid)
    if report.when == "teardown" and report.passed and report.nodeid in _PASSED and "tests/local/" in report.nodeid:
        _DONE.parent.mkdir(exist_ok=True)
        with _DONE.open("a") as file:
            file.write(report.nodeid + "\n")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """After a whole run that passed, the next one begins afresh; listing the cases, or running some of them, forgets nothing."""
    option = session.config.option
    some = option.collectonly or option.keyword or option.markexpr or any(not Path(argument).is_dir() for argument in session.config.args)
    if exitstatus == 0 and option.resume and not some:
        _DONE.unlink(missing_ok=True)
