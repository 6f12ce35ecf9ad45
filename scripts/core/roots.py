"""The root stacks of an environment: which there are, in which order, with which values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.core import constraints, packaging, references, settings, stacks, templates
from scripts.core.changesets import Request
from scripts.core.errors import BadInput, CommandError, Problem, WrongUse
from scripts.core.references import Reference
from scripts.core.session import Aws
from scripts.core.settings import Environment
from scripts.core.templates import Template

RELEASE_STORE = "release-store"


@dataclass(frozen=True)
class Roots:
    """An environment with its templates read and its values checked as far as the files alone allow."""

    environment: Environment
    template: Template
    needed: Mapping[str, Template]


def load(root: Path, name: str, local: bool) -> Roots:
    """Reads parameters and templates; BadInput with everything that is wrong."""
    environment = settings.load(root, name, local)
    folder = root / "templates"
    template = _template(folder, environment, environment.template, "template", root)
    # The children too: one that cannot be read must show before anything that is needed is deployed.
    packaging.plan(folder, environment.template, packaging.Store("not-known-yet", environment.regions[0], "invalid"))
    needed = {need: _template(folder, environment, need, "needs", root) for need in environment.needs}
    problems: list[Problem] = []
    for region in environment.regions:
        problems += settings.check(environment, template, region, environment.parameters_in(region))
    for need, spec in needed.items():
        if spec.children:
            problems.append(
                Problem(
                    f"{environment.file}: needs: {need}",
                    "it has nested stacks, and what others need is deployed before there is a bucket for them",
                )
            )
        problems += [
            Problem(
                f"{environment.file}: needs: {need}", f"templates/{need}.yaml requires {parameter}, and only ServiceName is passed to it"
            )
            for parameter, declared in spec.parameters.items()
            if declared.default is None and parameter != "ServiceName"
        ]
    known = {*settings.names(root), *environment.needs}
    for key, value in {
        **environment.parameters,
        **{k: v for values in environment.region_parameters.values() for k, v in values.items()},
    }.items():
        for reference in references.find(value):
            problems += _check_reference(f"{environment.file}: {key}", reference, environment, needed, known)
    if problems:
        raise BadInput(f"{environment.file} does not fit templates/{environment.template}.yaml", _unique(problems))
    return Roots(environment, template, needed)


def _unique(problems: list[Problem]) -> list[Problem]:
    return list(dict.fromkeys(problems))


def _template(folder: Path, environment: Environment, name: str, key: str, root: Path) -> Template:
    path = folder / f"{name}.yaml"
    if not path.is_file():
        there = sorted(found.stem for found in folder.glob("*.yaml"))
        raise WrongUse(
            f"{environment.file}: {key}: there is no templates/{name}.yaml",
            f"templates/ has {', '.join(there) or 'no templates'}" + settings.did_you_mean(name, there),
            "correct the name",
        )
    return templates.load(path, root)


def _check_reference(
    where: str, reference: Reference, environment: Environment, needed: Mapping[str, Template], known: set[str]
) -> list[Problem]:
    if reference.source not in known:
        return [
            Problem(
                where,
                f"{reference.text}: there is no environment or needed root {reference.source!r}"
                + settings.did_you_mean(reference.source, known),
            )
        ]
    if reference.source == environment.name:
        return [Problem(where, f"{reference.text} is an output of this same environment")]
    if reference.source in needed and reference.output not in needed[reference.source].outputs:
        outputs = needed[reference.source].outputs
        return [
            Problem(
                where,
                f"{reference.text}: templates/{reference.source}.yaml has no such output"
                + settings.did_you_mean(reference.output, outputs),
            )
        ]
    return []


def needed_request(roots: Roots, need: str, region: str) -> Request:
    """A flat root that must be there first; it takes ServiceName, and goes by body."""
    template = roots.needed[need]
    environment = roots.environment
    given = {"ServiceName": environment.service} if "ServiceName" in template.parameters else {}
    return Request(
        stack_name=environment.needed_stack_name(need),
        region=region,
        template_text=template.text,
        template_url=None,
        parameters=settings.effective(template.parameters, given),
        tags=environment.tags,
        nested=False,
        no_shortcut=_is_open_ended(template),
    )


def root_request(roots: Roots, region: str, package: packaging.Package, values: Mapping[str, str]) -> Request:
    """The environment's own root, packaged."""
    return Request(
        stack_name=roots.environment.stack_name,
        region=region,
        template_text=package.root.text,
        template_url=package.root_url,
        parameters=settings.effective(roots.template.parameters, values),
        tags=roots.environment.tags,
        nested=bool(roots.template.children),
        monitor_minutes=roots.environment.monitor_minutes,
        no_shortcut=_is_open_ended(roots.template),
    )


def _is_open_ended(template: Template) -> bool:
    """True when equal text and values do not mean an equal stack: values looked up at deploy time, or hidden ones."""
    return "{{resolve:" in template.text or any(
        spec.no_echo or spec.type.startswith("AWS::SSM::Parameter") for spec in template.parameters.values()
    )


def resolve_values(roots: Roots, root: Path, local: bool, region: str, aws: Aws) -> dict[str, str]:
    """The root's values in a Region, every reference looked up, and then checked. Needs the stacks that they point to."""
    environment = roots.environment
    found: dict[tuple[str, str], stacks.Stack | None] = {}

    def look_up(reference: Reference) -> str:
        if reference.source in roots.needed:
            name, where, step = environment.needed_stack_name(reference.source), region, f"make deploy ENV={environment.name}"
        else:
            other = settings.load(root, reference.source, local)
            if reference.region_index >= len(other.regions):
                raise WrongUse(
                    f"{environment.file}: {reference.text}",
                    f"{reference.source} has only {len(other.regions)} Regions",
                    "correct the index",
                )
            name, where, step = other.stack_name, other.regions[reference.region_index], f"make deploy ENV={reference.source}"
        if (name, where) not in found:
            found[name, where] = stacks.find(aws.client("cloudformation", where), name)
        return stacks.output(found[name, where], name, reference.output, where, step)

    values, problems = {}, []
    for key, value in environment.parameters_in(region).items():
        values[key] = references.resolve(value, look_up)
        reason = constraints.fault(roots.template.parameters[key], values[key])
        if reason:
            problems.append(
                Problem(f"{environment.file}: {key}", f"{reason} (in {region}, after resolving {value!r})", "correct the reference")
            )
    if problems:
        raise BadInput(f"{environment.file} does not fit templates/{environment.template}.yaml", problems)
    return values


def store(roots: Roots, region: str, aws: Aws) -> packaging.Store:
    """The release store's bucket of the Region, from its stack."""
    name = roots.environment.needed_stack_name(RELEASE_STORE)
    stack = stacks.find(aws.client("cloudformation", region), name)
    if RELEASE_STORE not in roots.needed and stack is None:
        raise CommandError(
            f"the stack {name} does not exist in {region}",
            "packaged templates are kept in its bucket",
            f"add {RELEASE_STORE} under needs: in {roots.environment.file}",
        )
    bucket = stacks.output(stack, name, "ArtifactBucketName", region, f"make deploy ENV={roots.environment.name}")
    return packaging.Store(bucket, region, aws.dns_suffix(region))
