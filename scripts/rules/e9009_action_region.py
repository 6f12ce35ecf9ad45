"""Regions of actions and of artifact stores."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfnlint.helpers import REGIONS

if TYPE_CHECKING:
    from scripts.rules import _pipelines, _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _pipelines
    import _rule
    import _values


class ActionRegion(_rule.Rule):
    id = "E9009"
    shortdesc = "Each Region that an action runs in has an artifact store"
    description = "CodePipeline refuses a pipeline with an action in a Region for which ArtifactStores has no entry, and one with two entries for a Region."
    source_url = "https://docs.aws.amazon.com/codepipeline/latest/userguide/actions-create-cross-region.html"
    next_step = "add an entry with that Region to ArtifactStores, or correct the action's Region"
    tags = ("resources", "codepipeline")
    resource_types = (_pipelines.TYPE,)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        regions = [
            (action, region)
            for action in _pipelines.actions(cfn, resource)
            for region in _values.members(cfn, action.declared, "Region")
            if isinstance(region.value, str)
        ]
        for action, region in regions:
            if region.value not in REGIONS:
                yield region.path, f"action {action.name}: there is no Region {region.value}; {_rule.meant(region.value, REGIONS)}"
        named = [(action, region) for action, region in regions if region.value in REGIONS]
        stores = list(_values.entries(cfn, resource.value.get("ArtifactStores"), (*resource.path, "ArtifactStores"), resource.conditions))
        if stores:
            yield from self._among(cfn, stores, named)
        elif "ArtifactStore" in resource.value and len({region.value for _, region in named}) > 1:
            # One store is for the pipeline's own Region: all but one of these are others.
            several = sorted({region.value for _, region in named})
            yield (*resource.path, "ArtifactStore"), f"actions run in {' and '.join(several)}; one ArtifactStore is for one Region: write ArtifactStores"

    def _among(self, cfn: Any, stores: list[_values.Branch], named: list[tuple[_pipelines.Action, _values.Branch]]) -> Iterator[tuple[_values.Path, str]]:
        kept: list[_values.Branch] = []
        unknown = 0
        for store in stores:
            for region in _values.members(cfn, store, "Region"):
                if not isinstance(region.value, str):
                    unknown += 1
                    continue
                if any(other.value == region.value and _values.together(cfn, other.conditions, region.conditions) for other in kept):
                    yield region.path, f"there is a store for {region.value} already; a Region has one"
                kept.append(region)
        # Each store whose Region only a deployment knows may be for one of those that are named.
        missing = sorted({region.value for _, region in named} - {region.value for region in kept})
        if len(missing) > unknown:
            for action, region in named:
                if region.value in missing:
                    yield region.path, f"action {action.name} runs in {region.value}, where ArtifactStores has no store; add one, with a bucket of that Region"
