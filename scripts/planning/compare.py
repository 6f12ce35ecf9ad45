"""What becomes of each resource when a deployed tree of stacks is given another template and other values: pure.

For want of a change set. What is replaced comes from the registry's schemas; an Auto Scaling group from its UpdatePolicy, because what the schema
calls conditional is its AutoScalingReplacingUpdate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scripts.core import templates
from scripts.core.changes import Change
from scripts.core.templates import NESTED_STACK
from scripts.planning.deployed import Deployed
from scripts.planning.schemas import Path_, Schemas
from scripts.planning.values import FRESH, NO_VALUE, UNKNOWN, Scope, Token, as_parameter, bind, tokens

_GROUP = "AWS::AutoScaling::AutoScalingGroup"
# An attribute with such a name belongs to the resource for as long as it lives; others can change with an update in place.
_LASTING = ("arn", "id", "name", "endpoint", "address", "ip")

Find = Callable[[str], Mapping[str, Any] | None]
"""The template at a TemplateURL, None where the tree has none such."""


@dataclass
class Compared:
    """What changes in one stack, its new outputs as far as they are known, and what could not be told."""

    changes: list[Change] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Verdict:
    """`action` is Add, Modify or "" (stays); `replacement` as a change set has it."""

    action: str
    replacement: str = "False"
    changed: tuple[str, ...] = ()
    child: Compared | None = None
    change: Change | None = None


def compare(old: Deployed | None, document: Mapping[str, Any], given: Mapping[str, Any], pseudo: Mapping[str, str], find: Find, types: Schemas,
            where: str = "") -> Compared:
    """The changes that make `document` with the parameters `given` out of `old` (None: out of nothing)."""
    return _Comparison(old, document, given, pseudo, find, types, where).run()


def removal(old: Deployed) -> tuple[Change, ...]:
    """All that goes with a stack, and what of it is kept."""
    return tuple(_removed(old, name) for name in old.physical)


def _removed(old: Deployed, name: str) -> Change:
    resource = (old.document.get("Resources") or {}).get(name) or {}
    policy = str(resource.get("DeletionPolicy", "Delete"))
    policy = "Retain" if policy == "RetainExceptOnCreate" else policy
    child = old.children.get(name)
    below = removal(child) if child and policy != "Retain" else None
    return Change(name, str(resource.get("Type", "")), "Remove", "False", (), policy, old.physical[name], below)


class _Comparison:
    """One stack's. Resources are judged when something asks for them, so that each is judged after what it uses."""

    def __init__(self, old: Deployed | None, document: Mapping[str, Any], given: Mapping[str, Any], pseudo: Mapping[str, str], find: Find,
                 types: Schemas, where: str) -> None:
        self.old, self.document, self.pseudo, self.find, self.types, self.where = old, document, pseudo, find, types, where
        self.result = Compared()
        self._verdicts: dict[str, _Verdict] = {}
        self._open: set[str] = set()
        specs = templates.parameter_specs(document)
        self.new_scope = Scope(document, specs, bind(specs, given), self._pseudo(old.stack.id if old else "", old.stack.name if old else ""),
                               self._ref, self._attribute)
        if old:
            specs = templates.parameter_specs(old.document)
            self.old_scope = Scope(old.document, specs, bind(specs, old.stack.parameters), self._pseudo(old.stack.id, old.stack.name),
                                   lambda name: old.physical.get(name, Token(f"ref {name}")), self._old_attribute)
        if document.get("Transform") or (old and old.document.get("Transform")):
            self.result.notes.append(f"{where or 'the root'} has a transform, whose result is not known here")

    def run(self) -> Compared:
        wanted = {name for name, resource in self._resources().items() if self.new_scope.holds(resource)}
        for name in self._resources():
            if name in wanted:
                verdict = self._judge(name)
                if verdict.change is not None:
                    self.result.changes.append(verdict.change)
        for name in self.old.physical if self.old else ():
            if self.old and name not in wanted:
                self.result.changes.append(_removed(self.old, name))
        outputs = self.document.get("Outputs") or {}
        self.result.outputs = {name: self.new_scope.value(output.get("Value")) for name, output in outputs.items() if self.new_scope.holds(output)}
        return self.result

    def _resources(self) -> Mapping[str, Mapping[str, Any]]:
        return self.document.get("Resources") or {}

    def _pseudo(self, stack_id: str, name: str) -> dict[str, str]:
        return {**self.pseudo, **({"AWS::StackId": stack_id, "AWS::StackName": name} if name else {})}

    # -- what expressions see ----------------------------------------------------------------------------------------------

    def _ref(self, name: str) -> Any:
        verdict = self._judge(name)
        if verdict.action == "Add" or verdict.replacement == "True":
            return FRESH
        return UNKNOWN if verdict.replacement == "Conditional" or self.old is None else self.old.physical.get(name, UNKNOWN)

    def _attribute(self, name: str, attribute: str) -> Any:
        if name not in self._resources():
            return UNKNOWN
        verdict = self._judge(name)
        if verdict.child is not None and attribute.startswith("Outputs."):
            return self._output(name, attribute.removeprefix("Outputs."), verdict)
        if verdict.action == "Add" or verdict.replacement == "True":
            return FRESH
        if verdict.replacement == "Conditional":
            return UNKNOWN
        kind = str(self._resources()[name].get("Type"))
        lasts = attribute in self.types.identifier(kind) or attribute.lower().endswith(_LASTING)
        if verdict.changed and (attribute.split(".")[0] in verdict.changed or not lasts):
            return UNKNOWN
        return self._old_attribute(name, attribute)

    def _output(self, name: str, output: str, verdict: _Verdict) -> Any:
        """An output of a nested stack that is made or changed: the value that it has, where nothing that it is made of changes."""
        assert verdict.child is not None
        child = self.old.children.get(name) if self.old else None
        new = verdict.child.outputs.get(output, UNKNOWN)
        if child is None or isinstance(new, str) or FRESH in tokens(new):
            return new
        before = _Comparison(child, child.document, child.stack.parameters, self.pseudo, self.find, self.types, "").old_scope.value(
            ((child.document.get("Outputs") or {}).get(output) or {}).get("Value"))
        return child.stack.outputs.get(output, UNKNOWN) if before == new and UNKNOWN not in tokens(new) else UNKNOWN

    def _old_attribute(self, name: str, attribute: str) -> Any:
        child = self.old.children.get(name) if self.old else None
        if child is not None and attribute.startswith("Outputs."):
            return child.stack.outputs.get(attribute.removeprefix("Outputs."), UNKNOWN)
        return Token(f"attribute {name}.{attribute}")

    # -- judging -----------------------------------------------------------------------------------------------------------

    def _judge(self, name: str) -> _Verdict:
        if name in self._verdicts:
            return self._verdicts[name]
        if name in self._open:
            return _Verdict("")  # A circle, which CloudFormation refuses.
        self._open.add(name)
        try:
            self._verdicts[name] = self._decide(name, self._resources()[name])
        finally:
            self._open.discard(name)
        return self._verdicts[name]

    def _decide(self, name: str, resource: Mapping[str, Any]) -> _Verdict:
        kind = str(resource.get("Type", ""))
        properties = self.new_scope.value(resource.get("Properties") or {})
        if self.old is None or name not in self.old.physical:
            child = self._child(name, properties, {}) if kind == NESTED_STACK else None
            below = None if child is None else tuple(child.changes)
            return _Verdict("Add", child=child, change=Change(name, kind, "Add", "", (), "", self._name(kind, properties), below))
        before = (self.old.document.get("Resources") or {}).get(name) or {}
        if before.get("Type") != kind:
            self.result.notes.append(f"{self._path(name)}: its type changes from {before.get('Type')} to {kind}, which CloudFormation refuses: "
                                     "give the new one another logical id")
        elif not self.types.known(kind) and properties != self.old_scope.value(before.get("Properties") or {}):
            self.result.notes.append(f"{self._path(name)}: what a change of {kind} replaces is not known here")
        if kind == NESTED_STACK:
            return self._decide_child(name, properties, self.old_scope.value(before.get("Properties") or {}))
        return self._decide_plain(name, kind, resource, before, properties)

    def _decide_plain(self, name: str, kind: str, resource: Mapping[str, Any], before: Mapping[str, Any], properties: dict[str, Any]) -> _Verdict:
        assert self.old is not None
        old = self.old_scope.value(before.get("Properties") or {})
        changed = _changed(old, properties)
        sure = dict.fromkeys(path[0] for path in self.types.create_only(kind) if path[0] in changed and _differs(_at(old, path), _at(properties, path)))
        perhaps = dict.fromkeys(path[0] for path in self.types.create_only(kind) if path[0] in changed and path[0] not in sure
                                and _at(old, path) != _at(properties, path))
        conditional = dict.fromkeys(path[0] for path in self.types.perhaps_create_only(kind) if path[0] in changed and _at(old, path) != _at(properties, path))
        if kind == _GROUP:
            policy = self.new_scope.value(resource.get("UpdatePolicy") or {}).get("AutoScalingReplacingUpdate") or {}
            if policy.get("WillReplace") == "true":
                sure.update(conditional)
        else:
            perhaps.update(conditional)
        shown = [*changed, *(["Metadata"] if self._metadata(before, self.old_scope) != self._metadata(resource, self.new_scope) else [])]
        if not shown:
            return _Verdict("")
        replacement = "True" if sure else "Conditional" if perhaps else "False"
        kept = all(str(item.get("UpdateReplacePolicy", "")).startswith(("Retain", "Snapshot")) for item in (before, resource))
        policy_action = "" if replacement == "False" else "ReplaceAndRetain" if kept else "ReplaceAndDelete"
        change = Change(name, kind, "Modify", replacement, tuple(shown), policy_action, self.old.physical[name], None,
                        recreating=tuple(sure), perhaps=tuple(perhaps))
        return _Verdict("Modify", replacement, tuple(changed), change=change)

    def _name(self, kind: str, properties: Mapping[str, Any]) -> str:
        """The name that a template gives to a resource, "" where AWS makes one up: it must not be taken."""
        named = [properties[step] for step in self.types.identifier(kind) if step in properties]
        return named[0] if len(named) == 1 and len(self.types.identifier(kind)) == 1 and isinstance(named[0], str) else ""

    def _metadata(self, resource: Mapping[str, Any], scope: Scope) -> Any:
        return scope.value(resource.get("Metadata") or {})

    def _decide_child(self, name: str, properties: dict[str, Any], old: dict[str, Any]) -> _Verdict:
        assert self.old is not None
        changed = _changed(old, properties)
        if not changed:
            return _Verdict("")
        child = self._child(name, properties, old)
        if child is not None and not child.changes and set(changed) <= {"Parameters", "TemplateURL"}:
            # An address or an unknown value alone: nothing inside is another.
            return _Verdict("Modify", child=child)
        below = None if child is None else tuple(child.changes)
        change = Change(name, NESTED_STACK, "Modify", "False", tuple(changed), "", self.old.physical[name], below)
        return _Verdict("Modify", changed=tuple(changed), child=child, change=change)

    def _child(self, name: str, properties: Mapping[str, Any], old: Mapping[str, Any]) -> Compared | None:
        """A nested stack compared; None where its new template is not in the tree."""
        deployed = self.old.children.get(name) if self.old else None
        url = properties.get("TemplateURL")
        document = self.find(url) if isinstance(url, str) else None
        if document is None:
            self.result.notes.append(f"{self._path(name)}: its template is not in templates/, and is not looked into")
            return None
        wanted, before = properties.get("Parameters") or {}, old.get("Parameters") or {}
        given = {}
        for key, value in wanted.items():
            same = deployed is not None and key in before and before[key] == value and not {UNKNOWN, FRESH} & tokens(value)
            value = deployed.stack.parameters.get(key, UNKNOWN) if same and deployed else as_parameter(value)
            given[key] = value if isinstance(value, str) or value is FRESH else UNKNOWN
        found = compare(deployed, document, given, self.pseudo, self.find, self.types, self._path(name))
        self.result.notes += found.notes
        return found

    def _path(self, name: str) -> str:
        return f"{self.where}/{name}" if self.where else name


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The properties whose values differ, or may."""
    return [name for name in sorted({**old, **new}) if old.get(name) != new.get(name) or {UNKNOWN, FRESH} & tokens(new.get(name))]


def _differs(old: Any, new: Any) -> bool:
    """True when two values surely differ: expressions that only CloudFormation resolves may come to the same."""
    if FRESH in tokens(new):
        return True
    return bool(old != new) and not (tokens(old) | tokens(new)) - {NO_VALUE}


def _at(value: Any, path: Path_) -> Any:
    for index, step in enumerate(path):
        if isinstance(value, Token):
            return value
        if step == "*":
            return [_at(item, path[index + 1 :]) for item in value] if isinstance(value, list) else None
        value = value.get(step) if isinstance(value, Mapping) else None
    return value
