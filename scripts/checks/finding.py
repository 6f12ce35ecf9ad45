"""What a check says of the tree."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    `rule` is the id in the RULES of the check. `path` is relative to the project's folder, with `/`. `line` and `column` count from 1; 0 says the
    whole file. `level` is "error" or "warning", which both fail `make validate`, or "note", which does not: what only a newer list could tell.
    `source` is the page that says so.
    """

    rule: str
    path: str
    line: int = 0
    column: int = 0
    message: str = ""
    level: str = "error"
    next_step: str = ""
    source: str = ""

    @property
    def place(self) -> str:
        """path:line:column, as editors open it; as much of it as is known."""
        place = self.path
        if self.line:
            place += f":{self.line}"
            if self.column:
                place += f":{self.column}"
        return place
