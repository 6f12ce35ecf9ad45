"""E9052: an Auto Scaling group that cannot come up, or cannot be updated."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.rules import _policies, _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _policies
    import _rule
    import _values

_DURATION = re.compile(r"P(?=.)(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?")
# A script that is fetched, or in the image, may signal itself.
_ELSEWHERE = re.compile(r"cfn-init|aws s3 (cp|sync)|\.(sh|py|ps1|rb)\b|\|\s*(sudo )?(ba)?sh\b|ansible|chef|puppet")
_SIGNAL = re.compile(r"cfn-signal|signal-resource|SignalResource|signal_resource|/signal")


class AutoScaling(_rule.Rule):
    id = "E9052"
    shortdesc = "Auto Scaling group waits for what never comes"
    description = (
        "A creation or update policy that waits for signals times out, and the stack rolls back, when nothing on the instances sends them; its times are "
        "ISO 8601 durations; and MinInstancesInService must leave room below MaxSize."
    )
    source_url = "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-updatepolicy.html"
    next_step = "signal from UserData, write times as PT15M, and leave room between MinInstancesInService and MaxSize"
    tags = ("resources", "autoscaling")
    resource_types = ("AWS::AutoScaling::AutoScalingGroup",)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        name = str(resource.path[1])
        group = cfn.template["Resources"][name]
        base = ("Resources", name)
        signal = _values.Branch(group, base)
        waits = []
        for policy in _objects(cfn, signal, "CreationPolicy", "ResourceSignal"):
            waits.append((policy.path, "CreationPolicy waits for a signal"))
            yield from _duration(cfn, policy, "Timeout")
            if str(policy.value.get("Count", 1)) == "0":
                waits.pop()
        for policy in _objects(cfn, signal, "UpdatePolicy", "AutoScalingRollingUpdate"):
            yield from _duration(cfn, policy, "PauseTime")
            if str(policy.value.get("WaitOnResourceSignals", "")).lower() == "true":
                waits.append((policy.path, "WaitOnResourceSignals waits for a signal"))
                for pause in _values.literals(cfn, policy, "PauseTime"):
                    if pause.value in ("PT0S", "P0D"):
                        yield pause.path, "a wait for signals of no time at all fails at once; give the instances time, as PT15M"
            for least in _values.literals(cfn, policy, "MinInstancesInService"):
                for most in _values.literals(cfn, resource, "MaxSize"):
                    # CloudFormation says so of the template before it updates anything.
                    if least.value.isdigit() and most.value.isdigit() and int(least.value) >= int(most.value):
                        yield least.path, f"MinInstancesInService {least.value} must be less than MaxSize {most.value}, or no instance can be replaced"
        data = _user_data(cfn, resource)
        if data is not None and not _SIGNAL.search(data) and not _ELSEWHERE.search(data):
            for path, what in waits:
                yield path, f"{what}, and the UserData of its launch template sends none; end it with cfn-signal or aws cloudformation signal-resource"


def _objects(cfn: Any, holder: _values.Branch, key: str, inner: str) -> Iterable[_values.Branch]:
    return (found for outer in _values.objects(cfn, holder, key) for found in _values.objects(cfn, outer, inner))


def _duration(cfn: Any, holder: _values.Branch, key: str) -> Iterable[tuple[_values.Path, str]]:
    for text in _values.literals(cfn, holder, key):
        if not _DURATION.fullmatch(text.value):
            yield text.path, f"{text.value} is no duration; write PT15M for fifteen minutes, PT1H for an hour"


def _user_data(cfn: Any, resource: _values.Branch) -> str | None:
    """The text of the UserData that a group's instances start with; None where it, or who else may signal, is not in this template."""
    template = resource.value.get("LaunchTemplate")
    taken = _policies.target(template.get("LaunchTemplateId")) if isinstance(template, dict) else None
    launch = _values.mapping(cfn.template["Resources"].get(taken[0])) if taken else {}
    if launch.get("Type") != "AWS::EC2::LaunchTemplate" or "AWS::CloudFormation::Init" in _values.mapping(launch.get("Metadata")):
        return None
    data = _values.mapping(_values.mapping(launch.get("Properties")).get("LaunchTemplateData")).get("UserData")
    if data is None:
        return ""
    text = data.get("Fn::Base64") if isinstance(data, dict) else None
    texts = _policies.shapes(cfn, text) if text is not None else []
    # A text out of a parameter or a mapping may hold anything.
    return "\n".join(texts) if texts and _policies.UNKNOWN not in texts else None
