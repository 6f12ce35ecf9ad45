"""W9059: hosts that the load balancer judges, under a deployment that takes them out."""

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


class ElbHealthCheck(_rule.Rule):
    id = "W9059"
    shortdesc = "Auto Scaling replaces hosts that a deployment has taken out"
    description = (
        "With HealthCheckType ELB, Auto Scaling ends a host that fails the load balancer's check: one whose app an in-place deployment has stopped, and each "
        "host that has no release yet. Take EC2."
    )
    source_url = "https://docs.aws.amazon.com/codedeploy/latest/userguide/integrations-aws-auto-scaling.html"
    next_step = "write HealthCheckType: EC2"
    tags = ("resources", "autoscaling", "codedeploy")
    resource_types = ("AWS::AutoScaling::AutoScalingGroup",)

    def match(self, cfn: Any) -> list[Any]:
        top = _nested.root(cfn) or _nested.Node(cfn.template, Path())
        return [RuleMatch(list(path), message) for path, message in dict.fromkeys(_judged(cfn, top, top, ()))]


def _judged(cfn: Any, top: _nested.Node, node: _nested.Node, at: _values.Path) -> Iterable[tuple[_values.Path, str]]:
    for name, resource in _values.section(node.template, "Resources").items():
        properties = resource.get("Properties")
        if (
            isinstance(properties, dict)
            and resource.get("Type") == "AWS::CodeDeploy::DeploymentGroup"
            and isinstance(properties.get("AutoScalingGroups"), list)
        ):
            style = properties.get("DeploymentStyle")
            if isinstance(style, dict) and style.get("DeploymentType") not in (None, "IN_PLACE"):
                continue
            for entry in properties["AutoScalingGroups"]:
                group = _nested.origin(node, entry)
                spec = group[0].template["Resources"][group[1]] if group else {}
                kind = _values.mapping(spec.get("Properties")).get("HealthCheckType")
                if group and isinstance(kind, str) and "ELB" in kind.split(","):
                    # Said where it stands, or at the nested stack that has it.
                    place: _values.Path = ("Resources", group[1], "Properties", "HealthCheckType") if group[0] == top else _stack(group[0])
                    yield place, f"{group[1]} has HealthCheckType ELB and {name} deploys in place: hosts without a running app are ended; take EC2"
    for inner in _nested.children(node):
        yield from _judged(cfn, top, inner, at)


def _stack(node: _nested.Node) -> _values.Path:
    """The stack of the linted template that a template further down belongs to."""
    while node.within and node.within[0].within:
        node = node.within[0]
    return ("Resources", node.within[1] if node.within else "")
