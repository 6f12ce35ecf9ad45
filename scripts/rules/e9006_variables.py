"""Variables that actions put out and take in."""

from __future__ import annotations

import re
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


_REFERENCE = re.compile(r"#\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z0-9@_-]{1,100}")
_RESERVED = {"codepipeline": {"PipelineExecutionId"}}


class Variables(_rule.Rule):
    id = "E9006"
    shortdesc = "A variable comes from an action that has ended, by a name that it puts out"
    description = (
        "A #{namespace.name} that no earlier action declares is refused, or fails the action when it runs. Namespaces are unique, and none "
        "is named like an artifact."
    )
    source_url = "https://docs.aws.amazon.com/codepipeline/latest/userguide/reference-variables.html"
    next_step = "name a Namespace of an earlier action and a variable that it puts out"
    tags = ("resources", "codepipeline")
    resource_types = (_pipelines.TYPE,)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        actions = list(_pipelines.actions(cfn, resource))
        spaces = [(action, space) for action in actions for space in _values.at(cfn, action.declared, "Namespace")]
        declared = [(action, space) for action, space in spaces if isinstance(space.value, str)]
        yield from self._namespaces(cfn, actions, declared)
        # One that only a deployment knows may be any.
        whole = len(declared) == len(spaces)
        own = self._own(cfn, resource)
        for action in actions:
            for found in _values.members(cfn, action.declared, "Configuration"):
                for text in _strings(cfn, found):
                    for said in _REFERENCE.findall(text.value):
                        if problem := self._problem(cfn, action, text, said, declared, whole, own):
                            yield text.path, f"action {action.name}: #{{{said}}} {problem}"

    def _own(self, cfn: Any, resource: _values.Branch) -> set[str] | None:
        """Names of the pipeline's own variables, or None where not all are known."""
        entries = list(_values.entries(cfn, resource.value.get("Variables", []), (*resource.path, "Variables"), resource.conditions))
        names = {name.value for entry in entries for name in _values.literals(cfn, entry, "Name")}
        return names if len(names) >= len(entries) else None

    def _namespaces(
        self, cfn: Any, actions: list[_pipelines.Action], declared: list[tuple[_pipelines.Action, _values.Branch]]
    ) -> Iterator[tuple[_values.Path, str]]:
        artifacts = [name for action in actions for name in _pipelines.names(cfn, action, "OutputArtifacts")]
        for index, (action, space) in enumerate(declared):
            if not _NAME.fullmatch(space.value):
                yield space.path, f"action {action.name}: namespace {space.value!r} is not 1 to 100 letters, digits, @, - and _"
            if space.value in {*_RESERVED, "variables"}:
                yield space.path, f"action {action.name}: the namespace {space.value} is CodePipeline's own; take another"
            for artifact in artifacts:
                if artifact.value == space.value and _values.together(cfn, artifact.conditions, space.conditions):
                    yield space.path, f"action {action.name}: its namespace {space.value} is the name of an artifact too; call it {space.value}Variables"
                    break
            for other, earlier in declared[:index]:
                if earlier.value == space.value and earlier.path != space.path and _values.together(cfn, earlier.conditions, space.conditions):
                    yield space.path, f"action {action.name}: {other.name} has the namespace {space.value} already; take another"
                    break

    def _problem(
        self,
        cfn: Any,
        action: _pipelines.Action,
        text: _values.Branch,
        said: str,
        declared: list[tuple[_pipelines.Action, _values.Branch]],
        whole: bool,
        own: set[str] | None,
    ) -> str:
        space, dot, name = said.partition(".")
        if "${" in said:
            return ""
        if not dot or not name:
            return "has no namespace; write #{namespace.name}"
        if space in _RESERVED:
            return "" if name in _RESERVED[space] else f"is none of the pipeline's; {_rule.meant(name, _RESERVED[space])}"
        if space == "variables":
            return "" if own is None or name in own else f"is no variable of the pipeline; declare it in Variables: {_rule.meant(name, own)}"
        makers = [maker for maker, found in declared if found.value == space]
        if not makers:
            return f"is of a namespace that no action has; {_rule.meant(space, {found.value for _, found in declared})}" if whole else ""
        offers = [way for maker in makers for way in _pipelines.precedes(cfn, maker, action)]
        missing = _values.uncovered(cfn, text.conditions, offers)
        if missing is not None:
            extra = _pipelines.under({key: holds for key, holds in missing.items() if key not in text.conditions})
            return f"is not there yet: {makers[0].name} has not ended before it{extra}; give it a later stage or a higher RunOrder"
        for maker in makers:
            for kind in _pipelines.kinds(cfn, maker.declared):
                put_out = (_pipelines.provider(kind) or {}).get("variables")
                if put_out and name not in put_out["names"]:
                    hint = _rule.meant(name, put_out["names"])
                    if put_out["complete"] or hint.startswith("did you mean"):
                        return f"is nothing that {kind.provider} puts out; {hint}"
        return ""


def _strings(cfn: Any, found: _values.Branch) -> Iterator[_values.Branch]:
    """Every text in a value, in whatever function it stands."""
    for branch in _values.branches(cfn, found.value, found.path, found.conditions):
        if isinstance(branch.value, str):
            yield branch
        elif isinstance(branch.value, dict):
            for key in branch.value:
                yield from _strings(cfn, _values.Branch(branch.value[key], (*branch.path, key), branch.conditions))
        elif isinstance(branch.value, list):
            for index, entry in enumerate(branch.value):
                yield from _strings(cfn, _values.Branch(entry, (*branch.path, index), branch.conditions))
