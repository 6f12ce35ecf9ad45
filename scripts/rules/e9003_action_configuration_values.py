"""Values of an action's Configuration."""

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


class ActionConfigurationValues(_rule.Rule):
    id = "E9003"
    shortdesc = "Values of an action's Configuration are some that its provider takes"
    description = (
        "A value that is none of the provider's is refused when the pipeline is made or, worse, when the action runs; one that is empty or "
        "too long is refused by CodePipeline."
    )
    source_url = "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference.html"
    next_step = "write a value that the provider's page lists for this key"
    tags = ("resources", "codepipeline")
    resource_types = (_pipelines.TYPE,)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        for action, _, entry in _pipelines.provided(cfn, resource):
            for found in _pipelines.configurations(cfn, action.declared):
                # ActionConfigurationValue of CodePipeline's API: 1 to 1000.
                for path, problem in _configurations.values(cfn, entry, found, longest=1000):
                    yield path, f"action {action.name}: {problem}"
