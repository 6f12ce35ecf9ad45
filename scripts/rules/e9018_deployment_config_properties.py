"""Deployment configurations of one's own."""

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


class DeploymentConfigProperties(_rule.Rule):
    id = "E9018"
    shortdesc = "A deployment configuration says what its compute platform needs"
    description = (
        "Hosts have MinimumHealthyHosts and zones, functions and tasks have a TrafficRoutingConfig: CodeDeploy refuses the one in place of "
        "the other, and percentages out of range."
    )
    source_url = "https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_CreateDeploymentConfig.html"
    next_step = "write what the platform needs: MinimumHealthyHosts for Server, TrafficRoutingConfig for the others"
    tags = ("resources", "codedeploy")
    resource_types = ("AWS::CodeDeploy::DeploymentConfig",)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        found = {text.value for text in _values.literals(cfn, resource, "ComputePlatform")}
        platforms = found or (set() if "ComputePlatform" in resource.value else {"Server"})
        if platforms == {"Server"}:
            if "MinimumHealthyHosts" not in resource.value:
                yield resource.path, "a configuration for hosts needs MinimumHealthyHosts"
            for routing in _values.objects(cfn, resource, "TrafficRoutingConfig"):
                yield routing.path, "TrafficRoutingConfig is for Lambda and ECS; hosts change by MinimumHealthyHosts"
        elif platforms and "Server" not in platforms:
            for key in ("MinimumHealthyHosts", "ZonalConfig"):
                for branch in _values.members(cfn, resource, key):
                    yield branch.path, f"{key} is for hosts; {' and '.join(sorted(platforms))} shifts traffic by TrafficRoutingConfig"
            if "TrafficRoutingConfig" not in resource.value:
                yield resource.path, f"a configuration for {' and '.join(sorted(platforms))} needs TrafficRoutingConfig"
        for hosts in (*_values.objects(cfn, resource, "MinimumHealthyHosts"), *_values.at(cfn, resource, "ZonalConfig", "MinimumHealthyHostsPerZone")):
            kinds = {text.value for text in _values.literals(cfn, hosts, "Type")}
            for number in _values.literals(cfn, hosts, "Value"):
                if kinds == {"FLEET_PERCENT"} and number.value.isdigit() and int(number.value) > 99:
                    yield number.path, f"{number.value} percent of the hosts cannot stay healthy while they change; CodeDeploy takes 0 to 99"
        for routing in _values.objects(cfn, resource, "TrafficRoutingConfig"):
            for kind in _values.literals(cfn, routing, "Type"):
                for name in ("TimeBasedCanary", "TimeBasedLinear"):
                    if kind.value == name and name not in routing.value:
                        yield routing.path, f"Type {name} needs the property {name}, with its percentage and interval"
                    if kind.value != name and name in routing.value:
                        yield (*routing.path, name), f"{name} stands beside Type {kind.value}; one of them is not meant"
