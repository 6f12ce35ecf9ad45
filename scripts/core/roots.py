"""The root stacks of an environment: which there are, in which order, with which values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.core import constraints, packaging, placeholders, references, settings, stacks, templates
from scripts.core.accounts import Accounts
from scripts.core.changesets import Request
from scripts.core.errors import BadInput, CommandError, Problem, WrongUse
from scripts.core.references import Reference
from scripts.core.session import Aws
from scripts.core.settings import Environment
from scripts.core.templates import Template

RELEASE_STORE = "release-store"
# The environment whose account and first Region are the tools account and the home Region.
PIPELINE = "pipeline"

# What a needed root can take: it has no parameters file of its own.
_PASSED = ("ServiceName", "ReaderAccountIds")


@dataclass(frozen=True)
class Roots:
    """An environment with its templates read and its values checked as far as the files alone allow.

    `tools` is where what environments share lives (the pipeline's file; without one, the environment itself); `sources` are the other
    environments whose outputs it takes; `readers` are the other accounts that have environments, and read the release stores; `protected`
    are the needed roots, by name and Region, on which a protected environment stands.
    """

    environment: Environment
    template: Template
    needed: Mapping[str, Template]
    tools: Environment
    sources: Mapping[str, Environment]
    readers: tuple[str, ...]
    protected: frozenset[tuple[str, str]] = frozenset()

    @property
    def involved(self) -> tuple[Environment, ...]:
        """Every environment whose account is acted in or read."""
        return (self.environment, self.tools, *self.sources.values())


def load(root: Path, name: str, local: bool) -> Roots:
    """Reads parameters and templates; BadInput with everything that is wrong."""
    environment = settings.load(root, name, local)
    folder = root / "templates"
    template = _template(folder, environment, environment.template, "template", root)
    # The children too: one that cannot be read must show before anything that is needed is deployed.
    packaging.plan(folder, environment.template, packaging.Store("not-known-yet", environment.regions[0], "invalid"), has_canaries(environment))
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
                f"{environment.file}: needs: {need}",
                f"templates/{need}.yaml requires {parameter}, and only {' and '.join(_PASSED)} are passed to it",
            )
            for parameter, declared in spec.parameters.items()
            if declared.default is None and parameter not in _PASSED
        ]
    others = {other: settings.load(root, other, local) for other in settings.names(root) if other != environment.name}
    for key, reference in _references(environment):
        problems += _check_reference(f"{environment.file}: {key}", reference, environment, needed, others)
    used = {reference.source for _, reference in _references(environment)} & others.keys()
    everywhere = {environment.name: environment, **others}
    tools = owner(environment, everywhere)
    who = readers(everywhere.values(), tools.account)
    problems += [*_check_home(environment, tools), *check_service(everywhere.values(), tools)]
    if tools is environment:
        problems += [*_check_accounts(environment, who), *_check_slots(environment, others)]
    if problems:
        raise BadInput(f"{environment.file} does not fit templates/{environment.template}.yaml", _unique(problems))
    return Roots(environment, template, needed, tools, {other: others[other] for other in sorted(used)}, who, _protected(everywhere.values()))


def regions_of(environment: Environment, need: str) -> tuple[str, ...]:
    """Where an environment needs a root: in its own Regions, and in those that a reference names."""
    named = [reference.region for _, reference in _references(environment) if reference.source == need and reference.region]
    return tuple(dict.fromkeys([*environment.regions, *named]))


def has_canaries(environment: Environment) -> bool:
    """Whether a canary of the app's is to run in any Region: without one the app needs no code for it."""
    return any(environment.parameters_in(region).get("CanaryRateMinutes") != "0" for region in environment.regions)


def owner(user: Environment, environments: Mapping[str, Environment]) -> Environment:
    """The environment in whose account the roots live that `user` needs: the pipeline's file; without one, itself."""
    return environments.get(PIPELINE, user)


def readers(environments: Iterable[Environment], tools_account: str) -> tuple[str, ...]:
    """The accounts of environments other than the tools account; a placeholder is nobody to let in."""
    return tuple(sorted({environment.account for environment in environments} - {tools_account, placeholders.ACCOUNT}))


def _protected(environments: Iterable[Environment]) -> frozenset[tuple[str, str]]:
    """What protected environments need, whoever deploys it; one in the placeholder's account stands on nothing."""
    standing = [one for one in environments if one.protected and one.account != placeholders.ACCOUNT]
    return frozenset((need, region) for one in standing for need in one.needs for region in regions_of(one, need))


def _references(environment: Environment) -> list[tuple[str, Reference]]:
    """(parameter, reference) of every value, those of single Regions too."""
    values = [environment.parameters, *environment.region_parameters.values()]
    return [(key, reference) for some in values for key, value in some.items() for reference in references.find(value)]


def _check_home(environment: Environment, tools: Environment) -> list[Problem]:
    """Values that must say what the pipeline's file says: roles trust that account, events go to that Region."""
    home = {"ToolsAccountId": ("account", tools.account), "HomeRegion": ("first Region", tools.regions[0])}
    problems = []
    for region in environment.regions if tools is not environment else ():
        for key, value in environment.parameters_in(region).items():
            if key in home and not references.find(value) and value != home[key][1]:
                problems.append(
                    Problem(
                        f"{environment.file}: {key}",
                        f"it is {value}, and the {home[key][0]} of {tools.file} is {home[key][1]}",
                        f"write {home[key][1]}",
                    )
                )
    return problems


def check_service(environments: Iterable[Environment], tools: Environment) -> list[Problem]:
    """All of them are of one service, those too that are not deployed: every stack's name begins with it, that of what they share too."""
    return [
        Problem(
            f"{environment.file}: ServiceName",
            f"it is {environment.service}, and that of {tools.file} is {tools.service}",
            f"write {tools.service}; another service has a repository and parameters/ of its own",
        )
        for environment in environments
        if environment.service != tools.service
    ]


def _check_accounts(tools: Environment, accounts: tuple[str, ...]) -> list[Problem]:
    """The pipeline's roles may act in these accounts: those of the environments' files, and no other."""
    given = tools.parameters.get("EnvironmentAccountIds")
    if given is None or references.find(given) or {part for part in given.split(",") if part} == set(accounts):
        return []
    right = ",".join(accounts)
    said = f"it is {given!r}, and the environments of parameters/ are in {right or 'no account but this one'}"
    return [Problem(f"{tools.file}: EnvironmentAccountIds", said, f'write "{right}"')]


def _check_slots(tools: Environment, others: Mapping[str, Environment]) -> list[Problem]:
    """Every Region of an environment that the pipeline knows has a slot in it: a release would never reach one that has none."""
    named: dict[str, set[str]] = {}
    for _, reference in _references(tools):
        source = others.get(reference.source)
        if source and not _check_region("", reference, source):
            named.setdefault(source.name, set()).add(reference.region or source.regions[reference.region_index])
    return [
        Problem(
            f"{tools.file}: {name}",
            f"its Region {region} is in no slot, and no release would reach it",
            f"fill a slot with ${{{name}[{others[name].regions.index(region)}].…}}, or remove the Region from {others[name].file}",
        )
        for name, regions in named.items()
        for region in others[name].regions
        if region not in regions
    ]


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
    where: str, reference: Reference, environment: Environment, needed: Mapping[str, Template], others: Mapping[str, Environment]
) -> list[Problem]:
    known = {environment.name, *needed, *others}
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
    return [] if reference.source in needed else _check_region(where, reference, others[reference.source])


