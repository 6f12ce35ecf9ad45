"""What a template's functions are worth: intrinsic functions, conditions, rules, and the template as it applies with them.

Pure: what a reference to a resource is worth, which zones there are and which exports exist is asked of a `Scope`.
Source: AWS CloudFormation User Guide, "Intrinsic function reference" and "Rules syntax".
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from localaws.cloudformation.template import (
    NO_VALUE,
    SUB,
    UNKNOWN,
    TemplateError,
    as_list,
    attributes,
    check_cycles,
    condition_names,
    dependencies,
    is_list,
    references,
    split_list,
    sub_parts,
    text_of,
)


def _nothing(*_: Any) -> Any:
    raise TemplateError("Template format error: this function cannot be used here")


@dataclass
class Scope:
    """What a template's functions see.

    `parameters` as bound (text), `pseudo` the AWS:: values, `conditions` as evaluated, `mappings` of the template;
    `ref(name)` and `attribute(name, attribute)` answer for resources (UNKNOWN where a plan cannot know), `zones(region)` lists
    availability zones, `exported(name)` the value of an export.
    """

    data: Mapping[str, Any]
    parameters: Mapping[str, Any]
    pseudo: Mapping[str, Any]
    conditions: dict[str, bool] = field(default_factory=dict)
    ref: Callable[[str], Any] = _nothing
    attribute: Callable[[str, str], Any] = _nothing
    zones: Callable[[str], list[str]] = _nothing
    exported: Callable[[str], str] = _nothing

    def parameter(self, name: str) -> Any:
        """Return a parameter's value as Ref gives it: text, or a list of texts."""
        value = self.parameters[name]
        if value is UNKNOWN:
            return UNKNOWN
        return split_list(value) if is_list(self.data["Parameters"][name]["Type"]) else value


def evaluate_conditions(scope: Scope) -> dict[str, bool]:
    """Evaluate the template's conditions into `scope.conditions` (and return them). Raises TemplateError on a circle."""
    declared = scope.data.get("Conditions") or {}
    check_cycles({name: set(condition_names(body)) for name, body in declared.items()})
    for name in check_cycles({name: set(condition_names(body)) for name, body in declared.items()}):
        scope.conditions[name] = _truth(resolve(declared[name], scope))
    return scope.conditions


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in ("true", "false"):
        return value == "true"
    raise TemplateError("Template format error: Every condition must evaluate to true or false")


def contains_unknown(value: Any) -> bool:
    """Tell whether a value holds something that only the change will tell."""
    if value is UNKNOWN:
        return True
    if isinstance(value, dict):
        return any(contains_unknown(item) for item in value.values())
    return isinstance(value, list) and any(contains_unknown(item) for item in value)


def resolve(value: Any, scope: Scope) -> Any:
    """Return `value` with its functions evaluated; NO_VALUE where the whole value is AWS::NoValue, and left out below it.

    Raises TemplateError for arguments that do not fit.
    """
    if isinstance(value, dict):
        if len(value) == 1:
            name = next(iter(value))
            if name in _EVALUATORS:
                return _EVALUATORS[name](value[name], scope)
            if name.startswith("Fn::"):
                raise TemplateError(f"Template format error: {name} is not served here")
        pairs = ((key, resolve(item, scope)) for key, item in value.items())
        return {key: item for key, item in pairs if item is not NO_VALUE}
    if isinstance(value, list):
        return [item for item in (resolve(item, scope) for item in value) if item is not NO_VALUE]
    return value


def _ref(name: str, scope: Scope) -> Any:
    if name == "AWS::NoValue":
        return NO_VALUE
    if name in scope.pseudo:
        return scope.pseudo[name]
    if name in scope.parameters:
        return scope.parameter(name)
    return scope.ref(name)


def _get_att(argument: Any, scope: Scope) -> Any:
    parts = argument.split(".", 1) if isinstance(argument, str) else argument
    attribute = resolve(parts[1], scope) if len(parts) == 2 else ".".join(parts[1:])
    return scope.attribute(parts[0], attribute)


