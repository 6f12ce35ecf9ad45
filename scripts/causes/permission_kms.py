"""A role of the pipeline may not use the key of the artifacts."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """A refusal that names a kms action, or KMS."""
    one = signs.refused(case, "kms")
    if one is None:
        return None
    fix = [f"Allow {one.needs or 'kms:Decrypt and kms:GenerateDataKey*'} on {one.resource or 'the key of the artifact bucket'} to {one.who or 'the role'}: "
           "in its policy, and in the key's (both, where they are of different accounts). The stacks do so: make deploy ENV=release-store needs no change, "
           "but ReaderAccountIds must name the role's account"]
    return Match("certain", one.where, (one.words,), (*fix, *([signs.again(case, one.action)] if one.action else [])), one.at,
                 f"{one.who or 'A role'} may not use the artifacts' key" + (f": {one.needs}" if one.needs else ""))


CAUSE = Cause(
    id="permission-kms",
    area="pipeline",
    title="A role may not use the artifacts' key",
    document=Document("Configure server-side encryption for artifacts", "https://docs.aws.amazon.com/codepipeline/latest/userguide/S3-artifact-encryption.html"),
    check=check,
    rank=8,
    source="https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html",
)
