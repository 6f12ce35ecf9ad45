"""Order and time of actions."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.rules import _pipelines, _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _pipelines
    import _rule
    import _values


class RunOrder(_rule.Rule):
    id = "E9012"
    shortdesc = "RunOrder is 1 to 999, and only an approval has a timeout"
    description = (
        "CodePipeline refuses a RunOrder out of range, and TimeoutInMinutes on anything but a manual approval (5 to 86400 there): other "
        "actions have a fixed limit."
    )
    source_url = "https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_ActionDeclaration.html"
    next_step = "write a RunOrder from 1 to 999; leave TimeoutInMinutes to approvals"
    tags = ("resources", "codepipeline")
    resource_types = (_pipelines.TYPE,)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        for action in _pipelines.actions(cfn, resource):
            for order in _values.literals(cfn, action.declared, "RunOrder"):
                if not order.value.isdigit() or not 1 <= int(order.value) <= 999:
                    yield order.path, f"action {action.name}: RunOrder {order.value} is not a whole number from 1 to 999"
            for timeout in _values.at(cfn, action.declared, "TimeoutInMinutes"):
                for kind in _pipelines.kinds(cfn, action.declared):
                    if kind.category != "Approval":
                        yield timeout.path, f"action {action.name}: only a manual approval takes TimeoutInMinutes; {kind.provider} has its own limit"
                for text in _values.texts(cfn, timeout.value):
                    if not text.isdigit() or not 5 <= int(text) <= 86400:
                        yield timeout.path, f"action {action.name}: TimeoutInMinutes {text} is not from 5 to 86400"
