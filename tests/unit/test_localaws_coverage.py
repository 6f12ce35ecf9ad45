"""The table of what is served comes from calls that were made, and says so when it is not current."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from localaws import coverage


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page with a place for the table."""
    monkeypatch.setattr(coverage, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(coverage, "CALLS", tmp_path / "calls.json")
    (tmp_path / "page.md").write_text(f"before\n{coverage._BEGIN}\n{coverage._END}\nafter\n")
    return tmp_path / "page.md"


def test_the_page_of_the_project_is_current() -> None:
    assert coverage.main(["--check"]) == 0


def test_what_was_called_is_in_the_table(page: Path) -> None:
    recorded = page.with_name("calls-1.json")
    recorded.write_text(json.dumps({"codedeploy:GetDeployment ok": 3, "codedeploy:GetDeployment DeploymentDoesNotExistException": 1,
                                    "ec2:DescribeVpcs ok": 1, "ec2:RunInstances ok": 1, "codepipeline:ListTagsForResource NotImplementedByLocalAws": 1,
                                    "codedeploy-commands:POST (no model) (no model)": 9}))
    assert coverage.main([str(recorded)]) == 0
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n")
    assert "API_GetDeployment.html) | localaws | done, `DeploymentDoesNotExistException` |" in text
    assert "API_DescribeVpcs.html) | MiniStack | done |" in text and "API_RunInstances.html) | localaws | done |" in text
    assert "API_ListTagsForResource.html) | refused by name |" in text
    assert "no model" not in text
    assert coverage.main(["--check"]) == 0
    page.write_text(text.replace("done", "never"))
    assert coverage.main(["--check"]) == 1


def test_a_file_that_is_not_there_is_refused(page: Path) -> None:
    assert coverage.main([str(page.with_name("none.json"))]) == 2


def test_what_we_serve_and_nobody_called_is_said(page: Path) -> None:
    recorded = page.with_name("calls-1.json")
    recorded.write_text(json.dumps({"codedeploy:GetDeployment ok": 3}))
    assert coverage.main([str(recorded)]) == 0
    assert "API_CreateDeployment.html) | localaws | not called in a recorded run |" in page.read_text()
