"""E9038: a metric, namespace or dimension that AWS does not have."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.rules import _metrics, _policies, _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _metrics
    import _policies
    import _rule
    import _values

_TYPES = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::AnomalyDetector", "AWS::AutoScaling::ScalingPolicy", "AWS::ApplicationAutoScaling::ScalingPolicy")


class Metric(_rule.Rule):
    id = "E9038"
    shortdesc = "Metric does not exist"
    description = "CloudWatch accepts an alarm on a metric that nobody reports. It has no data for ever, and with notBreaching it is OK for ever."
    source_url = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/aws-services-cloudwatch-metrics.html"
    next_step = "write namespace, metric and dimensions as the service's list of metrics has them"
    tags = ("resources", "cloudwatch")
    resource_types = _TYPES

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        for holder in _holders(cfn, resource):
            for namespace in _texts(cfn, holder, "Namespace"):
                for metric in _texts(cfn, holder, "MetricName"):
                    dimensions = [
                        text.value
                        for listed in _values.members(cfn, holder, "Dimensions")
                        for entry in _values.entries(cfn, listed.value, listed.path, listed.conditions)
                        for text in _texts(cfn, entry, "Name")
                    ]
                    written = holder.value.get("Dimensions", [])
                    whole = isinstance(written, list) and len(written) == len(dimensions)
                    for where, message in _metrics.unknown_metric(namespace.value, metric.value, dimensions, whole):
                        yield (*holder.path, where) if where in holder.value else holder.path, message


def _holders(cfn: Any, value: _values.Branch) -> Iterable[_values.Branch]:
    """Everything in a resource that has a Namespace and a MetricName."""
    if isinstance(value.value, dict):
        if "Namespace" in value.value and "MetricName" in value.value:
            yield value
        for key in value.value:
            for inner in _values.members(cfn, value, key):
                yield from _holders(cfn, inner)
    elif isinstance(value.value, list):
        for entry in _values.entries(cfn, value.value, value.path, value.conditions):
            yield from _holders(cfn, entry)


def _texts(cfn: Any, holder: _values.Branch, key: str) -> list[_values.Branch]:
    return [entry for entry in _policies.said(cfn, holder, key) if _policies.UNKNOWN not in entry.value]
