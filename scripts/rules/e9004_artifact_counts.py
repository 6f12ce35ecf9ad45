"""Numbers of an action's artifacts."""

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


class ArtifactCounts(_rule.Rule):
    id = "E9004"
    shortdesc = "An action has as many artifacts as its provider takes, and says which is the primary one"
    description = (
        "CodePipeline refuses an action with more or fewer artifacts than its provider takes. cfn-lint's E3702 knows the older providers; "
        "this, the others, and PrimarySource of CodeBuild."
    )
    source_url = "https://docs.aws.amazon.com/codepipeline/latest/userguide/reference-action-artifacts.html"
    next_step = "add or remove artifacts until the provider's count is met; with several inputs, name the PrimarySource"
    tags = ("resources", "codepipeline")
    resource_types = (_pipelines.TYPE,)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        for action in _pipelines.actions(cfn, resource):
            for kind in _pipelines.kinds(cfn, action.declared):
                entry = _pipelines.provider(kind)
                for key, bounds in (("InputArtifacts", "inputs"), ("OutputArtifacts", "outputs")):
                    if entry and bounds in entry:
                        yield from self._count(cfn, action, key, entry)
                if kind.provider == "CodeBuild":
                    yield from self._primary(cfn, action)

    def _count(self, cfn: Any, action: _pipelines.Action, key: str, entry: dict[str, Any]) -> Iterator[tuple[_values.Path, str]]:
        least, most = entry["inputs" if key == "InputArtifacts" else "outputs"]
        where, listed = (*action.declared.path, key), action.declared.value.get(key, [])
        if not isinstance(listed, list):
            return
        # Those that are there in every case, and those that may be.
        sure = sum(1 for one in listed if not isinstance(one, dict) or "Fn::If" not in one)
        said = f"{most}" if least == most else f"{least} to {most}"
        if sure > most or (len(listed) < least):
            number = sure if sure > most else len(listed)
            yield (where if listed else action.declared.path), f"action {action.name}: {entry['provider']} takes {said} {key}, here {number}"

    def _primary(self, cfn: Any, action: _pipelines.Action) -> Iterator[tuple[_values.Path, str]]:
        inputs = action.declared.value.get("InputArtifacts", [])
        if not isinstance(inputs, list):
            return
        plain = [entry for entry in inputs if isinstance(entry, dict) and "Fn::If" not in entry]
        names = {name.value for name in _pipelines.names(cfn, action, "InputArtifacts")}
        for found in _pipelines.configurations(cfn, action.declared):
            if len(plain) > 1 and "PrimarySource" not in found.value:
                yield (
                    found.path,
                    f"action {action.name}: CodeBuild needs PrimarySource where there are {len(plain)} InputArtifacts; name the one with the buildspec",
                )
            for primary in _values.literals(cfn, found, "PrimarySource"):
                if len(names) == len(inputs) and primary.value not in names:
                    yield (
                        primary.path,
                        f"action {action.name}: PrimarySource {primary.value} is none of its InputArtifacts; {_rule.meant(primary.value, names)}",
                    )
