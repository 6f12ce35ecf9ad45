"""E9032: an AWS managed policy that does not exist."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.rules import _policies, _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _policies
    import _rule
    import _values

_POLICY = re.compile(r"arn:aws[a-z-]*:iam::aws:policy/(.+)")


class ManagedPolicy(_rule.Rule):
    id = "E9032"
    shortdesc = "AWS managed policy does not exist"
    description = (
        "IAM refuses a policy that it does not have (NoSuchEntity, or not attachable). Many have a path in their ARN: service-role/, job-function/, "
        "aws-service-role/."
    )
    source_url = "https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html"
    next_step = "write the policy's ARN from AWS's list, with its path"
    tags = ("resources", "iam")
    resource_types = ("AWS::IAM::Role", "AWS::IAM::User", "AWS::IAM::Group")

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        known = _rule.table("managed_policies")["policies"]
        for key in ("ManagedPolicyArns", "PermissionsBoundary"):
            for entry in _policies.said(cfn, resource, key):
                named = _POLICY.fullmatch(entry.value)
                if not named or _policies.UNKNOWN in entry.value or named.group(1) in known:
                    continue
                name = named.group(1).rsplit("/", 1)[-1]
                paths = {policy.rsplit("/", 1)[-1]: policy for policy in known}
                said = f"AWS has no managed policy {named.group(1)}"
                meant = paths.get(name) or paths.get(_rule.near(name, paths))
                yield entry.path, f"{said}; write policy/{meant}" if meant else _rule.unknown(named.group(1), known, "managed_policies", said)
