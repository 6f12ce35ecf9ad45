"""Templates, by cfn-lint with its rules and our own (scripts/rules), for the Regions of parameters/.

One process for all files: starting it takes longer than any file, and children are checked with their parents (E3043, E1010).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scripts.checks import tools
from scripts.checks.finding import Finding
from scripts.core import settings
from scripts.core.errors import CommandError

# cfn-lint's rules are its own to describe; ours are listed by `rules_of`.
RULES: dict[str, str] = {}

OWN_RULES = Path(__file__).resolve().parents[1] / "rules"
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
    for match in json.loads(tools.run(command, root, _EXITS) or "[]"):
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
        level="error" if match["Level"] == "Error" else "warning",
        source=match["Rule"]["Source"],
    )
