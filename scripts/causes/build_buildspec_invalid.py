"""The buildspec is not there, or cannot be read."""

from __future__ import annotations

from scripts.diagnosis.build_signs import cleared, coded, match
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """CodeBuild's own status code."""
    found = coded(case, "YAML_FILE_ERROR")
    if found is None:
        return None
    spec = found.build.buildspec or "the buildspec"
    if "no such file or directory" in found.line or "does not exist" in found.line:
        return match(found, f"{spec} is not in the source", (
            f"git ls-files {spec}: add it to the repository, or mend the project's path to it (templates/pipeline), and push again.",))
    return match(found, f"{spec} cannot be used: {found.line[:120]}", (f"Mend {spec} where the message says, and push again.",))


CAUSE = Cause(
    id="build-buildspec-invalid",
    area="build",
    title="The buildspec cannot be used",
    document=Document("Build specification reference", "https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html"),
    check=check,
    clears=lambda case: cleared(case, ("DOWNLOAD_SOURCE",), "the buildspec was read: the build went past DOWNLOAD_SOURCE"),
    source="https://github.com/aws-samples/mlops-e2e/issues/68",
)
