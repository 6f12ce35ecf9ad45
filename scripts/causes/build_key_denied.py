"""The build's role may not use the key of its artifacts or parameters."""

from __future__ import annotations

import re

from scripts.diagnosis.build_signs import COMMAND_PHASES, TROUBLESHOOTING, match, sign
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Match

_KEY = re.compile(r"not authorized to perform:? (kms:[A-Za-z*]+)(?: on resource:? (\S+))?|The ciphertext refers to a customer master key that does not exist|"
                  r"KMS\.(?:AccessDenied|Disabled|NotFound)Exception")


def check(case: Case) -> Match | None:
    """KMS's refusal, or what S3 makes of it."""
    found = sign(case, _KEY, ("DOWNLOAD_SOURCE", *COMMAND_PHASES, "UPLOAD_ARTIFACTS"))
    if found is None:
        return None
    action, key = found.groups[0] or "kms:Decrypt, kms:GenerateDataKey", found.groups[1] or found.build.key
    return match(found, f"The build role may not use an encryption key: {found.groups[0] or 'KMS'} is denied", (
        f"Allow {action} on {key or 'the key'} for {found.build.role or 'the build role'}, in the role and in the key's policy; the release store has both: "
        "make deploy ENV=pipeline",
        f"aws kms get-key-policy --region {found.build.region} --policy-name default --key-id {key or '<key>'}"))


CAUSE = Cause(
    id="build-key-denied",
    area="build",
    title="The build role may not use an encryption key",
    document=TROUBLESHOOTING,
    check=check,
    rank=8,
    source="https://github.com/aws-solutions-library-samples/guidance-for-claude-code-with-amazon-bedrock/issues/355",
)
