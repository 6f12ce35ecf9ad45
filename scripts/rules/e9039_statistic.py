"""E9039: a statistic that CloudWatch does not know, or in the place of another kind."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.rules import _metrics, _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _metrics
    import _rule
    import _values


class Statistic(_rule.Rule):
    id = "E9039"
    shortdesc = "Statistic does not exist"
    description = (
        "CloudWatch refuses a Stat or ExtendedStatistic that is none, an ExtendedStatistic that is a plain one, and a percentile's low-sample rule "
        "without a percentile."
    )
    source_url = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html"
    next_step = "write a statistic that CloudWatch has: Sum, Average, p99, tm95"
    tags = ("resources", "cloudwatch")
    resource_types = ("AWS::CloudWatch::Alarm",)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        for extended in _values.literals(cfn, resource, "ExtendedStatistic"):
            if extended.value in _metrics.STATISTICS:
                yield extended.path, f"{extended.value} is no extended statistic; write Statistic: {extended.value}"
            elif not _metrics.percentile(extended.value):
                yield extended.path, f"{extended.value} is no statistic; write it as p99, tm90 or TM(10%:90%)"
        for metrics in _values.members(cfn, resource, "Metrics"):
            for entry in _values.entries(cfn, metrics.value, metrics.path, metrics.conditions):
                for stat in _values.literals(cfn, entry, "MetricStat", "Stat"):
                    if not _metrics.statistic(stat.value):
                        yield stat.path, f"{stat.value} is no statistic; use one of {', '.join(_metrics.STATISTICS)}, or one such as p99"
                for period in _values.literals(cfn, entry, "MetricStat", "Period"):
                    if period.value.isdigit() and int(period.value) not in (1, 5, 10, 20, 30) and (int(period.value) % 60 or not int(period.value)):
                        yield period.path, f"{period.value} s is no period; use 10, 20, 30 or a multiple of 60"
        if "EvaluateLowSampleCountPercentile" in resource.value and not {"ExtendedStatistic", "Metrics"} & set(resource.value):
            yield (
                (*resource.path, "EvaluateLowSampleCountPercentile"),
                "only alarms on percentiles have few-sample rules; write ExtendedStatistic, or leave it out",
            )
        for rule in _values.literals(cfn, resource, "EvaluateLowSampleCountPercentile"):
            if rule.value not in ("evaluate", "ignore"):
                yield rule.path, f"{rule.value} is no rule for few samples; write evaluate or ignore"
