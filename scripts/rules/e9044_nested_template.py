"""E9044: a nested stack whose template is not there, or that is passed nothing of what it asks for."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfnlint.rules import RuleMatch

if TYPE_CHECKING:
    from scripts.rules import _nested, _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _nested
    import _rule
    import _values


class NestedTemplate(_rule.Rule):
    id = "E9044"
    shortdesc = "Template of a nested stack is missing, or gets no parameters"
    description = (
        "A relative TemplateURL must be a file, or packaging fails. cfn-lint's E3043 compares the parameters that are passed with those of the child, "
        "but not where the stack has no Parameters at all."
    )
    source_url = "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-nested-stacks.html"
    next_step = "correct TemplateURL, or pass the parameters that the child asks for"
    tags = ("resources", "cloudformation")

    def match(self, cfn: Any) -> list[Any]:
        top = _nested.root(cfn)
        return [RuleMatch(list(path), message) for path, message in (_problems(top) if top else ())]


def _problems(top: _nested.Node) -> Iterable[tuple[tuple[str, ...], str]]:
    for name in _values.section(top.template, "Resources"):
        file = _nested.file_of(top, name)
        if file is None:
            continue
        if not file.is_file():
            url = top.template["Resources"][name]["Properties"]["TemplateURL"]
            beside = sorted(entry.name for entry in file.parent.glob("*.y*ml")) if file.parent.is_dir() else []
            yield ("Resources", name, "Properties", "TemplateURL"), f"there is no file {url} beside this template; {_rule.meant(file.name, beside)}"
            continue
        inner = _nested.child(top, name)
        if inner is None or "Parameters" in top.template["Resources"][name]["Properties"]:
            continue
        asked = [key for key, spec in _values.section(inner.template, "Parameters").items() if "Default" not in spec]
        if asked:
            yield ("Resources", name, "Properties"), f"{file.name} asks for {', '.join(asked)}, and no parameters are passed; write Parameters"
