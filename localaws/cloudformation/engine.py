"""Decisions of stack operations: order, what a change does to a resource, statuses, rollback, plans of change sets.

Pure: plain data in, plain data out; no time, no threads, no calls. A *resource record* is
{type, physical_id, properties (resolved, with the stack's tags), attributes, status, reason, time, deletion_policy,
update_replace_policy, needs (logical ids), metadata}.
Source: AWS CloudFormation User Guide, "Stack status codes", "DeletionPolicy", "Update behaviors of stack resources".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from localaws.cloudformation import intrinsics, template
from localaws.cloudformation.intrinsics import Effective, Scope, canonical
from localaws.cloudformation.template import UNKNOWN

STACK = "AWS::CloudFormation::Stack"

# --- statuses ---------------------------------------------------------------------------------------------------------

FOLLOWS: dict[str, frozenset[str]] = {status: frozenset(after.split()) for status, after in {
    "": "REVIEW_IN_PROGRESS CREATE_IN_PROGRESS",
    "REVIEW_IN_PROGRESS": "CREATE_IN_PROGRESS DELETE_COMPLETE",
    "CREATE_IN_PROGRESS": "CREATE_COMPLETE CREATE_FAILED ROLLBACK_IN_PROGRESS DELETE_IN_PROGRESS",
    "CREATE_COMPLETE": "UPDATE_IN_PROGRESS DELETE_IN_PROGRESS",
    "CREATE_FAILED": "DELETE_IN_PROGRESS ROLLBACK_IN_PROGRESS",
    "ROLLBACK_IN_PROGRESS": "ROLLBACK_COMPLETE ROLLBACK_FAILED",
    "ROLLBACK_COMPLETE": "DELETE_IN_PROGRESS",
    "ROLLBACK_FAILED": "DELETE_IN_PROGRESS",
    "UPDATE_IN_PROGRESS": "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS UPDATE_COMPLETE UPDATE_FAILED UPDATE_ROLLBACK_IN_PROGRESS "
                          "UPDATE_ROLLBACK_FAILED",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": "UPDATE_COMPLETE UPDATE_ROLLBACK_IN_PROGRESS DELETE_IN_PROGRESS",
    "UPDATE_COMPLETE": "UPDATE_IN_PROGRESS DELETE_IN_PROGRESS",
    "UPDATE_FAILED": "UPDATE_IN_PROGRESS DELETE_IN_PROGRESS UPDATE_ROLLBACK_IN_PROGRESS",
    "UPDATE_ROLLBACK_IN_PROGRESS": "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS UPDATE_ROLLBACK_FAILED",
    "UPDATE_ROLLBACK_FAILED": "UPDATE_ROLLBACK_IN_PROGRESS DELETE_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": "UPDATE_ROLLBACK_COMPLETE DELETE_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE": "UPDATE_IN_PROGRESS DELETE_IN_PROGRESS",
    "DELETE_IN_PROGRESS": "DELETE_COMPLETE DELETE_FAILED",
    "DELETE_FAILED": "DELETE_IN_PROGRESS",
    "DELETE_COMPLETE": "",
}.items()}
"""Which stack statuses may follow which."""

UPDATABLE = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_FAILED"})
DELETABLE = frozenset(status for status, after in FOLLOWS.items()
                      if "DELETE_IN_PROGRESS" in after and not status.endswith("_IN_PROGRESS"))

INTERRUPTED = "The local AWS was stopped during this operation"
RECOVERED: dict[str, str] = {
    "CREATE_IN_PROGRESS": "CREATE_FAILED",
    "ROLLBACK_IN_PROGRESS": "ROLLBACK_FAILED",
    "UPDATE_IN_PROGRESS": "UPDATE_ROLLBACK_FAILED",
    "UPDATE_ROLLBACK_IN_PROGRESS": "UPDATE_ROLLBACK_FAILED",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": "UPDATE_ROLLBACK_COMPLETE",
    "DELETE_IN_PROGRESS": "DELETE_FAILED",
}
"""Status of a stack whose operation was cut off by the end of the process: one from which AWS's own operations lead on."""


def recover(status: str, parent_status: str | None) -> str:
    """Return the status that a stack takes when it is loaded in `status` and nobody works on it any more.

    A child whose own work is done goes on waiting in clean-up where its parent comes back as UPDATE_ROLLBACK_FAILED: continuing
    the parent's rollback takes it back, or cleans it up.
    """
    if status.endswith("_COMPLETE_CLEANUP_IN_PROGRESS") and parent_status in (
            "UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED"):
        return status
    return RECOVERED.get(status, status)