def _sub(argument: Any, scope: Scope) -> Any:
    text, own = sub_parts(argument)
    values = {name: resolve(value, scope) for name, value in own.items()}
    unknown = False

    def replace(match: re.Match[str]) -> str:
        nonlocal unknown
        name = match.group(1)
        if name in values:
            value = values[name]
        elif "." in name and name not in scope.pseudo:
            value = scope.attribute(*name.split(".", 1))
        else:
            value = _ref(name, scope)
        if contains_unknown(value):
            unknown = True
            return ""
        if isinstance(value, (list, dict)):
            raise TemplateError(f"Template error: variable {name} in Fn::Sub expression does not resolve to a string")
        return text_of(value)

    result = SUB.sub(replace, text)
    return UNKNOWN if unknown else re.sub(r"\$\{!([^{}]+)\}", r"${\1}", result)


def _pair(name: str, argument: Any, scope: Scope) -> tuple[Any, Any]:
    if not isinstance(argument, list) or len(argument) != 2:
        raise TemplateError(f"Template error: every {name} object requires two parameters")
    return resolve(argument[0], scope), resolve(argument[1], scope)


def _join(argument: Any, scope: Scope) -> Any:
    if not isinstance(argument, list) or len(argument) != 2 or not isinstance(argument[0], str):
        raise TemplateError("Template error: every Fn::Join object requires two parameters, (1) a string delimiter and (2) a "
                            "list of strings to be joined or a function that returns a list of strings (such as Fn::GetAZs) "
                            "to be joined.")
    parts = resolve(argument[1], scope)
    if contains_unknown(parts):
        return UNKNOWN
    if not isinstance(parts, list) or any(isinstance(part, (dict, list)) for part in parts):
        raise TemplateError("Template error: every Fn::Join object requires two parameters, (1) a string delimiter and (2) a "
                            "list of strings to be joined")
    return argument[0].join(text_of(part) for part in parts)


def _select(argument: Any, scope: Scope) -> Any:
    index, items = _pair("Fn::Select", argument, scope)
    if contains_unknown(index) or items is UNKNOWN:
        return UNKNOWN
    if not isinstance(items, list):
        raise TemplateError("Template error: Fn::Select requires a list argument with two elements: an integer index and a list")
    try:
        position = int(index)
    except (TypeError, ValueError):
        raise TemplateError("Template error: Fn::Select requires a list argument with a valid index value") from None
    if not 0 <= position < len(items):
        raise TemplateError(f"Template error: Fn::Select cannot select nonexistent value at index {position}")
    return items[position]


def _split(argument: Any, scope: Scope) -> Any:
    delimiter, text = _pair("Fn::Split", argument, scope)
    if contains_unknown(text):
        return UNKNOWN
    if not isinstance(delimiter, str) or not delimiter or not isinstance(text, str):
        raise TemplateError("Template error: every Fn::Split object requires two parameters, (1) a string delimiter and (2) a "
                            "string to be split or a function that returns a string to be split.")
    return text.split(delimiter)


def _if(argument: Any, scope: Scope) -> Any:
    if not isinstance(argument, list) or len(argument) != 3:
        raise TemplateError("Template error: Fn::If requires a list argument with three elements")
    if argument[0] not in scope.conditions:
        raise TemplateError(f"Template format error: Unresolved condition dependency {argument[0]}")
    return resolve(argument[1 if scope.conditions[argument[0]] else 2], scope)


def _equals(argument: Any, scope: Scope) -> bool:
    left, right = _pair("Fn::Equals", argument, scope)
    return bool(canonical(left) == canonical(right))


def _conditions_of(name: str, argument: Any, scope: Scope, least: int) -> list[bool]:
    if not isinstance(argument, list) or not least <= len(argument) <= 10:
        raise TemplateError(f"Template error: every {name} object requires a list of at least {least} and at most 10 boolean "
                            "parameters.")
    return [_truth(resolve(item, scope)) for item in argument]


def _find_in_map(argument: Any, scope: Scope) -> Any:
    if not isinstance(argument, list) or len(argument) != 3:
        raise TemplateError("Template error: every Fn::FindInMap object requires three parameters, the map name, map key and "
                            "the attribute for return value")
    name, top, second = (resolve(part, scope) for part in argument)
    if contains_unknown([name, top, second]):
        return UNKNOWN
    found = (scope.data.get("Mappings") or {}).get(name)
    if found is None:
        raise TemplateError(f"Template error: Mapping named '{name}' is not present in the 'Mappings' section of template.")
    if text_of(top) not in found or text_of(second) not in found[text_of(top)]:
        raise TemplateError(f"Template error: Unable to get mapping for {name}::{top}::{second}")
    return found[text_of(top)][text_of(second)]


