"""cfn-lint rules of our own: each stays silent where AWS says yes and speaks where AWS says no.

`good/<ID>*.yaml` must be without a finding of that rule, `bad/<ID>*.yaml` must have one in each line below a comment `# <ID>` (or anywhere, where
no line says so). Fixtures are whole templates that cfn-lint itself takes, with all of its own rules: what a fixture in bad/ shows, cfn-lint misses.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from cfnlint.config import ConfigMixIn
from cfnlint.core import get_rules
from cfnlint.rules import Match, Rules
from cfnlint.runner.template import run_template_by_file_path

from scripts.rules import _rule

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "scripts" / "rules"
HERE = Path(__file__).parent
OURS = re.compile(r"[EWI]90\d\d")


@cache
def own() -> Rules:
    return Rules.create_from_directory(str(FOLDER))


@cache
def everything() -> Rules:
    """cfn-lint's own rules and ours."""
    return get_rules([str(FOLDER)], [], ["E", "W", "I"])


@cache
def findings(path: Path) -> list[Match]:
    return list(run_template_by_file_path(str(path), ConfigMixIn([], regions=["us-east-1"]), everything(), False))


def fixtures(kind: str) -> list[Path]:
    return sorted((HERE / kind).glob("*.yaml"))


def rule_of(path: Path) -> str:
    found = OURS.match(path.name)
    assert found, f"{path.name} begins with no rule's id"
    return found.group()


@pytest.mark.parametrize("path", fixtures("good"), ids=lambda path: path.stem)
def test_nothing_is_found_in_what_aws_takes(path: Path) -> None:
    rule = rule_of(path)
    assert rule in own(), "no such rule"
    assert [(match.linenumber, match.message) for match in findings(path) if match.rule.id == rule] == []


@pytest.mark.parametrize("path", fixtures("bad"), ids=lambda path: path.stem)
def test_what_aws_refuses_is_found_where_it_stands(path: Path) -> None:
    rule = rule_of(path)
    found = {match.linenumber for match in findings(path) if match.rule.id == rule}
    lines = path.read_text(encoding="utf-8").splitlines()
    marked = {number + 2 for number, line in enumerate(lines) if line.strip().startswith(f"# {rule}")}
    if marked:
        assert found == marked
    assert found


def test_what_may_be_newer_than_a_table_is_no_error() -> None:
    """Every rule that refuses names by a table has a newer one in the fixture, and refuses nothing in it."""
    path = HERE / "bad" / "W9060.yaml"
    asking = set(re.findall(r"# W9060 (E\d+)", path.read_text(encoding="utf-8")))
    assert asking == {path.name[:5].upper() for path in FOLDER.glob("e*.py") if "_rule.unknown(" in path.read_text(encoding="utf-8")} | {"E9002", "E9038"}
    assert [(match.rule.id, match.linenumber, match.message) for match in findings(path) if match.rule.id[0] == "E"] == []
    tables = {path.stem: json.loads(path.read_text(encoding="utf-8"))["date"] for path in (FOLDER / "data").glob("*.json")}
    for match in findings(path):
        if match.rule.id == "W9060":
            table = re.search(r"scripts/rules/data/(\w+)\.json$", match.message)
            assert table and f"not in the table of {tables[table[1]]};" in match.message, match.message


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("HTTPCode_Target_5xx_Count", ["HTTPCode_Target_5XX_Count"], "HTTPCode_Target_5XX_Count"),
        ("Code-Deploy", ["CodeDeploy", "ECS"], "CodeDeploy"),
        ("BUILD_GENERAL1_MEDUIM", ["BUILD_GENERAL1_MEDIUM"], "BUILD_GENERAL1_MEDIUM"),
        ("AmazonSSMManagedInstance", ["AmazonSSMManagedInstanceCore"], "AmazonSSMManagedInstanceCore"),
        ("python3.10", ["python3.11", "python3.14"], "python3.14"),
        ("python3.15", ["python3.11", "python3.14"], ""),
        ("2019-4.0", ["2019-3.0", "2022-1.0"], ""),
        ("2019-2.5", ["2019-3.0", "2022-1.0"], "2019-3.0"),
        ("AmazonEKSClusterPolicyV2", ["AmazonEKSClusterPolicy"], ""),
        ("EKS", ["ECS"], "ECS"),
        ("EMR", ["ECS"], ""),
        ("AppRunner", ["AppConfig", "CodeDeploy"], ""),
    ],
)
def test_a_slip_is_told_from_a_newer_name(word: str, known: list[str], meant: str) -> None:
    assert _rule.near(word, known) == meant


@pytest.mark.parametrize("path", [*fixtures("good"), *fixtures("bad")], ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_cfn_lint_itself_is_content_with_it(path: Path) -> None:
    errors = [(match.rule.id, match.linenumber, match.message) for match in findings(path) if match.rule.id[0] == "E" and not OURS.match(match.rule.id)]
    assert errors == [], "a fixture shows what cfn-lint misses: what it says here, it says already"


@pytest.mark.parametrize("name", sorted(own()))
def test_a_rule_says_what_it_is_and_why(name: str) -> None:
    rule = own()[name]
    assert OURS.fullmatch(name)
    assert rule.shortdesc and rule.description and rule.tags
    assert len(rule.next_step) > 10, "make validate would say nothing of what to do"
    assert rule.source_url.startswith("https://")
    for kind in ("good", "bad"):
        assert any(rule_of(path) == name for path in fixtures(kind)), f"{kind}/{name}*.yaml is missing"


def test_one_rule_a_file_named_by_its_id() -> None:
    files = [path for path in FOLDER.rglob("*.py") if not path.name.startswith("_")]
    assert sorted(path.name[:5].upper() for path in files) == sorted(own())


@pytest.mark.parametrize("path", sorted((ROOT / "templates").rglob("*.yaml")), ids=lambda path: path.stem)
def test_the_tree_has_none_of_it(path: Path) -> None:
    assert [(match.rule.id, match.linenumber, match.message) for match in findings(path) if OURS.match(match.rule.id)] == []


def test_anybody_can_append_them_from_any_folder(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("cfn-lint")
    template = HERE / "bad" / "E9001.yaml"
    done = subprocess.run([program, "--append-rules", FOLDER, "--", template], cwd=tmp_path, env={}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode & 2 and "E9001 " in done.stdout, done.stdout + done.stderr
    assert "E0002" not in done.stdout
