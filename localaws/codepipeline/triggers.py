"""Which pushes start a pipeline: V2 triggers with filters, or DetectChanges of the source action. Pure.

Source: AWS CodePipeline User Guide, "Automate starting pipelines using triggers and filtering": excludes win over includes; branch and
file path filters of one entry must both hold; any entry of `push` suffices. Patterns are globs where `*` stops at `/` and `**` does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any


def glob(pattern: str) -> re.Pattern[str]:
    """Compile a glob of CodePipeline's: `*`, `**`, `?`, `[…]` and `{a,b}`."""
    out, index = "", 0
    while index < len(pattern):
        if pattern.startswith("**", index):
            out, index = out + ".*", index + 2
            continue
        char = pattern[index]
        if char == "*":
            out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "{" and "}" in pattern[index:]:
            end = pattern.index("}", index)
            out += "(?:" + "|".join(glob(part).pattern for part in pattern[index + 1:end].split(",")) + ")"
            index = end
        elif char == "[" and "]" in pattern[index:]:
            end = pattern.index("]", index)
            out += pattern[index:end + 1]
            index = end
        else:
            out += re.escape(char)
        index += 1
    return re.compile(out)


def _passes(filters: Mapping[str, Sequence[str]] | None, values: Sequence[str]) -> bool:
    """Say whether any value is included and not excluded; without a filter anything passes."""
    if not filters:
        return True
    includes, excludes = filters.get("includes"), filters.get("excludes") or []
    return any((not includes or any(glob(p).fullmatch(value) for p in includes))
               and not any(glob(p).fullmatch(value) for p in excludes) for value in values)


def source_actions(structure: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The source actions over a connection."""
    return [action for action in structure["stages"][0]["actions"]
            if action["actionTypeId"]["provider"] == "CodeStarSourceConnection"]


def triggered_by(structure: Mapping[str, Any], repository: str, branch: str, changed: Sequence[str]) -> str | None:
    """Return the name of the source action through which a push starts the pipeline, or None.

    A trigger replaces change detection of the source action that it names.
    """
    triggers = {t["gitConfiguration"]["sourceActionName"]: t["gitConfiguration"] for t in structure.get("triggers", [])}
    for action in source_actions(structure):
        configuration = action["configuration"]
        if configuration["FullRepositoryId"] != repository:
            continue
        if action["name"] in triggers:
            pushes = triggers[action["name"]].get("push")
            if pushes is None and not triggers[action["name"]].get("pullRequest"):
                hit = branch == configuration["BranchName"]  # a trigger without filters: pushes to the action's own branch
            else:
                hit = any("tags" not in push and _passes(push.get("branches"), [branch]) and _passes(push.get("filePaths"), changed)
                          for push in pushes or [])
        else:
            hit = branch == configuration["BranchName"] and configuration.get("DetectChanges", "true").lower() != "false"
        if hit:
            return str(action["name"])
    return None
