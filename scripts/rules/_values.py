"""Values of a template as they may come out: branches of Fn::If, lists with conditional entries, literals and parameters' allowed values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str | int, ...]
"""Where in the template: keys and indices from its root."""

Conditions = Mapping[str, bool]
"""What is taken for true or false of the template's conditions."""


@dataclass(frozen=True)
class Branch:
    """A value that is no Fn::If, where it stands, and the conditions under which it is what the property gets."""

    value: Any
    path: Path
    conditions: Conditions = field(default_factory=dict, hash=False)


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a mapping, else an empty one: cfn-lint itself says what has another shape, and the rules of this folder go on."""
    return value if isinstance(value, dict) else {}


def section(template: Any, name: str) -> dict[str, dict[str, Any]]:
    """The entries of Resources, Parameters or Outputs that are mappings, as they should be."""
    return {key: entry for key, entry in mapping(mapping(template).get(name)).items() if isinstance(entry, dict)}


def type_of(resource: Any) -> str:
    """A resource's Type, empty where it is no text."""
    kind = mapping(resource).get("Type")
    return kind if isinstance(kind, str) else ""


def branches(cfn: Any, value: Any, path: Path, conditions: Conditions | None = None) -> Iterator[Branch]:
    """Every value that may come out of a value: those of Fn::If's branches that can be reached, none for AWS::NoValue."""
    given = dict(conditions or {})
    if isinstance(value, dict) and len(value) == 1:
        if value.get("Ref") == "AWS::NoValue":
            return
        chosen = value.get("Fn::If")
        if isinstance(chosen, list) and len(chosen) == 3 and isinstance(chosen[0], str):
            for index, holds in ((1, True), (2, False)):
                if given.get(chosen[0], holds) is not holds:
                    continue
                deeper = {**given, chosen[0]: holds}
                if possible(cfn, deeper):
                    yield from branches(cfn, chosen[index], (*path, "Fn::If", index), deeper)
            return
    yield Branch(value, path, given)


def entries(cfn: Any, value: Any, path: Path, conditions: Conditions | None = None) -> Iterator[Branch]:
    """Every entry that a list may have, in the order of the template; nothing for what is no list (a Ref to a list, say)."""
    for whole in branches(cfn, value, path, conditions):
        if isinstance(whole.value, list):
            for index, entry in enumerate(whole.value):
                yield from branches(cfn, entry, (*whole.path, index), whole.conditions)


def members(cfn: Any, holder: Branch, key: str) -> Iterator[Branch]:
    """Every value that a property of an object may have; nothing where it has none."""
    if isinstance(holder.value, dict) and key in holder.value:
        yield from branches(cfn, holder.value[key], (*holder.path, key), holder.conditions)


def objects(cfn: Any, holder: Branch, key: str) -> Iterator[Branch]:
    """Every object that a property may be; what should be one and is not is cfn-lint's E3012."""
    return (found for found in members(cfn, holder, key) if isinstance(found.value, dict))


def at(cfn: Any, holder: Branch, *keys: str) -> Iterator[Branch]:
    """Every value that a property further down may have, as at(cfn, project, "Source", "Type")."""
    found: Iterable[Branch] = [holder]
    for key in keys:
        found = [inner for outer in found for inner in members(cfn, outer, key)]
    yield from found


def literals(cfn: Any, holder: Branch, *keys: str) -> Iterator[Branch]:
    """Every text that a property further down may have and that is known now: literals, and the AllowedValues of a parameter it refers to.

    Numbers and booleans come as CloudFormation passes them on: as text, `true` and `false` in lower case.
    """
    for found in at(cfn, holder, *keys):
        for text in texts(cfn, found.value):
            yield Branch(text, found.path, found.conditions)


def texts(cfn: Any, value: Any) -> list[str]:
    """The texts that a value may be, where they are known: one for a literal, a parameter's AllowedValues for a Ref, else none."""
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, str | int | float):
        return [str(value)]
    if isinstance(value, dict) and len(value) == 1:
        name = value.get("Ref")
        allowed = section(cfn.template, "Parameters").get(name, {}).get("AllowedValues") if isinstance(name, str) else None
        if isinstance(allowed, list):
            # No functions: one that refers to the parameter itself would never end.
            return [text for entry in allowed if not isinstance(entry, dict) for text in texts(cfn, entry)]
        plain = value.get("Fn::Sub")
        if isinstance(plain, str) and "${" not in plain:
            return [plain]
    return []


def known(cfn: Any, conditions: Conditions) -> dict[str, bool]:
    """The conditions that the template declares; cfn-lint's own E8002 is about the others."""
    return {name: holds for name, holds in conditions.items() if cfn.conditions.get(name) is not None}


def possible(cfn: Any, conditions: Conditions) -> bool:
    """Whether some values of the parameters make the conditions so, as far as cfn-lint's solver knows."""
    declared = known(cfn, conditions)
    return not declared or any(True for _ in cfn.conditions.build_scenarios({name: {holds} for name, holds in declared.items()}))


def together(cfn: Any, first: Conditions, second: Conditions) -> bool:
    """Whether two branches can be there at once."""
    if any(second.get(name, holds) is not holds for name, holds in first.items()):
        return False
    return possible(cfn, {**first, **second})


def uncovered(cfn: Any, needed: Conditions, offered: Iterable[Conditions]) -> dict[str, bool] | None:
    """Conditions under which a thing is there and none of those that it needs is, or None when one always is.

    The solver looks at 128 combinations at most: with more than seven conditions beside the thing's own it may miss one, and never makes one up.
    """
    choices = [known(cfn, offer) for offer in offered]
    if any(all(needed.get(name) is holds for name, holds in offer.items()) for offer in choices):
        return None
    free = {name for offer in choices for name in offer} - set(needed)
    asked: dict[str, set[bool]] = {name: {holds} for name, holds in known(cfn, needed).items()}
    asked.update({name: {True, False} for name in free})
    if not asked:
        return {}
    for scenario in cfn.conditions.build_scenarios(asked):
        if not any(all(scenario.get(name) is holds for name, holds in offer.items()) for offer in choices):
            return dict(scenario)
    return None
