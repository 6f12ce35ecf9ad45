"""The build could not log in to the image registry."""

from __future__ import annotations

import re

from scripts.diagnosis.build_signs import NOT_AUTHORIZED, match, output, sign
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_LOGIN = re.compile(r"GetAuthorizationToken|no basic auth credentials|authorization token has expired|^FAILED: (?:no ECR password in|cannot log in to ECR in)|"
                    r"incorrect username or password", re.IGNORECASE)


def check(case: Case) -> Match | None:
    """No password from ECR, or a registry that does not know who asks."""
    found = sign(case, _LOGIN)
    if found is None:
        return None
    denied = next((one for line in output(found.build) if (one := NOT_AUTHORIZED.search(line))), None)
    if denied is None:
        return match(found, "", (
            "A login lasts twelve hours and is for one registry: log in to the very host that the image's name begins with.",
            f"aws ecr get-login-password --region {found.build.region}"))
    return match(found, f"The build could not log in to the registry: {denied.group(1)} is denied", (
        f"Allow {denied.group(1)} on * for {found.build.role or 'the build role'} (templates/pipeline/build.yaml), then: make deploy ENV=pipeline",))


CAUSE = Cause(
    id="build-registry-login-denied",
    area="build",
    title="The build could not log in to the image registry",
    document=Document("Private registry authentication in Amazon ECR", "https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html"),
    check=check,
    source="https://github.com/aws/aws-cli/issues/3042",
)
