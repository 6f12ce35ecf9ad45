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
    next_step = "name a current image of CodeBuild's for this processor"
    tags = ("resources", "codebuild")
    resource_types = ("AWS::CodeBuild::Project",)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        for environment in _values.objects(cfn, resource, "Environment"):
            kinds = list(_values.literals(cfn, environment, "Type"))
            for image in _values.literals(cfn, environment, "Image"):
                if not image.value.startswith(_ROOT):
                    continue
                name, _, tag = image.value[len(_ROOT) :].partition(":")
                if problem := self._problem(image.value, name, tag):
                    yield image.path, problem
                if name not in _rule.table("codebuild")["images"]:
                    continue
                fits = _rule.table("codebuild")["images"][name]["types"]
                for kind in kinds:
                    # With a fleet, the environment is the fleet's.
                    if kind.value not in fits and "Fleet" not in environment.value and _values.together(cfn, kind.conditions, image.conditions):
                        yield image.path, f"{name} is an image for {' and '.join(fits)}, and the environment's Type is {kind.value}"
                for credentials in _values.literals(cfn, environment, "ImagePullCredentialsType"):
                    if credentials.value == "SERVICE_ROLE":
                        yield credentials.path, f"CodeBuild pulls its own images, as {image.value}, with credentials CODEBUILD alone"

    def _problem(self, image: str, name: str, tag: str) -> str:
        table = _rule.table("codebuild")
        said = f"there is no image {image}"
        if name not in table["images"]:
            if name in table["gone"]:
                return f"{said}; {name} is of the images of before 2019; use aws/codebuild/{table['gone'][name]}"
            return _rule.unknown(name, table["images"], "codebuild", said, r"[a-z0-9_./-]+", image)
        tags: list[str] = table["images"][name]["tags"]
        if not tag:
            return f"{said}; write its tag: {', '.join(tags)}"
        # A patch level may follow: 7.0-24.10.29, 1.0-1.16.0
        plain = re.sub(r"(?<=\d)-\d+\.\d+\.\d+$", "", tag)
        if plain in tags:
            return ""
        # The images' own versions are whole, and follow each other.
        whole = re.fullmatch(r"(\d+)\.(\d+)", plain)
        newest = max((int(known[:-2]) for known in tags if re.fullmatch(r"\d+\.0", known)), default=0)
        if whole and newest and (whole[2] != "0" or int(whole[1]) > newest + 2):
            return f"{said}; {_rule.meant(plain, tags)}"
        return _rule.unknown(plain, tags, "codebuild", said, whole=image)
