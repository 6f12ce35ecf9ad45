"""Computers of builds."""

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


class BuildCompute(_rule.Rule):
    id = "E9021"
    shortdesc = "A build's environment type and compute type exist and go together"
    description = "CodeBuild refuses a type that there is not and a size that a type has not, when the project is made; cfn-lint takes any."
    source_url = "https://docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-compute-types.html"
    tags = ("resources", "codebuild")
    resource_types = ("AWS::CodeBuild::Project",)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        table = _rule.table("codebuild")
        for environment in _values.objects(cfn, resource, "Environment"):
            kinds = list(_values.literals(cfn, environment, "Type"))
            sizes = list(_values.literals(cfn, environment, "ComputeType"))
            for listed, known in ((kinds, table["environment_types"]), (sizes, table["compute_types"])):
                for found in listed:
                    if found.value not in known:
                        yield found.path, f"there is no {found.path[-1]} {found.value}; {_rule.meant(found.value, known)}"
            if "Fleet" in environment.value:
                continue
            for kind in kinds:
                fits = table["compute"].get(kind.value)
                for size in sizes:
                    if fits and size.value in table["compute_types"] and size.value not in fits and _values.together(cfn, kind.conditions, size.conditions):
                        yield size.path, f"{kind.value} has no {size.value}; use one of {', '.join(fits)}"
        for cache in _values.objects(cfn, resource, "Cache"):
            for kind in _values.literals(cfn, cache, "Type"):
                if kind.value not in table["cache_types"]:
                    yield kind.path, f"there is no cache {kind.value}; {_rule.meant(kind.value, table['cache_types'])}"
            for mode in _values.entries(cfn, cache.value.get("Modes"), (*cache.path, "Modes"), cache.conditions):
                for text in _values.texts(cfn, mode.value):
                    if text not in table["cache_modes"]:
                        yield mode.path, f"there is no cache mode {text}; {_rule.meant(text, table['cache_modes'])}"
