"""A tree of stacks as it is deployed: templates, values and physical ids. Reads only: reads.PLAN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from scripts.core import documents, reading, stacks
from scripts.core.stacks import Stack
from scripts.core.templates import NESTED_STACK

_GONE = frozenset({"DELETE_COMPLETE", "DELETE_SKIPPED"})


@dataclass(frozen=True)
class Deployed:
    """One stack. `physical` are the ids of the resources that are there, `children` the nested stacks, both by logical id."""

    stack: Stack
    document: Mapping[str, Any]
    physical: Mapping[str, str]
    children: Mapping[str, Deployed]


def read(cloudformation: Any, stack: Stack) -> Deployed:
    """The stack with all that are nested in it, those of one level at once."""
    body = cloudformation.get_template(StackName=stack.id, TemplateStage="Original")["TemplateBody"]
    document = documents.parse(body, f"the template of {stack.name}", documents.TemplateLoader) if isinstance(body, str) else body
    there = [item for item in stacks.resources(cloudformation, stack.id) if item["ResourceStatus"] not in _GONE and item.get("PhysicalResourceId")]
    nested = {item["LogicalResourceId"]: item["PhysicalResourceId"] for item in there if item["ResourceType"] == NESTED_STACK}
    children = reading.at_once({name: partial(_child, cloudformation, identifier) for name, identifier in nested.items()})
    return Deployed(stack, document, {item["LogicalResourceId"]: item["PhysicalResourceId"] for item in there},
                    {name: child for name, child in children.items() if child is not None})


def _child(cloudformation: Any, identifier: str) -> Deployed | None:
    stack = stacks.find(cloudformation, identifier)
    return read(cloudformation, stack) if stack and stack.status != "DELETE_COMPLETE" else None