def _check_region(where: str, reference: Reference, source: Environment) -> list[Problem]:
    if reference.region and reference.region not in source.regions:
        return [Problem(where, f"{reference.text}: {source.name} has only {', '.join(source.regions)}", "correct the Region")]
    if reference.region_index >= len(source.regions):
        return [Problem(where, f"{reference.text}: {source.name} has only {len(source.regions)} Regions", "correct the index")]
    return []


def needed_request(roots: Roots, need: str, region: str) -> Request:
    """A flat root that must be there first; it takes ServiceName and ReaderAccountIds, and goes by body."""
    template = roots.needed[need]
    environment = roots.environment
    given = needed_values(roots, need)
    return Request(
        stack_name=environment.needed_stack_name(need),
        region=region,
        template_text=template.text,
        template_url=None,
        parameters=settings.effective(template.parameters, given),
        tags=environment.tags,
        nested=False,
        no_shortcut=_is_open_ended(template),
        protected=(need, region) in roots.protected,
    )


def needed_values(roots: Roots, need: str) -> dict[str, str]:
    """What is passed to a needed root, as far as its template takes it."""
    values = {"ServiceName": roots.environment.service, "ReaderAccountIds": ",".join(roots.readers)}
    return {key: value for key, value in values.items() if key in roots.needed[need].parameters}


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
        protected=roots.environment.protected,
    )


def _is_open_ended(template: Template) -> bool:
    """True when equal text and values do not mean an equal stack: values looked up at deploy time, or hidden ones."""
    return "{{resolve:" in template.text or any(
        spec.no_echo or spec.type.startswith("AWS::SSM::Parameter") for spec in template.parameters.values()
    )


def resolve_values(roots: Roots, region: str, accounts: Accounts) -> dict[str, str]:
    """The root's values in a Region, every reference looked up where it lives, and then checked. Needs the stacks that they point to."""
    environment = roots.environment
    found: dict[tuple[str, str], stacks.Stack | None] = {}

    def look_up(reference: Reference) -> str:
        if reference.source in roots.needed:
            owner, where, step = roots.tools, reference.region or region, f"make deploy ENV={environment.name}"
            name = environment.needed_stack_name(reference.source)
        else:
            owner = roots.sources[reference.source]
            where = reference.region or owner.regions[reference.region_index]
            name, step = owner.stack_name, f"make deploy ENV={reference.source}"
        if (name, where) not in found:
            found[name, where] = stacks.find(accounts.of(owner).client("cloudformation", where), name)
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


def known_values(roots: Roots, region: str, accounts: Accounts) -> dict[str, str]:
    """Those of the root's values in a Region that need no other environment: literal ones, and outputs of needed roots that are there."""
    found: dict[tuple[str, str], stacks.Stack | None] = {}

    def look_up(reference: Reference) -> str:
        name, where = roots.environment.needed_stack_name(reference.source), reference.region or region
        if reference.source not in roots.needed:
            raise CommandError(f"{reference.text} is another environment's")
        if (name, where) not in found:
            found[name, where] = stacks.find(accounts.of(roots.tools).client("cloudformation", where), name)
        return stacks.output(found[name, where], name, reference.output, where, "")

    values = {}
    for key, value in roots.environment.parameters_in(region).items():
        try:
            values[key] = references.resolve(value, look_up)
        except CommandError:
            continue  # Its stack is not there, or not yet: whoever deploys gives the value.
    return values


def store(roots: Roots, region: str, aws: Aws) -> packaging.Store:
    """The release store's bucket of the Region, from its stack in the tools account (`aws`)."""
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
