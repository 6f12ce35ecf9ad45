"""A plan as a person, a step summary and a program read it: pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from scripts.core import changes
from scripts.core.changes import Change
from scripts.core.templates import NESTED_STACK

SCHEMA = 1
CHANGE_SET, WORKED_OUT, NEW, SAME = "change set", "worked out", "new", "no change"
_HOW = {
    CHANGE_SET: "as a change set of CloudFormation's says",
    WORKED_OUT: "worked out from the deployed templates and the registry's schemas, not by CloudFormation",
    NEW: "the stack is not there yet",
}
_RED, _YELLOW, _GREEN, _PLAIN = "\033[31m", "\033[33m", "\033[32m", "\033[0m"
_MARKS = {"red": "🔴", "yellow": "🟡", "green": "🟢", "": ""}
_FEW = 3


@dataclass(frozen=True)
class Section:
    """What happens to one root stack in one Region. `how` is CHANGE_SET, WORKED_OUT, NEW or SAME."""

    stack: str
    region: str
    how: str
    status: str = ""
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def losses(self) -> list[str]:
        """Stateful resources that are replaced, or removed and not kept, each with what is lost."""
        return changes.warnings(self.changes)


def level(change: Change) -> str:
    """red: something is lost; yellow: look at it; green: added; "": an ordinary change."""
    if change.loss:
        return "red"
    if change.replaces or change.action == "Remove" or (change.stateful and change.replacement == "Conditional" and change.action == "Modify"):
        return "yellow"
    return "green" if change.action == "Add" else ""


def text(sections: Sequence[Section], verbose: bool, colour: bool) -> list[str]:
    """The plan in lines. A Region whose stack changes as that of one before it is named only."""
    lines: list[str] = []
    for section, like in _unlike(sections):
        lines.append(f"{section.stack} ({section.region}): {_title(section)}")
        if like:
            lines.append(f"  the same as in {like.region}")
        elif section.how != SAME:
            lines += changes.render(section.changes, verbose, _painter(colour)).split("\n")
            lines += [_coloured(f"  LOST: {loss}", "red", colour) for loss in section.losses]
        lines += [f"  note: {note}" for note in section.notes]
    return [*lines, f"in all: {summary(sections)}"]


def summary(sections: Sequence[Section]) -> str:
    """One sentence over all stacks and Regions."""
    every = [change for section in sections for change in section.changes]
    lost = sum(len(section.losses) for section in sections)
    unsure = sum(change.stateful and change.action == "Modify" and change.replacement == "Conditional" for _, change in changes.flatten(every))
    counts = str(changes.count(every)) if every else "no change"
    losses = "nothing is lost" if not lost else "1 that holds something is lost" if lost == 1 else f"{lost} that hold something are lost"
    return f"{counts}; {losses}" + (f", {unsure} may be" if unsure else "")


def markdown(environment: str, sections: Sequence[Section]) -> str:
    """The plan for a step summary or a comment: https://github.github.com/gfm/#tables-extension-"""
    lines = [f"### Plan of `{environment}`: {summary(sections)}", ""]
    for section, like in _unlike(sections):
        lines += [f"#### `{section.stack}` in {section.region}: {_title(section)}", ""]
        if like:
            lines += [f"The same as in {like.region}.", ""]
        elif section.changes:
            lines += ["|  | Stack | Resource | Type | Change |", "|---|---|---|---|---|"]
            lines += [f"| {' | '.join(map(_cell, row))} |" for row in _rows(section.changes, "")]
            lines.append("")
        lines += [f"- note: {_cell(note)}" for note in section.notes] + ([""] if section.notes else [])
    return "\n".join(lines).rstrip()


def document(environment: str, sections: Iterable[Section]) -> dict[str, Any]:
    """The plan for programs."""
    listed = list(sections)
    return {
        "schema": SCHEMA,
        "environment": environment,
        "lost": [f"{section.region}: {loss}" for section in listed for loss in section.losses],
        "stacks": [
            {
                "stack": section.stack,
                "region": section.region,
                "how": section.how,
                "status": section.status,
                "counts": asdict(changes.count(section.changes)),
                "notes": list(section.notes),
                "changes": [_entry(path, change) for path, change in changes.flatten(section.changes)],
            }
            for section in listed
        ],
    }


def _entry(path: str, change: Change) -> dict[str, Any]:
    return {
        "path": path,
        "type": change.type,
        "action": change.action,
        "replacement": change.replacement if change.action == "Modify" else "",
        "properties": list(change.properties),
        "recreating": list(change.recreating),
        "may_recreate": list(change.perhaps),
        "kept": change.kept,
        "physical_id": change.physical_id,
        "stateful": change.stateful,
        "loss": change.loss,
        "level": level(change),
    }


def _title(section: Section) -> str:
    if section.how == SAME:
        return SAME
    return f"{changes.count(section.changes)} ({_HOW[section.how]})"


def _unlike(sections: Sequence[Section]) -> list[tuple[Section, Section | None]]:
    """Each section with an earlier one of the same stack that changes alike, if any."""
    seen: list[Section] = []
    found: list[tuple[Section, Section | None]] = []
    for section in sections:
        alike = (one for one in seen if one.stack == section.stack and one.how == section.how and _bare(one.changes) == _bare(section.changes))
        like = next(alike, None) if section.changes else None
        found.append((section, like))
        seen.append(section)
    return found


def _bare(tree: tuple[Change, ...]) -> tuple[Change, ...]:
    """Changes without physical ids, which differ from Region to Region, and without their order."""
    bare = (replace(change, physical_id="", children=None if change.children is None else _bare(change.children)) for change in tree)
    return tuple(sorted(bare, key=lambda change: change.logical_id))


def _rows(tree: tuple[Change, ...], path: str) -> list[tuple[str, ...]]:
    """A row for each change; many additions to one stack are one row."""
    own = [change for change in tree if not (change.type == NESTED_STACK and change.children)]
    rows: list[tuple[str, ...]] = []
    if len(own) > _FEW and all(change.action == "Add" for change in own):
        kinds = sorted({change.type.removeprefix("AWS::") for change in own})
        rows.append((_MARKS["green"], path or "(root)", f"{len(own)} resources", ", ".join(kinds), "added"))
    else:
        for change in own:
            sign, word = changes.describe(change)
            why = f"**{word}: {change.loss}**" if change.loss else word
            rows.append((_MARKS[level(change)], path or "(root)", change.logical_id, change.type, f"{sign} {why}"))
    for change in tree:
        if change.type == NESTED_STACK and change.children:
            rows += _rows(change.children, f"{path}/{change.logical_id}" if path else change.logical_id)
    return rows


def _cell(value: str) -> str:
    return value.replace("|", "\\|").replace("\n", " ")


def _painter(colour: bool) -> changes.Paint:
    return lambda change, row: _coloured(row, level(change), colour)


def _coloured(line: str, name: str, colour: bool) -> str:
    codes = {"red": _RED, "yellow": _YELLOW, "green": _GREEN}
    return f"{codes[name]}{line}{_PLAIN}" if colour and name in codes else line
