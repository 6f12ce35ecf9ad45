"""Templates: text to data, parameters, rules, conditions and intrinsic functions.

Pure: what a reference to a resource is worth, which zones there are and which exports exist is asked of a `Scope`.
Source: AWS CloudFormation User Guide, "Template reference" and "Intrinsic function reference".
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml


class TemplateError(Exception):
    """What AWS answers with a ValidationError: `message` is the text after the code."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class _Sentinel:
    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name

    def __deepcopy__(self, memo: dict[int, Any]) -> _Sentinel:
        return self


NO_VALUE = _Sentinel("AWS::NoValue")
UNKNOWN = _Sentinel("(known after the change)")
"""Stands in plans for what only the change itself will tell: a new resource's id, an attribute of one that is replaced."""

SECTIONS = ("AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Rules", "Mappings", "Conditions",
            "Resources", "Outputs")
RESOURCE_ATTRIBUTES = ("Type", "Properties", "DependsOn", "Condition", "Metadata", "DeletionPolicy", "UpdateReplacePolicy",
                       "CreationPolicy", "UpdatePolicy")
DELETION_POLICIES = ("Delete", "Retain", "RetainExceptOnCreate", "Snapshot")
PSEUDO_PARAMETERS = ("AWS::AccountId", "AWS::NotificationARNs", "AWS::NoValue", "AWS::Partition", "AWS::Region",
                     "AWS::StackId", "AWS::StackName", "AWS::URLSuffix")
_CONDITION_FUNCTIONS = ("Fn::And", "Fn::Equals", "Fn::If", "Fn::Not", "Fn::Or", "Condition")
_FUNCTIONS = ("Ref", "Fn::Base64", "Fn::Cidr", "Fn::FindInMap", "Fn::GetAtt", "Fn::GetAZs", "Fn::ImportValue", "Fn::Join",
              "Fn::Select", "Fn::Split", "Fn::Sub", *_CONDITION_FUNCTIONS)
_SUB = re.compile(r"\$\{([^!${}][^${}]*)\}")


# --- text to data -----------------------------------------------------------------------------------------------------


