"""The source could not be fetched."""

from __future__ import annotations

import re

from scripts.diagnosis.build_signs import TROUBLESHOOTING, cleared, match, sign
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match

_ANY = re.compile("")


def check(case: Case) -> Match | None:
    """DOWNLOAD_SOURCE failed for another reason than the buildspec or its variables."""
    found = sign(case, _ANY, ("DOWNLOAD_SOURCE",))
    if found is None or found.phase.code in ("YAML_FILE_ERROR", "Decrypted Variables Error"):
        return None
    return match(found, f"The build could not get its source: {found.phase.message[:120]}", (
        f"Check that {found.build.role or 'the build role'} may read the artifact bucket and use its key, "
        "and that the source action's artifact is still there.",
        "Then retry the stage, or push again: the source action puts its artifact anew."))


CAUSE = Cause(
    id="build-source-not-downloaded",
    area="build",
    title="The build could not get its source",
    document=TROUBLESHOOTING,
    check=check,
    rank=20,
    clears=lambda case: cleared(case, ("DOWNLOAD_SOURCE",), "the source was downloaded"),
    source="https://github.com/awslabs/aws-refarch-cross-account-pipeline/issues/5",
)