def recover_resource(status: str) -> str:
    """Return the status of a resource whose operation was cut off."""
    return status.replace("_IN_PROGRESS", "_FAILED")


# --- order ------------------------------------------------------------------------------------------------------------


class Walk:
    """Names done in the order of their needs, as many at once as are free.

    After a failure nothing new begins, unless `persevere`: then only what needs the failed one is left out.
    """

    def __init__(self, needs: Mapping[str, Iterable[str]], persevere: bool = False) -> None:
        self._needs = {name: {need for need in wanted if need in needs} for name, wanted in needs.items()}
        self.persevere = persevere
        self.running: set[str] = set()
        self.done: set[str] = set()
        self.failed: list[str] = []
        self.stopped = False

    def take(self) -> list[str]:
        """Return the names that begin now, in the order in which they were given."""
        if self.stopped:
            return []
        begun = self.running | self.done | set(self.failed)
        free = [name for name, wanted in self._needs.items() if name not in begun and wanted <= self.done]
        self.running |= set(free)
        return free

    def finish(self, name: str, succeeded: bool) -> None:
        """Record the end of a name that was taken."""
        self.running.remove(name)
        if succeeded:
            self.done.add(name)
        else:
            self.failed.append(name)
            self.stopped = self.stopped or not self.persevere

    def stop(self) -> None:
        """Let nothing new begin."""
        self.stopped = True

    @property
    def over(self) -> bool:
        """Whether nothing runs and nothing more can begin."""
        if self.running:
            return False
        begun = self.done | set(self.failed)
        return self.stopped or not any(wanted <= self.done for name, wanted in self._needs.items() if name not in begun)

    @property
    def complete(self) -> bool:
        """Whether everything was done."""
        return len(self.done) == len(self._needs)