def _cidr(argument: Any, scope: Scope) -> Any:
    if not isinstance(argument, list) or not 2 <= len(argument) <= 3:
        raise TemplateError("Template error: every Fn::Cidr object requires two or three parameters")
    block, count, *rest = (resolve(part, scope) for part in argument)
    if contains_unknown([block, count, *rest]):
        return UNKNOWN
    try:
        network = ipaddress.ip_network(block)
        prefix = network.max_prefixlen - (int(rest[0]) if rest else 8)
        subnets = network.subnets(new_prefix=prefix)
        found = [str(subnet) for _, subnet in zip(range(int(count)), subnets, strict=False)]
    except ValueError as error:
        raise TemplateError(f"Template error: Fn::Cidr: {error}") from None
    if len(found) < int(count):
        raise TemplateError(f"Template error: Fn::Cidr: {block} does not hold {count} blocks of /{prefix}")
    return found


def _zones(argument: Any, scope: Scope) -> list[str]:
    region = resolve(argument, scope) or scope.pseudo["AWS::Region"]
    return scope.zones(region)


def _import(argument: Any, scope: Scope) -> Any:
    name = resolve(argument, scope)
    return UNKNOWN if contains_unknown(name) else scope.exported(text_of(name))


def _base64(argument: Any, scope: Scope) -> Any:
    value = resolve(argument, scope)
    return UNKNOWN if contains_unknown(value) else base64.b64encode(text_of(value).encode()).decode()


_EVALUATORS: dict[str, Callable[[Any, Scope], Any]] = {
    "Ref": _ref,
    "Condition": lambda name, scope: scope.conditions[name] if isinstance(name, str) else {"Condition": resolve(name, scope)},
    "Fn::GetAtt": _get_att,
    "Fn::Sub": _sub,
    "Fn::Join": _join,
    "Fn::Select": _select,
    "Fn::Split": _split,
    "Fn::If": _if,
    "Fn::Equals": _equals,
    "Fn::And": lambda argument, scope: all(_conditions_of("Fn::And", argument, scope, 2)),
    "Fn::Or": lambda argument, scope: any(_conditions_of("Fn::Or", argument, scope, 2)),
    "Fn::Not": lambda argument, scope: not _conditions_of("Fn::Not", argument, scope, 1)[0],
    "Fn::FindInMap": _find_in_map,
    "Fn::Cidr": _cidr,
    "Fn::GetAZs": _zones,
    "Fn::ImportValue": _import,
    "Fn::Base64": _base64,
}


