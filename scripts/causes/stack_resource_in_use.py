"""A resource that is to be deleted or changed is used by something else."""

from __future__ import annotations

import re

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match
from scripts.diagnosis.stack_signs import TROUBLESHOOTING, delete, deploy, match, sign

_USED = re.compile(r"has a dependent object|DependencyViolation|has dependencies and cannot be deleted|still contains images|RepositoryNotEmpty|ResourceInUse|"
                   r"is (?:currently )?in use|currently associated with|protected against deletion|has some mapped public address|DeleteConflict")
_OTHER = re.compile(r"[Ee]xport \S+ cannot be")


def check(case: Case) -> Match | None:
    """The services' words about what depends on it."""
    found = sign(case, _USED, ("ResourceConflict",), unless=_OTHER)
    return None if found is None else match(found, f"{found.event.logical_id} is in use: {' '.join(found.event.reason.split())[:120]}", (
        f"Remove what uses {found.event.physical_id or 'it'} (the reason names it, or its service shows it), then the same command again: "
        + deploy(case, found.stack),
        f"To leave it behind in a delete: {delete(found.stack)} --retain-resources {found.event.logical_id}"))


CAUSE = Cause(
    id="stack-resource-in-use",
    area="stack",
    title="A resource is in use and cannot be deleted or changed",
    document=TROUBLESHOOTING,
    check=check,
    rank=15,
    source="https://github.com/convox/rack/issues/1090",
)
