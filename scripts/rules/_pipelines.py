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
            yield _index(found.path[len(pipeline.path) :]), found


def _index(path: _values.Path) -> int:
    """Place in a list of what stands at the path, past the branches of an Fn::If around the list."""
    before: str | int = ""
    for part in path:
        if isinstance(part, int) and before != "Fn::If":
            return part
        before = part
    return 0


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


def run_orders(cfn: Any, action: Action) -> list[tuple[int, _values.Conditions]] | None:
    """Every RunOrder that an action may have, or None where one is not known before it is deployed."""
    if "RunOrder" not in action.declared.value:
        return [(1, action.declared.conditions)]
    found: list[tuple[int, _values.Conditions]] = []
    given: list[_values.Conditions] = []
    for branch in _values.members(cfn, action.declared, "RunOrder"):
        texts = _values.texts(cfn, branch.value)
        if len(texts) != 1 or not texts[0].isdigit():
            return None
        found.append((int(texts[0]), branch.conditions))
        given.append(branch.conditions)
    left = _values.uncovered(cfn, action.declared.conditions, given)
    return [*found, (1, left)] if left is not None else found


def precedes(cfn: Any, first: Action, then: Action) -> list[_values.Conditions]:
    """Conditions under which both actions are there and the first has ended before the other begins: one set for each way in which it may be so."""
    both = {**first.declared.conditions, **then.declared.conditions}
    if not _values.together(cfn, first.declared.conditions, then.declared.conditions):
        return []
    if first.stage != then.stage:
        return [both] if first.stage < then.stage else []
    orders, others = run_orders(cfn, first), run_orders(cfn, then)
    if orders is None or others is None:
        return [both]
    return [
        {**both, **one, **other}
        for number, one in orders
        for after, other in others
        if number < after and _values.together(cfn, {**both, **one}, {**both, **other})
    ]


def names(cfn: Any, action: Action, key: str) -> Iterator[_values.Branch]:
    """Known names of an action's InputArtifacts or OutputArtifacts."""
    for entry in _values.entries(cfn, action.declared.value.get(key), (*action.declared.path, key), action.declared.conditions):
        yield from _values.literals(cfn, entry, "Name")


def configurations(cfn: Any, holder: _values.Branch) -> Iterator[_values.Branch]:
    """Every Configuration that an action or a rule may have, an empty one where it has none; nothing for one that an intrinsic makes."""
    given: list[_values.Conditions] = []
    for found in _values.members(cfn, holder, "Configuration"):
        given.append(found.conditions)
        if isinstance(found.value, dict) and not any(str(key).startswith("Fn::") or key == "Ref" for key in found.value):
            yield found
    left = _values.uncovered(cfn, holder.conditions, given)
    if left is not None:
        yield _values.Branch({}, holder.path, left)


def under(conditions: _values.Conditions) -> str:
    """Words for the conditions under which something is so, or none."""
    said = " and ".join(name if holds else f"not {name}" for name, holds in sorted(conditions.items()))
    return f" when {said}" if said else ""


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


def provided(cfn: Any, pipeline: _values.Branch) -> Iterator[tuple[Action, Kind, dict[str, Any]]]:
    """Each action with each of its kinds whose provider is in the table, and the provider's entry."""
    for action in actions(cfn, pipeline):
        for kind in kinds(cfn, action.declared):
            entry = provider(kind)
            # A row for which no page was found judges nothing but the provider's name.
            if entry is not None and entry.get("settled", True):
                yield action, kind, entry
