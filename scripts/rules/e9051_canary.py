"""E9051: a canary that Synthetics does not take."""

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

_RATE = re.compile(r"rate\((\d+) (minute|minutes|hour|hours)\)")
_RUNTIME = re.compile(r"syn-([a-z]+-)*[a-z]+-\d+\.\d+")


class Canary(_rule.Rule):
    id = "E9051"
    shortdesc = "Canary's runtime, schedule or limits are not allowed"
    description = (
        "Synthetics creates no canary with a deprecated or unknown runtime, with a timeout above its rate, or with memory that is no multiple of 64 MB."
    )
    source_url = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Synthetics_Runtime_Support_Policy.html"
    next_step = "write a runtime, a schedule and limits that CloudWatch Synthetics takes"
    tags = ("resources", "synthetics")
    resource_types = ("AWS::Synthetics::Canary",)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        deprecated = _rule.table("synthetics_runtimes")["deprecated"]
        for runtime in _values.literals(cfn, resource, "RuntimeVersion"):
            if runtime.value in deprecated:
                yield runtime.path, f"{runtime.value} is deprecated since {deprecated[runtime.value]}, and no canary can be made with it; take a newer version"
            elif not _RUNTIME.fullmatch(runtime.value):
                yield runtime.path, f"{runtime.value} is no runtime of Synthetics; write it as syn-python-selenium-14.0 or syn-nodejs-puppeteer-10.0"
        for memory in _values.literals(cfn, resource, "RunConfig", "MemoryInMB"):
            if memory.value.isdigit() and int(memory.value) % 64:
                yield memory.path, f"{memory.value} MB is no multiple of 64; take {int(memory.value) // 64 * 64} or {int(memory.value) // 64 * 64 + 64}"
        for expression in _values.at(cfn, resource, "Schedule", "Expression"):
            for text in _policies.shapes(cfn, expression.value):
                rate = _RATE.fullmatch(text)
                if _policies.UNKNOWN in text or text.startswith("cron("):
                    continue
                if rate is None:
                    yield expression.path, f"{text} is no schedule of a canary; write rate(5 minutes) or cron(…)"
                    continue
                seconds = int(rate[1]) * (60 if rate[2].startswith("minute") else 3600)
                if seconds > 3600:
                    yield expression.path, f"{text} is more than an hour; take at most rate(1 hour), or cron(…)"
                for timeout in _values.literals(cfn, resource, "RunConfig", "TimeoutInSeconds"):
                    if timeout.value.isdigit() and 0 < seconds < int(timeout.value) and _values.together(cfn, timeout.conditions, expression.conditions):
                        yield timeout.path, f"a run of {timeout.value} s does not end before the next, after {seconds} s; take at most {seconds}"
