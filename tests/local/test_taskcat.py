"""taskcat itself, in its own environment, against the local AWS: every root in two Regions, and what it says of a template that is broken."""

from __future__ import annotations

import io
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import projects
import pytest
from conftest import LocalAws

from scripts import taskcat
from scripts.core import leftovers, tested, world
from scripts.core.clock import RealClock
from scripts.core.console import Console
from scripts.core.session import open_session

PLAN = tested.load(projects.ROOT)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, with taskcat's environment."""
    subprocess.run(["make", f"{taskcat.PROGRAM.parents[1]}/.stamp"], cwd=projects.ROOT, check=True, capture_output=True, timeout=600)
    root = tmp_path / "project"
    projects.copy_folders(root)
    shutil.copytree(projects.ROOT / "tests" / "taskcat", root / "tests" / "taskcat")
    (root / taskcat.SHIM).parent.mkdir(parents=True)
    for name in (taskcat.SHIM, tested.FILE, ".cfnlintrc"):
        shutil.copy(projects.ROOT / name, root / name)
    (root / taskcat.FOLDER).mkdir(parents=True)
    (root / taskcat.FOLDER / "venv").symlink_to(projects.ROOT / taskcat.FOLDER / "venv")
    return root


def run(local_aws: LocalAws, root: Path, *options: str) -> tuple[int, str]:
    """`make taskcat LOCAL=1` in a copy: its exit code, and what a person saw of our own command (taskcat's lines go past it)."""
    out = io.StringIO()
    here = world.World(root, local_aws.environ, Console(out, out, live=False), RealClock(), open_session)
    return taskcat.main(["--local", *options], here), out.getvalue()


def left(local_aws: LocalAws, since: datetime) -> list[str]:
    """Stacks of taskcat's that are still there, nested ones too, and what deleted ones kept and is still there."""
    found = []
    for region in PLAN.regions:
        cloudformation = local_aws.client("cloudformation", region)
        for stack in leftovers.of_project(cloudformation, PLAN.project, since):
            found += [stack["StackName"]] if stack["StackStatus"] != "DELETE_COMPLETE" else []
        buckets = [bucket["Name"] for bucket in local_aws.client("s3", region).list_buckets()["Buckets"]]
        found += [name for name in buckets if name.startswith("tcat-handsoff-")]
        repositories = local_aws.client("ecr", region).describe_repositories()["repositories"]
        found += [one["repositoryName"] for one in repositories if one["repositoryName"].startswith("tcat-handsoff-")]
        found += [name for name in local_aws.client("dynamodb", region).list_tables()["TableNames"] if name.startswith("tCaT-handsoff-")]
    return found


def test_every_root_comes_up_in_two_regions_and_is_gone(local_aws: LocalAws, project: Path) -> None:
    begun = datetime.now(UTC)
    code, said = run(local_aws, project)
    assert code == 0, said
    rows = taskcat.rows((project / taskcat.REPORT / "index.html").read_text(encoding="utf-8"))
    assert {(row.test, row.region) for row in rows} == {(case.name, region) for case in PLAN.cases for region in case.regions}
    assert {row.status for row in rows} == {"CREATE_COMPLETE"}
    assert left(local_aws, begun) == []


@pytest.mark.every
def test_a_broken_template_fails_with_the_cause_in_the_report(local_aws: LocalAws, project: Path) -> None:
    begun = datetime.now(UTC)
    ledger = project / "templates" / "pipeline" / "ledger.yaml"
    text = ledger.read_text(encoding="utf-8")
    assert text.count("  LedgerTableName:\n") == 1
    ledger.write_text(text.replace("  LedgerTableName:\n", "  LedgerTable:\n"), encoding="utf-8")
    code, said = run(local_aws, project, "--tests", "pipeline-us-east-1,pipeline-us-west-2")
    assert code == 1
    report = project / taskcat.REPORT
    rows = taskcat.rows((report / "index.html").read_text(encoding="utf-8"))
    assert {(row.region, row.status) for row in rows} == {("us-east-1", "CREATE_FAILED"), ("us-west-2", "CREATE_FAILED")}
    for row in rows:
        assert "LedgerTableName" in (report / f"{row.stack}-{row.region}-cfnlogs.txt").read_text(encoding="utf-8")
        assert f"{row.test} in {row.region} did not reach CREATE_COMPLETE" in said
    assert "LedgerTableName" in said
    assert left(local_aws, begun) == []


@pytest.mark.every
def test_values_that_cloudformation_refuses_are_told_too(local_aws: LocalAws, project: Path) -> None:
    begun = datetime.now(UTC)
    file = project / tested.FILE
    file.write_text(file.read_text(encoding="utf-8").replace("      ServiceName: taskcat-east\n", "      ServiceName: Taskcat\n"), encoding="utf-8")
    code, said = run(local_aws, project, "--tests", "deployer-us-east-1")
    assert code == 1 and "ServiceName" in said and "FailedToLaunch" in said
    assert left(local_aws, begun) == []
