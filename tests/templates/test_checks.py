"""Every check finds nothing in the templates, and something in the templates made to break it."""

from __future__ import annotations

from pathlib import Path

import pytest
from checks import CHECKS
from template_files import ROOT, read_tree

BAD = Path(__file__).parent / "bad"


@pytest.mark.parametrize("name", CHECKS)
def test_templates_pass(name: str) -> None:
    tree = read_tree(ROOT / "templates")
    assert tree
    assert list(CHECKS[name](tree)) == []


@pytest.mark.parametrize("name", CHECKS)
def test_check_rejects(name: str) -> None:
    """`bad/<check>/` breaks one rule in several ways; `# expect: text` lines in it say what must be found, and nothing else may be."""
    folder = BAD / name
    tree = read_tree(folder)
    assert tree, f"{name} has no templates in {folder.relative_to(ROOT)} that it rejects"
    found = list(CHECKS[name](tree))
    expected = [line.split("# expect: ", 1)[1] for template in tree.values() for line in template.text.splitlines() if "# expect: " in line]
    assert expected, f"{folder.relative_to(ROOT)} expects nothing"
    for text in expected:
        assert any(text in sentence for sentence in found), f"not found: {text}; found: {found}"
    assert len(found) == len(expected), found


def test_every_bad_example_has_its_check() -> None:
    assert {folder.name for folder in BAD.iterdir()} == set(CHECKS)
