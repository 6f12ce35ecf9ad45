"""Names where ARNs are given."""

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


# Keys that take a name, by provider.
_NAMES = {
    "CodeBuild": ("ProjectName",),
    "CodeDeploy": ("ApplicationName", "DeploymentGroupName"),
    "CodeDeployToECS": ("ApplicationName", "DeploymentGroupName"),
    "ECR": ("RepositoryName",),
    "ECRBuildAndPublish": ("ECRRepositoryName",),
    "CodeCommit": ("RepositoryName",),
    "CodePipeline": ("PipelineName",),
    "Lambda": ("FunctionName",),
    "LambdaInvoke": ("FunctionName",),
    "CloudWatchAlarm": ("AlarmName",),
    "S3": ("S3Bucket", "BucketName"),
}


class NameNotArn(_rule.Rule):
    id = "E9013"
    shortdesc = "Actions and rules take names, not ARNs"
    description = "CodePipeline looks for a project, function, application, bucket or alarm by its name; with an ARN it finds none, when the action runs."
    source_url = "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference.html"
    next_step = "write the name alone: !Ref of the resource, or the last part of the ARN"
    tags = ("resources", "codepipeline")
    resource_types = (_pipelines.TYPE,)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        for action in _pipelines.actions(cfn, resource):
            yield from self._configuration(cfn, f"action {action.name}", action.declared, "ActionTypeId")
        for _, stage in _pipelines.stages(cfn, resource):
            for kind in ("BeforeEntry", "OnSuccess", "OnFailure"):
                for holder in _values.members(cfn, stage, kind):
                    conditions = holder.value.get("Conditions") if isinstance(holder.value, dict) else None
                    for entry in _values.entries(cfn, conditions, (*holder.path, "Conditions"), holder.conditions):
                        rules = entry.value.get("Rules") if isinstance(entry.value, dict) else None
                        for rule in _values.entries(cfn, rules, (*entry.path, "Rules"), entry.conditions):
                            if isinstance(rule.value, dict):
                                yield from self._configuration(cfn, f"rule {rule.value.get('Name', '?')}", rule, "RuleTypeId")

    def _configuration(self, cfn: Any, who: str, holder: _values.Branch, kind: str) -> Iterator[tuple[_values.Path, str]]:
        for provider in {found.provider for found in _pipelines.kinds(cfn, holder, kind)}:
            for found in _pipelines.configurations(cfn, holder):
                for key in _NAMES.get(provider, ()):
                    for value in _values.members(cfn, found, key):
                        if _is_arn(value.value):
                            yield value.path, f"{who}: {key} is an ARN; {provider} wants the name: !Ref gives it"


def _is_arn(value: Any) -> bool:
    if isinstance(value, str):
        return value.startswith("arn:")
    if isinstance(value, dict) and len(value) == 1:
        got = value.get("Fn::GetAtt")
        if isinstance(got, list):
            return len(got) == 2 and got[1] == "Arn" and "Outputs" not in str(got[0])
        if isinstance(got, str):
            return got.count(".") == 1 and got.endswith(".Arn")
        text = value.get("Fn::Sub")
        text = text[0] if isinstance(text, list) and text else text
        return isinstance(text, str) and (text.startswith("arn:") or (text.startswith("${") and text.endswith(".Arn}") and text.count("$") == 1))
    return False
