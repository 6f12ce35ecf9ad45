"""Templates: text to data, what refers to what, and parameters. Pure; what their functions are worth is in `intrinsics`.

Source: AWS CloudFormation User Guide, "Template reference" and "Intrinsic function reference".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
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
_RULE_FUNCTIONS = ("Fn::Contains", "Fn::EachMemberEquals", "Fn::EachMemberIn", "Fn::RefAll")
_FUNCTIONS = ("Ref", "Fn::Base64", "Fn::Cidr", "Fn::FindInMap", "Fn::GetAtt", "Fn::GetAZs", "Fn::ImportValue", "Fn::Join",
              "Fn::Select", "Fn::Split", "Fn::Sub", *_CONDITION_FUNCTIONS, *_RULE_FUNCTIONS)
SUB = re.compile(r"\$\{([^!${}][^${}]*)\}")


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
    if name not in _FUNCTIONS:
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
            for wanted in condition_names(item):
                if wanted not in conditions:
                    raise TemplateError(f"Template format error: Unresolved condition dependency {wanted} in the {place} "
                                        "block of the template")
            missing += [ref for ref in references({key: value for key, value in item.items() if key != "Condition"})
                        if ref not in known and ref not in PSEUDO_PARAMETERS]
            for target, _attribute in attributes(item):
                if target not in resources:
                    raise TemplateError(f"Template error: instance of Fn::GetAtt references undefined resource {target}")
            if place == "Resources":
                missing += [target for target in as_list(item.get("DependsOn")) if target not in resources]
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
        for wanted in condition_names(condition):
            if wanted not in conditions:
                raise TemplateError(f"Template format error: Unresolved condition dependency {wanted} in the Conditions block "
                                    "of the template")
    check_cycles({name: dependencies(name, resource, resources) for name, resource in resources.items()})


def as_list(value: Any) -> list[Any]:
    """Return what may stand alone or in a list as a list."""
    return [] if value is None else value if isinstance(value, list) else [value]


def functions(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every (function, argument) in a value, outer ones first."""
    if isinstance(value, dict):
        if len(value) == 1:
            name = next(iter(value))
            if name in _FUNCTIONS:
                yield name, value[name]
        for item in value.values():
            yield from functions(item)
    elif isinstance(value, list):
        for item in value:
            yield from functions(item)


def sub_parts(argument: Any) -> tuple[str, dict[str, Any]]:
    """Return the text and the variables of Fn::Sub. Raises TemplateError for another argument."""
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
            text, own = sub_parts(argument)
            yield from (part for part in SUB.findall(text) if part not in own and "." not in part)


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
            text, own = sub_parts(argument)
            yield from (tuple(part.split(".", 1)) for part in SUB.findall(text) if part not in own and "." in part)


def condition_names(value: Any) -> Iterator[str]:
    """Yield the names of the conditions that something depends on by `Condition`."""
    for name, argument in functions(value):
        if name == "Condition" and isinstance(argument, str):
            yield argument
        elif name == "Fn::If" and isinstance(argument, list) and argument and isinstance(argument[0], str):
            yield argument[0]


def dependencies(name: str, resource: Mapping[str, Any], resources: Iterable[str]) -> set[str]:
    """Return the resources among `resources` that `resource` refers to or names in DependsOn."""
    body = {key: resource[key] for key in ("Properties", "Metadata", "UpdatePolicy", "CreationPolicy") if key in resource}
    found = {*references(body), *(target for target, _ in attributes(body)), *as_list(resource.get("DependsOn"))}
    return found & set(resources) - ({name} if name not in as_list(resource.get("DependsOn")) else set())


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

    parts = split_list(value) if is_list(kind) else [value]
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


def split_list(value: str) -> list[str]:
    """Return the members of a list parameter's text."""
    return [part.strip() for part in value.split(",")] if value else []


def text_of(value: Any) -> str:
    """Return a scalar as CloudFormation writes it in text: booleans in lower case, whole numbers without a point."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
