"""Paths of buildspecs."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.rules import _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _rule
    import _values


class BuildspecPath(_rule.Rule):
    id = "E9024"
    shortdesc = "A buildspec's path is relative to the source"
    description = (
        "CodeBuild looks for the buildspec below the source's root. An absolute path, a URL or one with backslashes is no file there, and "
        "every build fails before its first command."
    )
    source_url = "https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html"
    next_step = "write the path from the root of the source, with /"
    tags = ("resources", "codebuild")
    resource_types = ("AWS::CodeBuild::Project",)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        for spec in _values.literals(cfn, resource, "Source", "BuildSpec"):
            text = spec.value
            # A mapping or several lines are a buildspec themselves; an S3 object is named by its ARN.
            if "\n" in text or text.startswith(("arn:", "{")) or re.match(r"version\s*:", text):
                continue
            if text.startswith("/") or re.match(r"[A-Za-z]:\\", text):
                yield spec.path, f"{text} is an absolute path; write it from the root of the source: {text.lstrip('/')}"
            elif text.startswith(("s3://", "http://", "https://")):
                yield spec.path, f"{text} is a URL; CodeBuild takes a path in the source, or the ARN of an S3 object"
            elif "\\" in text:
                yield spec.path, f"{text} has backslashes; write {text.replace(chr(92), '/')}"
            elif text.startswith("../"):
                yield spec.path, f"{text} lies outside the source; put the buildspec into it"
