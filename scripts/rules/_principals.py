"""Service principals: where templates name them, and whether there is such a service."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.rules import _policies, _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _policies
    import _rule
    import _values

TYPES = (*_policies.TYPES, "AWS::Lambda::Permission", "AWS::IAM::ServiceLinkedRole")
_KEYS = ("iam:passedtoservice", "iam:awsservicename", "aws:principalservicename", "aws:calledvia", "aws:calledviafirst", "aws:calledvialast")
_REGION = re.compile(r"\.[a-z]{2}(-[a-z]+)+-\d(?=\.amazonaws\.)")
_ENDING = ".amazonaws.com"


def named(cfn: Any, resource: _values.Branch) -> Iterator[_values.Branch]:
    """Every service principal that a resource names, as text that is wholly known."""
    kind = cfn.template["Resources"][resource.path[1]]["Type"]
    found: list[_values.Branch] = []
    if kind == "AWS::Lambda::Permission":
        # An account, an ARN of one and '*' are no services.
        found = [entry for entry in _policies.said(cfn, resource, "Principal") if "." in entry.value and not entry.value.startswith("arn:")]
    elif kind == "AWS::IAM::ServiceLinkedRole":
        found = _policies.said(cfn, resource, "AWSServiceName")
    for _, document in _policies.documents(cfn, resource) if kind in _policies.TYPES else ():
        for statement in _policies.statements(cfn, document):
            found += _policies.services(cfn, statement) + _policies.services(cfn, statement, "NotPrincipal")
            for _, key, values in _policies.tests(cfn, statement):
                if key.lower() in _KEYS:
                    found += _policies.listed(cfn, values.value, values.path, values.conditions)
    for entry in found:
        if _policies.UNKNOWN not in entry.value and "*" not in entry.value:
            yield entry


def known(principal: str) -> bool:
    """Whether the table has it, with or without a Region in it, in any partition."""
    return plain(principal) in _rule.table("service_principals")["principals"]


def correction(principal: str) -> str:
    """What a misspelt principal is meant to be, or empty for one that is known, or that is near to none that is."""
    if known(principal):
        return ""
    written = plain(principal)
    names = {entry.removesuffix(_ENDING): entry for entry in _rule.table("service_principals")["principals"]}
    label = re.sub(r"\.(amazonaws?|aws)(\.com?)?$", "", written)
    if written.lower() != written and written.lower() in names.values():
        return f"write {written.lower()}"
    if label in names and label != written.removesuffix(_ENDING):
        return f"did you mean {names[label]}?"
    # A part more or less is another service: qbusiness is none of qbusiness.q.
    near = difflib.get_close_matches(label.lower(), [name for name in names if name.count(".") == label.count(".")], n=1, cutoff=0.8)
    if near:
        return f"did you mean {names[near[0]]}?"
    return "" if written.endswith(_ENDING) else f"it must end in {_ENDING}"


def plain(principal: str) -> str:
    """A principal without the Region and the partition that may be in it."""
    return _REGION.sub("", principal.removesuffix(".cn"))