_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc]  # the C parser where PyYAML was built with it
    """YAML as CloudFormation reads it: dates are strings, short forms are functions, no key twice."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()}


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    loader.flatten_mapping(node)
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        key = str(key) if not isinstance(key, bool) else str(key).lower()
        if key in result:
            raise TemplateError(f"Template format error: YAML not well-formed. (line {key_node.start_mark.line + 1}, "
                                f"column {key_node.start_mark.column + 1}): duplicate key {key}")
        result[key] = loader.construct_object(value_node, deep=True)
    return result


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = _mapping(loader, node)
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if name not in _FUNCTIONS and name not in _RULE_FUNCTIONS:
        raise TemplateError(f"Template format error: Unrecognized function !{suffix}")
    if name == "Fn::GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name: value}


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_multi_constructor("!", _short_form)


def parse(body: str) -> dict[str, Any]:
    """Return a template's text (YAML or JSON) as data, short forms written out; checks form, not meaning.

    Raises TemplateError in AWS's words.
    """
    try:
        data = json.loads(body) if body.lstrip().startswith("{") else yaml.load(body, _Loader)
    except json.JSONDecodeError as error:
        raise TemplateError(f"Template format error: JSON not well-formed. (line {error.lineno}, column {error.colno})") from error
    except yaml.MarkedYAMLError as error:
        where = error.problem_mark or error.context_mark
        place = f" (line {where.line + 1}, column {where.column + 1})" if where else ""
        raise TemplateError(f"Template format error: YAML not well-formed.{place}") from error
    if not isinstance(data, dict):
        raise TemplateError("Template format error: unsupported structure.")
    if unknown := sorted(set(data) - set(SECTIONS)):
        if "Transform" in unknown:
            raise TemplateError("Transform is not served by the local AWS: templates here are raw CloudFormation")
        raise TemplateError(f"Invalid template property or properties [{', '.join(unknown)}]")
    version = data.get("AWSTemplateFormatVersion", "2010-09-09")
    if version != "2010-09-09":
        raise TemplateError("Template format error: unsupported value for AWSTemplateFormatVersion.")
    if not isinstance(data.get("Resources"), dict) or not data["Resources"]:
        raise TemplateError("Template format error: At least one Resources member must be defined.")
    _check(data)
    return data


def _check(data: dict[str, Any]) -> None:
    """Check names, references and cycles of a parsed template."""
    resources, parameters, conditions = data["Resources"], data.get("Parameters") or {}, data.get("Conditions") or {}
    for section in ("Resources", "Parameters", "Outputs"):
        for name in data.get(section) or {}:
            if not re.fullmatch(r"[A-Za-z0-9]{1,255}", name):
                raise TemplateError(f"Template format error: {section} name {name} is non alphanumeric.")
    for name, resource in resources.items():
        if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
            raise TemplateError(f"Template format error: [/Resources/{name}] Every Resources object must contain a Type member.")
        if unknown := sorted(set(resource) - set(RESOURCE_ATTRIBUTES)):
            raise TemplateError(f"Invalid template resource property '{unknown[0]}'")
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            value = resource.get(policy, "Delete")
            if isinstance(value, str) and value not in DELETION_POLICIES:
                raise TemplateError(f"Template format error: Unrecognized {policy} {value} for resource {name}")
    for name, parameter in parameters.items():
        if not isinstance(parameter, dict) or "Type" not in parameter:
            raise TemplateError(f"Template format error: Every Parameters object must contain a Type member. ({name})")
    for place, known in (("Resources", {*resources, *parameters}), ("Outputs", {*resources, *parameters})):
        missing: list[str] = []
        for name, item in (data.get(place) or {}).items():
            if not isinstance(item, dict):
                raise TemplateError(f"Template format error: [/{place}/{name}] must be an object")
            if (needed := item.get("Condition")) is not None and needed not in conditions:
                raise TemplateError(f"Template format error: Unresolved condition dependency {needed} in the {place} block "
                                    "of the template")
            for wanted in _condition_names(item):
                if wanted not in conditions:
                    raise TemplateError(f"Template format error: Unresolved condition dependency {wanted} in the {place} "
                                        "block of the template")
            missing += [ref for ref in references({key: value for key, value in item.items() if key != "Condition"})
                        if ref not in known and ref not in PSEUDO_PARAMETERS]
            for target, _attribute in attributes(item):
                if target not in resources:
                    raise TemplateError(f"Template error: instance of Fn::GetAtt references undefined resource {target}")
            if place == "Resources":
                missing += [target for target in _as_list(item.get("DependsOn")) if target not in resources]
            if place == "Outputs" and "Value" not in item:
                raise TemplateError(f"Template format error: Output {name} is malformed. Every Outputs member must contain a Value object")
        if missing:
            raise TemplateError(f"Template format error: Unresolved resource dependencies [{', '.join(sorted(set(missing)))}] "
                                f"in the {place} block of the template")
    for name, condition in conditions.items():
        bad = [ref for ref in references(condition) if ref not in parameters and ref not in PSEUDO_PARAMETERS]
        if bad or any(True for _ in attributes(condition)):
            raise TemplateError(f"Template format error: Unresolved dependencies [{', '.join(bad) or name}]. Cannot reference "
                                "resources in the Conditions block of the template")
        for wanted in _condition_names(condition):
            if wanted not in conditions:
                raise TemplateError(f"Template format error: Unresolved condition dependency {wanted} in the Conditions block "
                                    "of the template")
    check_cycles({name: dependencies(name, resource, resources) for name, resource in resources.items()})


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def functions(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every (function, argument) in a value, outer ones first."""
    if isinstance(value, dict):
        if len(value) == 1:
            name = next(iter(value))
            if name in _FUNCTIONS or name in _RULE_FUNCTIONS:
                yield name, value[name]
        for item in value.values():
            yield from functions(item)
    elif isinstance(value, list):
        for item in value:
            yield from functions(item)


