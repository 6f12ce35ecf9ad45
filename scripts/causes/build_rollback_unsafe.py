"""The release and the one before it cannot follow each other both ways."""

from __future__ import annotations

import re

from scripts.diagnosis.build_signs import match, sign
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_UNSAFE = re.compile(r"^FAILED: (while both releases served|before the test|after the test|d-\w+)\b")


def check(case: Case) -> Match | None:
    """What buildspecs/rollback_safety.py says."""
    found = sign(case, _UNSAFE)
    if found is None:
        return None
    if found.groups[0] != "while both releases served":
        return match(found, f"The rollback-safety test failed: {found.line.removeprefix('FAILED: ')[:140]}", (
            "Read the deployment or the answer that the line above names."
            + (f" make why ENV=gamma DEPLOYMENT={found.groups[0]}" if found.groups[0].startswith("d-") else ""),))
    return match(found, "The release and the one before it do not live side by side: callers got wrong answers", (
        "Make the change in two releases, each of which can live with the one before it: first accept the new form, then use it.",))


CAUSE = Cause(
    id="build-rollback-unsafe",
    area="build",
    title="The release cannot be taken back safely",
    document=Document("Ensuring rollback safety during deployments", "https://aws.amazon.com/builders-library/ensuring-rollback-safety-during-deployments/"),
    check=check,
    rank=8,
    source="https://aws.amazon.com/builders-library/ensuring-rollback-safety-during-deployments/",
)
