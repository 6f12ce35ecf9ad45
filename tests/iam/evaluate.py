"""May this role do that? `allowed()`, by the role's policies, its boundary, and the policies of what it asks for.

Decided by the evaluator of the local AWS (localaws/policies.py), over the world of the templates (roles.py). What is not in that world and belongs to
another account is taken to be open to all: whoever wants our roles to bring something out would see to that, so only our own policies count there.
Source: IAM user guide, "Policy evaluation logic" and "Cross-account policy evaluation logic".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from localaws import policies
from localaws.policies import Request, Verdict
from tests.iam.roles import Document, ResourcePolicy, Role, World

_OPEN: Document = {"Version": "2012-10-17", "Statement": [{"Sid": "AnybodyElsesAccount", "Effect": "Allow", "Principal": "*", "Action": "*"}]}
_REQUIRED = ("kms", "sts")
"""Services whose resource must allow in its own account, too: a key by its policy, a role by its trust policy."""


@dataclass(frozen=True)
class Decision:
    """`outcome` is Allow, Deny (a statement denies) or ImplicitDeny (none allows); `sid` is the statement's that decided, `by` whose it is."""

    outcome: str
    sid: str
    by: str

    @property
    def allowed(self) -> bool:
        return self.outcome == policies.ALLOW

    def __str__(self) -> str:
        return f"{self.outcome} by {self.by}" + (f" ({self.sid})" if self.sid else "")


def account_of(world: World, resource: str) -> str:
    """The account that a resource is in; "" where neither its ARN nor the world says."""
    parts = resource.split(":", 5)
    if len(parts) < 6:
        return ""
    return world.owners.get(_bucket(resource), "") if parts[2] == "s3" else parts[4]


def _bucket(resource: str) -> str:
    return resource.partition("/")[0] if resource.startswith("arn:aws:s3:::") else resource


def policy_of(world: World, resource: str) -> Document | None:
    """The policy of a resource of the world: all statements of it together; a role's is its trust policy."""
    role = world.by_arn(resource) if ":role/" in resource else None
    if role is not None:
        return role.trust
    found = [one for one in world.resource_policies if one.arn in (resource, _bucket(resource))]
    return {"Version": "2012-10-17", "Statement": [statement for one in found for statement in one.document["Statement"]]} if found else None


def allowed(world: World, role: Role, action: str, resource_arn: str, keys: Mapping[str, Any] | None = None,
            session: Document | None = None) -> Decision:
    """Decide whether `role` may do `action` on `resource_arn` ("*" where the action knows no resource).

    `keys` are the condition keys of the request; the caller's own (aws:PrincipalArn, kms:CallerAccount, …) are added. `session` is a session policy.
    """
    service = action.partition(":")[0]
    owner = account_of(world, resource_arn)
    own = {"aws:principalarn": role.arn, "aws:principalaccount": role.account, "kms:calleraccount": role.account}
    if owner:
        own["aws:resourceaccount"] = own["s3:resourceaccount"] = owner
    region = resource_arn.split(":")[3] if resource_arn.count(":") >= 5 and resource_arn.split(":")[3] else role.region
    request = Request(role.arn, role.account, action, resource_arn, region, {**own, **{key.lower(): value for key, value in (keys or {}).items()}})
    mine = [*role.policies.values(), *role.attached]
    limits = [[limit] for limit in (role.boundary, session) if limit is not None]
    first = policies.identity(request, mine, limits)
    of_resource = policy_of(world, resource_arn)
    if of_resource is None and owner not in ("", role.account):
        of_resource = _OPEN
    if of_resource is None or not owner:
        return _said(first, "the role's policies")
    both = policies.combined(request, mine, limits, of_resource, owner, required=service in _REQUIRED)
    return _said(both, "the role's policies" if both.outcome == first.outcome and both.sid == first.sid else "the resource's policy")


def service_allowed(world: World, service: str, action: str, resource_arn: str, keys: Mapping[str, Any] | None = None) -> Decision:
    """Decide whether an AWS service (events.amazonaws.com) may do something by itself: the resource's policy alone says."""
    found = policy_of(world, resource_arn)
    if found is None:
        return Decision(policies.IMPLICIT, "", "a resource without a policy")
    return _said(policies.of_resource(Request(service, "", action, resource_arn, keys=keys or {}), found), "the resource's policy")


def let_in(world: World, principal: str, action: str, resource_arn: str, keys: Mapping[str, Any] | None = None) -> Decision:
    """Decide whether a resource's policy lets a principal in that is none of ours; its own policies are taken to allow everything."""
    found = policy_of(world, resource_arn)
    if found is None:
        return Decision(policies.IMPLICIT, "", "a resource without a policy")
    return _said(policies.of_resource(_from_outside(principal, action, resource_arn, keys), found), "the resource's policy")


def _from_outside(principal: str, action: str, resource: str, keys: Mapping[str, Any] | None) -> Request:
    account = principal.split(":")[4] if principal.startswith("arn:") else ""
    own = {"aws:principalarn": principal, "aws:principalaccount": account, "kms:calleraccount": account} if account else {}
    return Request(principal, account, action, resource, keys={**own, **{key.lower(): value for key, value in (keys or {}).items()}})


def may_assume(world: World, role: Role, principal: str, keys: Mapping[str, Any] | None = None) -> Decision:
    """Decide whether a role's trust policy lets a principal in: a service, or an ARN, whose own policies are taken to allow it."""
    request = _from_outside(principal, "sts:AssumeRole", role.arn, keys)
    return _said(policies.of_resource(request, role.trust), "the trust policy")


def with_changes(world: World, roles: Iterable[Role] = (), resource_policies: Iterable[ResourcePolicy] = ()) -> World:
    """The world with some roles and resource policies in place of those in the same places."""
    changed = {role.place: role for role in roles}
    other = {(one.stack, one.region, one.path): one for one in resource_policies}
    return replace(world, roles=tuple(changed.get(role.place, role) for role in world.roles),
                   resource_policies=tuple(other.get((one.stack, one.region, one.path), one) for one in world.resource_policies))


def _said(verdict: Verdict, by: str) -> Decision:
    return Decision(verdict.outcome, verdict.sid, by)
