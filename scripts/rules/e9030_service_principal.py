"""E9030: a service principal that is misspelt."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.rules import _principals, _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _principals
    import _rule
    import _values


class ServicePrincipal(_rule.Rule):
    id = "E9030"
    shortdesc = "Service principal is misspelt"
    description = (
        "IAM refuses a principal that is no service (Invalid principal in policy); in a condition such as iam:PassedToService it is accepted and never true."
    )
    source_url = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html#principal-services"
    next_step = "write the service's principal as its documentation has it"
    tags = ("resources", "iam")
    resource_types = _principals.TYPES

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        for named in _principals.named(cfn, resource):
            correction = _principals.correction(named.value)
            if correction:
                yield named.path, f"{named.value} is no service that IAM knows; {correction}"
