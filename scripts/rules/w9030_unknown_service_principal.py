"""W9030: a service principal that is in no list, and near to none."""

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


class UnknownServicePrincipal(_rule.Rule):
    id = "W9030"
    shortdesc = "Service principal is not in the table"
    description = (
        "AWS has no complete list of service principals. This one is in none of those that data/service_principals.json was made from; IAM may refuse it."
    )
    source_url = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_aws-services-that-work-with-iam.html"
    next_step = "check the name in the service's documentation; if it is right, leave it"
    tags = ("resources", "iam")
    resource_types = _principals.TYPES

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        for named in _principals.named(cfn, resource):
            if not _principals.known(named.value) and not _principals.correction(named.value):
                date = _rule.table("service_principals")["date"]
                yield named.path, f"{named.value} is not among the service principals of {date}; look it up in the service's guide, and add it to the table"
