"""Keys of an action's Configuration."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.rules import _configurations, _pipelines, _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _configurations
    import _pipelines
    import _rule
    import _values


class ActionConfigurationKeys(_rule.Rule):
    id = "E9002"
    shortdesc = "An action's Configuration has the keys that its provider asks for, and no other"
    description = (
        "CodePipeline refuses a Configuration with a key that the provider does not know or without one that it needs, when the pipeline is "
        "made; cfn-lint takes any."
    )
    source_url = "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference.html"
    next_step = "write the keys of the provider's page, spelt as there, and remove the others"
    tags = ("resources", "codepipeline")
    resource_types = (_pipelines.TYPE,)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        for action, kind, entry in _pipelines.provided(cfn, resource):
            for found in _pipelines.configurations(cfn, action.declared):
                if _values.together(cfn, found.conditions, kind.where.conditions):
                    for path, problem in _configurations.keys(cfn, entry, found, "action_providers"):
                        yield path, type(problem)(f"action {action.name}: {problem}")
            # What its Configuration would be elsewhere, this provider has beside it.
            if kind.provider == "Commands" and "Commands" not in action.declared.value:
                yield action.declared.path, f"action {action.name}: Commands needs a list of Commands, beside its ActionTypeId"
