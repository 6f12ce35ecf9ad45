"""A change set as data, nested ones resolved, and the table that a person reads before saying yes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.core.console import table
from scripts.core.templates import NESTED_STACK

# Replacing or removing one of these loses something that CloudFormation does not bring back: what, for each of the two.
_STATEFUL = {
    "AWS::AutoScaling::AutoScalingGroup": ("its hosts come up without a release until one is deployed", "its hosts end"),
    "AWS::CodeConnections::Connection": ("the new one is PENDING until a person completes it", "no source can be fetched through it"),
    "AWS::CodeDeploy::DeploymentGroup": ("the new group knows no last successful revision", "its deployments are forgotten, and with them what to go back to"),
    "AWS::CodePipeline::Pipeline": ("the new pipeline knows no earlier execution", "its executions are forgotten"),
    "AWS::Cognito::UserPool": ("the new pool has no users", "its users are gone"),
    "AWS::DynamoDB::GlobalTable": ("the new table is empty", "its items are gone"),
    "AWS::DynamoDB::Table": ("the new table is empty", "its items are gone"),
    "AWS::EC2::EIP": ("the address changes, and whoever lets the old one in has to change too", "the address is given back, and is not to be had again"),
    "AWS::EC2::VPC": ("everything in it is replaced too", "everything in it goes too"),
    "AWS::EC2::Volume": ("the new volume is empty", "its data is gone"),
    "AWS::ECR::Repository": ("the new repository has no images", "its images are gone"),
    "AWS::EFS::FileSystem": ("the new file system is empty", "its files are gone"),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": ("the endpoint's address changes", "the endpoint is gone"),
    "AWS::KMS::Key": ("what the old key encrypted stays with the old key", "what it encrypted cannot be read once it is deleted"),
    "AWS::Kinesis::Stream": ("the new stream is empty", "its records are gone"),
    "AWS::Logs::LogGroup": ("the new log group is empty", "what was logged is gone"),
    "AWS::OpenSearchService::Domain": ("the new domain is empty", "its indices are gone"),
    "AWS::RDS::DBCluster": ("the new database is empty, or of a snapshot", "its data is gone"),
    "AWS::RDS::DBInstance": ("the new database is empty, or of a snapshot", "its data is gone"),
    "AWS::Route53::HostedZone": ("the new zone has other name servers and no records", "its records are gone"),
    "AWS::S3::Bucket": ("the new bucket is empty", "its objects are gone; one that holds any cannot be deleted, and stays"),
    "AWS::SQS::Queue": ("the new queue is empty", "its messages are gone"),
    "AWS::SSM::Parameter": ("the new one has the template's value, not what was written since", "its value is gone"),
    "AWS::SecretsManager::Secret": ("the new secret has a new value", "its value is gone"),
}


@dataclass(frozen=True)
class Change:
    """One resource's change. `children` are those of a nested stack, None where CloudFormation did not look inside.

    `physical_id` of one that is added is the name that its template gives it, where it was worked out and there is one.
    """

    logical_id: str
    type: str
    action: str
    replacement: str
    properties: tuple[str, ...]
    policy: str
    physical_id: str
    children: tuple[Change, ...] | None = None
    # The properties that make a new resource (RequiresRecreation: Always), and those that may (Conditionally).
    recreating: tuple[str, ...] = ()
    perhaps: tuple[str, ...] = ()

    @property
    def replaces(self) -> bool:
        return self.action == "Modify" and self.replacement == "True"

    @property
    def stateful(self) -> bool:
        """Whether it holds something that a new one would not have."""
        return self.type in _STATEFUL

    @property
    def kept(self) -> str:
        """What the policies keep of a resource that is removed or replaced: "" for nothing."""
        return {
            "Retain": "kept in the account",
            "Snapshot": "a snapshot is kept",
            "ReplaceAndRetain": "the old one is kept in the account",
            "ReplaceAndSnapshot": "a snapshot of the old one is kept",
        }.get(self.policy, "")

    @property
    def loss(self) -> str:
        """What a stateful resource surely loses: "" for one that stays, that is kept when it is removed, or that holds nothing."""
        if not self.stateful or not (self.replaces or (self.action == "Remove" and not self.kept)):
            return ""
        return _STATEFUL[self.type][self.action == "Remove"]


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
    targets = [detail.get("Target", {}) for detail in details]

    def names(*recreation: str) -> tuple[str, ...]:
        """The properties that are targets; with `recreation`, only those."""
        chosen = (target for target in targets if not recreation or target.get("RequiresRecreation") in recreation)
        return tuple(name for name in dict.fromkeys(target.get("Name") or target.get("Attribute", "") for target in chosen) if name)

    return Change(
        logical_id=description.get("LogicalResourceId", ""),
        type=description.get("ResourceType", ""),
        action=description.get("Action", "Dynamic"),
        replacement=description.get("Replacement", "False") or "False",
        properties=names(),
        policy=description.get("PolicyAction", ""),
        physical_id=description.get("PhysicalResourceId", ""),
        children=None if children is None else tuple(children),
        recreating=names("Always"),
        perhaps=names("Conditionally"),
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


Paint = Callable[[Change, str], str]
"""Gives a row of the table its colour."""


def render(changes: Sequence[Change], verbose: bool = False, paint: Paint = lambda change, row: row) -> str:
    """The table: a heading per stack, a line per resource; a stack that is only added to is one line unless `verbose`."""
    return "\n".join(_render(tuple(changes), "", verbose, paint)) or "  (no changes)"


def _render(changes: tuple[Change, ...], path: str, verbose: bool, paint: Paint) -> list[str]:
    own = [change for change in changes if not (change.type == NESTED_STACK and change.children)]
    lines: list[str] = []
    if own and not verbose and len(own) > 3 and all(change.action == "Add" for change in own):
        kinds = sorted({change.type.split("::", 1)[-1] for change in own})
        shown = ", ".join(kinds[:5]) + (f" and {len(kinds) - 5} more types" if len(kinds) > 5 else "")
        lines.append(f"  {path or '(root)'}: + {len(own)} added: {shown}")
    elif own:
        if path:
            lines.append(f"  {path}:")
        rows = table([_row(change) for change in own], indent="    " if path else "  ").split("\n")
        lines += [paint(change, row) for change, row in zip(own, rows, strict=True)]
    for change in changes:
        if change.type == NESTED_STACK and change.children:
            lines += _render(change.children, f"{path}/{change.logical_id}" if path else change.logical_id, verbose, paint)
    return lines


def _row(change: Change) -> tuple[str, ...]:
    sign, word = describe(change)
    return sign, change.logical_id, change.type, word


def describe(change: Change) -> tuple[str, str]:
    """A sign and some words for a change: `!`, `REPLACED (Name)`."""
    kept = f", {change.kept}" if change.kept else ""
    if change.action == "Add":
        return "+", "added"
    if change.action == "Remove":
        return "-", f"removed{kept}"
    if change.type == NESTED_STACK and change.children is not None:
        sign, word = "~", "nothing inside changes"
    elif change.replaces:
        sign, word = "!", "REPLACED" + _because(change.recreating) + kept
    elif change.action == "Modify":
        sign, word = "~", "changed, may be replaced" + _because(change.perhaps or change.recreating) if change.replacement == "Conditional" else "changed"
    else:
        return "?", change.action.lower()
    return sign, f"{word} ({', '.join(change.properties)})" if change.properties else word


def _because(properties: tuple[str, ...]) -> str:
    return f" because of {', '.join(properties)}" if properties else ""


def warnings(changes: Iterable[Change]) -> list[str]:
    """What a person should think about before saying yes."""
    return [
        f"{path} ({change.type}) is {'removed' if change.action == 'Remove' else 'replaced'}: {change.loss}"
        for path, change in flatten(changes)
        if change.loss
    ]
