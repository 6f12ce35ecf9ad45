"""Artifacts that are used before they are made."""

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


class ArtifactOrder(_rule.Rule):
    id = "E9005"
    shortdesc = "An artifact is made before it is used, whatever the parameters say"
    description = (
        "cfn-lint's E3701 asks that an artifact is made by an action above. CodePipeline asks that this action has ended: it stands in an "
        "earlier stage, or in the same with a lower RunOrder. And it must be there whenever the one that uses it is."
    )
    source_url = "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-requirements.html"
    next_step = "make the artifact in an earlier stage, or with a lower RunOrder, under the same condition"
    tags = ("resources", "codepipeline")
    resource_types = (_pipelines.TYPE,)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        actions = list(_pipelines.actions(cfn, resource))
        makers = [(index, action, made) for index, action in enumerate(actions) for made in _pipelines.names(cfn, action, "OutputArtifacts")]
        for place, action in enumerate(actions):
            for used in _pipelines.names(cfn, action, "InputArtifacts"):
                known = [(index, maker, made) for index, maker, made in makers if made.value == used.value and index != place]
                # What no action above makes is E3701's.
                if not any(index < place and _values.together(cfn, made.conditions, used.conditions) for index, _, made in known):
                    continue
                offers = [{**way, **made.conditions} for _, maker, made in known for way in _pipelines.precedes(cfn, maker, action)]
                missing = _values.uncovered(cfn, used.conditions, offers)
                if missing is None:
                    continue
                extra = _pipelines.under({name: holds for name, holds in missing.items() if name not in used.conditions})
                beside = [maker for _, maker, made in known if _values.together(cfn, made.conditions, missing) and maker.stage == action.stage]
                if beside:
                    yield used.path, f"action {action.name} uses {used.value} before {beside[0].name} has made it{extra}; give it a higher RunOrder"
                else:
                    yield used.path, f"action {action.name} uses {used.value}, which no action makes{extra}"
