"""Docker in builds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.rules import _buildspecs, _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _buildspecs
    import _rule
    import _values


_CONTAINERS = {"LINUX_CONTAINER", "LINUX_GPU_CONTAINER", "ARM_CONTAINER"}


class DockerInBuild(_rule.Rule):
    id = "E9022"
    shortdesc = "A build that runs Docker is privileged, on a computer that can be"
    description = (
        "Without PrivilegedMode the Docker daemon does not run, and each build fails at its first docker command; CodeBuild says so only "
        "then. Lambda computers cannot run it at all."
    )
    source_url = "https://docs.aws.amazon.com/codebuild/latest/APIReference/API_ProjectEnvironment.html"
    next_step = "set PrivilegedMode: true on a container type, or run Docker elsewhere"
    tags = ("resources", "codebuild")
    resource_types = ("AWS::CodeBuild::Project",)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        for environment in _values.objects(cfn, resource, "Environment"):
            for kind in _values.literals(cfn, environment, "Type"):
                for mode in _values.literals(cfn, environment, "PrivilegedMode"):
                    if mode.value == "true" and "LAMBDA" in kind.value and _values.together(cfn, kind.conditions, mode.conditions):
                        yield mode.path, f"{kind.value} cannot be privileged; use a container type"
            kinds = {kind.value for kind in _values.literals(cfn, environment, "Type")}
            # On machines of a fleet Docker runs without; a Docker server of its own runs it elsewhere.
            if not kinds or not kinds <= _CONTAINERS or "DockerServer" in environment.value:
                continue
            modes = list(_values.members(cfn, environment, "PrivilegedMode"))
            if all(_values.texts(cfn, mode.value) == ["false"] for mode in modes):
                for spec in _values.at(cfn, resource, "Source", "BuildSpec"):
                    if command := _buildspecs.docker(cfn, spec.value):
                        where = modes[0].path if modes else environment.path
                        yield where, f"the buildspec runs {command!r}, and the environment is not privileged; set PrivilegedMode to true"
