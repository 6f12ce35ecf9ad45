"""The list of the project's own rules and checks, as docs/validation.md has it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from scripts.checks import cfn_lint

PAGE = "docs/validation.md"
_BEGIN, _END = "<!-- the list begins: python -m scripts.validate --document -->", "<!-- the list ends -->"


def put_in(page: str, listed: str) -> str:
    """The page with the list between its marks; ValueError where it has none."""
    before, _, rest = page.partition(_BEGIN)
    _, mark, after = rest.partition(_END)
    if not mark:
        raise ValueError(f"{PAGE} has no place for the list: {_BEGIN} … {_END}")
    return f"{before}{_BEGIN}\n\n{listed}\n\n{_END}{after}"


def table(modules: Iterable[ModuleType]) -> str:
    """Markdown: rules of cfn-lint that are ours, then the checks module by module. A module may tell SOURCES: id → URL."""
    lines = ["### Rules for cfn-lint (`scripts/rules/`)", "", "| Rule | What it asks | Source |", "|---|---|---|"]
    lines += [_row(*rule) for rule in own_rules()]
    for module in modules:
        if module.RULES:
            name = module.__name__.rpartition(".")[2]
            sources = getattr(module, "SOURCES", {})
            lines += ["", f"### `scripts/checks/{name}.py`", "", _first_line(module), "", "| Rule | What it asks | Source |", "|---|---|---|"]
            lines += [_row(rule, what, sources.get(rule, "")) for rule, what in module.RULES.items()]
    return "\n".join(lines)


def own_rules(folder: Path = cfn_lint.OWN_RULES) -> Iterator[tuple[str, str, str]]:
    """(id, what, source) of each rule in scripts/rules, as cfn-lint itself loads them."""
    # Not at the top: importing cfn-lint takes half a second, and `make validate` runs it in a process of its own.
    from cfnlint.rules import Rules

    if folder.is_dir():
        rules = Rules.create_from_directory(str(folder))
        for rule in (rules[name] for name in sorted(rules)):
            yield str(rule.id), str(rule.shortdesc), str(rule.source_url)


def _row(rule: str, what: str, source: str) -> str:
    return f"| `{rule}` | {what.replace('|', chr(92) + '|')} | {f'[page]({source})' if source else ''} |"


def _first_line(module: ModuleType) -> str:
    return (module.__doc__ or "").strip().splitlines()[0]
