"""E9053: attributes and health checks that Elastic Load Balancing does not take."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.rules import _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _rule
    import _values

_WHERE = {
    "AWS::ElasticLoadBalancingV2::LoadBalancer": ("LoadBalancerAttributes", "LoadBalancerAttribute"),
    "AWS::ElasticLoadBalancingV2::TargetGroup": ("TargetGroupAttributes", "TargetGroupAttribute"),
    "AWS::ElasticLoadBalancingV2::Listener": ("ListenerAttributes", "ListenerAttribute"),
}
_KEY = r"[a-z0-9_]+(\.[a-z0-9_]+)+"
_CODES = re.compile(r"\d{1,3}(-\d{1,3})?(, ?\d{1,3}(-\d{1,3})?)*")


class BalancerAttribute(_rule.Rule):
    id = "E9053"
    shortdesc = "Elastic Load Balancing has no such attribute, or no such health check"
    description = (
        "Attributes are free text to CloudFormation, and an unknown one is refused when the resource is made. So is a health check whose timeout is "
        "not below its interval."
    )
    source_url = "https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetGroupAttribute.html"
    next_step = "write the attribute or value as Elastic Load Balancing's list has it"
    tags = ("resources", "elasticloadbalancing")
    resource_types = tuple(_WHERE)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        key, table = _WHERE[cfn.template["Resources"][resource.path[1]]["Type"]]
        known = _rule.table("balancer_attributes")[table]
        for attributes in _values.members(cfn, resource, key):
            for entry in _values.entries(cfn, attributes.value, attributes.path, attributes.conditions):
                for name in _values.literals(cfn, entry, "Key"):
                    if name.value not in known:
                        yield name.path, _rule.unknown(name.value, known, "balancer_attributes", f"there is no attribute {name.value}", _KEY)
        # A network load balancer's checks may take as long as their interval.
        http = any(protocol.value in ("HTTP", "HTTPS") for protocol in _values.literals(cfn, resource, "Protocol"))
        for timeout in _values.literals(cfn, resource, "HealthCheckTimeoutSeconds") if http else ():
            for interval in _values.literals(cfn, resource, "HealthCheckIntervalSeconds"):
                if not (timeout.value.isdigit() and interval.value.isdigit() and _values.together(cfn, timeout.conditions, interval.conditions)):
                    continue
                if int(timeout.value) >= int(interval.value):
                    yield timeout.path, f"the timeout of {timeout.value} s must be below the interval of {interval.value} s"
        for codes in _values.literals(cfn, resource, "Matcher", "HttpCode"):
            if not _CODES.fullmatch(codes.value):
                yield codes.path, f"{codes.value} is no list of codes; write 200, 200,202 or 200-299"
