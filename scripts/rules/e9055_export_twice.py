"""E9055: two outputs that export one name."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfnlint.rules import RuleMatch

if TYPE_CHECKING:
    from scripts.rules import _policies, _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _policies
    import _rule
    import _values


class ExportTwice(_rule.Rule):
    id = "E9055"
    shortdesc = "Two outputs export the same name"
    description = (
        "An export's name is unique in an account and a Region: CloudFormation refuses the second. A name without a part of the stack's own collides "
        "with the next stack of the template."
    )
    source_url = "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-stack-exports.html"
    next_step = "put ${AWS::StackName} or a parameter into the export's name"
    tags = ("outputs",)

    def match(self, cfn: Any) -> list[Any]:
        seen: dict[str, tuple[str, dict[str, bool]]] = {}
        found = []
        for name, output in _values.section(cfn.template, "Outputs").items():
            export = output.get("Export")
            if not isinstance(export, dict) or "Name" not in export:
                continue
            conditions = {output["Condition"]: True} if isinstance(output.get("Condition"), str) else {}
            written = json.dumps(export["Name"], sort_keys=True, default=str)
            if written in seen and _values.together(cfn, seen[written][1], conditions):
                text = _policies.shapes(cfn, export["Name"])[0].replace(_policies.UNKNOWN, "…")
                found.append(RuleMatch(["Outputs", name, "Export", "Name"], f"{name} exports {text}, which {seen[written][0]} exports too; name it otherwise"))
            seen.setdefault(written, (name, conditions))
        return found
