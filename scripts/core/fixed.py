"""Parameters that cannot be changed once a stack is there: what a root template says under `FixedParameters:` in its Metadata (parameter: why).

CloudFormation keeps metadata that it does not know. It would begin such an update, fail in the middle of it, and take everything back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripts.core import documents, references, stacks
from scripts.core.errors import Problem
from scripts.core.settings import Environment
from scripts.core.stacks import Stack, Step
from scripts.core.templates import Template

_NEW = (Step.CREATE, Step.REMOVE_REVIEW, Step.DELETE_FIRST)


def declared(template: Template) -> dict[str, str]:
    """Parameter → why it cannot be changed; empty for a template that says nothing."""
    document = documents.parse(template.text, template.path.name, documents.TemplateLoader)
    return {name: str(why) for name, why in ((document.get("Metadata") or {}).get("FixedParameters") or {}).items()}


def problems(template: Template, environment: Environment, region: str, stack: Stack | None, values: Mapping[str, Any]) -> list[Problem]:
    """What `values` would change of the environment's stack in a Region and cannot. A value that is not known yet is not judged."""
    if stack is None or stacks.next_step(stack.status) in _NEW:
        return []
    found = []
    for name, why in declared(template).items():
        value, deployed = values.get(name), stack.parameters.get(name)
        if isinstance(value, str) and not references.find(value) and deployed is not None and value != deployed:
            found.append(
                Problem(
                    f"{environment.file}: {name}",
                    f"it is {value!r}, and {stack.name} in {region} was made with {deployed!r}, which cannot be changed: {why}",
                    f"write {deployed!r} again; to have the new value, make destroy ENV={environment.name} and deploy it anew",
                )
            )
    return found
