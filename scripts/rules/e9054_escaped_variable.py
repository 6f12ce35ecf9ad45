"""E9054: a variable that is never put in."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfnlint.rules import RuleMatch

if TYPE_CHECKING:
    from scripts.rules import _policies, _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _policies
    import _rule
    import _values

_ESCAPED = re.compile(r"\$\{!([A-Za-z0-9:]+)(\.[A-Za-z0-9.]+)?\}")
_BRACKETS = re.compile(r"\$\((AWS::[A-Za-z]+)\)|(?<!\$)\{(AWS::[A-Za-z]+)\}|\$(AWS::[A-Za-z]+)")


class EscapedVariable(_rule.Rule):
    id = "E9054"
    shortdesc = "Variable of Fn::Sub is never put in"
    description = (
        "${!Name} writes ${Name} as it is, for a shell or a dashboard. With the name of a parameter or resource of the template that is a mistake; so "
        "is $(AWS::Region)."
    )
    source_url = "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-sub.html"
    next_step = "write ${Name} where the value is meant; keep ${!Name} for what a shell puts in"
    tags = ("functions", "sub")

    def match(self, cfn: Any) -> list[Any]:
        declared = (name for section in ("Parameters", "Resources") for name in _values.section(cfn.template, section))
        names = {*declared, *_policies.PSEUDO, "AWS::StackName", "AWS::StackId"}
        return [RuleMatch(path, message) for path in cfn.search_deep_keys("Fn::Sub") for message in _wrong(path.pop(), names)]


def _wrong(argument: Any, names: set[str]) -> Iterable[str]:
    text = argument[0] if isinstance(argument, list) and argument else argument
    if not isinstance(text, str):
        return
    for name, attribute in _ESCAPED.findall(text):
        # A shell script with variables of its own names may have one in common with the template: names in capitals are a shell's.
        if name in names and name != name.upper():
            yield f"${{!{name}{attribute}}} is written out as it stands, and {name} is never put in; write ${{{name}{attribute}}}"
    for found in _BRACKETS.finditer(text):
        name = next(group for group in found.groups() if group)
        yield f"{found[0]} is written out as it stands; write ${{{name}}}"
