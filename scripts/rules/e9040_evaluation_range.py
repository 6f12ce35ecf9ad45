"""E9040: an alarm that looks at more, or asks for more, than CloudWatch allows."""

from __future__ import annotations

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


class EvaluationRange(_rule.Rule):
    id = "E9040"
    shortdesc = "Alarm's evaluation range is not allowed"
    description = (
        "DatapointsToAlarm may not exceed EvaluationPeriods, and both together with Period not a day (a week with periods of an hour or more). "
        "CloudWatch refuses the alarm."
    )
    source_url = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html"
    next_step = "keep DatapointsToAlarm within EvaluationPeriods, and these times Period within a day (a week from 3600 s)"
    tags = ("resources", "cloudwatch")
    resource_types = ("AWS::CloudWatch::Alarm",)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        periods = _own(cfn, resource, "Period")
        for metrics in _values.members(cfn, resource, "Metrics"):
            for entry in _values.entries(cfn, metrics.value, metrics.path, metrics.conditions):
                for stat in _values.members(cfn, entry, "MetricStat"):
                    periods += _own(cfn, stat, "Period")
        for evaluated in _own(cfn, resource, "EvaluationPeriods"):
            for needed in _own(cfn, resource, "DatapointsToAlarm"):
                if needed.value > evaluated.value and _values.together(cfn, needed.conditions, evaluated.conditions):
                    yield needed.path, f"{needed.value} bad data points of {evaluated.value} can never be; DatapointsToAlarm must not exceed EvaluationPeriods"
            for period in periods:
                limit = 86400 if period.value < 3600 else 604800
                if period.value * evaluated.value > limit:
                    yield (
                        evaluated.path,
                        f"{evaluated.value} periods of {period.value} s are more than the {limit} s that an alarm may look at; take fewer or longer ones",
                    )


def _own(cfn: Any, holder: _values.Branch, key: str) -> list[_values.Branch]:
    """Numbers that stand in the template itself: which of a parameter's AllowedValues go together is the parameters' to say."""
    return [
        _values.Branch(int(found.value), found.path, found.conditions)
        for found in _values.members(cfn, holder, key)
        if not isinstance(found.value, bool) and isinstance(found.value, int | str) and str(found.value).isdigit()
    ]
