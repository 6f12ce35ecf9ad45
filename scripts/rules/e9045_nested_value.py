"""E9045: a value passed to a nested stack that its parameter does not take."""

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


class NestedValue(_rule.Rule):
    id = "E9045"
    shortdesc = "Nested stack's parameter does not take the value"
    description = (
        "CloudFormation refuses the nested stack when it gets there, after the stacks before it were made: a value that is not allowed, does not "
        "match, or is no number."
    )
    source_url = "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html"
    next_step = "pass a value that the child's parameter takes, or widen its constraint there"
    tags = ("resources", "cloudformation")

    def match(self, cfn: Any) -> list[Any]:
        top = _nested.root(cfn)
        return [RuleMatch(list(path), message) for path, message in (dict.fromkeys(_problems(cfn, top)) if top else ())]


def _problems(cfn: Any, top: _nested.Node) -> Iterable[tuple[_values.Path, str]]:
    for inner in _nested.children(top):
        name = inner.within[1] if inner.within else ""
        parameters = _values.section(inner.template, "Parameters")
        for key, value in inner.given.items():
            spec = parameters.get(key)
            if spec is None:
                continue
            for branch in _values.branches(cfn, value, ("Resources", name, "Properties", "Parameters", key)):
                # A parameter of the parent brings its own constraints: those of tests/templates, not of this rule.
                if _policies.target(branch.value) and "Ref" in branch.value:
                    continue
                for text in _policies.shapes(cfn, branch.value):
                    wrong = "" if _policies.UNKNOWN in text else _wrong(text, spec)
                    if wrong:
                        yield branch.path, f"{key} of {inner.file.name} is {text!r}, which {wrong}"


def _wrong(text: str, spec: dict[str, Any]) -> str:
    """Why a parameter does not take a text, or empty."""
    kind = str(spec.get("Type"))
    listed = spec.get("AllowedValues")
    allowed = [str(entry) for entry in listed] if isinstance(listed, list) else []
    texts = [part.strip() for part in text.split(",")] if kind.startswith("List<") or kind == "CommaDelimitedList" else [text]
    for part in texts:
        if allowed and part not in allowed and not (kind == "Number" and _number(part) is not None and _number(part) in [_number(entry) for entry in allowed]):
            return f"is not allowed; {_rule.meant(part, allowed)}"
        if kind in ("Number", "List<Number>"):
            number = _number(part)
            if number is None:
                return "is no number"
            low, high = _number(str(spec.get("MinValue"))), _number(str(spec.get("MaxValue")))
            if (low is not None and number < low) or (high is not None and number > high):
                return f"is not within {spec.get('MinValue', '')} to {spec.get('MaxValue', '')}"
        pattern = spec.get("AllowedPattern")
        # Of a list, AWS does not say whether the pattern is about the whole or each part.
        if isinstance(pattern, str) and kind == "String":
            try:
                if not re.fullmatch(pattern, part):
                    return f"does not match: {spec.get('ConstraintDescription', pattern)}"
            except re.error:
                return ""  # Java's syntax knows more than Python's.
    least, most = _number(str(spec.get("MinLength"))), _number(str(spec.get("MaxLength")))
    if kind == "String" and not (least or 0) <= len(text) <= (1 << 20 if most is None else most):
        return f"has {len(text)} characters"
    return ""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
