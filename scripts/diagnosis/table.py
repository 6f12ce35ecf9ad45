"""Write docs/causes.md: every cause that `make why` knows, and how each is tested. `python -m scripts.diagnosis.table` (--check writes nothing).

How a cause is tested is read from the marks in the tests' source: `@pytest.mark.cause("<id>", "made"|"recorded")`, or a call by another name with the same
two arguments, as in the cases of a parametrized test. Nothing is imported from the tests. Exit codes: 0 done, 1 the page is stale or a cause has no test.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.diagnosis.judge import AREAS, Cause, catalogue

HOW = ("made", "recorded")
PAGE = Path("docs/causes.md")
_AREAS = {
    "pipeline": "The pipeline", "source": "The source", "build": "Builds and tests", "deployment": "Deployments", "alarm": "Alarms",
    "stack": "Stacks", "hold": "What holds a release, and is no failure",
}


@dataclass(frozen=True)
class Tested:
    """A mark: which cause, how, and in which file under tests/."""

    cause: str
    how: str
    file: str


def main(argv: Sequence[str] | None = None) -> int:
    arguments = argparse.ArgumentParser(prog="python -m scripts.diagnosis.table", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--check", action="store_true", help="write nothing; say whether the page is as it would be written")
    options = arguments.parse_args(argv)
    root = Path(__file__).resolve().parents[2]
    causes, tested = catalogue(), tuple(marks(root / "tests"))
    wrong = problems(causes, tested)
    for each in wrong:
        print(each, file=sys.stderr)
    text, page = render(causes, tested), root / PAGE
    if options.check:
        stale = not page.exists() or page.read_text(encoding="utf-8") != text
        if stale:
            print(f"{PAGE} is stale: python -m scripts.diagnosis.table", file=sys.stderr)
        return 1 if stale or wrong else 0
    page.write_text(text, encoding="utf-8")
    return 1 if wrong else 0


def marks(folder: Path) -> Iterator[Tested]:
    """Every mark in the test files below a folder."""
    for path in sorted(folder.rglob("test_*.py")):
        file = path.relative_to(folder).as_posix()
        for cause, how in sorted(set(in_source(path.read_text(encoding="utf-8")))):
            yield Tested(cause, how, file)


def in_source(source: str) -> Iterator[tuple[str, str]]:
    """(cause, how) of each mark in a test's source, whatever helper writes it.

    A helper that stands for one way (`made("an-id", …)`, `recorded(…)`) is known by its name, and by the mark that its body makes of its first parameter;
    one that takes the way as an argument (`marked("an-id", …, how="recorded")`) by that argument, else by its default. A mark in a loop over a table of the
    test (`[… cause(each, "made") … for each in TABLE]`) counts for each of its keys.
    """
    tree = ast.parse(source)
    ways, tables = _helpers(tree), _tables(tree)
    for loop in (node for node in ast.walk(tree) if isinstance(node, (ast.ListComp, ast.GeneratorExp))):
        over = loop.generators[0].iter
        over = over.func.value if isinstance(over, ast.Call) and isinstance(over.func, ast.Attribute) and over.func.attr == "items" else over
        for node in ast.walk(loop.elt):
            told = [one.value for one in node.args if isinstance(one, ast.Constant) and one.value in HOW] if isinstance(node, ast.Call) else []
            if told and isinstance(node, ast.Call) and isinstance(node.args[0], ast.Name) and isinstance(over, ast.Name):
                yield from ((cause, str(told[0])) for cause in tables.get(over.id, ()))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        texts = [one.value for one in node.args[:2] if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        if len(texts) == 2 and texts[1] in HOW and "-" in texts[0]:
            yield texts[0], texts[1]
        elif isinstance(node.func, ast.Name) and node.func.id in ways and texts and isinstance(node.args[0], ast.Constant) and "-" in texts[0]:
            given = next((word.value.value for word in node.keywords if isinstance(word.value, ast.Constant) and word.value.value in HOW), None)
            yield texts[0], str(given or ways[node.func.id])


def _helpers(tree: ast.Module) -> dict[str, str]:
    """Functions of a test that put the mark on a case: {name: how}."""
    found = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or not any(isinstance(one, ast.Attribute) and one.attr == "cause" for one in ast.walk(node)):
            continue
        if node.name.startswith("test_") or not node.args.args:
            continue
        constants = [one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and one.value in HOW]
        if constants:
            found[node.name] = str(constants[0])
    return found


def _tables(tree: ast.Module) -> dict[str, tuple[str, ...]]:
    """The test's own tables: {name: its keys, or its items}, of those that are texts."""
    found = {}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target if isinstance(node, ast.AnnAssign) else None
        value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
        keys = value.keys if isinstance(value, ast.Dict) else value.elts if isinstance(value, (ast.List, ast.Tuple)) else []
        if isinstance(target, ast.Name):
            found[target.id] = tuple(one.value for one in keys if isinstance(one, ast.Constant) and isinstance(one.value, str))
    return found


def problems(causes: Sequence[Cause], tested: Sequence[Tested]) -> list[str]:
    """What is wrong: causes without a test, and marks of causes that are not there."""
    known, marked = {cause.id for cause in causes}, {one.cause for one in tested}
    missing = [f"{cause} has no test that is marked with it: @pytest.mark.cause(\"{cause}\", \"made\")" for cause in sorted(known - marked)]
    return missing + [f"{one.file} marks {one.cause}, which is no cause" for one in tested if one.cause not in known]


def render(causes: Sequence[Cause], tested: Sequence[Tested]) -> str:
    """The page."""
    made = {one.cause for one in tested if one.how == "made"}
    ids = {cause.id for cause in causes}
    lines = [
        "# Causes that `make why` knows", "",
        "Written by `python -m scripts.diagnosis.table`; do not edit. One file a cause, in `scripts/causes/`; a test fails while this page is stale.", "",
        f"{len(causes)} causes. {len(ids & made)} are made to happen on the local AWS by their tests (*made*); {len(ids - made)} are read from answers in "
        "AWS's documented shape (*recorded*), because the local AWS cannot make them.",
    ]
    for area in AREAS:
        of_area = [cause for cause in causes if cause.area == area]
        if not of_area:
            continue
        lines += ["", f"## {_AREAS[area]}", "", "| Cause | What it is | Tested | Read |", "|---|---|---|---|"]
        for cause in of_area:
            ways = [way for way in HOW if any(one.cause == cause.id and one.how == way for one in tested)]
            files = sorted({one.file for one in tested if one.cause == cause.id})
            how = f"{' and '.join(ways)}: {', '.join(f'`{file}`' for file in files)}" if ways else "**not tested**"
            url = cause.document.url
            link = url if "://" in url else url.removeprefix("docs/")
            lines.append(f"| `{cause.id}` | {_cell(cause.title)} | {how} | [{_cell(cause.document.title)}]({link}) |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    raise SystemExit(main())
