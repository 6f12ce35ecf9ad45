"""Variables of a pipeline: `#{namespace.name}` in an action's configuration. Pure.

Source: AWS CodePipeline User Guide, "Variables reference".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

REFERENCE = re.compile(r"#\{([A-Za-z0-9@_-]+)\.([A-Za-z0-9@_.-]+)\}")


class UnresolvedVariable(Exception):
    """A reference that no action has given a value."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"The variable {reference} could not be resolved")
        self.reference = reference


def references(configuration: Mapping[str, str]) -> set[tuple[str, str]]:
    """Every (namespace, name) that a configuration refers to."""
    return {found for value in configuration.values() for found in REFERENCE.findall(value)}


def resolve(configuration: Mapping[str, str], namespaces: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the configuration with each reference replaced; UnresolvedVariable if one has no value."""

    def value(match: re.Match[str]) -> str:
        found = namespaces.get(match[1], {}).get(match[2])
        if found is None:
            raise UnresolvedVariable(match[0])
        return found

    return {key: REFERENCE.sub(value, text) for key, text in configuration.items()}


def namespaces(execution: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The namespaces that an execution's actions see: their own, `variables` (V2) and `codepipeline`."""
    return {**execution["namespaces"], "variables": execution["variables"],
            "codepipeline": {"PipelineExecutionId": execution["id"]}}
