"""A change set as data, nested ones resolved, and the table that a person reads before saying yes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.core.console import table
from scripts.core.templates import NESTED_STACK

# Replacing one of these loses something that CloudFormation does not bring back.
_COSTLY = {
    "AWS::AutoScaling::AutoScalingGroup": "its hosts come up without a release until one is deployed",
    "AWS::S3::Bucket": "the new bucket is empty",
    "AWS::ECR::Repository": "the new repository has no images",
    "AWS::KMS::Key": "what the old key encrypted stays with the old key",
    "AWS::DynamoDB::Table": "the new table is empty",
    "AWS::CodeDeploy::DeploymentGroup": "the new group knows no last successful revision",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "the endpoint's address changes",
    "AWS::EC2::VPC": "everything in it is replaced too",
}


@dataclass(frozen=True)
class Change:
    """One resource's change. `children` are those of a nested stack, None where CloudFormation did not look inside."""

    logical_id: str
    type: str
    action: str
    replacement: str
    properties: tuple[str, ...]
    policy: str
    physical_id: str
    children: tuple[Change, ...] | None = None

    @property
    def replaces(self) -> bool:
        return self.action == "Modify" and self.replacement == "True"


@dataclass(frozen=True)
class Counts:
    """How many resources, nested stacks themselves left out."""

    added: int = 0
    changed: int = 0
    replaced: int = 0
    removed: int = 0
    other: int = 0

    def __str__(self) -> str:
        parts = (
            (self.added, "added"),
            (self.changed, "changed"),
            (self.replaced, "replaced"),
            (self.removed, "removed"),
            (self.other, "imported or unknown"),
        )
        return ", ".join(f"{count} {word}" for count, word in parts if count) or "nothing inside changes"


def from_description(description: Mapping[str, Any], children: Sequence[Change] | None) -> Change:
    """One `ResourceChange` of DescribeChangeSet."""
    details = description.get("Details", ())
    names = (detail.get("Target", {}) for detail in details)
    properties = tuple(dict.fromkeys(target.get("Name") or target.get("Attribute", "") for target in names))
    return Change(
        logical_id=description.get("LogicalResourceId", ""),
        type=description.get("ResourceType", ""),
        action=description.get("Action", "Dynamic"),
        replacement=description.get("Replacement", "False") or "False",
        properties=tuple(name for name in properties if name),
        policy=description.get("PolicyAction", ""),
        physical_id=description.get("PhysicalResourceId", ""),
        children=None if children is None else tuple(children),
    )


def flatten(changes: Iterable[Change], above: str = "") -> list[tuple[str, Change]]:
    """Every change of the tree with its path."""
    found = []
    for change in changes:
        path = f"{above}{change.logical_id}"
        found.append((path, change))
        found += flatten(change.children or (), f"{path}/")
    return found


def count(changes: Iterable[Change]) -> Counts:
    totals = {"Add": 0, "Modify": 0, "Replace": 0, "Remove": 0, "other": 0}
    for _, change in flatten(changes):
        if change.type == NESTED_STACK and change.children is not None:
            continue
        key = "Replace" if change.replaces else change.action if change.action in totals else "other"
        totals[key] += 1
    return Counts(totals["Add"], totals["Modify"], totals["Replace"], totals["Remove"], totals["other"])


def resource_total(changes: Iterable[Change]) -> int:
    """How many resources the operation touches, nested stacks counted: what progress is measured against."""
    return len(flatten(changes))


def render(changes: Sequence[Change], verbose: bool = False) -> str:
    """The table: a heading per stack, a line per resource; a stack that is only added to is one line unless `verbose`."""
    return "\n".join(_render(tuple(changes), "", verbose)) or "  (no changes)"


def _render(changes: tuple[Change, ...], path: str, verbose: bool) -> list[str]:
    own = [change for change in changes if not (change.type == NESTED_STACK and change.children)]
    lines: list[str] = []
    if own and not verbose and len(own) > 3 and all(change.action == "Add" for change in own):
        kinds = sorted({change.type.split("::", 1)[-1] for change in own})
        shown = ", ".join(kinds[:5]) + (f" and {len(kinds) - 5} more types" if len(kinds) > 5 else "")
        lines.append(f"  {path or '(root)'}: + {len(own)} added: {shown}")
    elif own:
        if path:
            lines.append(f"  {path}:")
        lines.append(table([_row(change) for change in own], indent="    " if path else "  "))
    for change in changes:
        if change.type == NESTED_STACK and change.children:
            lines += _render(change.children, f"{path}/{change.logical_id}" if path else change.logical_id, verbose)
    return lines


def _row(change: Change) -> tuple[str, ...]:
    if change.action == "Add":
        sign, word = "+", "added"
    elif change.action == "Remove":
        sign, word = "-", "removed" + (", kept in the account" if change.policy == "Retain" else "")
    elif change.replaces:
        sign, word = "!", "REPLACED"
    elif change.action == "Modify":
        sign, word = "~", "changed, may be replaced" if change.replacement == "Conditional" else "changed"
    else:
        sign, word = "?", change.action.lower()
    if change.type == NESTED_STACK and change.children is not None:
        word = "nothing inside changes"
    why = f"({', '.join(change.properties)})" if change.properties and change.action == "Modify" else ""
    return sign, change.logical_id, change.type, f"{word} {why}".strip()


def warnings(changes: Iterable[Change]) -> list[str]:
    """What a person should think about before saying yes."""
    return [
        f"{path} ({change.type}) is {'removed' if change.action == 'Remove' else 'replaced'}: {_COSTLY[change.type]}"
        for path, change in flatten(changes)
        if change.type in _COSTLY and (change.replaces or (change.action == "Remove" and change.policy != "Retain"))
    ]
