"""What CloudFormation's resource handlers call, asked of the role that deploys: which of its permissions they would miss.

A recorded call (recordings.py) was really made, by the local AWS's own CloudFormation, which gets along with less than AWS's. What AWS's handlers call is
published with each resource type; those are the declarations, and nobody has seen the calls. So each is a kind of proof of its own.

Source: the resource types' schemas as the CloudFormation registry publishes them (DescribeType, `handlers.*.permissions`), which cfn-lint carries, and what
of that no template needs (tests/templates/deployer_needs.py).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from localaws.policies import matches
from tests.iam import evaluate, reference
from tests.iam.roles import ROOT, Role, World, lists
from tests.templates import deployer_needs

DEPLOYER = "deployer.yaml Deployer"
_CLOUDFORMATION = "cloudformation.amazonaws.com"
Needs = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Call:
    """An action that handlers are declared to call, and the resource types whose handlers those are."""

    action: str
    types: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.action} by the handlers of {', '.join(self.types)} (registry schemas, handlers.*.permissions)"


@functools.cache
def needed() -> Needs:
    """Every action that the handlers of the templates' resource types call, with those types; what no template needs is left out."""
    return {action: frozenset(types) for action, types in deployer_needs.needed(ROOT / "templates").items()}


def keys_of(kind: str) -> dict[str, Any]:
    """The condition keys of a call by the handlers of a resource type: through CloudFormation, and for the type's own service where a role is for one.

    Nothing else is taken as given: a statement that asks for more (kms:ViaService) is not one that the handlers are known to come by.
    """
    service = f"{kind.split('::')[1].lower()}.amazonaws.com"
    return {"aws:calledvia": [_CLOUDFORMATION], "aws:calledviafirst": _CLOUDFORMATION, "aws:calledvialast": _CLOUDFORMATION, "aws:viaawsservice": "true",
            "iam:awsservicename": service, "iam:passedtoservice": service}


def missed(world: World, role: Role, weaker: Role, pattern: str, resources: Iterable[str], needs: Needs) -> Call | None:
    """The first action that handlers could call as `role` and cannot as `weaker`, which lacks `pattern` on `resources`.

    None where another statement gives them the same, where the statement is not one that they come by, or where none of them calls such an action.
    """
    asked = list(resources)
    for action in sorted(needs):
        if matches(pattern, action, ignore_case=True):
            types = {kind for resource in _of(action, asked) for kind in needs[action]
                     if evaluate.allowed(world, role, action, resource, keys_of(kind)).allowed
                     and not evaluate.allowed(world, weaker, action, resource, keys_of(kind)).allowed}
            if types:
                return Call(action, tuple(sorted(types)))
    return None


def _of(action: str, resources: Iterable[str]) -> Iterator[str]:
    """Those resources of a statement that an action can be about, as they stand there: a pattern fits itself. None of an action that there is not."""
    known = reference.actions(action)
    for resource in resources:
        if any(resource == "*" or reference.fits(one, resource) for one in known):
            yield resource


def resources_of(role: Role, statement: str) -> list[str]:
    """The resources of a role's statement of that name, in all its policies."""
    return [resource for _, _, body in role.statements() if str(body.get("Sid")) == statement for resource in lists(body.get("Resource"))]
