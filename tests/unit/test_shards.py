"""`make test-all` goes on where it stopped: what tests/conftest.py keeps of it, and when it forgets."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
CASES = "import pathlib\n" + "\n".join(f"def test_{name}() -> None:\n    assert not pathlib.Path('{name}-fails').exists()\n" for name in "abc")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with three end-to-end cases, of which a file makes each fail."""
    (tmp_path / "tests/local").mkdir(parents=True)
    shutil.copy(CONFTEST, tmp_path / "tests/conftest.py")
    (tmp_path / "tests/local/test_cases.py").write_text(CASES)
    return tmp_path


def ran(tree: Path, *arguments: str) -> str:
    """The last line of a run of pytest in the tree: counts of what passed, failed and was left out."""
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments], cwd=tree, capture_output=True, text=True, check=False,
                          env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})  # plugins take longer to load than these cases to run
    return done.stdout.strip().splitlines()[-1]


def test_what_passed_is_left_out_until_all_have(tree: Path) -> None:
    (tree / "b-fails").touch()
    assert "1 failed, 2 passed" in ran(tree, "tests/local", "--resume")
    assert "test_b (call)\n" in (failed := (tree / "build/test-all.failed").read_text()) and "AssertionError" in failed, "it can be read at once"
    (tree / "b-fails").unlink()
    assert "1 passed, 2 deselected" in ran(tree, "tests/local", "--resume")
    assert "3 passed" in ran(tree, "tests/local", "--resume"), "a whole run has passed: the next one begins afresh"


@pytest.mark.parametrize("some", [("tests/local", "--collect-only"), ("tests/local", "-k", "test_c"), ("tests/local/test_cases.py::test_c",)])
def test_a_look_at_some_of_them_forgets_nothing(tree: Path, some: tuple[str, ...]) -> None:
    (tree / "b-fails").touch()
    (tree / "c-fails").touch()
    ran(tree, "tests/local", "--resume")
    (tree / "c-fails").unlink()
    ran(tree, *some, "--resume")
    assert "deselected" in ran(tree, "tests/local", "--resume")


def test_shards_are_all_of_it_and_nothing_twice(tree: Path) -> None:
    assert "2 passed, 1 deselected" in ran(tree, "tests/local", "--shard", "1/2")
    assert "1 passed, 2 deselected" in ran(tree, "tests/local", "--shard", "2/2")


def test_commands_can_be_interrupted_although_a_background_job_began_it(tree: Path) -> None:
    (tree / "tests/local/test_cases.py").write_text(
        "import signal, subprocess\n\n\ndef test_it():\n    process = subprocess.Popen(['sleep', '60'])\n"
        "    process.send_signal(signal.SIGINT)\n    assert process.wait(30) == -signal.SIGINT\n")
    done = subprocess.run(["sh", "-c", "trap '' INT; exec \"$0\" -m pytest -p no:cacheprovider tests/local", sys.executable],
                          cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
