"""Rules of a stage's conditions."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.rules import _configurations, _pipelines, _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _configurations
    import _pipelines
    import _rule
    import _values


class ConditionRule(_rule.Rule):
    id = "E9008"
    shortdesc = "A condition's rule is one that CodePipeline has, with the Configuration that it asks for"
    description = "CodePipeline refuses a rule whose type it does not know, with keys that the rule does not, or where it may not stand; cfn-lint takes any."
    source_url = "https://docs.aws.amazon.com/codepipeline/latest/userguide/rule-reference.html"
    next_step = "write the rule's type and Configuration as its page has them"
    tags = ("resources", "codepipeline")
    resource_types = (_pipelines.TYPE,)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        for _, stage in _pipelines.stages(cfn, resource):
            for kind in ("BeforeEntry", "OnSuccess", "OnFailure"):
                for holder in _values.members(cfn, stage, kind):
                    if isinstance(holder.value, dict):
                        for entry in _values.entries(cfn, holder.value.get("Conditions"), (*holder.path, "Conditions"), holder.conditions):
                            yield from self._condition(cfn, entry)

    def _condition(self, cfn: Any, condition: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        if not isinstance(condition.value, dict):
            return
        listed = {entry["provider"]: entry for entry in _rule.table("rule_providers")["providers"]}
        skips = any(result.value == "SKIP" for result in _values.literals(cfn, condition, "Result"))
        for rule in _values.entries(cfn, condition.value.get("Rules"), (*condition.path, "Rules"), condition.conditions):
            if not isinstance(rule.value, dict):
                continue
            named = rule.value.get("Name", "?")
            for kind in _pipelines.kinds(cfn, rule, "RuleTypeId"):
                if problem := self._type(kind, set(listed)):
                    yield kind.where.path, type(problem)(f"rule {named}: {problem}")
                    continue
                entry = listed[kind.provider]
                if skips and not entry["may_skip"]:
                    allowed = sorted(name for name, other in listed.items() if other["may_skip"])
                    yield kind.where.path, f"rule {named}: a condition with Result SKIP takes {' and '.join(allowed)} alone, not {kind.provider}"
                for found in _pipelines.configurations(cfn, rule):
                    for path, problem in _configurations.keys(cfn, entry, found, "rule_providers"):
                        yield path, type(problem)(f"rule {named}: {problem}")
                    # RuleConfigurationValue of CodePipeline's API: 1 to 10000.
                    for path, problem in _configurations.values(cfn, entry, found, longest=10000):
                        yield path, f"rule {named}: {problem}"

    def _type(self, kind: _pipelines.Kind, known: set[str]) -> str:
        if kind.category != "Rule":
            return f"its category is Rule, not {kind.category}"
        if kind.owner != "AWS":
            return f"its owner is AWS, not {kind.owner}"
        if kind.provider not in known:
            return _rule.unknown(kind.provider, known, "rule_providers", f"there is no rule {kind.provider}", r"[\w-]{1,35}")
        return "" if kind.version == "1" else f"{kind.provider} has no version {kind.version}; use 1"
