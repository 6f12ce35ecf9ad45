"""E9047: an event pattern that no event matches."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.rules import _policies, _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _policies
    import _rule
    import _values

_FIELDS = ("account", "detail", "detail-type", "id", "region", "resources", "source", "time", "version", "$or")


class EventPattern(_rule.Rule):
    id = "E9047"
    shortdesc = "Event pattern matches no event"
    description = (
        "EventBridge refuses a pattern whose values are no lists, and takes any source, detail-type, field and value: a rule for an event that nobody "
        "sends just never runs."
    )
    source_url = "https://docs.aws.amazon.com/eventbridge/latest/ref/events.html"
    next_step = "write the fields and values that the source's events have"
    tags = ("resources", "events")
    resource_types = ("AWS::Events::Rule",)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        for pattern in _values.members(cfn, resource, "EventPattern"):
            if not isinstance(pattern.value, dict) or any(str(key).startswith("Fn::") for key in pattern.value):
                continue
            for key in pattern.value:
                if key not in _FIELDS:
                    yield (*pattern.path, key), f"events have no {key}; {_rule.meant(key, _FIELDS)}"
            yield from _leaves(cfn, pattern)
            sources = _plain(cfn, pattern, "source")
            kinds = _plain(cfn, pattern, "detail-type")
            yield from _names(sources, kinds)
            yield from _states(cfn, pattern, kinds)


def _leaves(cfn: Any, holder: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
    """Values that are neither lists nor further fields: EventBridge refuses them."""
    for key in holder.value:
        for value in _values.members(cfn, holder, key):
            if isinstance(value.value, str | int | float | bool):
                yield value.path, f"{key} is no list; write [{value.value}]"
            elif isinstance(value.value, dict) and key != "$or" and not any(str(inner) == "Ref" or str(inner).startswith("Fn::") for inner in value.value):
                yield from _leaves(cfn, value)


def _plain(cfn: Any, pattern: _values.Branch, key: str) -> list[_values.Branch]:
    """Texts of a field; filters such as {prefix: aws.} are not among them."""
    return [
        text
        for found in _values.members(cfn, pattern, key)
        for entry in _values.entries(cfn, found.value, found.path, found.conditions)
        if isinstance(entry.value, str) or (isinstance(entry.value, dict) and any(str(name) == "Fn::Sub" for name in entry.value))
        for text in _policies.listed(cfn, entry.value, entry.path, entry.conditions)
        if _policies.UNKNOWN not in text.value
    ]


def _names(sources: list[_values.Branch], kinds: list[_values.Branch]) -> Iterable[tuple[_values.Path, str]]:
    table = _rule.table("events")
    for source in sources:
        # No list of sources is whole; one that is all but another is not one that AWS added.
        if source.value.startswith("aws.") and source.value not in table["sources"]:
            near = difflib.get_close_matches(source.value, table["sources"], n=1, cutoff=0.85)
            if near:
                yield source.path, f"no service sends events from {source.value}; did you mean {near[0]}?"
    whole = [source.value for source in sources if source.value in table["whole"]]
    if len(whole) != len(sources) or not sources:
        return
    known = {*table["everywhere"], *(kind for source in whole for kind in table["detail-types"][source])}
    for kind in kinds:
        if kind.value not in known:
            yield kind.path, f"{' and '.join(whole)} send no {kind.value!r}; {_rule.meant(kind.value, known)}"


def _states(cfn: Any, pattern: _values.Branch, kinds: list[_values.Branch]) -> Iterable[tuple[_values.Path, str]]:
    tables = [_rule.table("events")["values"].get(kind.value) for kind in kinds]
    if not tables or not all(tables):
        return
    for field in {name for table in tables for name in table}:
        known = {value for table in tables for value in table.get(field, ())}
        for holder in _values.at(cfn, pattern, "detail", *field.split(".")[:-1]):
            if isinstance(holder.value, dict):
                for value in _plain(cfn, holder, field.split(".")[-1]):
                    if value.value not in known:
                        yield value.path, f"{field} is never {value.value} in these events; {_rule.meant(value.value, known)}"
