"""Images of builds."""

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


_ROOT = "aws/codebuild/"


class BuildImage(_rule.Rule):
    id = "E9020"
    shortdesc = "A build's image exists, and is for the processor that it runs on"
    description = (
        "CodeBuild takes any name for an image; one of its own that there is not, or one for another processor, fails every build. Its own "
        "images are pulled with its own credentials."
    )
    source_url = "https://docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-available.html"
    tags = ("resources", "codebuild")
    resource_types = ("AWS::CodeBuild::Project",)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        for environment in _values.objects(cfn, resource, "Environment"):
            kinds = list(_values.literals(cfn, environment, "Type"))
            for image in _values.literals(cfn, environment, "Image"):
                if not image.value.startswith(_ROOT):
                    continue
                name, _, tag = image.value[len(_ROOT) :].partition(":")
                if problem := self._problem(name, tag):
                    yield image.path, f"there is no image {image.value}; {problem}"
                    continue
                fits = _rule.table("codebuild")["images"][name]["types"]
                for kind in kinds:
                    # With a fleet, the environment is the fleet's.
                    if kind.value not in fits and "Fleet" not in environment.value and _values.together(cfn, kind.conditions, image.conditions):
                        yield image.path, f"{name} is an image for {' and '.join(fits)}, and the environment's Type is {kind.value}"
                for credentials in _values.literals(cfn, environment, "ImagePullCredentialsType"):
                    if credentials.value == "SERVICE_ROLE":
                        yield credentials.path, f"CodeBuild pulls its own images, as {image.value}, with credentials CODEBUILD alone"

    def _problem(self, name: str, tag: str) -> str:
        table = _rule.table("codebuild")
        if name not in table["images"]:
            if name in table["gone"]:
                return f"{name} is of the images of before 2019; use aws/codebuild/{table['gone'][name]}"
            return _rule.meant(name, table["images"])
        tags: list[str] = table["images"][name]["tags"]
        if not tag:
            return f"write its tag: {', '.join(tags)}"
        # A patch level may follow: 7.0-24.10.29
        if tag in tags or any(tag.startswith(f"{known}-") for known in tags):
            return ""
        newest = max((_number(known) for known in tags), default=(0, 0))
        major, minor = _number(tag)
        if newest < (major, minor) and major <= newest[0] + 2 and minor == 0:
            return ""  # May be newer than the table.
        if newest == (0, 0) or tag.startswith(("nodejs", "python", "go", "dotnet", "corretto", "ruby", "2022-", "2025-")):
            return "" if any(tag.startswith(re.match(r"[a-z]*", known)[0] or "?") for known in tags) else _rule.meant(tag, tags)  # type: ignore[index]
        return _rule.meant(tag, tags)


def _number(tag: str) -> tuple[int, int]:
    """5.0 as (5, 0); what is no such number as (0, 0)."""
    found = re.fullmatch(r"(\d+)(?:\.(\d+))?", tag)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)
