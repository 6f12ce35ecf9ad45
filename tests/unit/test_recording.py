"""What local AWSes leave behind is told and kept; and which end-to-end cases count as passed."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import conftest
from tests.local import recording

A, B = {"operation": "s3:GetObject", "problem": "wrong", "status": 200}, {"operation": "s3:PutObject", "problem": "wrong", "status": 400}


def _line(folder: Path, name: str, one: Any) -> None:
    with (folder / f"{name}.jsonl").open("a") as file:
        file.write(json.dumps(one) + "\n")


def test_what_any_left_behind_and_what_one_reports_is_told_once(tmp_path: Path) -> None:
    seen = recording.Seen(tmp_path / "seen", afresh=True)
    assert seen.problems() == ""
    _line(seen.folder, "invalid", A)
    assert seen.problems([{**A, "times": 2}]) == "s3:GetObject (HTTP 200): wrong"
    assert seen.problems([B]) == "s3:PutObject (HTTP 400): wrong"
    _line(seen.folder, "invalid", B)
    assert seen.problems() == ""
    _line(seen.folder, "invalid", {**B, "problem": "wrong in another way"})
    assert seen.problems() == "s3:PutObject (HTTP 400): wrong in another way"


def test_a_run_begins_afresh_unless_its_local_aws_was_kept(tmp_path: Path) -> None:
    _line(tmp_path, "invalid", A)
    assert recording.Seen(tmp_path, afresh=False).problems() == "s3:GetObject (HTTP 200): wrong"
    assert recording.Seen(tmp_path, afresh=True).problems() == ""


def test_calls_of_all_and_questions_of_the_runs_own_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names in another one's questions are of resources that nobody recorded."""
    monkeypatch.setattr(recording, "FOLDER", tmp_path / "recorded")
    seen = recording.Seen(tmp_path / "seen", afresh=True)
    _line(seen.folder, "served", {"name": "run", "calls": {"s3:GetObject": {"ok": 2}}, "questions": [{"action": "s3:GetObject"}]})
    _line(seen.folder, "served", {"name": "other", "calls": {"s3:PutObject": {"AccessDenied": 1}}, "questions": [{"action": "s3:PutObject"}]})
    seen.keep(1, "run")
    assert json.loads((tmp_path / "recorded" / "calls-1.json").read_text()) == {"s3:GetObject ok": 2, "s3:PutObject AccessDenied": 1}
    assert list(json.loads((tmp_path / "recorded" / "questions-1.json").read_text())) == ['{"action": "s3:GetObject"}']


@pytest.mark.parametrize(("outcomes", "done"), [
    ({"setup": True, "call": True, "teardown": True}, True),
    ({"setup": True, "call": True, "teardown": False}, False),
    ({"setup": True, "call": False, "teardown": True}, False),
    ({"setup": False, "teardown": True}, False),
])
def test_a_case_whose_end_failed_is_not_left_out_of_the_next_run(outcomes: dict[str, bool], done: bool, tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest, "_DONE", tmp_path / "done")
    monkeypatch.setattr(conftest, "_FAILED", tmp_path / "failed")
    monkeypatch.setattr(conftest, "_PASSED", set())
    for when, passed in outcomes.items():
        conftest.pytest_runtest_logreport(SimpleNamespace(  # type: ignore[arg-type]
            nodeid="tests/local/test_a.py::test_b", when=when, passed=passed, failed=not passed, longreprtext="", caplog="", capstdout="", capstderr=""))
    assert (tmp_path / "done").exists() == done
    assert (tmp_path / "failed").exists() == (False in outcomes.values())
