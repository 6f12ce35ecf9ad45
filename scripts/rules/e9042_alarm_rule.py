"""E9042: the rule of a composite alarm."""

from __future__ import annotations

import re
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

_TOKEN = re.compile(
    r"""\s*(?:(?P<call>ALARM|OK|INSUFFICIENT_DATA|AT_LEAST)\s*\(|(?P<word>AND|OR|NOT|TRUE|FALSE)\b|(?P<open>\()|(?P<close>\))|(?P<other>\S+))"""
)
_NAME = re.compile(r"""\s*("[^"]*"|'[^']*'|[^()"',\s][^()"',]*?)\s*\)""")
_PARTS = re.compile(r"(\$\{[^}]*\})")


class AlarmRule(_rule.Rule):
    id = "E9042"
    shortdesc = "Rule of a composite alarm is wrong"
    description = (
        "A rule that cannot be read is refused. One that names an alarm which is not there is refused too; an alarm of this template is named by ${LogicalId}."
    )
    source_url = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html"
    next_step = "write the rule of ALARM(…), OK(…), AND, OR, NOT over alarms that are there"
    tags = ("resources", "cloudwatch")
    resource_types = ("AWS::CloudWatch::CompositeAlarm",)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        own = _values.section(cfn.template, "Resources")
        for rule in _values.members(cfn, resource, "AlarmRule"):
            for problem in dict.fromkeys(problem for text in _policies.shapes(cfn, rule.value) for problem in _wrong(text)):
                yield rule.path, problem
            for name in sorted(_policies.mentioned(rule.value)):
                kind = _values.type_of(own.get(name))
                if kind and not kind.startswith("AWS::CloudWatch::") and kind != "AWS::CloudFormation::Stack":
                    yield rule.path, f"{name} is no alarm but {kind}; name an alarm"
            for text in _policies.shapes(cfn, rule.value):
                for name in re.findall(r"""(?:ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*["']?([A-Za-z0-9]+)["']?\s*\)""", text):
                    # A logical id without ${} is taken for the name of an alarm, which CloudFormation chose otherwise.
                    alarm = own.get(name, {})
                    if _values.type_of(alarm).startswith("AWS::CloudWatch::") and "AlarmName" not in _values.mapping(alarm.get("Properties")):
                        yield rule.path, f"{name} is a logical id, and the alarm has another name; write ${{{name}}} in an Fn::Sub"


def _wrong(text: str) -> Iterable[str]:
    """Problems of a rule: it is read as far as it goes. What is UNKNOWN between operands may be more of them."""
    if text == _policies.UNKNOWN:
        return
    # An unknown part in quotes is a name; outside of them it may be anything, an operator with its operand included.
    if re.search(_policies.UNKNOWN, re.sub(r"\([^()]*\)", "", text)):
        return
    depth, place, wants_operand = 0, 0, True
    while text[place:].strip():
        token = _TOKEN.match(text, place)
        if token is None:
            return
        place = token.end()
        if token["call"]:
            if not wants_operand:
                yield f"AND or OR is missing before {token['call']}"
                return
            if token["call"] == "AT_LEAST":
                return
            name = _NAME.match(text, place)
            if name is None:
                yield f"{token['call']}( is followed by no alarm and a closing parenthesis"
                return
            place, wants_operand = name.end(), False
        elif token["word"] in ("AND", "OR"):
            if wants_operand:
                yield f"{token['word']} has nothing before it"
                return
            wants_operand = True
        elif token["word"] == "NOT" or token["open"]:
            if not wants_operand:
                yield f"AND or OR is missing before {token[0].strip()}"
                return
            depth += bool(token["open"])
        elif token["word"]:
            wants_operand = False
        elif token["close"]:
            depth -= 1
            if depth < 0 or wants_operand:
                yield "a parenthesis closes that was not opened" if depth < 0 else "a parenthesis closes before an alarm"
                return
        else:
            yield f"{token['other'].split('(')[0]} is none of ALARM(…), OK(…), INSUFFICIENT_DATA(…), AND, OR, NOT, TRUE, FALSE (capital letters)"
            return
    if depth:
        yield "a parenthesis is not closed"
    elif wants_operand:
        yield "the rule ends where an alarm should follow"
