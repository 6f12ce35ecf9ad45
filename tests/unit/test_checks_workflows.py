"""What guards pull requests, and what taskcat is told: the tree is content, and each seeded mistake is caught by the rule that is named for it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.checks import taskcat_rules, workflow_rules
from scripts.checks.finding import Finding

ROOT = Path(__file__).resolve().parents[2]
CHECKS = (workflow_rules, taskcat_rules)
SEEDED: list[dict[str, Any]] = yaml.safe_load((ROOT / "tests/rules/seeded/workflows.yaml").read_text(encoding="utf-8"))


def findings(root: Path) -> list[Finding]:
    return [finding for check in CHECKS for finding in check.check(root)]


def changed(root: Path, edits: Iterable[dict[str, Any]]) -> Path:
    """A copy of what the checks read, with edits."""
    for name in (".github", "templates", "parameters", "tests/taskcat"):
        shutil.copytree(ROOT / name, root / name)
    for name in (".taskcat.yml", ".pre-commit-config.yaml", "Makefile"):
        shutil.copy(ROOT / name, root / name)
    for edit in edits:
        path = root / edit["file"]
        text = path.read_text(encoding="utf-8")
        assert text.count(edit["find"]) == edit.get("count", 1), f"{edit['find']!r} is in {edit['file']} {text.count(edit['find'])} times"
        path.write_text(text.replace(edit["find"], edit["replace"]), encoding="utf-8")
    return root


def test_the_tree_is_content() -> None:
    assert findings(ROOT) == []


@pytest.mark.parametrize("seed", SEEDED, ids=lambda seed: str(seed["name"]))
def test_a_mistake_is_caught_by_its_rule(seed: dict[str, Any], tmp_path: Path) -> None:
    found = [finding for finding in findings(changed(tmp_path, [seed])) if finding.rule == seed["caught_by"]]
    assert found, f"{seed['name']} was not caught"
    for finding in found:
        assert finding.path == seed["file"] and finding.line and finding.message and finding.next_step and finding.source


MORE = {
    "workflow-concurrency": (".github/workflows/checks.yaml", "concurrency:\n  group", "x-concurrency:\n  group"),
    "workflow-runner": (".github/workflows/checks.yaml", "  unit:\n    runs-on: ubuntu-24.04", "  unit:\n    runs-on: ubuntu-latest"),
}


@pytest.mark.parametrize("rule", [*workflow_rules.RULES, *taskcat_rules.RULES])
def test_each_rule_has_a_case_that_it_rejects(rule: str, tmp_path: Path) -> None:
    if rule in MORE:
        file, find, replace = MORE[rule]
        assert rule in {finding.rule for finding in findings(changed(tmp_path, [{"file": file, "find": find, "replace": replace}]))}
    else:
        assert rule in {seed["caught_by"] for seed in SEEDED}


def test_every_rule_says_where_it_is_from() -> None:
    for check in CHECKS:
        assert check.RULES.keys() == check.SOURCES.keys()


@pytest.mark.parametrize("command", ["make validate", "make deploy ENV=gamma LOCAL=1 YES=1", 'make why STACK="a b"', "make lint test-unit"])
def test_a_make_command_is_one(command: str) -> None:
    assert workflow_rules.targets_of(command)


@pytest.mark.parametrize("command", ["make validate; ls", "make", "make -C .. validate", "make validate && echo", "make $(cat x)", "pip install x", "make 'a"])
def test_another_command_is_none(command: str) -> None:
    assert workflow_rules.targets_of(command) is None


@pytest.mark.parametrize("bad", ["uses: ./.github/actions/own", "uses: docker://alpine@sha256:" + "a" * 64])
def test_an_action_of_the_tree_and_an_image_by_digest_are_fine(bad: str, tmp_path: Path) -> None:
    root = changed(tmp_path, [{"file": ".github/workflows/checks.yaml", "find": "      - run: make lint\n", "replace": f"      - {bad}\n"}])
    assert findings(root) == []


def test_without_taskcat_and_workflows_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert findings(tmp_path) == []


def test_what_is_inside_a_test_template_is_checked_too(tmp_path: Path) -> None:
    edit = {"file": "tests/taskcat/pipeline.yaml", "find": "Prod1OneBoxDeploymentGroupName:", "replace": "Prod1OneBoxGroupName:"}
    assert {finding.rule for finding in findings(changed(tmp_path, [edit]))} == {"taskcat-parameter-unknown", "taskcat-parameter-missing"}


RELEASE = """\
name: release notes
on:
  push:
    tags: ['v*']
