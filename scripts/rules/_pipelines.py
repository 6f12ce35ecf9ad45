"""The parts of AWS::CodePipeline::Pipeline, each branch of it: stages, actions, what an action's type is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.rules import _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _rule
    import _values

TYPE = "AWS::CodePipeline::Pipeline"


@dataclass(frozen=True)
class Kind:
    """What an action's (or a rule's) type says, under some conditions. `where` is the type's place in the template."""

    category: str
    owner: str
    provider: str
    version: str
    where: _values.Branch

    @property
    def text(self) -> str:
        return f"{self.category}/{self.owner}/{self.provider}/{self.version}"


@dataclass(frozen=True)
class Action:
    """An action as it may come out. `stage` counts the stages of the template, from 0, whether or not they are there."""

    stage: int
    stage_name: str
    declared: _values.Branch

    @property
    def name(self) -> str:
        named = self.declared.value.get("Name")
        return named if isinstance(named, str) else "?"


def stages(cfn: Any, pipeline: _values.Branch) -> Iterator[tuple[int, _values.Branch]]:
    """Every stage that a pipeline may have, with its place among the stages."""
    for found in _values.entries(cfn, pipeline.value.get("Stages"), (*pipeline.path, "Stages"), pipeline.conditions):
        if isinstance(found.value, dict):
            yield next((part for part in found.path[len(pipeline.path) :] if isinstance(part, int)), 0), found


def actions(cfn: Any, pipeline: _values.Branch) -> Iterator[Action]:
    """Every action that a pipeline may have, in the order of the template."""
    for index, stage in stages(cfn, pipeline):
        named = stage.value.get("Name")
        for found in _values.entries(cfn, stage.value.get("Actions"), (*stage.path, "Actions"), stage.conditions):
            if isinstance(found.value, dict) and "ActionTypeId" in found.value:
                yield Action(index, named if isinstance(named, str) else "?", found)


def kinds(cfn: Any, holder: _values.Branch, key: str = "ActionTypeId") -> Iterator[Kind]:
    """Every type that an action (`RuleTypeId`: a rule) may have, where all of it is known."""
    for found in _values.members(cfn, holder, key):
        parts = [list(_values.literals(cfn, found, part)) for part in ("Category", "Owner", "Provider", "Version")]
        if all(len(part) == 1 for part in parts):
            category, owner, provider, version = (part[0].value for part in parts)
            yield Kind(category, owner, provider, version, found)


def providers() -> list[dict[str, Any]]:
    """The table of action providers."""
    listed: list[dict[str, Any]] = _rule.table("action_providers")["providers"]
    return listed


def provider(kind: Kind) -> dict[str, Any] | None:
    """What the table says of an action's type, or None."""
    for entry in providers():
        if (entry["category"], entry["owner"], entry["provider"]) == (kind.category, kind.owner, kind.provider) and kind.version in entry["versions"]:
            return entry
    return None
