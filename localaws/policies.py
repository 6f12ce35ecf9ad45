"""MiniStack's policy evaluator by itself: documents in, a decision out, with no server, no accounts and no stored roles.

What is asked here is decided by the code that answers on the local AWS. Importing it costs nothing: not the application, only its evaluator.
Source: IAM user guide, "Policy evaluation logic"; KMS developer guide, "Key policies" (the key's own policy must allow, too).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ministack.core import iam_evaluator

ALLOW, DENY, IMPLICIT = "Allow", "Deny", "ImplicitDeny"
Document = Mapping[str, Any]
_RESOURCE_ACCOUNT = "request:resourceaccount"


@dataclass(frozen=True)
class Request:
    """One question: may `principal` do `action` on `resource`?

    `principal` is a role's ARN (of which `account` is the account), or a service principal such as codebuild.amazonaws.com with account "".
    `keys` are condition keys (any case) with their values; the principal's ARN and account, the Region (`region`), and that it came over TLS need not
    be given.
    """

    principal: str
    account: str
    action: str
    resource: str
    region: str = ""
    keys: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """`outcome` is Allow, Deny (a statement says so) or ImplicitDeny (none allows); `sid` is the statement's that decided, if it has one."""

    outcome: str
    sid: str = ""

    @property
    def allowed(self) -> bool:
        return self.outcome == ALLOW


def _context(request: Request) -> Any:
    keys = {key.lower(): value for key, value in request.keys.items()}
    keys[_RESOURCE_ACCOUNT] = keys.get("aws:resourceaccount", keys.get("s3:resourceaccount"))
    return iam_evaluator.EvalContext(
        principal_arn=request.principal, principal_type="Service" if not request.account else "AssumedRole", principal_account=request.account,
        action=request.action, resource_arn=request.resource, region=request.region, source_ip=str(keys.get("aws:sourceip", "192.0.2.1")),
        secure_transport=keys.get("aws:securetransport", "true") == "true", service_context=keys, principal_keys=keys)


def identity(request: Request, policies: Sequence[Document], limits: Sequence[Sequence[Document]] = ()) -> Verdict:
    """Decide by the caller's own policies; `limits` (a boundary's policies, those of a session) each have to allow as well."""
    return _verdict(_identity(request, policies, limits))


def _identity(request: Request, policies: Sequence[Document], limits: Sequence[Sequence[Document]]) -> Any:
    return iam_evaluator.evaluate(_context(request), _parsed(policies), *(_parsed(limit) for limit in limits))


def of_resource(request: Request, policy: Document) -> Verdict:
    """Decide by a resource's policy alone (a role's trust policy, too): what a service principal gets, and what a statement gives of itself."""
    service = request.principal if not request.account else None
    return _verdict(iam_evaluator.evaluate_resource_policy(_of(policy), _context(request), service=service))


def combined(request: Request, policies: Sequence[Document], limits: Sequence[Sequence[Document]], policy: Document, owner: str,
             required: bool = False) -> Verdict:
    """Decide by both: across accounts both must allow; in the `owner`'s account one is enough, unless the resource's is `required`."""
    found = iam_evaluator.combine_resource_policy(_identity(request, policies, limits), _context(request), _of(policy), owner, required=required,
                                                  limits=tuple(_parsed(limit) for limit in limits))
    return _verdict(found)


def matches(pattern: str, text: str, ignore_case: bool = False) -> bool:
    """Tell whether `text` fits a pattern with * and ?, as actions (in any case) and ARNs (in their case) are compared."""
    return re.fullmatch("".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern), text,
                        re.IGNORECASE if ignore_case else 0) is not None


def _parsed(policies: Sequence[Document]) -> list[Any]:
    return [iam_evaluator.parse_policy_document(_of(policy)) for policy in policies]


def _of(policy: Document) -> dict[str, Any]:
    """A document whose conditions on the resource's account ask the request: MiniStack answers them by itself, and takes every bucket for the caller's."""
    statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
    return {**policy, "Statement": [{**statement, "Condition": _asked(statement["Condition"])} if statement.get("Condition") else statement
                                    for statement in statements]}


def _asked(conditions: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {operator: {_RESOURCE_ACCOUNT if key.lower() in ("aws:resourceaccount", "s3:resourceaccount") else key: value for key, value in keys.items()}
            for operator, keys in conditions.items()}


def _verdict(result: Any) -> Verdict:
    return Verdict(result.decision, result.matched_sid)
