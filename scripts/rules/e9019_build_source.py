"""Where a build's source comes from and its artifacts go."""

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


class BuildSource(_rule.Rule):
    id = "E9019"
    shortdesc = "A build of a pipeline takes its source from it and gives its artifacts to it"
    description = (
        "CodeBuild refuses a CODEPIPELINE source with other artifacts, and the reverse, and types that there are not. Without a source the "
        "buildspec must stand in the project."
    )
    source_url = "https://docs.aws.amazon.com/codebuild/latest/APIReference/API_ProjectArtifacts.html"
    next_step = "write Type: CODEPIPELINE for both Source and Artifacts"
    tags = ("resources", "codebuild")
    resource_types = ("AWS::CodeBuild::Project",)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        table = _rule.table("codebuild")
        sources = list(_values.literals(cfn, resource, "Source", "Type"))
        artifacts = list(_values.literals(cfn, resource, "Artifacts", "Type"))
        for listed, known in ((sources, table["source_types"]), (artifacts, table["artifact_types"])):
            for found in listed:
                if found.value not in known:
                    yield found.path, f"there is no type {found.value}; {_rule.meant(found.value, known)}"
        for source in sources:
            for artifact in artifacts:
                if (
                    "CODEPIPELINE" in (source.value, artifact.value)
                    and source.value != artifact.value
                    and _values.together(cfn, source.conditions, artifact.conditions)
                ):
                    yield artifact.path, f"the source is {source.value} and the artifacts are {artifact.value}: CODEPIPELINE goes with CODEPIPELINE alone"
            if source.value == "NO_SOURCE":
                yield from self._inline(cfn, resource)

    def _inline(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        for source in _values.objects(cfn, resource, "Source"):
            if isinstance(source.value, dict) and "BuildSpec" not in source.value:
                yield source.path, "without a source there is no buildspec.yml; write the BuildSpec here"
            for spec in _values.literals(cfn, source, "BuildSpec"):
                if "\n" not in spec.value and ":" not in spec.value:
                    yield spec.path, f"without a source there is no file {spec.value}; write the buildspec itself here"
