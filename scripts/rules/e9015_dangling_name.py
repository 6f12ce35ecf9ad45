"""Names of things that this template makes."""

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


# Keys of a Configuration that name a thing, the type of that thing, and the property with its name.
_THINGS = {
    ("CodeDeploy", "ApplicationName"): ("AWS::CodeDeploy::Application", "ApplicationName"),
    ("CodeDeploy", "DeploymentGroupName"): ("AWS::CodeDeploy::DeploymentGroup", "DeploymentGroupName"),
    ("CodeBuild", "ProjectName"): ("AWS::CodeBuild::Project", "Name"),
    ("Lambda", "FunctionName"): ("AWS::Lambda::Function", "FunctionName"),
    ("CloudWatchAlarm", "AlarmName"): ("AWS::CloudWatch::Alarm", "AlarmName"),
}


class DanglingName(_rule.Rule):
    id = "E9015"
    shortdesc = "An action names the project, function, application and group that there are"
    description = (
        "An action that names what is not there fails when it runs. A name that is a logical id of this template, nearly the name of a "
        "thing in it, or a group of another application is a mistake."
    )
    source_url = "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-CodeDeploy.html"
    next_step = "write !Ref of the resource that is meant, and the application that the group belongs to"
    tags = ("resources", "codepipeline")
    resource_types = (_pipelines.TYPE,)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        for action in _pipelines.actions(cfn, resource):
            for provider in {kind.provider for kind in _pipelines.kinds(cfn, action.declared)}:
                for found in _pipelines.configurations(cfn, action.declared):
                    for (of, key), (kind, property_name) in _THINGS.items():
                        if of == provider:
                            for value in _values.members(cfn, found, key):
                                if problem := self._problem(cfn, value.value, kind, property_name):
                                    yield value.path, f"action {action.name}: {key} {problem}"
                    if provider == "CodeDeploy":
                        yield from self._pair(cfn, action, found)

    def _problem(self, cfn: Any, value: Any, kind: str, property_name: str) -> str:
        made = {str(thing.path[1]): list(_values.at(cfn, thing, property_name)) for thing in _rule.resources(cfn, kind)}
        if isinstance(value, dict) and len(value) == 1 and isinstance(value.get("Ref"), str):
            other = cfn.template.get("Resources", {}).get(value["Ref"])
            of = other.get("Type") if isinstance(other, dict) else None
            # A stack set, a custom resource or a module may give a name by its Ref.
            if isinstance(of, str) and of.startswith("AWS::Code") and of != kind:
                return f"is {value['Ref']}, which is no {kind.split('::')[-1]} but a {of.split('::')[-1]}"
            return ""
        if not isinstance(value, str):
            return ""
        names = {text for found in made.values() for branch in found for text in _values.texts(cfn, branch.value)}
        if value in names:
            return ""
        if value in made:
            return f"{value!r} is a logical id, not a name; write !Ref {value}"
        hint = _rule.meant(value, names) if names else ""
        return f"{value!r} is nothing that this template makes; {hint}" if hint.startswith("did you mean") else ""

    def _pair(self, cfn: Any, action: _pipelines.Action, found: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        """A group and an application of this template that do not belong together."""
        for group in _values.members(cfn, found, "DeploymentGroupName"):
            named = group.value.get("Ref") if isinstance(group.value, dict) else None
            for thing in _rule.resources(cfn, "AWS::CodeDeploy::DeploymentGroup"):
                if thing.path[1] != named or not _values.together(cfn, thing.conditions, group.conditions):
                    continue
                for own in _values.members(cfn, thing, "ApplicationName"):
                    for application in _values.members(cfn, found, "ApplicationName"):
                        if _is_ref(own.value) and _is_ref(application.value) and own.value != application.value:
                            yield group.path, f"action {action.name}: {named} is a group of {own.value['Ref']}, not of {application.value['Ref']}"


def _is_ref(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("Ref"), str)
