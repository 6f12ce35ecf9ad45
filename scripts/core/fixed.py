"""Parameters that cannot be changed once a stack is there: what a root template says under `FixedParameters:` in its Metadata (parameter: why).

`parameter: { Unless: another, Why: why }` is for one that is not used while the stack has a value for the other, itself fixed.
CloudFormation keeps metadata that it does not know. It would begin such an update, fail in the middle of it, and take everything back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scripts.core import documents, references, stacks
from scripts.core.errors import Problem
from scripts.core.settings import Environment
from scripts.core.stacks import Stack, Step
from scripts.core.templates import Template

_NEW = (Step.CREATE, Step.REMOVE_REVIEW, Step.DELETE_FIRST)


@dataclass(frozen=True)
class Fixed:
    """Why a parameter cannot be changed, and the parameter that it is not used with ("": none)."""

    why: str
    unless: str = ""


def declared(template: Template) -> dict[str, Fixed]:
    """What cannot be changed, by parameter; empty for a template that says nothing."""
    document = documents.parse(template.text, template.path.name, documents.TemplateLoader)
    said = (document.get("Metadata") or {}).get("FixedParameters") or {}
    return {name: Fixed(str(one["Why"]), str(one["Unless"])) if isinstance(one, dict) else Fixed(str(one)) for name, one in said.items()}


def problems(template: Template, environment: Environment, region: str, stack: Stack | None, values: Mapping[str, Any]) -> list[Problem]:
    """What `values` would change of the environment's stack in a Region and cannot. A value that is not known yet is not judged."""
    if stack is None or stacks.next_step(stack.status) in _NEW:
        return []
    found = []
    for name, fixed in declared(template).items():
        if stack.parameters.get(fixed.unless):
            continue  # Not used; what would take the other away, so that it is, is refused for the other.
        value, deployed = values.get(name), stack.parameters.get(name)
        if isinstance(value, str) and not references.find(value) and deployed is not None and value != deployed:
            found.append(
                Problem(
                    f"{environment.file}: {name}",
                    f"it is {value!r}, and {stack.name} in {region} was made with {deployed!r}, which cannot be changed: {fixed.why}",
                    f"write {deployed!r} again; to have the new value, make destroy ENV={environment.name} and deploy it anew",
                )
            )
    return found
