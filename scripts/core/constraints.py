"""Whether a parameter's value fits the template's declaration, checked here before any call to AWS.

CloudFormation checks the same when it makes the change set; here it costs nothing and the message names the file.
Source: CloudFormation User Guide, "CloudFormation template Parameters syntax".
"""

from __future__ import annotations

import re
from decimal import Decimal

from scripts.core.templates import ParameterSpec

_RESOURCE_IDS = {
    "AWS::EC2::Image::Id": "ami",
    "AWS::EC2::VPC::Id": "vpc",
    "AWS::EC2::Subnet::Id": "subnet",
    "AWS::EC2::SecurityGroup::Id": "sg",
}
_LIST = re.compile(r"List<(.+)>")
# Python's Decimal takes more: NaN, which nothing compares with, Infinity, 1_000, digits of other scripts.
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


def fault(spec: ParameterSpec, value: str) -> str | None:
    """Why `value` is not valid for the parameter; None when it is."""
    if spec.type == "CommaDelimitedList":
        return _fault_of_items(spec, "String", value)
    inner = _LIST.fullmatch(spec.type)
    if inner:
        return _fault_of_items(spec, inner.group(1), value)
    return _fault_of_one(spec, spec.type, value)


def _fault_of_items(spec: ParameterSpec, kind: str, value: str) -> str | None:
    items = [item.strip() for item in value.split(",")] if value else []
    if not items and kind == "Number":
        return "it is empty, and a list of numbers is expected"
    for item in items or ([""] if kind == "String" and spec.allowed_pattern else []):
        reason = _fault_of_one(spec, kind, item)
        if reason:
            return reason
    return None


def _fault_of_one(spec: ParameterSpec, kind: str, value: str) -> str | None:
    explained = f" ({spec.constraint})" if spec.constraint else ""
    if spec.allowed_values and value not in spec.allowed_values:
        return f"{value!r} is not one of {', '.join(repr(allowed) for allowed in spec.allowed_values)}{explained}"
    if kind == "Number":
        reason = _fault_of_number(spec, value)
        if reason:
            return reason + explained
    if spec.min_length is not None and len(value) < spec.min_length:
        return f"{value!r} is shorter than {spec.min_length} characters{explained}"
    if spec.max_length is not None and len(value) > spec.max_length:
        return f"{value!r} is longer than {spec.max_length} characters{explained}"
    prefix = _RESOURCE_IDS.get(kind)
    if prefix and not re.fullmatch(rf"{prefix}-[0-9a-f]{{8,17}}", value):
        return f"{value!r} is not an id of the form {prefix}-… ({kind})"
    if spec.allowed_pattern and not _matches(spec.allowed_pattern, value):
        return f"{value!r} does not match {spec.allowed_pattern}{explained}"
    return None


def _fault_of_number(spec: ParameterSpec, value: str) -> str | None:
    if not _NUMBER.fullmatch(value):
        return f"{value!r} is not a number"
    number = Decimal(value)
    if spec.min_value is not None and number < Decimal(spec.min_value):
        return f"{value} is less than {spec.min_value}"
    if spec.max_value is not None and number > Decimal(spec.max_value):
        return f"{value} is more than {spec.max_value}"
    return None


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error:
        # A pattern of Java's that Python's engine does not read: CloudFormation decides.
        return True
