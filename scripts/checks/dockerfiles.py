"""Dockerfiles, by hadolint: what builds on one machine and not on the next, or builds another thing next month."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from scripts.checks import tools
from scripts.checks.finding import Finding

# hadolint's rules (DL…, and shellcheck's SC… in RUN) are its own to describe.
RULES: dict[str, str] = {}
_WIKI = "https://github.com/hadolint/hadolint/wiki/"
_STEP = "write it as that page does, or say why not: # hadolint ignore=… on the line above, with the reason"
_SHELLCHECK = "https://www.shellcheck.net/wiki/"


def check(root: Path) -> Iterator[Finding]:
    """Every Dockerfile of the app. A line that is on purpose says `# hadolint ignore=DL…` above itself, with the reason."""
    files = sorted(path.relative_to(root).as_posix() for pattern in ("app/**/Dockerfile*", "app/Dockerfile*") for path in root.glob(pattern))
    if not files:
        return
    command: list[str | Path] = [tools.program("hadolint"), "--no-color", "--format", "json", "--no-fail", *dict.fromkeys(files)]
    for said in json.loads(tools.run(command, root, (0,)) or "[]"):
        if said["level"] in {"ignore"}:
            continue
        rule = said["code"]
        source = f"{_SHELLCHECK if rule.startswith('SC') else _WIKI}{rule}"
        level = "error" if said["level"] == "error" else "warning"
        yield Finding(rule, said["file"], said["line"], said["column"], said["message"], level, next_step=_STEP, source=source)
