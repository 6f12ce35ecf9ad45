"""What all rules share: the base class, tables, and resources of a type with the conditions under which they exist."""

from __future__ import annotations

import difflib
import functools
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch

if TYPE_CHECKING:
    from scripts.rules import _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _values


NEWER = "W9060"
"""The rule that names are reported by which a table may be too old for."""


class Newer(str):
    """A message about a name that AWS may have made after the table was written: reported by NEWER, not by the rule that asks."""


class Rule(CloudFormationLintRule):  # type: ignore[misc]  # cfn-lint has no types
    """A rule over the resources of some types; a subclass says which and writes `check`.

    `resource_types`: the CloudFormation types that `check` is called with. A rule over something else overrides `match`.
    `next_step`: what to do about any finding of it, for reports that show it; its messages say what is wrong, and what to do where that differs.
    """

    next_step = ""
    resource_types: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        # cfn-lint puts the rule in, where it is asked for.
        self.child_rules = {NEWER: None}

    def match(self, cfn: Any) -> list[Any]:
        return [
            RuleMatch(list(path), message, **({"rule": self.child_rules[NEWER]} if isinstance(message, Newer) else {}))
            for kind in self.resource_types
            for resource in resources(cfn, kind)
            for path, message in dict.fromkeys(self.check(cfn, resource))
            if self.child_rules[NEWER] or not isinstance(message, Newer)
        ]

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        """What is wrong with the resource's properties: the place in the template, and a message that says the thing, the reason and the next step."""
        raise NotImplementedError


def resources(cfn: Any, kind: str) -> Iterator[_values.Branch]:
    """Properties of each resource of a type, each branch of a conditional Properties apart. `kind` is as `AWS::CodeBuild::Project`."""
    for name, resource in cfn.get_resources(kind).items():
        if not isinstance(resource, dict):
            continue
        named = resource.get("Condition")
        conditions = {named: True} if isinstance(named, str) else {}
        for branch in _values.branches(cfn, resource.get("Properties"), ("Resources", name, "Properties"), conditions):
            if isinstance(branch.value, dict):
                yield branch


def platforms(cfn: Any, holder: _values.Branch, key: str) -> set[str]:
    """Compute platforms that a CodeDeploy application may be for, by a property that names it; none where it is not of this template."""
    found: set[str] = set()
    for named in _values.members(cfn, holder, key):
        own = named.value.get("Ref") if isinstance(named.value, dict) else None
        for application in resources(cfn, "AWS::CodeDeploy::Application"):
            written = {text.value for text in _values.literals(cfn, application, "ApplicationName")}
            if application.path[1] == own or (isinstance(named.value, str) and named.value in written):
                if "ComputePlatform" not in application.value:
                    found.add("Server")
                found |= {text.value for text in _values.literals(cfn, application, "ComputePlatform")}
    return found


@functools.cache
def table(name: str) -> dict[str, Any]:
    """A table of data/, with its `source` and `date`."""
    loaded: dict[str, Any] = json.loads((Path(__file__).parent / "data" / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def meant(word: str, known: Iterable[str]) -> str:
    """The end of a message about a word that is not known: the one that is probably meant, or those that there are."""
    words: Sequence[str] = sorted(map(str, known))
    folded = {entry.lower(): entry for entry in words}
    near = difflib.get_close_matches(str(word).lower(), list(folded), n=1, cutoff=0.75)
    if near:
        return f"did you mean {folded[near[0]]}?"
    return f"use one of {', '.join(words)}" if words else "remove it"


def unknown(word: str, known: Iterable[str], named: str, said: str, shape: str = r"\S+", whole: str = "") -> str:
    """What to say of a word that a table has not: a mistake, with what is meant, or a Newer, where AWS may have made the name since.

    `named` is the table, whose `mistaken` maps names that people write, and that AWS does not have, to those that it has. `said` begins the message
    about a mistake. `shape` is what every name of the kind looks like: another one is a mistake. `whole` is what the word is a part of.
    """
    words = list(known)
    of = table(named)
    meaning = of.get("mistaken", {}).get(word) or near(word, words)
    if meaning:
        return f"{said}; did you mean {meaning}?"
    if not re.fullmatch(shape, word):
        return f"{said}; {meant(word, words)}"
    return Newer(f"{whole or word} is not in the table of {of['date']}; if AWS has it by now, add it to scripts/rules/data/{named}.json")


def near(word: str, known: Iterable[str]) -> str:
    """The known name that a word is a slip of, or empty: in case or punctuation, cut off, or by two letters at most (by one in a short word).

    Another number is no slip where it is above all that are known beside it (python3.15), and neither is a version at the end (…V2).
    """
    words = sorted(known)
    same = {_letters(entry): entry for entry in words}
    if _letters(word) in same:
        return same[_letters(word)]
    if re.sub(r"[-_]?[vV]\d+$", "", word) in words:
        return ""
    counted = [entry for entry in words if _numbered(entry)[0] == _numbered(word)[0]]
    if counted:
        of = _numbered(word)[1]
        # 3.10 is beside 3.9 and not beside 2.7.
        beside = [entry for entry in counted if _numbered(entry)[1][0] == of[0]] or counted
        newest = max(beside, key=lambda entry: _numbered(entry)[1])
        return "" if of > _numbered(newest)[1] else newest
    if len(word) > 3:
        longer = [entry for entry in words if entry.lower().startswith(word.lower())]
        if longer:
            return min(longer, key=len)
    most = 1 if len(word) < 8 else 2
    # An edit changes two letters of the set at most: most names need no count.
    letters = set(word.lower())
    like = [entry for entry in words if abs(len(entry) - len(word)) <= most and len(letters ^ set(entry.lower())) <= 2 * most]
    found = [(_edits(word.lower(), entry.lower()), entry) for entry in like]
    edits, entry = min(found, default=(most + 1, ""))
    return entry if edits <= most else ""


def _letters(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.lower())


def _numbered(word: str) -> tuple[str, tuple[int, ...]]:
    """A word without its numbers, and them."""
    return re.sub(r"\d+", "#", word.lower()), tuple(int(number) for number in re.findall(r"\d+", word))


def _edits(first: str, second: str) -> int:
    """How many letters are put in, left out, changed or swapped with the next (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, letter in enumerate(first, 1):
        last, before, row = before, row, [i]
        for j, other in enumerate(second, 1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other)))
            if i > 1 and j > 1 and letter == second[j - 2] and other == first[i - 2]:
                row[j] = min(row[j], last[j - 2] + 1)
    return row[-1]