def _sub_parts(argument: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(argument, str):
        return argument, {}
    if isinstance(argument, list) and len(argument) == 2 and isinstance(argument[0], str) and isinstance(argument[1], dict):
        return argument[0], argument[1]
    raise TemplateError("Template error: One or more Fn::Sub intrinsic functions don't specify expected arguments. Specify a "
                        "string as first argument, and an optional second argument to specify a mapping of values to replace "
                        "in the string")


def references(value: Any) -> Iterator[str]:
    """Yield the names that a value refers to by Ref, or by Fn::Sub without an attribute."""
    for name, argument in functions(value):
        if name == "Ref":
            if not isinstance(argument, str):
                raise TemplateError("Template format error: Ref expects the name of a parameter or resource")
            yield argument
        elif name == "Fn::Sub":
            text, own = _sub_parts(argument)
            yield from (part for part in _SUB.findall(text) if part not in own and "." not in part)


def attributes(value: Any) -> Iterator[tuple[str, str]]:
    """Yield the (resource, attribute) pairs that a value refers to by Fn::GetAtt or Fn::Sub."""
    for name, argument in functions(value):
        if name == "Fn::GetAtt":
            parts = argument.split(".", 1) if isinstance(argument, str) else argument
            if not isinstance(parts, list) or len(parts) < 2 or not isinstance(parts[0], str):
                raise TemplateError("Template error: every Fn::GetAtt object requires two non-empty parameters, the resource "
                                    "name and the resource attribute")
            yield parts[0], ".".join(str(part) for part in parts[1:])
        elif name == "Fn::Sub":
            text, own = _sub_parts(argument)
            yield from (tuple(part.split(".", 1)) for part in _SUB.findall(text) if part not in own and "." in part)


def _condition_names(value: Any) -> Iterator[str]:
    for name, argument in functions(value):
        if name == "Condition" and isinstance(argument, str):
            yield argument
        elif name == "Fn::If" and isinstance(argument, list) and argument and isinstance(argument[0], str):
            yield argument[0]


def dependencies(name: str, resource: Mapping[str, Any], resources: Iterable[str]) -> set[str]:
    """Return the resources among `resources` that `resource` refers to or names in DependsOn."""
    body = {key: resource[key] for key in ("Properties", "Metadata", "UpdatePolicy", "CreationPolicy") if key in resource}
    found = {*references(body), *(target for target, _ in attributes(body)), *_as_list(resource.get("DependsOn"))}
    return found & set(resources) - ({name} if name not in _as_list(resource.get("DependsOn")) else set())


def check_cycles(needs: Mapping[str, set[str]]) -> list[str]:
    """Return the names so that each comes after what it needs; raise TemplateError naming the circle if there is one."""
    ordered: list[str] = []
    left = {name: {need for need in wanted if need in needs} for name, wanted in needs.items()}
    while left:
        free = [name for name, wanted in left.items() if not wanted]
        if not free:
            circle = _circle(left)
            raise TemplateError(f"Circular dependency between resources: [{', '.join(circle)}]")
        ordered += free
        left = {name: wanted - set(free) for name, wanted in left.items() if name not in free}
    return ordered


def _circle(left: Mapping[str, set[str]]) -> list[str]:
    """Return the names on circles: what remains when names that nothing on a circle needs are taken off too."""
    names = dict(left)
    while True:
        needed = {need for wanted in names.values() for need in wanted}
        keep = {name: wanted for name, wanted in names.items() if name in needed}
        if len(keep) == len(names):
            return sorted(names)
        names = keep


# --- parameters -------------------------------------------------------------------------------------------------------


def bind(data: Mapping[str, Any], given: Mapping[str, Any], strict: bool = True) -> dict[str, Any]:
    """Return the value of every parameter of the template as text (or UNKNOWN): given, or by default.

    Raises TemplateError for one without a value, one that the template does not have (when `strict`), one that fails a
    constraint. Source of the wording: answers of the service, quoted in AWS re:Post and GitHub issues.
    """
    declared = data.get("Parameters") or {}
    if strict and (extra := [name for name in given if name not in declared]):
        raise TemplateError(f"Parameters: [{', '.join(extra)}] do not exist in the template")
    values: dict[str, Any] = {}
    missing: list[str] = []
    for name, parameter in declared.items():
        if name in given:
            values[name] = given[name]
        elif "Default" in parameter:
            values[name] = text_of(parameter["Default"])
        else:
            missing.append(name)
    if missing:
        raise TemplateError(f"Parameters: [{', '.join(missing)}] must have values")
    for name, value in values.items():
        if value is not UNKNOWN:
            _check_parameter(name, declared[name], value)
    return values


def _check_parameter(name: str, parameter: Mapping[str, Any], value: str) -> None:
    kind = parameter["Type"]
    if kind.startswith("AWS::SSM::Parameter::"):
        raise TemplateError(f"Parameter {name}: type {kind} is not served by the local AWS")

    def refuse(text: str) -> TemplateError:
        if description := parameter.get("ConstraintDescription"):
            return TemplateError(f"Parameter {name} failed to satisfy constraint: {description}")
        return TemplateError(f"Parameter '{name}' {text}")

    parts = _split_list(value) if is_list(kind) else [value]
    for part in parts:
        if kind in ("Number", "List<Number>"):
            try:
                number = float(part)
            except ValueError:
                raise TemplateError(f"Parameter '{name}' must be a number.") from None
            if "MinValue" in parameter and number < float(parameter["MinValue"]):
                raise refuse(f"must be a number not less than {parameter['MinValue']}")
            if "MaxValue" in parameter and number > float(parameter["MaxValue"]):
                raise refuse(f"must be a number not greater than {parameter['MaxValue']}")
        if "AllowedValues" in parameter and part not in [text_of(allowed) for allowed in parameter["AllowedValues"]]:
            raise refuse("must be one of AllowedValues")
        if "AllowedPattern" in parameter and not re.fullmatch(_java_pattern(parameter["AllowedPattern"]), part):
            raise refuse(f"must match pattern {parameter['AllowedPattern']}")
    if "MinLength" in parameter and len(value) < int(parameter["MinLength"]):
        raise refuse(f"must contain at least {parameter['MinLength']} characters")
    if "MaxLength" in parameter and len(value) > int(parameter["MaxLength"]):
        raise refuse(f"must contain at most {parameter['MaxLength']} characters")


def _java_pattern(pattern: str) -> str:
    """Return a Java pattern as Python reads it (POSIX classes are all that our kind of template could differ in)."""
    for java, python in ((r"\p{Alnum}", "A-Za-z0-9"), (r"\p{Alpha}", "A-Za-z"), (r"\p{Digit}", "0-9")):
        pattern = pattern.replace(java, python)
    return pattern


def is_list(kind: str) -> bool:
    """Tell whether a parameter's type makes its Ref a list."""
    return kind == "CommaDelimitedList" or kind.startswith("List<")


def _split_list(value: str) -> list[str]:
    return [part.strip() for part in value.split(",")] if value else []


# --- resolution -------------------------------------------------------------------------------------------------------


def text_of(value: Any) -> str:
    """Return a scalar as CloudFormation writes it in text: booleans in lower case, whole numbers without a point."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


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
        return _split_list(value) if is_list(self.data["Parameters"][name]["Type"]) else value


def evaluate_conditions(scope: Scope) -> dict[str, bool]:
    """Evaluate the template's conditions into `scope.conditions` (and return them). Raises TemplateError on a circle."""
    declared = scope.data.get("Conditions") or {}
    check_cycles({name: set(_condition_names(body)) for name, body in declared.items()})
    for name in check_cycles({name: set(_condition_names(body)) for name, body in declared.items()}):
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
    text, own = _sub_parts(argument)
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

    result = _SUB.sub(replace, text)
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
    allowed = [text_of(item) for item in _as_list(resolve_rule(right, scope))]
    return all(test(text_of(item), allowed) for item in _as_list(resolve_rule(left, scope)))


_RULE_FUNCTIONS: dict[str, Callable[[Any, Scope], Any]] = {
    "Fn::Contains": lambda argument, scope: text_of(resolve_rule(argument[1], scope))
    in [text_of(item) for item in _as_list(resolve_rule(argument[0], scope))],
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
        if not _as_list(rule.get("Assertions")):
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
