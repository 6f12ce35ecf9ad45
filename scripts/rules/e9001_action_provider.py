"""Providers of a pipeline's actions."""

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


class ActionProvider(_rule.Rule):
    id = "E9001"
    shortdesc = "An action's provider is one that CodePipeline has"
    description = "CodePipeline refuses an action whose category, owner, provider and version are together no action type; cfn-lint looks at each alone."
    source_url = "https://docs.aws.amazon.com/codepipeline/latest/userguide/actions-valid-providers.html"
    next_step = "write category, owner, provider and version as AWS's list of action types has them"
    tags = ("resources", "codepipeline")
    resource_types = (_pipelines.TYPE,)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        for action in _pipelines.actions(cfn, resource):
            for kind in _pipelines.kinds(cfn, action.declared):
                # Custom actions are the account's own; partners' names are in no list that AWS keeps.
                if kind.owner != "Custom" and _pipelines.provider(kind) is None and (problem := self._problem(kind)):
                    yield kind.where.path, type(problem)(f"action {action.name}: {problem}")

    def _problem(self, kind: _pipelines.Kind) -> str:
        same = [entry for entry in _pipelines.providers() if entry["provider"] == kind.provider]
        if not same:
            if kind.owner != "AWS":
                return ""
            every = {entry["provider"] for entry in _pipelines.providers() if entry["owner"] == "AWS"}
            # ActionProvider of CodePipeline's API.
            return _rule.unknown(kind.provider, every, "action_providers", f"{kind.provider} is no provider of category {kind.category}", r"[\w-]{1,35}")
        if kind.category not in {entry["category"] for entry in same}:
            return f"{kind.provider} is no provider of category {kind.category}, but of {' and '.join(sorted({entry['category'] for entry in same}))}"
        match = next(entry for entry in same if entry["category"] == kind.category)
        if kind.owner != match["owner"]:
            # AWS's page of artifact counts names this one's owner so, its own page does not.
            if kind.provider == "CodeStarSourceConnection" and kind.owner == "ThirdParty":
                return ""
            return f"the owner of {kind.provider} is {match['owner']}, not {kind.owner}"
        return f"{kind.provider} has no version {kind.version}; use {' or '.join(match['versions'])}"
