"""The repository that the image is pushed to is not there."""

from __future__ import annotations

import re

from scripts.diagnosis.build_signs import match, sign
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_UNKNOWN = re.compile(r"[Rr]epository with name '([^']+)' does not exist in the registry")


def check(case: Case) -> Match | None:
    """ECR's words, to a push, a pull or a question."""
    found = sign(case, _UNKNOWN)
    if found is None:
        return None
    name, region = found.groups[0], found.build.region
    return match(found, f"The image repository {name} does not exist", (
        f"aws ecr describe-repositories --region {region} --repository-names {name}",
        "The release store has it, in each Region: make deploy ENV=gamma makes it; ImageRepositories of the pipeline names it: make deploy ENV=pipeline"))


CAUSE = Cause(
    id="build-repository-missing",
    area="build",
    title="The image repository does not exist",
    document=Document("Troubleshooting Amazon ECR error messages", "https://docs.aws.amazon.com/AmazonECR/latest/userguide/common-errors.html"),
    check=check,
    rank=9,
    source="https://github.com/actions/starter-workflows/issues/2647",
)
