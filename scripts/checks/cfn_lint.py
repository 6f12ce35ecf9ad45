"""Templates, by cfn-lint with its rules and our own (scripts/rules), for the Regions of parameters/.

One process for all files: starting it takes longer than any file, and children are checked with their parents (E3043, E1010).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scripts.checks import tools
from scripts.checks.finding import Finding
from scripts.checks.tree import Tree
from scripts.core import settings
from scripts.core.errors import CommandError

# cfn-lint's rules are its own to describe; ours are listed by `rules_of`.
RULES: dict[str, str] = {}

OWN_RULES = Path(__file__).resolve().parents[1] / "rules"
# Names that our tables do not have and that AWS may have made since: said, and not refused.
NOTES = frozenset({"W9030", "W9060"})
# 2 for errors, 4 for warnings, 8 for information, added up; anything else means that it did not run.
_EXITS = (0, *range(2, 15, 2))


def check(root: Path) -> Iterator[Finding]:
    """What cfn-lint finds; information (I…) counts as a warning: what is on purpose says so on its resource."""
    templates = sorted(path.relative_to(root).as_posix() for path in (root / "templates").rglob("*.yaml"))
    if not templates:
        return
    regions = regions_of(root)
    own: list[str | Path] = ["--append-rules", OWN_RULES] if OWN_RULES.is_dir() else []
    command: list[str | Path] = [tools.program("cfn-lint"), "-c", "I", *(["-r", *regions] if regions else []), *own, "--format", "json", "--", *templates]
    tree = Tree(root)
    for path in templates:
        tree.yaml(path)
    for match in json.loads(tools.run(command, root, _EXITS) or "[]"):
        # What is no YAML at all is said once, by yaml_style.
        if match["Rule"]["Id"] != "E0000" or match["Filename"] not in tree.unread:
            yield finding(match)


def regions_of(root: Path) -> Sequence[str]:
    """The Regions that anything is deployed to."""
    found: list[str] = []
    for name in settings.names(root):
        try:
            found += settings.load(root, name, local=False).regions
        except CommandError:
            continue  # Reported by the check of that file.
    return list(dict.fromkeys(found))


def finding(match: dict[str, Any]) -> Finding:
    """One of cfn-lint's matches, as its JSON formatter writes them."""
    start = match["Location"]["Start"]
    return Finding(
        rule=match["Rule"]["Id"],
        path=match["Filename"],
        line=start["LineNumber"],
        column=start["ColumnNumber"],
        message=match["Message"],
        level="note" if match["Rule"]["Id"] in NOTES else "error" if match["Level"] == "Error" else "warning",
        next_step=next_step(match["Rule"]["Id"], match["Rule"]["Source"]),
        source=match["Rule"]["Source"],
    )


def next_step(rule: str, source: str) -> str:
    """What to do about a finding: a rule of ours says so itself, of the others the page does that they are from."""
    if rule == "E0002":
        return "mend what stands at that place; if nothing is wrong with it, report it with the template: the rule broke off"
    own = _own_steps().get(rule)
    return own or f"correct it as {source} says; where it is on purpose, ignore {rule} on the resource (docs/validation.md), with the reason"


@functools.cache
def _own_steps() -> dict[str, str]:
    # Not at the top: importing cfn-lint takes half a second, which only a report with findings is worth.
    from cfnlint.rules import Rules

    rules = Rules.create_from_directory(str(OWN_RULES)) if OWN_RULES.is_dir() else {}
    return {str(rules[name].id): str(rules[name].next_step) for name in rules}
