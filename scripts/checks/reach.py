"""Environments that the pipeline tests can be called by its tests, which run in CodeBuild, outside of every VPC."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from scripts.checks.finding import Finding
from scripts.checks.tree import Tree, mapping
from scripts.core import references, settings, templates
from scripts.core.errors import CommandError
from scripts.core.settings import Environment

RULES = {"tests-reach": "An environment that the pipeline tests is internet-facing, and lets everyone call."}
SOURCES = {"tests-reach": "https://docs.aws.amazon.com/codebuild/latest/userguide/vpc-support.html"}
# What the tests call: templates/pipeline/tests.yaml gets it from these.
_TESTED = re.compile(r"(Beta|Gamma)\d+EndpointUrl")
_WANTED = {
    "Scheme": ("internet-facing", "tests run in CodeBuild, which is outside of its VPC and cannot call an internal balancer"),
    "IngressCidr": ("0.0.0.0/0", "tests call it from addresses of CodeBuild's, which change"),
}


def check(root: Path) -> Iterator[Finding]:
    """A finding for each value that keeps the tests out, as on AWS and with the local overlay; each once."""
    tree, seen = Tree(root), set()
    for overlay in (False, True):
        found = {environment.name: environment for name in settings.names(root) if (environment := _load(root, name, overlay))}
        for name in sorted(_tested(found)):
            for finding in _closed(tree, found[name], overlay):
                if finding not in seen:
                    seen.add(finding)
                    yield finding


def _load(root: Path, name: str, overlay: bool) -> Environment | None:
    try:
        return settings.load(root, name, overlay)
    except CommandError:
        return None  # said by the check of the file alone


def _tested(environments: dict[str, Environment]) -> set[str]:
    """The environments whose addresses a pipeline is given to test."""
    values = [value for one in environments.values() for key, value in one.parameters.items() if _TESTED.fullmatch(key)]
    return {reference.source for value in values for reference in references.find(value)} & set(environments)


def _closed(tree: Tree, environment: Environment, overlay: bool) -> Iterator[Finding]:
    try:
        specs = templates.parameter_specs(tree.template(f"templates/{environment.template}.yaml"))
    except (CommandError, ValueError):
        return
    for region in environment.regions:
        values = settings.effective(specs, environment.parameters_in(region))
        for key, (wanted, why) in _WANTED.items():
            value = values.get(key, wanted)
            if value != wanted and not references.find(value):
                file, line = _place(tree, environment.name, overlay, region, key)
                message = f"{key}: it is {value!r} in {region}, and the pipeline tests {environment.name}: {why}; no release would get past it"
                yield Finding("tests-reach", file, line, message=message, next_step=f"write {wanted}", source=SOURCES["tests-reach"])


def _place(tree: Tree, name: str, overlay: bool, region: str, key: str) -> tuple[str, int]:
    """The file and line that give `key` its value."""
    files = [f"parameters/local/{name}.yaml"] * (overlay and tree.has(f"parameters/local/{name}.yaml")) + [f"parameters/{name}.yaml"]
    for file in files:
        for steps in (("region_parameters", region, key), ("parameters", key)):
            inner = tree.yaml(file)
            for step in steps:
                inner = mapping(inner).get(step)
            if inner is not None:
                return file, tree.place(file, steps).line
    return files[-1], 0