permissions:
  contents: write
jobs:
  notes:
    runs-on: ubuntu-24.04
    timeout-minutes: 10
    steps:
      - run: gh release create "$GITHUB_REF_NAME" --generate-notes
        env:
          GH_TOKEN: ${{ secrets.GITHUB_TOKEN }}
"""


def own(root: Path, text: str) -> set[str]:
    """What is found in a workflow that an adopter adds."""
    (root / ".github/workflows").mkdir(parents=True, exist_ok=True)
    (root / ".github/workflows/own.yml").write_text(text, encoding="utf-8")
    return {finding.rule for finding in workflow_rules.check(root)}


def test_what_no_pull_request_starts_may_have_commands_and_secrets_of_its_own(tmp_path: Path) -> None:
    assert own(tmp_path, RELEASE) == set()
    on_pull_requests = RELEASE.replace("  push:\n    tags: ['v*']", "  pull_request:")
    assert own(tmp_path, on_pull_requests) == {"workflow-permissions", "workflow-concurrency", "workflow-secret", "workflow-command"}


@pytest.mark.parametrize(("find", "replace", "rule"), [
    ("permissions:\n  contents: write\n", "", "workflow-permissions"),
    ("permissions:\n  contents: write\n", "permissions: write-all\n", "workflow-permissions"),
    ('"$GITHUB_REF_NAME"', "${{ github.ref_name }}", "workflow-injection"),
    ("    steps:\n", "    steps:\n      - uses: actions/setup-go@v5\n", "workflow-action-pinned"),
    ("  push:\n    tags: ['v*']", "  workflow_run:\n    workflows: [checks]", "workflow-trigger"),
])
def test_and_is_asked_the_rest(find: str, replace: str, rule: str, tmp_path: Path) -> None:
    assert find in RELEASE
    assert rule in own(tmp_path, RELEASE.replace(find, replace))


def test_sarif_may_go_up_from_a_private_repository(tmp_path: Path) -> None:
    edit = {"file": ".github/workflows/checks.yaml", "find": "      security-events: write\n", "replace": "      security-events: write\n      actions: read\n"}
    assert findings(changed(tmp_path, [edit])) == []
    elsewhere = {"file": ".github/workflows/checks.yaml", "find": "  lint:\n    runs-on: ubuntu-24.04\n    timeout-minutes: 15\n    permissions:\n",
                 "replace": "  lint:\n    runs-on: ubuntu-24.04\n    timeout-minutes: 15\n    permissions:\n      actions: read\n"}
    assert {finding.rule for finding in findings(changed(tmp_path / "other", [elsewhere]))} == {"workflow-permissions"}


def test_whoever_deploys_to_one_region_is_told_of_it_and_need_not_test_in_another(tmp_path: Path) -> None:
    root = changed(tmp_path, [])
    for path in (root / "parameters").glob("*.yaml"):
        text = re.sub(r"^waves: .*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        text = re.sub(r"^regions: .*", "regions: [us-east-1]", text, flags=re.MULTILINE)
        path.write_text(re.sub(r"^  (us-west-2|eu-west-1):\n(    .*\n)*", "", text, flags=re.MULTILINE), encoding="utf-8")
    said = findings(root)
    assert {finding.rule for finding in said} == {"taskcat-value-file"}
    assert all("us-west-2, where gamma is not deployed" in finding.message and "us-east-1" in finding.next_step for finding in said)
    plan = root / ".taskcat.yml"
    document = yaml.safe_load(plan.read_text(encoding="utf-8"))
    document["project"]["regions"] = ["us-east-1"]
    document["tests"] = {name: test for name, test in document["tests"].items() if not name.endswith("us-west-2")}
    plan.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert findings(root) == []
