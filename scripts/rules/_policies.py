"""Texts with unknown parts, what a value points at, and every statement of every policy in a template."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.rules import _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _values

UNKNOWN = "\0"
"""Stands in a text for what only a deployment knows."""

PSEUDO = {"AWS::Partition": "aws", "AWS::Region": "us-east-1", "AWS::URLSuffix": "amazonaws.com", "AWS::AccountId": "123456789012"}
"""What the pseudo parameters may be: enough to judge the words around them."""

_VARIABLE = re.compile(r"\$\{([^!}][^}]*)\}")
_DOCUMENTS = {
    "AWS::IAM::ManagedPolicy": ("identity", ("PolicyDocument",)),
    "AWS::IAM::Policy": ("identity", ("PolicyDocument",)),
    "AWS::IAM::RolePolicy": ("identity", ("PolicyDocument",)),
    "AWS::IAM::UserPolicy": ("identity", ("PolicyDocument",)),
    "AWS::IAM::GroupPolicy": ("identity", ("PolicyDocument",)),
    "AWS::KMS::Key": ("key", ("KeyPolicy",)),
    "AWS::KMS::ReplicaKey": ("key", ("KeyPolicy",)),
    "AWS::ECR::Repository": ("resource", ("RepositoryPolicyText",)),
    "AWS::S3::BucketPolicy": ("resource", ("PolicyDocument",)),
    "AWS::SNS::TopicPolicy": ("resource", ("PolicyDocument",)),
    "AWS::SQS::QueuePolicy": ("resource", ("PolicyDocument",)),
    "AWS::SecretsManager::ResourcePolicy": ("resource", ("ResourcePolicy",)),
}
TYPES = ("AWS::IAM::Role", "AWS::IAM::User", "AWS::IAM::Group", "AWS::Events::EventBusPolicy", *_DOCUMENTS)
"""Resource types that hold policies."""


def shapes(cfn: Any, value: Any) -> list[str]:
    """The texts that a value may be, with UNKNOWN for each part that is not known now; one UNKNOWN for what is not a text at all."""
    plain: list[str] = _values.texts(cfn, value)
    if plain:
        return plain
    if not isinstance(value, dict) or len(value) != 1:
        return [UNKNOWN]
    ((function, argument),) = value.items()
    if function == "Ref":
        return [PSEUDO.get(str(argument), UNKNOWN)]
    if function == "Fn::Sub":
        return _substituted(cfn, argument)
    if function == "Fn::Join" and isinstance(argument, list) and len(argument) == 2 and isinstance(argument[1], list):
        between = str(argument[0])
        results = [""]
        for index, part in enumerate(argument[1]):
            found = [text for branch in _values.branches(cfn, part, ()) for text in shapes(cfn, branch.value)]
            # AWS::NoValue leaves nothing, not even the separator.
            results = [left + (between if index and left else "") + right for left in results for right in found][:64] if found else results
        return results
    if function == "Fn::If":
        # One that is not written as it must be is its own only branch.
        return [text for branch in _values.branches(cfn, value, ()) for text in ([UNKNOWN] if branch.value is value else shapes(cfn, branch.value))]
    return [UNKNOWN]


def _substituted(cfn: Any, argument: Any) -> list[str]:
    text, variables = argument if isinstance(argument, list) and len(argument) == 2 else (argument, {})
    if not isinstance(text, str) or not isinstance(variables, dict):
        return [UNKNOWN]
    results = [text]
    for name in dict.fromkeys(_VARIABLE.findall(text)):
        found = shapes(cfn, variables[name.strip()]) if name.strip() in variables else shapes(cfn, {"Ref": name.strip()})
        results = [result.replace(f"${{{name}}}", each) for result in results for each in found][:64]
    return [result.replace("${!", "${") for result in results]


def listed(cfn: Any, value: Any, path: _values.Path, conditions: _values.Conditions | None = None) -> Iterator[_values.Branch]:
    """Every text that a property may hold which takes one text or a list of them: lists, Fn::If, Fn::Split of a text, with UNKNOWN parts."""
    for branch in _values.branches(cfn, value, path, conditions):
        if isinstance(branch.value, list):
            for index, entry in enumerate(branch.value):
                yield from listed(cfn, entry, (*branch.path, index), branch.conditions)
            continue
        parts = branch.value.get("Fn::Split") if isinstance(branch.value, dict) and len(branch.value) == 1 else None
        if isinstance(parts, list) and len(parts) == 2 and isinstance(parts[0], str) and parts[0]:
            for text in shapes(cfn, parts[1]):
                for part in text.split(parts[0]):
                    yield _values.Branch(part, branch.path, branch.conditions)
            continue
        for text in shapes(cfn, branch.value):
            yield _values.Branch(text, branch.path, branch.conditions)


def target(value: Any) -> tuple[str, str] | None:
    """What a value is taken from: logical id and attribute (empty for Ref) of a Ref, a GetAtt or a Sub of nothing else."""
    if not isinstance(value, dict) or len(value) != 1:
        return None
    ((function, argument),) = value.items()
    if function == "Ref" and isinstance(argument, str):
        return argument, ""
    if function == "Fn::GetAtt":
        parts = argument.split(".", 1) if isinstance(argument, str) else argument
        if isinstance(parts, list) and len(parts) == 2 and all(isinstance(part, str) for part in parts):
            return parts[0], parts[1]
    if function == "Fn::Sub" and isinstance(argument, str):
        whole = re.fullmatch(r"\$\{([A-Za-z0-9:]+)(?:\.([A-Za-z0-9.]+))?\}", argument)
        if whole:
            return whole.group(1), whole.group(2) or ""
    return None


def mentioned(value: Any) -> set[str]:
    """Every logical id and parameter that a value has anywhere in it, by Ref, GetAtt or Sub."""
    found: set[str] = set()
    if isinstance(value, dict):
        one = target(value)
        if one:
            found.add(one[0])
        text = value.get("Fn::Sub")
        text = text[0] if isinstance(text, list) and text else text
        if isinstance(text, str):
            found |= {name.split(".")[0].strip() for name in _VARIABLE.findall(text)}
        for inner in value.values():
            found |= mentioned(inner)
    elif isinstance(value, list):
        for inner in value:
            found |= mentioned(inner)
    return found


def documents(cfn: Any, resource: _values.Branch) -> Iterator[tuple[str, _values.Branch]]:
    """Policy documents of a resource of TYPES, each as (identity, trust, key or resource, the document)."""
    name = resource.path[1]
    kind = cfn.template["Resources"][name]["Type"]
    if kind in ("AWS::IAM::Role", "AWS::IAM::User", "AWS::IAM::Group"):
        for document in _values.members(cfn, resource, "AssumeRolePolicyDocument"):
            yield "trust", document
        for policies in _values.members(cfn, resource, "Policies"):
            for policy in _values.entries(cfn, policies.value, policies.path, policies.conditions):
                for document in _values.members(cfn, policy, "PolicyDocument"):
                    yield "identity", document
    elif kind in _DOCUMENTS:
        what, keys = _DOCUMENTS[kind]
        for document in _values.at(cfn, resource, *keys):
            yield what, document
    elif kind == "AWS::Events::EventBusPolicy":
        yield "resource", resource


def statements(cfn: Any, document: _values.Branch) -> Iterator[_values.Branch]:
    """Every statement of a document: of a list of them, or the one."""
    for whole in _values.members(cfn, document, "Statement"):
        inner: Iterable[_values.Branch] = [whole]
        if isinstance(whole.value, list):
            inner = _values.entries(cfn, whole.value, whole.path, whole.conditions)
        for statement in inner:
            if isinstance(statement.value, dict):
                yield statement


def said(cfn: Any, statement: _values.Branch, key: str) -> list[_values.Branch]:
    """Texts of Action, Resource and the like: one or a list, with UNKNOWN parts."""
    if key not in _values.mapping(statement.value):
        return []
    return list(listed(cfn, statement.value[key], (*statement.path, key), statement.conditions))


def services(cfn: Any, statement: _values.Branch, key: str = "Principal") -> list[_values.Branch]:
    """Service principals of a statement."""
    return [found for principal in _values.members(cfn, statement, key) if isinstance(principal.value, dict) for found in said(cfn, principal, "Service")]


def anybody(cfn: Any, statement: _values.Branch) -> bool:
    """Whether a statement is about everybody, as far as it says: Principal '*', or AWS '*', or what cannot be told."""
    principal = statement.value.get("Principal")
    if not isinstance(principal, dict) or any(str(key).startswith("Fn::") for key in principal):
        return True
    return any(entry.value == "*" for found in _values.members(cfn, statement, "Principal") for entry in said(cfn, found, "AWS"))


def tests(cfn: Any, statement: _values.Branch) -> Iterator[tuple[str, str, _values.Branch]]:
    """Every test of a statement's Condition: operator, condition key, and the values as they stand (not taken apart)."""
    for conditions in _values.members(cfn, statement, "Condition"):
        if not isinstance(conditions.value, dict):
            continue
        for operator in conditions.value:
            for test in _values.members(cfn, conditions, operator):
                if isinstance(test.value, dict) and not (len(test.value) == 1 and str(next(iter(test.value))).startswith("Fn::")):
                    for key, value in test.value.items():
                        yield str(operator), str(key), _values.Branch(value, (*test.path, key), test.conditions)
