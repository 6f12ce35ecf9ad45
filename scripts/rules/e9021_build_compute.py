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


_TYPE = r"[A-Z0-9]+(_[A-Z0-9]+)*_(CONTAINER|EC2)|MAC_[A-Z0-9]+"
_SIZE = r"BUILD_[A-Z]+\d*_(SMALL|MEDIUM|LARGE|\d*XLARGE|\d+GB)"


class BuildCompute(_rule.Rule):
    id = "E9021"
    shortdesc = "A build's environment type and compute type exist and go together"
    description = "CodeBuild refuses a type that there is not and a size that a type has not, when the project is made; cfn-lint takes any."
    source_url = "https://docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-compute-types.html"
    next_step = "write a Type and a ComputeType that stand together in CodeBuild's table"
    tags = ("resources", "codebuild")
    resource_types = ("AWS::CodeBuild::Project",)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        table = _rule.table("codebuild")
        for environment in _values.objects(cfn, resource, "Environment"):
            kinds = list(_values.literals(cfn, environment, "Type"))
            sizes = list(_values.literals(cfn, environment, "ComputeType"))
            for listed, known, shape in ((kinds, table["environment_types"], _TYPE), (sizes, table["compute_types"], _SIZE)):
                for found in listed:
                    if found.value not in known:
                        yield found.path, _rule.unknown(found.value, known, "codebuild", f"there is no {found.path[-1]} {found.value}", shape)
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
                    yield kind.path, _rule.unknown(kind.value, table["cache_types"], "codebuild", f"there is no cache {kind.value}", r"[A-Z0-9_]+")
            for mode in _values.entries(cfn, cache.value.get("Modes"), (*cache.path, "Modes"), cache.conditions):
                for text in _values.texts(cfn, mode.value):
                    if text not in table["cache_modes"]:
                        yield mode.path, _rule.unknown(text, table["cache_modes"], "codebuild", f"there is no cache mode {text}", r"LOCAL_[A-Z0-9_]+")