def reverse(needs: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """Return the needs of taking down: each name needs that all which need it are gone."""
    result: dict[str, set[str]] = {name: set() for name in reversed(list(needs))}
    for name, wanted in needs.items():
        for need in wanted:
            if need in result and need != name:
                result[need].add(name)
    return result


# --- what a change does to a resource ---------------------------------------------------------------------------------


class Types(Protocol):
    """What decisions ask of resource types (see schema.Schemas)."""

    def create_only(self, kind: str) -> tuple[tuple[str, ...], ...]: ...

    def names(self, kind: str) -> tuple[str, ...]: ...

    def tag_form(self, kind: str) -> str: ...


@dataclass(frozen=True)
class Decision:
    """What becomes of one resource: `action` is create, update, replace or none; which top-level properties changed, and
    which of them force the replacement; `unsure` if only an unknown value may force it."""

    action: str
    changed: tuple[str, ...] = ()
    replacing: tuple[str, ...] = ()
    unsure: bool = False


def decide(kind: str, before: Mapping[str, Any] | None, after: Mapping[str, Any], types: Types) -> Decision:
    """Compare resolved properties of a resource of type `kind`; `before` is None where it does not exist yet."""
    if before is None:
        return Decision("create", tuple(sorted(after)))
    old, new = canonical(dict(before)), canonical(dict(after))
    changed = tuple(sorted(name for name in {*old, *new} if old.get(name) != new.get(name)
                           or intrinsics.contains_unknown(new.get(name))))
    if not changed:
        return Decision("none")
    replacing = tuple(dict.fromkeys(path[0] for path in types.create_only(kind)
                                    if path[0] in changed and _at(old, path) != _at(new, path)))
    unsure = bool(replacing) and all(intrinsics.contains_unknown(new.get(name)) for name in replacing)
    return Decision("replace" if replacing else "update", changed, replacing, unsure)


def _at(value: Any, path: tuple[str, ...]) -> Any:
    """Return what stands at a path of a schema, in which `*` goes through every item of a list."""
    for index, step in enumerate(path):
        if step == "*":
            return [_at(item, path[index + 1:]) for item in value] if isinstance(value, list) else None
        value = value.get(step) if isinstance(value, dict) else None
    return value


def name_in_the_way(kind: str, before: Mapping[str, Any], after: Mapping[str, Any], types: Types) -> str:
    """Return the physical name that keeps a replacement from being made beside the old resource; '' if none does."""
    names = types.names(kind)
    if names and all(name in before and canonical(before[name]) == canonical(after.get(name)) for name in names):
        return template.text_of(after[names[-1]])
    return ""


def with_tags(kind: str, properties: dict[str, Any], stack_tags: Mapping[str, str], types: Types) -> dict[str, Any]:
    """Return the properties with the stack's tags added where the type has tags and does not set the same key itself."""
    form = types.tag_form(kind) if stack_tags else ""
    if form == "map":
        return {**properties, "Tags": {**stack_tags, **(properties.get("Tags") or {})}}
    if form == "list":
        own = list(properties.get("Tags") or [])
        taken = {tag.get("Key") for tag in own if isinstance(tag, dict)}
        extra: dict[str, Any] = {"PropagateAtLaunch": True} if kind == "AWS::AutoScaling::AutoScalingGroup" else {}
        return {**properties, "Tags": own + [{"Key": key, "Value": value, **extra}
                                             for key, value in sorted(stack_tags.items()) if key not in taken]}
    return properties


def kept(policy: str, undoing_creation: bool) -> bool:
    """Tell whether a resource with this DeletionPolicy stays; `undoing_creation`: its creation is being rolled back."""
    return policy == "Retain" or (policy == "RetainExceptOnCreate" and not undoing_creation)


# --- rollback ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Undo:
    """How an update comes back: `restore` (logical ids to update to what they were, in needs of the old template), `put_back`
    (replaced ones whose old resource simply counts again), `remove` (records made by the update, to be deleted last)."""

    restore: dict[str, set[str]]
    put_back: tuple[str, ...]
    remove: tuple[str, ...]


def undo(touched: Mapping[str, str], old: Mapping[str, Mapping[str, Any]], finished: Iterable[str] = ()) -> Undo:
    """Plan the rollback of an update.

    `touched`: logical id → what the update did or began to do (create, update, replace); `old`: the records before it;
    `finished`: what an earlier attempt of the rollback has already restored or was told to skip.
    """
    done = set(finished)
    concerned = {name for name, action in touched.items() if action in ("update", "replace") and name not in done}
    restore = {name: {need for need in old[name]["needs"] if need in concerned} for name in old if name in concerned}
    return Undo(restore, tuple(name for name in restore if touched[name] == "replace"),
                tuple(name for name, action in touched.items() if action in ("create", "replace")))


def failure_reason(created: Iterable[str], updated: Iterable[str], deleted: Iterable[str] = ()) -> str:
    """Return AWS's sentence about which resources failed."""
    parts = [f"The following resource(s) failed to {verb}: [{', '.join(names)}]. "
             for verb, names in (("create", list(created)), ("update", list(updated)), ("delete", list(deleted))) if names]
    return "".join(parts).strip()


def signal_verdict(signals: Mapping[str, str], count: int, percent: int = 100) -> str:
    """Return 'enough', 'failed' or 'wait' for signals by unique id (SUCCESS or FAILURE) of `count` instances.

    `percent` of the instances (MinSuccessfulInstancesPercent) must succeed; it has failed once too few are left that could.
    """
    good = sum(1 for status in signals.values() if status == "SUCCESS")
    bad = len(signals) - good
    needed = -(-count * percent // 100)
    if good >= needed and (percent >= 100 or good + bad >= count):
        return "enough"
    return "failed" if bad > count - needed else "wait"


# --- plans (change sets) ----------------------------------------------------------------------------------------------


@dataclass
class Change:
    """One entry of a change set: `action` Add, Modify, Remove; `replacement` True, False, Conditional or ''."""

    action: str
    logical_id: str
    kind: str
    physical_id: str = ""
    replacement: str = ""
    scope: tuple[str, ...] = ()
    details: tuple[dict[str, Any], ...] = ()
    policy_action: str = ""
    child: Plan | None = None


@dataclass
class Plan:
    """What an operation would do to one stack, its outputs as far as they are known, and whether anything changes."""

    changes: list[Change] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    outputs_changed: bool = False
    parameters: dict[str, Any] = field(default_factory=dict)
    label: dict[str, Any] = field(default_factory=dict)
    """Whatever the one who expands a child wants to remember of it (its template, its name)."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.changes and not self.outputs_changed


VOLATILE = {"AWS::EC2::LaunchTemplate": {"LatestVersionNumber", "DefaultVersionNumber"},
            "AWS::CodePipeline::Pipeline": {"Version"}}
"""Attributes that an update in place changes."""

Expand = Callable[[str, Mapping[str, Any], Mapping[str, Any] | None], "Plan | None"]


def plan(old: Mapping[str, Mapping[str, Any]], old_raw: Mapping[str, Mapping[str, Any]], new: Effective, scope: Scope,
         stack_tags: Mapping[str, str], types: Types, old_outputs: Mapping[str, Any], expand: Expand) -> Plan:
    """Return what making `new` of the resource records `old` would do, without doing it.

    `old_raw` are the effective resources of the old template (to tell a changed line from a changed value), `expand` plans a
    nested stack from its resolved properties and its old record, or returns None to leave it closed.
    """
    result = Plan()
    decisions: dict[str, Decision] = {}
    wanted_properties: dict[str, Mapping[str, Any]] = {}
    children: dict[str, Plan | None] = {}

    def ref(name: str) -> Any:
        decision = decisions.get(name)
        if name not in old or (decision and decision.action in ("create", "replace")):
            return UNKNOWN
        return old[name]["physical_id"]

    def attribute(name: str, wanted: str) -> Any:
        decision = decisions.get(name)
        child = children.get(name)
        if child is not None and wanted.startswith("Outputs."):
            return child.outputs.get(wanted[len("Outputs."):], UNKNOWN)
        if name not in old or (decision and decision.action in ("create", "replace")):
            return UNKNOWN
        kind = old[name]["type"]
        if decision and decision.action == "update" and (kind == STACK or wanted in VOLATILE.get(kind, ())):
            return UNKNOWN
        if decision and wanted in decision.changed:
            return wanted_properties[name].get(wanted, UNKNOWN)
        return attribute_of(old[name], name, wanted)

    scope.ref, scope.attribute = ref, attribute
    for name in template.check_cycles(new.needs):
        resource = new.resources[name]
        kind = resource["Type"]
        record = old.get(name)
        properties = with_tags(kind, intrinsics.resolve(resource.get("Properties") or {}, scope), stack_tags, types)
        decision = decide(kind, record["properties"] if record else None, properties, types)
        decisions[name], wanted_properties[name] = decision, properties
        metadata = intrinsics.resolve(resource.get("Metadata") or {}, scope)
        metadata_changed = record is not None and canonical(metadata) != canonical(record.get("metadata") or {})
        if kind == STACK and decision.action != "none":
            children[name] = expand(name, properties, record)
        if decision.action == "create":
            result.changes.append(Change("Add", name, kind, child=children.get(name)))
        elif record is not None and (decision.action != "none" or metadata_changed):
            result.changes.append(_modification(name, kind, record, decision, properties, resource, old_raw.get(name) or {},
                                                metadata_changed, children.get(name)))
    for name, record in old.items():
        if name not in new.resources:
            policy = "Retain" if kept(record["deletion_policy"], False) else "Delete"
            result.changes.append(Change("Remove", name, record["type"], record["physical_id"] or "", policy_action=policy))
    result.outputs = {name: intrinsics.resolve(output["Value"], scope) for name, output in new.outputs.items()}
    result.outputs_changed = canonical(result.outputs) != canonical(dict(old_outputs))
    return result


def attribute_of(record: Mapping[str, Any], name: str, wanted: str) -> Any:
    """Return a made resource's attribute; raise TemplateError where it does not have it."""
    if wanted in record["attributes"]:
        return record["attributes"][wanted]
    if wanted in record["properties"]:
        return record["properties"][wanted]
    raise template.TemplateError(f"Template error: resource {name} does not support attribute type {wanted} in Fn::GetAtt")


def _modification(name: str, kind: str, record: Mapping[str, Any], decision: Decision, properties: Mapping[str, Any],
                  raw: Mapping[str, Any], old_raw: Mapping[str, Any], metadata_changed: bool, child: Plan | None) -> Change:
    """Return the Modify entry of a change set."""
    details: list[dict[str, Any]] = []
    for prop in decision.changed:
        target = "Tags" if prop == "Tags" else "Properties"
        unknown = intrinsics.contains_unknown(properties.get(prop))
        direct = (raw.get("Properties") or {}).get(prop) != (old_raw.get("Properties") or {}).get(prop)
        detail: dict[str, Any] = {
            "Target": {"Attribute": target, "RequiresRecreation": "Never" if prop not in decision.replacing
                       else "Conditionally" if unknown else "Always"},
            "Evaluation": "Dynamic" if unknown else "Static",
            "ChangeSource": "DirectModification" if direct else "ResourceAttribute" if unknown else "ParameterReference"}
        if target == "Properties":
            detail["Target"]["Name"] = prop
        details.append(detail)
    scope = [attribute for attribute in ("Properties", "Tags") if any(d["Target"]["Attribute"] == attribute for d in details)]
    if metadata_changed:
        scope.append("Metadata")
        details.append({"Target": {"Attribute": "Metadata", "RequiresRecreation": "Never"}, "Evaluation": "Static",
                        "ChangeSource": "DirectModification"})
    replacement = "False" if decision.action != "replace" else "Conditional" if decision.unsure else "True"
    policy = "" if decision.action != "replace" else \
        "ReplaceAndRetain" if record["update_replace_policy"] == "Retain" else "ReplaceAndDelete"
    return Change("Modify", name, kind, record["physical_id"] or "", replacement, tuple(scope), tuple(details), policy, child)
