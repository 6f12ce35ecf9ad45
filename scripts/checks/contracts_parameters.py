"""Values of parameters/ that are right alone and wrong together: the Rules of templates, and what CloudFormation cannot add up.

Values that only a deployment knows (`${gamma.Region}`) and placeholders that a deploy refuses anyway are not judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from scripts.checks.finding import Finding
from scripts.checks.tree import Tree, listing, mapping
from scripts.core import placeholders, references, settings, templates
from scripts.core.errors import CommandError

RULES = {
    "parameters-rule": "The values of an environment keep the Rules of its template, which CloudFormation asserts before it makes anything.",
    "parameters-load": "The load of gamma lasts over its bake, and makes the requests that its gate and its alarms judge by.",
    "parameters-gate-limit": "A gate may take longer than the longest bake and the wait after it.",
    "parameters-fleet-size": "A fleet has room for one host more, which an update of the stack needs.",
    "parameters-subnets": "A load balancer has subnets of two zones.",
    "parameters-certificate-region": "A certificate is of the Region of its load balancer.",
    "parameters-broad-policy": "No policy that a parameter gives to a role is as wide as a service of AWS, or all of them.",
}
SOURCES = {
    "parameters-rule": "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/rules-section-structure.html",
    "parameters-load": "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-Lambda.html",
    "parameters-gate-limit": "https://docs.aws.amazon.com/codepipeline/latest/userguide/limits.html",
    "parameters-fleet-size": "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-updatepolicy.html",
    "parameters-subnets": "https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateLoadBalancer.html",
    "parameters-certificate-region": "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/https-listener-certificates.html",
    "parameters-broad-policy": "https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_managed-vs-inline.html",
}
# AWS's own policies that scripts/guard/identity.guard (no_broad_managed_policies) refuses where a template names them.
_BROAD = re.compile(r"arn:[^:]*:iam::aws:policy/(?:\S*/)?\S*(?:AdministratorAccess|PowerUserAccess|FullAccess|ReadOnlyAccess)(?:[-_]\S*|V\d+)?")
_PLACEHOLDERS = (placeholders.IMAGE, placeholders.REPOSITORY, placeholders.AGENT)


@dataclass(frozen=True)
class Values:
    """An environment's values in a Region; None for one that is not known here."""

    tree: Tree
    name: str
    overlay: bool
    region: str
    given: Mapping[str, str | None]

    def number(self, key: str) -> Decimal | None:
        """The value as a number; None if it is none, or not known."""
        try:
            number = Decimal(self.given.get(key) or "x")
        except InvalidOperation:
            return None
        return number if number.is_finite() else None

    def finding(self, rule: str, key: str, message: str, next_step: str) -> Finding:
        """A finding at the line that gives `key` its value: in the overlay, if it does so."""
        files = [f"parameters/local/{self.name}.yaml"] * self.overlay + [f"parameters/{self.name}.yaml"]
        for file in files:
            for steps in (("region_parameters", self.region, key), ("parameters", key)):
                inner: Any = self.tree.yaml(file)
                for step in steps:
                    inner = mapping(inner).get(step)
                if inner is not None:
                    return Finding(rule, file, self.tree.place(file, steps).line, 0, f"{key}: {message}", next_step=next_step, source=SOURCES[rule])
        return Finding(rule, files[-1], 0, 0, f"{key}: {message}", next_step=next_step, source=SOURCES[rule])


def check(root: Path) -> Iterable[Finding]:
    """What the values of each environment break together, with and without the local overlay; each once."""
    tree = Tree(root)
    found: dict[tuple[str, str, int, str], Finding] = {}
    for overlay in (False, True):
        everywhere = {name: list(_values(tree, name, overlay)) for name in settings.names(root)}
        for name, regions in everywhere.items():
            for values in regions:
                for one in (*_rules(tree, values), *_load(values, everywhere), *_limit(values), *_network(values), *_policies(values)):
                    found.setdefault((name, one.rule, one.line, one.message), one)
    return tree.settled(found.values())


def _values(tree: Tree, name: str, overlay: bool) -> Iterator[Values]:
    try:
        environment = settings.load(tree.root, name, overlay)
        specs = templates.parameter_specs(tree.template(f"templates/{environment.template}.yaml"))
    except (CommandError, ValueError):
        return  # said by the check of the file alone
    for region in environment.regions:
        effective = settings.effective(specs, environment.parameters_in(region))
        known = {key: None if references.find(value) or value in _PLACEHOLDERS else value for key, value in effective.items()}
        yield Values(tree, name, overlay and tree.has(f"parameters/local/{name}.yaml"), region, {**known, "AWS::Region": region})


# Rules of templates


def _rules(tree: Tree, values: Values) -> Iterator[Finding]:
    template = str(mapping(tree.yaml(f"parameters/{values.name}.yaml")).get("template", ""))
    for name, rule in mapping(tree.template(f"templates/{template}.yaml").get("Rules")).items():
        if holds(mapping(rule).get("RuleCondition", True), values.given) is not True:
            continue
        for assertion in listing(mapping(rule).get("Assertions")):
            asserted = mapping(assertion).get("Assert")
            if holds(asserted, values.given) is False:
                about = [key for key in _named(asserted) if values.given.get(key) is not None]
                said = ", ".join(f"{key} {values.given[key]!r}" for key in about)
                told = f"{mapping(assertion).get('AssertDescription', name)} ({said}, in {values.region}; rule {name} of templates/{template}.yaml)"
                yield values.finding("parameters-rule", about[0] if about else name, told, "correct the values: CloudFormation makes nothing of them")


