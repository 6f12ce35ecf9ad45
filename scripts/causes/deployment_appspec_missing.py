"""The revision has no appspec.yml at its top."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import APPSPEC, Failure, alike, clears_events, first, ran
from scripts.diagnosis.judge import Cause, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "appspec-missing")
    if found is None:
        return None
    return Match("certain", found.where, (found.line, *_seen(found), alike(case, found)), (
        f"Put appspec.yml at the top of the archive, not in a folder of it: "
        f"aws s3 cp {found.deployment.revision or '<bundle>'} bundle.zip && unzip -l bundle.zip",
        "buildspecs/image.sh makes the bundle, from appspecs/image. Then push again.",
    ), found.at, "The bundle has no appspec.yml at its top")


def _seen(found: Failure) -> tuple[str, ...]:
    """What the bundle itself shows."""
    bundle = found.deployment.bundle
    if bundle is None or bundle.note:
        return (f"{bundle.location}: {bundle.note}",) if bundle else ()
    return (f"the archive has {len(bundle.files)} files, and at its top: {', '.join([file for file in bundle.files if '/' not in file][:6]) or 'none'}",)


CAUSE = Cause(
    id="deployment-appspec-missing",
    area="deployment",
    title="The bundle has no appspec.yml",
    document=APPSPEC,
    check=check,
    clears=clears_events(["appspec-missing"], ran("BeforeInstall")),
    source="https://github.com/aws/aws-codedeploy-agent/blob/0764f305dd4ff257075e26d06218d0f54a9f9de8/src/lifecycle_event/executor.rs",
)
