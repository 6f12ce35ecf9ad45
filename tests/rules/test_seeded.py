"""Seeded defects: mistakes that people make, put into a copy of this tree one at a time, each caught by name.

A case (seeded/*.yaml) is an edit: `file`, `find` (exact text, there once, or `count` times), `replace`, and `caught_by`, the id of the rule that must
find it: one of cfn-lint's or of our own (asked of `file`, or of `seen_in` where a parent shows it), of cfn-guard, of a tool, or of a check in
scripts/checks. `why` is what AWS does with it, `source` the page that says so. What was found before the edit does not count.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from cfnlint.config import ConfigMixIn
from cfnlint.core import get_rules
from cfnlint.rules import Rules
from cfnlint.runner.template import run_template_by_file_path

from scripts import validate
from scripts.checks import cfn_lint

ROOT = Path(__file__).resolve().parents[2]
SEEDED = Path(__file__).parent / "seeded"
# What checks read. A copy of it is small; most tests, docs and build are not in it.
PARTS = (
    *("templates", "parameters", "buildspecs", "appspecs", "functions", "app", "scripts", "tests/taskcat"),
    *(".github", ".taskcat.yml", ".pre-commit-config.yaml", "Makefile"),
)
CFN_LINT = re.compile(r"[EWI]\d{4}")
OURS = re.compile(r"[EWI]90\d\d")
# Checks that look at each file by itself: a copy of its folder is enough for them.
ONE_FILE = {"yaml_style", "shell", "dockerfiles"}


@dataclass(frozen=True)
class Seed:
    """One defect, as seeded/*.yaml has it."""

    name: str
    file: str
    find: str
    replace: str
    caught_by: str
    why: str
    source: str
    count: int = 1
    seen_in: str = ""


def seeds() -> list[Seed]:
    return [Seed(**case) for path in sorted(SEEDED.glob("*.yaml")) for case in yaml.safe_load(path.read_text(encoding="utf-8")) or ()]


SEEDS = seeds()


def edit(text: str, seed: Seed) -> str:
    """The text with the defect in it."""
    assert text.count(seed.find) == seed.count, f"{seed.file} has {seed.find!r} {text.count(seed.find)} times, not {seed.count}"
    assert seed.find != seed.replace
    return text.replace(seed.find, seed.replace)


class Copy:
    """A copy of the tree, in which one file at a time is another."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy(source, folder / part)

    def with_defect(self, seed: Seed) -> Iterator[None]:
        """The defect is in the copy until the generator goes on."""
        path = self.root / seed.file
        before = path.read_bytes()
        path.write_text(edit(before.decode("utf-8"), seed), encoding="utf-8")
        try:
            yield
        finally:
            path.write_bytes(before)


@pytest.fixture(scope="session")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("seeded") / "tree")


@pytest.fixture(scope="session")
def before() -> dict[tuple[str, ...], Counter[str]]:
    """What each check finds without a defect, by what was asked."""
    return {}


@cache
def rules(of: str) -> Rules:
    """Our own rules alone where one of them is meant: the rest takes ten times as long."""
    if OURS.fullmatch(of):
        every = Rules.create_from_directory(str(cfn_lint.OWN_RULES))
        return Rules({of: every[of]}) if of in every else every
    return get_rules([], [], ["E", "W", "I"])


def linted(root: Path, seed: Seed) -> list[Any]:
    path = root / (seed.seen_in or seed.file)
    regions = [*cfn_lint.regions_of(root)]
    return list(run_template_by_file_path(str(path), ConfigMixIn([], regions=regions), rules(seed.caught_by), False))


def owners(rule: str) -> list[ModuleType]:
    """The checks that can find the rule. shellcheck's are asked of every check that runs it."""
    modules = validate.discover()
    if re.fullmatch(r"SC\d+", rule):
        return [module for module in modules if module.__name__.rpartition(".")[2] in {"shell", "commands", "dockerfiles", "workflows"}]
    if re.fullmatch(r"DL\d+", rule):
        return [module for module in modules if module.__name__.endswith(".dockerfiles")]
    return [module for module in modules if rule in module.RULES]


def ask(copied: Copy, seed: Seed, folder: Path) -> Counter[str]:
    """Rule → how many places, of the checks that own the seed's rule."""
    if CFN_LINT.fullmatch(seed.caught_by):
        return Counter(match.rule.id for match in linted(copied.root, seed))
    modules = owners(seed.caught_by)
    assert modules, f"no check has the rule {seed.caught_by}"
    found: Counter[str] = Counter()
    for module in modules:
        root = copied.root
        if module.__name__.rpartition(".")[2] in ONE_FILE:
            near = Path(seed.file).parent
            root = folder / module.__name__
            shutil.rmtree(root, ignore_errors=True)
            if near == Path("."):
                root.mkdir(parents=True)
                shutil.copy(copied.root / seed.file, root)
            else:
                shutil.copytree(copied.root / near, root / near)
        found.update(finding.rule for finding in module.check(root))
    return found


def ids() -> list[str]:
    return [seed.name for seed in SEEDS]


@pytest.mark.parametrize("seed", SEEDS, ids=ids())
def test_a_seeded_defect_is_caught_by_name(seed: Seed, copied: Copy, before: dict[tuple[str, ...], Counter[str]], tmp_path: Path) -> None:
    whole = () if CFN_LINT.fullmatch(seed.caught_by) else tuple(module.__name__ for module in owners(seed.caught_by))
    place = seed.seen_in or seed.file if not whole or any(name.rpartition(".")[2] in ONE_FILE for name in whole) else ""
    asked = (*whole, place, seed.caught_by if not whole else "")
    if asked not in before:
        before[asked] = ask(copied, seed, tmp_path)
    for _ in copied.with_defect(seed):
        found = ask(copied, seed, tmp_path)
    assert found[seed.caught_by] > before[asked][seed.caught_by], f"{seed.caught_by} does not see it; found: {dict(found - before[asked])}"


def test_there_are_enough_of_different_kinds_and_each_has_a_name_of_its_own() -> None:
    names = Counter(seed.name for seed in SEEDS)
    assert [name for name, times in names.items() if times > 1] == []
    assert len(SEEDS) >= 60
    assert len({seed.caught_by for seed in SEEDS}) >= 40
    kinds = {seed.file.split("/")[0] for seed in SEEDS}
    assert {"templates", "parameters", "buildspecs", "appspecs", ".github"} <= kinds
    for seed in SEEDS:
        assert seed.source.startswith("https://"), seed.name
        assert len(seed.why) > 10, seed.name


def test_a_defect_that_nothing_catches_fails(copied: Copy, tmp_path: Path) -> None:
    """The harness itself can fail: a change that is no defect is not caught."""
    harmless = Seed("harmless", "templates/release-store.yaml", "PendingWindowInDays: 30", "PendingWindowInDays: 29", "keys_rotate", "", "")
    for _ in copied.with_defect(harmless):
        assert ask(copied, harmless, tmp_path)["keys_rotate"] == 0
    with pytest.raises(AssertionError, match="0 times, not 1"):
        edit("a: 1\n", harmless)
