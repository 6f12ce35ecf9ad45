"""E9037: kms:ViaService without a Region."""

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


class ViaService(_rule.Rule):
    id = "E9037"
    shortdesc = "kms:ViaService is no service in a Region"
    description = (
        "The key's value is <service>.<Region>.amazonaws.com. A plain service principal is accepted and never equal to it, so the key cannot be used "
        "through the service."
    )
    source_url = "https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service"
    next_step = "write !Sub <service>.${AWS::Region}.amazonaws.com"
    tags = ("resources", "iam", "kms")
    resource_types = _policies.TYPES

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        for _, document in _policies.documents(cfn, resource):
            for statement in _policies.statements(cfn, document):
                for _, key, test in _policies.tests(cfn, statement):
                    if key.lower() != "kms:viaservice":
                        continue
                    for entry in _policies.listed(cfn, test.value, test.path, test.conditions):
                        if entry.value.replace(_policies.UNKNOWN, "").count(".") == 2 and re.fullmatch(r"[a-z0-9-]+\.amazonaws\.com", entry.value):
                            service = entry.value.split(".")[0]
                            yield entry.path, f"kms:ViaService is never {entry.value}; write !Sub {service}.${{AWS::Region}}.amazonaws.com"
