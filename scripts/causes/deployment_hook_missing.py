"""A script that appspec.yml names is not in the bundle."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import APPSPEC, Failure, alike, first
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "script-missing")
    if found is None:
        return None
    return Match("certain", found.where, (found.line, *_seen(found), alike(case, found)), (
        f"Add {found.event.script} to the bundle, or correct its location under {found.event.name} in appspec.yml: it is relative to the archive's top. "
        "Then push again.",
    ), found.at, f"{found.event.script} is not in the bundle")


def _seen(found: Failure) -> tuple[str, ...]:
    """What the bundle itself shows."""
    bundle = found.deployment.bundle
    if bundle is None or bundle.note:
        return (f"{bundle.location}: {bundle.note}",) if bundle else ()
    folder = found.event.script.rpartition("/")[0]
    near = [file for file in bundle.files if file.rpartition("/")[0] == folder][:6]
    return (f"the bundle has in {folder or 'its top'}: {', '.join(near) or 'nothing'}",) if found.event.script not in bundle.files else ()


CAUSE = Cause(
    id="deployment-hook-missing",
    area="deployment",
    title="A hook's script is missing",
    document=APPSPEC,
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_Diagnostics.html",
)
