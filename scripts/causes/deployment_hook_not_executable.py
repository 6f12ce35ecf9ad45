"""A script has no execute bit, and the agent could not give it one."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import APPSPEC, Failure, alike, first
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "script-not-executable")
    if found is None:
        return None
    return Match("certain", found.where, (found.line, *_seen(found), alike(case, found)), (
        f"Give it the bit where it comes from: git update-index --chmod=+x {found.event.script}; then push again.",
        "The agent sets a missing bit by itself, so the file system is the likely reason: is /opt/codedeploy-agent mounted read-only, or noexec?",
    ), found.at, f"{found.event.script} cannot be made executable")


def _seen(found: Failure) -> tuple[str, ...]:
    """What the bundle itself shows."""
    bundle = found.deployment.bundle
    if bundle is None or bundle.note:
        return (f"{bundle.location}: {bundle.note}",) if bundle else ()
    mode = bundle.modes.get(found.event.script, 0)
    return (f"its mode in the bundle is {mode:04o}",) if mode else ()


CAUSE = Cause(
    id="deployment-hook-not-executable",
    area="deployment",
    title="A hook's script is not executable",
    document=APPSPEC,
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_Diagnostics.html",
)
