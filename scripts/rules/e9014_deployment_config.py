"""Names of deployment configurations."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.rules import _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _rule
    import _values


_PLATFORMS = {"ECS": "ECS", "Lambda": "Lambda", "Server": "Server"}


class DeploymentConfigName(_rule.Rule):
    id = "E9014"
    shortdesc = "A deployment group's configuration exists, and is of its compute platform"
    description = (
        "CodeDeploy refuses a deployment group with a predefined configuration that there is not, or with one of another compute platform "
        "than its application's."
    )
    source_url = "https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-configurations.html"
    next_step = "name a predefined configuration of the application's platform, or !Ref one of this template"
    tags = ("resources", "codedeploy")
    resource_types = ("AWS::CodeDeploy::DeploymentGroup",)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        for named in _values.members(cfn, resource, "DeploymentConfigName"):
            platforms = _rule.platforms(cfn, resource, "ApplicationName")
            for text in _values.texts(cfn, named.value):
                if problem := self._predefined(text, platforms):
                    yield named.path, problem
            # One of this template: its own platform is known.
            own = named.value.get("Ref") if isinstance(named.value, dict) else None
            for config in _rule.resources(cfn, "AWS::CodeDeploy::DeploymentConfig"):
                if config.path[1] == own:
                    found = {text.value for text in _values.literals(cfn, config, "ComputePlatform")} or {"Server"}
                    if platforms and not platforms & found:
                        yield named.path, f"{own} is a configuration for {' or '.join(sorted(found))}, the application is for {' or '.join(sorted(platforms))}"

    def _predefined(self, text: str, platforms: set[str]) -> str:
        table = _rule.table("deployment_configs")
        prefix = table["prefix"]
        names: dict[str, list[str]] = table["names"]
        every = {prefix + name for listed in names.values() for name in listed}
        if not text.startswith(prefix):
            # Another name may be of a configuration of the account's own, if it is not one of these without its beginning.
            bare = next((name for name in every if name == prefix + text), "")
            return f"the predefined configuration is called {bare}" if bare else ""
        if text not in every:
            return _rule.unknown(text, every, "deployment_configs", f"there is no {text}")
        of = next(platform for platform, listed in names.items() if text[len(prefix) :] in listed)
        if platforms and of not in platforms:
            return f"{text} is for {of}, the application is for {' or '.join(sorted(platforms))}"
        return ""
