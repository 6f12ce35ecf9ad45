"""The list of the project's own rules and checks, as docs/validation.md has it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from scripts.checks import cfn_lint


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
        for rule in sorted(rules.rules.values() if hasattr(rules, "rules") else rules, key=lambda rule: str(rule.id)):
            yield str(rule.id), str(rule.shortdesc), str(rule.source_url)


def _row(rule: str, what: str, source: str) -> str:
    return f"| `{rule}` | {what.replace('|', chr(92) + '|')} | {f'[page]({source})' if source else ''} |"


def _first_line(module: ModuleType) -> str:
    return (module.__doc__ or "").strip().splitlines()[0]
