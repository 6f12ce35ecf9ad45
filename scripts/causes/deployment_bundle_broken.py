"""The bundle is not the archive that it should be."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import Failure, again, alike, first
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "bundle-broken")
    if found is None:
        return None
    return Match("certain", found.where, (*found.evidence, *_seen(found), alike(case, found)), (
        f"Look at it: aws s3 cp {found.deployment.revision or '<bundle>'} bundle.zip && unzip -l bundle.zip",
        f"If somebody replaced it, build it again: {again(case)}",
    ), found.at, "The bundle cannot be unpacked, or is not the one that was deployed")


def _seen(found: Failure) -> tuple[str, ...]:
    """What the bundle itself shows."""
    bundle = found.deployment.bundle
    if bundle is None or bundle.note:
        return (f"{bundle.location}: {bundle.note}",) if bundle else ()
    return (f"{bundle.location} has {bundle.size} bytes and {len(bundle.files)} files",)


CAUSE = Cause(
    id="deployment-bundle-broken",
    area="deployment",
    title="The bundle cannot be unpacked",
    document=Document("Troubleshooting a failed DownloadBundle deployment lifecycle event with UnknownError: not opened for reading",
                      "https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-deployments.html#troubleshooting-deployments-downloadbundle"),
    check=check,
    source="https://github.com/aws/aws-codedeploy-agent/blob/266ed64cbc9cae6b0085a2c8234a5230fe9af209/src/host_command/bundle_unpacker.rs",
)
