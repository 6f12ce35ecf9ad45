"""What a destroy removes, in which order, and what stays behind and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.core import documents, placeholders, references, roots, settings, stacks, templates
from scripts.core.errors import BadInput, WrongUse
from scripts.core.settings import Environment
from scripts.core.stacks import Stack

ALL = "all"
_WHY = {
    "AWS::S3::Bucket": "it holds the bundles and templates that a rollback needs",
    "AWS::KMS::Key": "without it nothing in the bucket and the repository can be read again",
    "AWS::ECR::Repository": "it holds the images that a rollback needs",
    "AWS::Logs::LogGroup": "logs outlive what wrote them",
    "AWS::DynamoDB::Table": "it is the record of releases",
}


@dataclass(frozen=True)
class Item:
    """One root stack to remove; `owner` is the environment whose account it is in."""

    stack_name: str
    region: str
    owner: str


@dataclass(frozen=True)
class KeptResource:
    """A resource that stays in the account, with the reason."""

    stack_name: str
    logical_id: str
    physical_id: str
    type: str

    @property
    def why(self) -> str:
        return _WHY.get(self.type, "its template says so")


def order(environments: Iterable[Environment]) -> list[Environment]:
    """Environments so that whatever uses another's outputs goes first."""
    left = {environment.name: environment for environment in environments}
    used_by: dict[str, set[str]] = {name: set() for name in left}
    for name, environment in left.items():
        for reference in references.of(environment.parameters, *environment.region_parameters.values()):
            if reference.source in used_by:
                used_by[reference.source].add(name)
    ordered: list[Environment] = []
    while left:
        free = sorted(name for name in left if not used_by[name] & left.keys())
        if not free:
            raise WrongUse("parameters/ refers in a circle", ", ".join(sorted(left)), "remove one of the ${…} references")
        ordered += [left.pop(name) for name in free]
    return ordered


def plan(name: str, environments: Mapping[str, Environment]) -> list[list[Item]]:
    """Steps of stacks, each step at once: environments first, then what they need, when that is asked for.

    `name` is an environment, a needed root (`release-store`) or `all`. Removing one environment leaves what others share with it.
    """
    shared = {need for environment in environments.values() for need in environment.needs}
    if name not in {*environments, *shared, ALL}:
        known = [*environments, *sorted(shared), ALL]
        reason = f"there are {', '.join(known)}" + settings.did_you_mean(name, known)
        raise WrongUse(f"there is no environment {name!r}" if name else "no environment is named", reason, "name one with ENV=…")
    chosen = [environments[name]] if name in environments else order(environments.values()) if name == ALL else []
    steps = [[Item(environment.stack_name, region, environment.name) for region in environment.regions] for environment in chosen]
    for need in sorted(shared if name == ALL else shared & {name}):
        users = [environment for environment in environments.values() if need in environment.needs]
        found = [(user.needed_stack_name(need), region, roots.owner(user, environments).name) for user in users for region in roots.regions_of(user, need)]
        steps.append([Item(*one) for one in dict.fromkeys(found)])
    return steps


def users_of(need: str, environments: Iterable[Environment]) -> list[Item]:
    """The root stacks that need `need`, or that read the outputs of the environment `need`."""
    found = []
    for environment in environments:
        sources = {reference.source for reference in references.of(environment.parameters, *environment.region_parameters.values())}
        if need in environment.needs or need in sources:
            found += [Item(environment.stack_name, region, environment.name) for region in environment.regions]
    return found


def kept(cloudformation: Any, stack: Stack) -> list[KeptResource]:
    """What a tree of deployed stacks leaves behind, read from the templates that are deployed."""
    found = []
    text = stacks.template_text(cloudformation, stack.id)
    document = documents.parse(text, f"the template of {stack.name}", documents.TemplateLoader) if text else {}
    policies = {item.logical_id for item in templates.kept(document)}
    for resource in stacks.resources(cloudformation, stack.id):
        physical_id = resource.get("PhysicalResourceId", "")
        if resource["ResourceType"] == templates.NESTED_STACK and physical_id.startswith("arn:"):
            below = stacks.find(cloudformation, physical_id)
            if below and below.status != "DELETE_COMPLETE":
                found += kept(cloudformation, below)
        elif resource["LogicalResourceId"] in policies and physical_id:
            found.append(KeptResource(stack.name, resource["LogicalResourceId"], physical_id, resource["ResourceType"]))
        elif resource["ResourceType"] == "AWS::Synthetics::Canary" and physical_id:
            # No resource of the stack: the canary's first run made it.
            found.append(KeptResource(stack.name, f"{resource['LogicalResourceId']}'s runs", f"{canary_logs(physical_id)}…", "AWS::Logs::LogGroup"))
    return found


def canary_logs(name: str) -> str:
    """What the name of a canary's log group begins with; Synthetics, which makes it, adds an id, and deletes it never.

    Source: https://docs.aws.amazon.com/AmazonSynthetics/latest/APIReference/API_DeleteCanary.html
    """
    return f"/aws/lambda/cwsyn-{name[:21]}-"


def resource_total(cloudformation: Any, stack: Stack) -> int:
    """How many resources the tree has."""
    listed = stacks.resources(cloudformation, stack.id)
    nested = [
        item["PhysicalResourceId"]
        for item in listed
        if item["ResourceType"] == templates.NESTED_STACK and item.get("PhysicalResourceId", "").startswith("arn:")
    ]
    below = [
        found for found in (stacks.find(cloudformation, stack_id) for stack_id in nested) if found and found.status != "DELETE_COMPLETE"
    ]
    return len(listed) + sum(resource_total(cloudformation, child) for child in below)


def load_all(root: Path, local: bool) -> dict[str, Environment]:
    """All environments by name. BadInput where they are not of one service: one would take another service's stacks with it."""
    environments = {name: settings.load(root, name, local) for name in settings.names(root)}
    problems = [problem for one in environments.values() for problem in roots.check_service([one], roots.owner(one, environments))]
    if problems:
        raise BadInput("parameters/ is of more than one service", problems)
    return environments


def placed(environments: Mapping[str, Environment]) -> dict[str, Environment]:
    """Those whose account somebody has written down: in the placeholder's account nothing of ours can be, as for a beta that nobody uses."""
    return {name: one for name, one in environments.items() if not placeholders.of_account(one)} or dict(environments)
