"""What only pipelines of type V2 have."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.rules import _pipelines, _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _pipelines
    import _rule
    import _values


class PipelineType(_rule.Rule):
    id = "E9011"
    shortdesc = "A pipeline of type V1 has nothing that only type V2 knows"
    description = (
        "Triggers, variables, stage conditions, execution modes other than SUPERSEDED and the managed-compute actions are of type V2; with "
        "PipelineType V1 they are refused."
    )
    source_url = "https://docs.aws.amazon.com/codepipeline/latest/userguide/pipeline-types-planning.html"
    next_step = "write PipelineType: V2, or leave out what only V2 knows"
    tags = ("resources", "codepipeline")
    resource_types = (_pipelines.TYPE,)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        if not any(kind.value == "V1" for kind in _values.literals(cfn, resource, "PipelineType")):
            return
        for key in ("Triggers", "Variables"):
            if any(True for _ in _values.members(cfn, resource, key)):
                yield (*resource.path, key), f"{key} are of PipelineType V2; say V2, or remove them"
        for mode in _values.literals(cfn, resource, "ExecutionMode"):
            if mode.value != "SUPERSEDED":
                yield mode.path, f"ExecutionMode {mode.value} is of PipelineType V2; say V2"
        for _, stage in _pipelines.stages(cfn, resource):
            for key in ("BeforeEntry", "OnSuccess", "OnFailure"):
                if key in stage.value:
                    yield (*stage.path, key), f"{key} of stage {stage.value.get('Name', '?')} is of PipelineType V2; say V2"
        for action in _pipelines.actions(cfn, resource):
            for kind in _pipelines.kinds(cfn, action.declared):
                entry = _pipelines.provider(kind)
                if entry and "V1" not in entry["pipeline_types"]:
                    yield kind.where.path, f"action {action.name}: {kind.provider} is for PipelineType V2; say V2"
