"""E9046: an output of a nested stack that is not always there."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfnlint.rules import RuleMatch

if TYPE_CHECKING:
    from scripts.rules import _nested, _policies, _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _nested
    import _policies
    import _rule
    import _values


class ConditionalOutput(_rule.Rule):
    id = "E9046"
    shortdesc = "Output of a nested stack is there under a condition only"
    description = (
        "An output with a Condition is missing while that is false, and CloudFormation then fails with 'Output not found'. Take it within an Fn::If, "
        "or in something conditional."
    )
    source_url = "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/outputs-section-structure.html"
    next_step = "take the output within an Fn::If on the same condition"
    tags = ("resources", "cloudformation")

    def match(self, cfn: Any) -> list[Any]:
        top = _nested.root(cfn)
        if top is None:
            return []
        found: list[tuple[_values.Path, str]] = []
        for section in ("Resources", "Outputs"):
            for name, holder in _values.section(cfn.template, section).items():
                # What is conditional itself may be so for the same reason, which only the parameters' values tell.
                if "Condition" not in holder:
                    found += _taken(top, {key: value for key, value in holder.items() if key != "Metadata"}, (section, name))
        return [RuleMatch(list(path), message) for path, message in dict.fromkeys(found)]


def _taken(top: _nested.Node, value: Any, path: _values.Path) -> Iterable[tuple[_values.Path, str]]:
    if isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _taken(top, entry, (*path, index))
    if not isinstance(value, dict) or (len(value) == 1 and "Fn::If" in value):
        return
    for name, attribute in _attributes(value):
        output = attribute.removeprefix("Outputs.")
        inner = _nested.child(top, name) if output != attribute else None
        spec = _values.section(inner.template, "Outputs").get(output) if inner else None
        if inner and spec and isinstance(spec.get("Condition"), str) and not _settled(inner, spec["Condition"]):
            yield path, f"{inner.file.name} has {output} only while {spec['Condition']} is true; take it within an Fn::If"
    for key, entry in value.items():
        yield from _taken(top, entry, (*path, key))


def _attributes(value: dict[str, Any]) -> list[tuple[str, str]]:
    one = _policies.target(value) if "Fn::GetAtt" in value else None
    text = value.get("Fn::Sub")
    text = text[0] if isinstance(text, list) and text else text
    inside = re.findall(r"\$\{([A-Za-z0-9]+)\.(Outputs\.[A-Za-z0-9]+)\}", text) if isinstance(text, str) else []
    return [*([one] if one else []), *inside]


def _settled(inner: _nested.Node, condition: str) -> bool:
    """Whether what the parent passes makes a condition true for ever: Equals of a parameter that is passed as that very text."""
    rule = _values.mapping(inner.template.get("Conditions")).get(condition)
    negated = isinstance(rule, dict) and isinstance(rule.get("Fn::Not"), list) and len(rule["Fn::Not"]) == 1
    if isinstance(rule, dict) and negated:
        rule = rule["Fn::Not"][0]
    equals = rule.get("Fn::Equals") if isinstance(rule, dict) else None
    if not isinstance(equals, list) or len(equals) != 2:
        return False
    texts = [inner.given.get(side["Ref"], side) if isinstance(side, dict) and "Ref" in side else side for side in equals]
    if any(isinstance(text, dict | list) for text in texts):
        return False
    return (str(texts[0]) == str(texts[1])) is not negated
