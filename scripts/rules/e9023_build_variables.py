"""Environment variables of builds."""

from __future__ import annotations

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


class BuildVariables(_rule.Rule):
    id = "E9023"
    shortdesc = "Environment variables of a build have a type that there is, and a name once"
    description = (
        "CodeBuild refuses types other than PLAINTEXT, PARAMETER_STORE and SECRETS_MANAGER; of a name that is there twice, "
        "one value is lost; names that begin with CODEBUILD_ are its own."
    )
    source_url = "https://docs.aws.amazon.com/codebuild/latest/APIReference/API_EnvironmentVariable.html"
    next_step = "write a type that there is, and each name once, none beginning with CODEBUILD_"
    tags = ("resources", "codebuild")
    resource_types = ("AWS::CodeBuild::Project",)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        types = _rule.table("codebuild")["variable_types"]
        for environment in _values.objects(cfn, resource, "Environment"):
            seen: list[_values.Branch] = []
            listed = environment.value.get("EnvironmentVariables")
            for entry in _values.entries(cfn, listed, (*environment.path, "EnvironmentVariables"), environment.conditions):
                for kind in _values.literals(cfn, entry, "Type"):
                    if kind.value not in types:
                        yield kind.path, f"there is no type {kind.value}; {_rule.meant(kind.value, types)}"
                for name in _values.literals(cfn, entry, "Name"):
                    if name.value.startswith("CODEBUILD_"):
                        yield name.path, f"{name.value}: names that begin with CODEBUILD_ are CodeBuild's own; take another"
                    if any(other.value == name.value and _values.together(cfn, other.conditions, name.conditions) for other in seen):
                        yield name.path, f"there is a variable {name.value} already; the build gets one of the two"
                    seen.append(name)
