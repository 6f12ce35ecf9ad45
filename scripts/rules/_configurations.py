"""What is wrong with a Configuration, by what a table says of its provider: keys that miss or are not known, values that are none."""

from __future__ import annotations

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

# A value that is another action's: known when the pipeline runs.
_VARIABLE = "#{"


def keys(cfn: Any, entry: dict[str, Any], found: _values.Branch, named: str) -> Iterator[tuple[_values.Path, str]]:
    """Keys that miss in a Configuration, and keys that the provider does not take, by the table of that name."""
    wanted = set(entry["required"])
    for need in entry.get("needs", ()):
        values = {branch.value for branch in _values.literals(cfn, found, need["key"])}
        # All of the values that it may have ask for them: then it is so whatever comes.
        if values and values <= set(need["values"]):
            wanted |= set(need["keys"])
    allowed = {*entry["required"], *entry["optional"]}
    for key in sorted(wanted):
        missing = _values.uncovered(cfn, found.conditions, [branch.conditions for branch in _values.members(cfn, found, key)])
        if missing is not None:
            extra = {name: holds for name, holds in missing.items() if name not in found.conditions}
            yield found.path, f"{entry['provider']} needs {key} in its Configuration{_pipelines.under(extra)}"
    for key in found.value:
        if str(key) in allowed:
            continue
        said = f"{entry['provider']} takes no {key} in its Configuration"
        if key in entry.get("elsewhere", {}):
            yield (*found.path, key), f"{said}; {entry['elsewhere'][key]}"
            continue
        others = sorted(other["provider"] for other in _rule.table(named)["providers"] if key in (*other["required"], *other["optional"]))
        problem = _rule.unknown(str(key), allowed - {str(other) for other in found.value}, named, said)
        if isinstance(problem, _rule.Newer):
            # Where the table may lack keys anyway, only what is a slip of one is worth a word.
            if not entry.get("complete", True):
                continue
            if others:
                problem = f"{said}; it is a key of {' and '.join(dict.fromkeys(others))}"
        yield (*found.path, key), problem


def values(cfn: Any, entry: dict[str, Any], found: _values.Branch, longest: int) -> Iterator[tuple[_values.Path, str]]:
    """Known values of a Configuration that the provider or CodePipeline itself refuses."""
    for key in found.value:
        for branch in _values.literals(cfn, found, str(key)):
            text = branch.value
            if not text:
                yield branch.path, f"{key} is empty; CodePipeline takes values of 1 to {longest} characters: leave the key out"
            elif len(text) > longest:
                yield branch.path, f"{key} is {len(text)} characters long; CodePipeline takes {longest} at most"
            elif _VARIABLE not in text and (problem := _problem(text, entry.get("values", {}).get(key, {}))):
                yield branch.path, f"{entry['provider']} takes no {key} {text!r}; {problem}"


def _problem(text: str, asked: dict[str, Any]) -> str:
    if "one_of" in asked and text not in asked["one_of"]:
        return _rule.meant(text, asked["one_of"])
    if "list_of" in asked:
        for part in text.split(",") if asked.get("tight") else [part.strip() for part in text.split(",")]:
            if part not in asked["list_of"]:
                return f"{part!r} is none of them; {_rule.meant(part.strip(), asked['list_of'])} (commas between{', no blanks' if asked.get('tight') else ''})"
    if "number" in asked:
        least, most = asked["number"]
        if not re.fullmatch(r"\d+", text) or not least <= int(text) <= most:
            return f"a whole number from {least} to {most}"
    if "pattern" in asked and not re.search(asked["pattern"], text):
        return str(asked["like"])
    return ""
