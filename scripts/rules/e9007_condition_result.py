"""Results of a stage's conditions."""

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


class ConditionResult(_rule.Rule):
    id = "E9007"
    shortdesc = "A stage's condition ends in a result of its kind"
    description = (
        "Entry conditions fail or skip the stage, those on success fail it or roll it back, those on failure roll it back. Nothing of the "
        "first stage can be rolled back, and only a retry has a RetryConfiguration."
    )
    source_url = "https://docs.aws.amazon.com/codepipeline/latest/userguide/stage-conditions.html"
    next_step = "write a Result that this kind of condition takes"
    tags = ("resources", "codepipeline")
    resource_types = (_pipelines.TYPE,)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        results = _rule.table("rule_providers")["results"]
        for index, stage in _pipelines.stages(cfn, resource):
            name = stage.value.get("Name", "?")
            for kind, allowed in results.items():
                for holder in _values.members(cfn, stage, kind):
                    if not isinstance(holder.value, dict):
                        continue
                    found = [
                        result
                        for entry in _values.entries(cfn, holder.value.get("Conditions"), (*holder.path, "Conditions"), holder.conditions)
                        for result in _values.literals(cfn, entry, "Result")
                    ]
                    for result in found:
                        if result.value not in allowed:
                            yield result.path, f"stage {name}: {kind} knows no result {result.value}; use {' or '.join(allowed)}"
                    direct = list(_values.literals(cfn, holder, "Result")) if kind == "OnFailure" else []
                    for result in (*found, *direct):
                        if result.value == "ROLLBACK" and index == 0:
                            yield result.path, f"stage {name}: the first stage cannot be rolled back; its sources have no earlier state"
                    if direct and "RetryConfiguration" in holder.value and all(result.value != "RETRY" for result in direct):
                        yield (*holder.path, "RetryConfiguration"), f"stage {name}: a RetryConfiguration goes with Result RETRY, not {direct[0].value}"
