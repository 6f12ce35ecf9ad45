"""A resource that is to be deleted or changed is used by something else."""

from __future__ import annotations

import re

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match
from scripts.diagnosis.stack_signs import TROUBLESHOOTING, deleting, deploy, destroy, match, retain, sign

_USED = re.compile(r"has a dependent object|DependencyViolation|has dependencies and cannot be deleted|still contains images|RepositoryNotEmpty|ResourceInUse|"
                   r"is (?:currently )?in use|currently associated with|protected against deletion|has some mapped public address|DeleteConflict")
_OTHER = re.compile(r"[Ee]xport \S+ cannot be")


def check(case: Case) -> Match | None:
    """The services' words about what depends on it."""
    found = sign(case, _USED, ("ResourceConflict",), unless=_OTHER)
    if found is None:
        return None
    again = destroy(case, found.stack) if deleting(found.stack) else deploy(case, found.stack)
    return match(found, f"{found.event.logical_id} is in use: {' '.join(found.event.reason.split())[:120]}", (
        f"Remove what uses {found.event.physical_id or 'it'} (the reason names it, or its service shows it), then the same command again: {again}",
        *retain(found)))


CAUSE = Cause(
    id="stack-resource-in-use",
    area="stack",
    title="A resource is in use and cannot be deleted or changed",
    document=TROUBLESHOOTING,
    check=check,
    rank=15,
    source="https://github.com/convox/rack/issues/1090",
)
