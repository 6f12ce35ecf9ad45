"""What can be wrong in a policy without any call being made. Pure: a policy in, findings out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from localaws.policies import matches
from tests.iam import reference
from tests.iam.reference import Action, entries

PASSED_TO = {"iam:PassRole": "iam:passedtoservice"}
"""Connections are not among them: which service's name codeconnections:PassedToService holds, no page says for certain."""


@dataclass(frozen=True)
class Finding:
    """`rule` names the check, `where` the role and statement, `what` the entry that is wrong."""

    rule: str
    where: str
    what: str


@dataclass(frozen=True)
class Wide:
    """Resource "*" for actions that know resources, looked at and left, with the reason."""

    role: str
    statement: str
    actions: tuple[str, ...]
    reason: str


def statement(where: str, body: Mapping[str, Any], of_resource: bool = False) -> Iterator[Finding]:
    """Everything wrong with one statement; `of_resource`: it stands in a resource's own policy, where "*" is that resource."""
    sid = f"{where} {body.get('Sid', '(no Sid)')}"
    if "Sid" not in body and not of_resource:
        yield Finding("statement-without-sid", sid, str(list(entries(body.get("Action")))))
    covered: list[Action] = []
    for entry in entries(body.get("Action")):
        found = reference.actions(entry)
        covered += found
        if not found:
            yield Finding("action-matches-nothing" if "*" in entry else "unknown-action", sid, entry)
    if body["Effect"] == "Allow":
        yield from _too_much(sid, body, of_resource)
    yield from _resources(sid, body, of_resource)
    yield from _keys(sid, body, covered)


def _too_much(sid: str, body: Mapping[str, Any], of_resource: bool) -> Iterator[Finding]:
    for element in ("NotAction", "NotResource", "NotPrincipal"):
        if element in body:
            yield Finding("allows-all-but", sid, element)
    if of_resource and _everybody(body.get("Principal")) and not body.get("Condition"):
        yield Finding("allows-everybody", sid, "*")
    conditions = {key.lower() for keys in (body.get("Condition") or {}).values() for key in keys}
    for entry in entries(body.get("Action")):
        for passing, key in PASSED_TO.items():
            if not of_resource and matches(entry, passing, ignore_case=True) and key not in conditions:
                yield Finding("passes-to-any-service", sid, entry)


def _everybody(principal: Any) -> bool:
    return principal == "*" or (isinstance(principal, Mapping) and "*" in entries(principal.get("AWS")))


def _resources(sid: str, body: Mapping[str, Any], of_resource: bool) -> Iterator[Finding]:
    """Each action has a resource in the statement that it takes, and each resource an action that takes it."""
    resources = [*entries(body.get("Resource")), *entries(body.get("NotResource"))]
    if "*" in resources or (of_resource and not resources):
        return
    taken = set()
    for entry in entries(body.get("Action")):
        found = reference.actions(entry)
        fitting = {resource for resource in resources for action in found if reference.fits(action, resource)}
        taken |= fitting
        if found and not any(action.types for action in found):
            yield Finding("action-takes-no-resource", sid, entry)
        elif found and not fitting:
            yield Finding("action-takes-other-resources", sid, entry)
    for resource in resources:
        if resource not in taken:
            yield Finding("resource-of-no-action", sid, resource)


def _keys(sid: str, body: Mapping[str, Any], covered: Iterable[Action]) -> Iterator[Finding]:
    for keys in (body.get("Condition") or {}).values():
        for key in keys:
            if key.startswith("aws:") and not reference.is_global(key):
                yield Finding("unknown-condition-key", sid, key)
            for action in covered:
                if not reference.takes_key(action, key):
                    yield Finding("condition-key-not-taken", sid, f"{action.name} {key}")


def wide(where: str, body: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(role, statement, entry) of what is allowed on "*" though some action that it covers could be held to resources."""
    if body["Effect"] == "Allow" and "*" in entries(body.get("Resource")):
        for entry in entries(body.get("Action")):
            if any(action.types for action in reference.actions(entry)):
                yield where, str(body.get("Sid")), entry


def unreviewed(found: Iterable[tuple[str, str, str]], reviewed: Iterable[Wide]) -> Iterator[Finding]:
    """What is wide and not in the reviewed list, and what is in the list and not (or no longer) wide."""
    there = set(found)
    known = {(one.role, one.statement, action): one for one in reviewed for action in one.actions}
    for role, sid, entry in sorted(there - known.keys()):
        yield Finding("wide-resource", f"{role} {sid}", entry)
    for role, sid, entry in sorted(known.keys() - there):
        yield Finding("reviewed-for-nothing", f"{role} {sid}", entry)
    for one in reviewed:
        if not one.reason.strip():
            yield Finding("no-reason", f"{one.role} {one.statement}", ", ".join(one.actions))


def trust(where: str, document: Mapping[str, Any], documented: Mapping[str, str], excepted: Mapping[tuple[str, str], str]) -> Iterator[Finding]:
    """A service that says whom it works for is let in for this account only. `documented`: service -> source; `excepted`: (role, service)."""
    for body in document["Statement"]:
        principal = body.get("Principal")
        if body["Effect"] != "Allow":
            continue
        if _everybody(principal) or not isinstance(principal, Mapping):
            yield Finding("trusts-everybody", where, str(principal))
            continue
        keys = {key.lower() for operator, given in (body.get("Condition") or {}).items() if not operator.lower().endswith("ifexists") for key in given}
        for service in entries(principal.get("Service")):
            if service in documented and not keys & {"aws:sourceaccount", "aws:sourcearn"} and (where, service) not in excepted:
                yield Finding("confused-deputy", where, service)
        for arn in entries(principal.get("AWS")):
            if not keys & {"aws:principalarn", "sts:externalid", "aws:principalorgid"}:
                yield Finding("trusts-a-whole-account", where, arn)