def canonical(value: Any) -> Any:
    """Return a value in the form in which two are compared: scalars as text, UNKNOWN as itself (equal to nothing stored)."""
    if isinstance(value, dict):
        return {key: canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [canonical(item) for item in value]
    return value if value is UNKNOWN else text_of(value)


# --- rules ------------------------------------------------------------------------------------------------------------


def _every(argument: Any, scope: Scope, test: Callable[[str, list[str]], bool]) -> bool:
    left, right = argument
    allowed = [text_of(item) for item in as_list(resolve_rule(right, scope))]
    return all(test(text_of(item), allowed) for item in as_list(resolve_rule(left, scope)))


_RULE_FUNCTIONS: dict[str, Callable[[Any, Scope], Any]] = {
    "Fn::Contains": lambda argument, scope: text_of(resolve_rule(argument[1], scope))
    in [text_of(item) for item in as_list(resolve_rule(argument[0], scope))],
    "Fn::EachMemberIn": lambda argument, scope: _every(argument, scope, lambda item, allowed: item in allowed),
    "Fn::EachMemberEquals": lambda argument, scope: _every(argument, scope, lambda item, allowed: [item] == allowed),
    "Fn::RefAll": lambda kind, scope: [scope.parameters[name] for name, parameter in scope.data["Parameters"].items()
                                       if parameter["Type"] == kind],
    "Fn::And": lambda argument, scope: all(_truth(resolve_rule(item, scope)) for item in argument),
    "Fn::Or": lambda argument, scope: any(_truth(resolve_rule(item, scope)) for item in argument),
    "Fn::Not": lambda argument, scope: not _truth(resolve_rule(argument[0], scope)),
    "Fn::Equals": lambda argument, scope: canonical(resolve_rule(argument[0], scope))
    == canonical(resolve_rule(argument[1], scope)),
}


def resolve_rule(value: Any, scope: Scope) -> Any:
    """Evaluate a rule's expression: parameters and pseudo parameters only."""
    if isinstance(value, dict) and len(value) == 1:
        name = next(iter(value))
        if name in _RULE_FUNCTIONS:
            return _RULE_FUNCTIONS[name](value[name], scope)
        if name != "Ref":
            raise TemplateError(f"Template error: {name} cannot be used in the Rules block of the template")
        return _ref(value[name], scope)
    return [resolve_rule(item, scope) for item in value] if isinstance(value, list) else value


def check_rules(scope: Scope) -> None:
    """Raise TemplateError with the descriptions of the assertions that do not hold for the parameters."""
    failed: list[str] = []
    for name, rule in (scope.data.get("Rules") or {}).items():
        if not as_list(rule.get("Assertions")):
            raise TemplateError(f"Template format error: Rule {name} must contain Assertions")
        if "RuleCondition" in rule and not _truth(resolve_rule(rule["RuleCondition"], scope)):
            continue
        failed += [f"{assertion.get('AssertDescription', 'Assertion failed')} (Rule: {name})"
                   for assertion in rule["Assertions"] if not _truth(resolve_rule(assertion["Assert"], scope))]
    if failed:
        raise TemplateError(f"Template error: Rule assertion failed: {'; '.join(failed)}")


# --- the template as it applies ---------------------------------------------------------------------------------------


def prune(value: Any, conditions: Mapping[str, bool]) -> Any:
    """Return `value` with each Fn::If replaced by its branch and AWS::NoValue left out; other functions stay."""
    if isinstance(value, dict):
        if len(value) == 1 and "Fn::If" in value:
            argument = value["Fn::If"]
            if not isinstance(argument, list) or len(argument) != 3:
                raise TemplateError("Template error: Fn::If requires a list argument with three elements")
            return prune(argument[1 if conditions[argument[0]] else 2], conditions)
        if value == {"Ref": "AWS::NoValue"}:
            return NO_VALUE
        pairs = ((key, prune(item, conditions)) for key, item in value.items())
        return {key: item for key, item in pairs if item is not NO_VALUE}
    if isinstance(value, list):
        return [item for item in (prune(item, conditions) for item in value) if item is not NO_VALUE]
    return value


@dataclass(frozen=True)
class Effective:
    """A template with its parameters bound: only what exists, with the branches of its conditions taken."""

    resources: dict[str, dict[str, Any]]
    needs: dict[str, set[str]]
    outputs: dict[str, dict[str, Any]]


def effective(scope: Scope) -> Effective:
    """Return what a template comes to under its parameters; evaluates rules and conditions of `scope` on the way.

    Raises TemplateError where something that exists refers to a resource whose condition is false.
    """
    check_rules(scope)
    conditions = evaluate_conditions(scope)
    data = scope.data
    resources = {}
    for name, resource in data["Resources"].items():
        if conditions.get(resource.get("Condition"), True):
            resources[name] = prune({key: value for key, value in resource.items() if key != "Condition"}, conditions)
    outputs = {name: prune({key: value for key, value in output.items() if key != "Condition"}, conditions)
               for name, output in (data.get("Outputs") or {}).items() if conditions.get(output.get("Condition"), True)}
    for place, items in (("Resources", resources), ("Outputs", outputs)):
        named = {ref for item in items.values() for ref in references(item)}
        named |= {target for item in items.values() for target, _ in attributes(item)}
        if gone := sorted(name for name in named if name in data["Resources"] and name not in resources):
            raise TemplateError(f"Template format error: Unresolved resource dependencies [{', '.join(gone)}] in the {place} "
                                "block of the template")
    needs = {name: dependencies(name, resource, resources) for name, resource in resources.items()}
    return Effective(resources, needs, outputs)
