"""What a look at a repository's branches means: which of them were pushed to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Push:
    """A branch that now names another commit than before (`before` is None for a new branch)."""

    branch: str
    before: str | None
    after: str


def pushes(seen: dict[str, str], heads: dict[str, str]) -> list[Push]:
    """Compare the heads seen last with those of now; deleted branches are no push."""
    return [Push(branch, seen.get(branch), commit) for branch, commit in sorted(heads.items()) if seen.get(branch) != commit]
