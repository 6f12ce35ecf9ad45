"""How a deployment group's deployments go."""

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


_BLUE_GREEN_ALONE = ("BlueGreenDeploymentConfiguration",)
_SERVER_ALONE = ("AutoScalingGroups", "Ec2TagFilters", "Ec2TagSet", "OnPremisesInstanceTagFilters", "OnPremisesTagSet", "OutdatedInstancesStrategy")


class DeploymentStyle(_rule.Rule):
    id = "E9017"
    shortdesc = "A deployment group's style fits its compute platform, and what it needs is there"
    description = (
        "Lambda and ECS deploy BLUE_GREEN with traffic control and to no hosts. In place, traffic control needs a load balancer. CodeDeploy "
        "refuses the rest, or takes no traffic off a host."
    )
    source_url = "https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_DeploymentStyle.html"
    next_step = "write the style that the platform knows, and the properties that it needs"
    tags = ("resources", "codedeploy")
    resource_types = ("AWS::CodeDeploy::DeploymentGroup",)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        platforms = _rule.platforms(cfn, resource, "ApplicationName")
        elsewhere = bool(platforms) and "Server" not in platforms
        platform = " and ".join(sorted(platforms))
        if elsewhere:
            for key in _SERVER_ALONE:
                for found in _values.members(cfn, resource, key):
                    if found.value:
                        yield found.path, f"{key} is for hosts; an application for {platform} has none"
            for style in _values.objects(cfn, resource, "DeploymentStyle"):
                for kind in _values.literals(cfn, style, "DeploymentType"):
                    if kind.value == "IN_PLACE":
                        yield kind.path, f"{platform} deploys BLUE_GREEN alone; set DeploymentType to it"
                for option in _values.literals(cfn, style, "DeploymentOption"):
                    if option.value == "WITHOUT_TRAFFIC_CONTROL":
                        yield option.path, f"{platform} deploys WITH_TRAFFIC_CONTROL alone; set DeploymentOption to it"
        if platforms == {"ECS"} and "ECSServices" not in resource.value:
            yield resource.path, "an application for ECS deploys to a service; name it in ECSServices"
        if platforms and "ECS" not in platforms and "ECSServices" in resource.value:
            yield (*resource.path, "ECSServices"), f"ECSServices are for ECS; the application is for {platform}"
        for style in _values.objects(cfn, resource, "DeploymentStyle"):
            yield from self._style(cfn, resource, style, elsewhere)

    def _style(self, cfn: Any, resource: _values.Branch, style: _values.Branch, elsewhere: bool) -> Iterator[tuple[_values.Path, str]]:
        kinds = {text.value for text in _values.literals(cfn, style, "DeploymentType")}
        options = list(_values.literals(cfn, style, "DeploymentOption"))
        balancers = list(_values.members(cfn, resource, "LoadBalancerInfo"))
        if not elsewhere:
            for option in options:
                if option.value == "WITH_TRAFFIC_CONTROL" and _values.uncovered(cfn, option.conditions, [found.conditions for found in balancers]) is not None:
                    yield option.path, "traffic control needs a load balancer; add LoadBalancerInfo with the target group of the hosts"
                if option.value == "WITHOUT_TRAFFIC_CONTROL" and balancers and kinds == {"IN_PLACE"}:
                    yield option.path, "there is a LoadBalancerInfo, and without traffic control no host leaves it while it changes; set WITH_TRAFFIC_CONTROL"
        if kinds == {"BLUE_GREEN"} and not elsewhere:
            for key in ("AutoScalingGroups", "Deployment"):
                for found in _values.members(cfn, resource, key):
                    yield found.path, f"CloudFormation takes no {key} with BLUE_GREEN; deploy in place behind the balancer, or make the group outside"
        if kinds == {"IN_PLACE"}:
            for key in _BLUE_GREEN_ALONE:
                for found in _values.members(cfn, resource, key):
                    yield found.path, f"{key} is for BLUE_GREEN, and DeploymentType is IN_PLACE"
