"""Triggers of a pipeline."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.rules import _pipelines, _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _pipelines
    import _rule
    import _values


class Trigger(_rule.Rule):
    id = "E9010"
    shortdesc = "A trigger names a source action with a connection, once, and filters by what goes together"
    description = (
        "A trigger that names no CodeStarSourceConnection action is refused; so is a second one for the same action, or a push filter on "
        "tags together with branches or paths."
    )
    source_url = "https://docs.aws.amazon.com/codepipeline/latest/userguide/pipelines-filter.html"
    next_step = "name a source action with a connection, once, and keep to filters that go together"
    tags = ("resources", "codepipeline")
    resource_types = (_pipelines.TYPE,)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        sources: dict[str, str] = {}
        whole = True
        for action in _pipelines.actions(cfn, resource):
            kinds = list(_pipelines.kinds(cfn, action.declared))
            whole = whole and bool(kinds) and action.name != "?"
            sources.update([(action.name, kind.provider) for kind in kinds if kind.category == "Source"])
        seen: list[_values.Branch] = []
        for trigger in _values.entries(cfn, resource.value.get("Triggers"), (*resource.path, "Triggers"), resource.conditions):
            for git in _values.members(cfn, trigger, "GitConfiguration"):
                for named in _values.literals(cfn, git, "SourceActionName"):
                    if named.value not in sources and whole:
                        yield named.path, f"there is no source action {named.value}; {_rule.meant(named.value, sources)}"
                    elif sources.get(named.value, "CodeStarSourceConnection") != "CodeStarSourceConnection":
                        yield named.path, f"{named.value} is of {sources[named.value]}; a trigger is for CodeStarSourceConnection alone"
                    if any(other.value == named.value and _values.together(cfn, other.conditions, named.conditions) for other in seen):
                        yield named.path, f"{named.value} has a trigger already; put the filters into one"
                    seen.append(named)
                for push in _values.entries(cfn, git.value.get("Push"), (*git.path, "Push"), git.conditions) if isinstance(git.value, dict) else ():
                    beside = [key for key in ("Branches", "FilePaths") if isinstance(push.value, dict) and key in push.value]
                    if beside and "Tags" in push.value:
                        yield (*push.path, "Tags"), f"a push filter on Tags goes with no {' and '.join(beside)}; write two filters"