def _named(condition: Any) -> list[str]:
    """The parameters that a condition is about."""
    if isinstance(condition, dict):
        return [str(condition["Ref"])] if "Ref" in condition else list(dict.fromkeys(key for inner in condition.values() for key in _named(inner)))
    return list(dict.fromkeys(key for inner in listing(condition) for key in _named(inner)))


def holds(condition: Any, given: Mapping[str, str | None]) -> bool | None:
    """Whether a condition is true; None where that depends on what is not known."""
    if isinstance(condition, bool):
        return condition
    if not isinstance(condition, dict) or len(condition) != 1:
        return None
    ((function, operands),) = condition.items()
    if not isinstance(operands, list) or not operands:
        return None
    if function == "Fn::Equals" and len(operands) == 2:
        one, other = (_operand(operand, given) for operand in operands)
        return None if one is None or other is None else one == other
    if function in ("Fn::And", "Fn::Or"):
        decided = function == "Fn::Or"
        answers = [holds(operand, given) for operand in operands]
        return decided if decided in answers else None if None in answers else not decided
    if function == "Fn::Not":
        answer = holds(operands[0], given)
        return None if answer is None else not answer
    if function == "Fn::Contains" and len(operands) == 2 and isinstance(operands[0], list):
        one = _operand(operands[1], given)
        return None if one is None else one in [templates.as_text(operand) for operand in operands[0]]
    return None


def _operand(operand: Any, given: Mapping[str, str | None]) -> str | None:
    if isinstance(operand, dict):
        return given.get(str(operand["Ref"])) if "Ref" in operand else None
    return templates.as_text(operand)


# What CloudFormation cannot add up


def _load(values: Values, everywhere: Mapping[str, list[Values]]) -> Iterator[Finding]:
    load, rate, least = values.number("GammaLoadSeconds"), values.number("GammaLoadRate"), values.number("GammaMinimumRequests")
    bake, settle = values.number("GammaBakeSeconds"), values.number("SettleSeconds")
    if load is None or rate is None or bake is None or settle is None or least is None or least == 0:
        return
    if load < bake + settle:
        told = f"the load of {load} s ends before the bake of {bake} s and the wait of {settle} s after it: the gate would judge minutes without requests"
        yield values.finding("parameters-load", "GammaLoadSeconds", told, f"write {bake + settle} or more")
    elif load * rate < least:
        told = f"{load} s at {rate} requests a second make {load * rate} requests, and the gate waits for {least}"
        yield values.finding("parameters-load", "GammaLoadSeconds", told, "lower GammaMinimumRequests, or load more")
    for gamma in everywhere.get("gamma", ()):
        floor = gamma.number("FaultRequestFloor")
        if floor is not None and rate * 60 < floor:
            told = f"{rate} requests a second are {rate * 60} a minute, and gamma's alarms judge from {floor} (FaultRequestFloor, in {gamma.region})"
            yield values.finding("parameters-load", "GammaLoadRate", told, "load more, or lower the floor")


def _limit(values: Values) -> Iterator[Finding]:
    limit, settle = values.number("GateLimitSeconds"), values.number("SettleSeconds")
    for key in ("GammaBakeSeconds", "OneBoxBakeSeconds", "Wave1BakeSeconds", "Wave2BakeSeconds"):
        bake = values.number(key)
        if limit is not None and settle is not None and bake is not None and bake + settle >= limit:
            told = f"{key} and SettleSeconds are {bake + settle} s, and a gate that has not decided after {limit} s fails: it always would"
            yield values.finding("parameters-gate-limit", "GateLimitSeconds", told, "write more, or bake less")


def _network(values: Values) -> Iterator[Finding]:
    most = values.number("FleetMaxSize")
    for key in ("FleetSize", "OneBoxSize") if values.given.get("HasOneBox") == "true" else ("FleetSize",):
        size = values.number(key)
        if size is not None and most is not None and most <= size:
            told = f"it is {most}, and {key} is {size}: an update replaces hosts one by one with all of them in service, and is refused"
            yield values.finding("parameters-fleet-size", "FleetMaxSize", told, f"write {size + 1} or more")
    subnets = [part for part in (values.given.get("ExistingPublicSubnetIds") or "").split(",") if part.strip()]
    if len(subnets) == 1 or len(subnets) != len(set(subnets)):
        told = f"{', '.join(subnets)}: a load balancer takes subnets of two zones or more, each once"
        yield values.finding("parameters-subnets", "ExistingPublicSubnetIds", told, "name a subnet in each of two zones")
    certificate = re.match(r"arn:[^:]+:acm:([^:]+):", values.given.get("CertificateArn") or "")
    if certificate and certificate[1] != values.region:
        told = f"it is of {certificate[1]}, and the load balancer is in {values.region}: it finds no such certificate"
        yield values.finding("parameters-certificate-region", "CertificateArn", told, f"give {values.region} its own under region_parameters")


def _policies(values: Values) -> Iterator[Finding]:
    for key, value in values.given.items():
        for arn in (value or "").split(",") if re.search(r"PolicyArns?$", key) else ():
            if _BROAD.fullmatch(arn.strip()):
                told = f"{arn.strip()} (in {values.region}) is as wide as a service, or all of them, and every role that gets it with it"
                yield values.finding("parameters-broad-policy", key, told, "write what the role needs as a policy of your own, and name that")
