"""A script has Windows line ends, so that the kernel looks for an interpreter that ends with a carriage return."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import APPSPEC, Failure, alike, first
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "line-ends")
    if found is None:
        return None
    return Match("certain", found.where, (*found.evidence, *_seen(found), alike(case, found)), (
        f"Convert it: sed -i 's/\\r$//' {found.event.script or '<script>'}; and keep it so with a line in .gitattributes: *.sh text eol=lf",
        "Then push again.",
    ), found.at, f"{found.event.script or 'A hook'} has Windows line ends")


def _seen(found: Failure) -> tuple[str, ...]:
    """What the bundle itself shows."""
    bundle = found.deployment.bundle
    if bundle is None or bundle.note:
        return (f"{bundle.location}: {bundle.note}",) if bundle else ()
    crlf = sorted(name for name, text in bundle.texts.items() if "\r\n" in text)
    return (f"with carriage returns in the bundle: {', '.join(crlf)}",) if crlf else ()


CAUSE = Cause(
    id="deployment-line-ends",
    area="deployment",
    title="A hook has Windows line ends",
    document=APPSPEC,
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file.html",
)
