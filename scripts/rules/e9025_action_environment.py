"""Environment variables that an action gives to its build."""

from __future__ import annotations

import json
import re
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


# What stands for a value that only a deployment knows: a part of a text, a whole value, or a word of JSON.
_UNKNOWN = re.compile(r"\$\{[^!][^}]*\}")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


class ActionEnvironment(_rule.Rule):
    id = "E9025"
    shortdesc = "An action's EnvironmentVariables are a JSON list of name, value and type"
    description = "CodePipeline takes any text for EnvironmentVariables; one that is no such list fails the action when it runs, and only then."
    source_url = "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-CodeBuild.html"
    next_step = "write a JSON list of objects with name, value and type, in quotes"
    tags = ("resources", "codepipeline")
    resource_types = (_pipelines.TYPE,)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        for action in _pipelines.actions(cfn, resource):
            if not any(kind.provider == "CodeBuild" for kind in _pipelines.kinds(cfn, action.declared)):
                continue
            for found in _pipelines.configurations(cfn, action.declared):
                for value in _values.members(cfn, found, "EnvironmentVariables"):
                    if problem := self._problem(value.value):
                        yield value.path, f"action {action.name}: EnvironmentVariables {problem}"

    def _problem(self, value: Any) -> str:
        if isinstance(value, list):
            return "are a text with JSON in it, not a list; put quotes around it"
        text = value.get("Fn::Sub") if isinstance(value, dict) and len(value) == 1 else value
        text = text[0] if isinstance(text, list) and text else text
        if not isinstance(text, str):
            return ""
        # 0 is good inside quotes and outside of them.
        try:
            parsed = json.loads(_UNKNOWN.sub("0", text).replace("${!", "${"))
        except ValueError as error:
            # What stands outside of quotes may be anything: entries, or the whole of the list.
            return "" if _UNKNOWN.search(_QUOTED.sub("", text)) else f"are no JSON: {error}"
        if not isinstance(parsed, list):
            return "are a JSON list of {name, value, type}, not one object" if isinstance(parsed, dict) else ""
        types = _rule.table("codebuild")["variable_types"]
        names: list[str] = []
        for entry in parsed:
            if not isinstance(entry, dict) or not {"name", "value"} <= set(entry):
                return f"need name and value, in lower case, in each entry: {json.dumps(entry)} has not"
            if extra := set(entry) - {"name", "value", "type"}:
                return f"know name, value and type alone, not {', '.join(sorted(extra))}"
            if not isinstance(entry["value"], str):
                return f"have texts for values, in quotes: {entry['name']} has {json.dumps(entry['value'])}"
            if entry.get("type", "PLAINTEXT") not in (*types, "0"):
                return f"know no type {entry['type']}; {_rule.meant(entry['type'], types)}"
            names.append(entry["name"])
        twice = sorted({name for name in names if names.count(name) > 1 and name != "0"})
        return f"have {', '.join(twice)} twice" if twice else ""
