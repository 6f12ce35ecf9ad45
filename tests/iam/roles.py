"""Every role and every resource policy of the templates, as concrete as AWS would see them: `resolve()`.

The roots are resolved with the values of `parameters/` by the functions that resolve them on the local AWS, nested stacks and the outputs that one
stack takes of another included, in each Region of each environment. Only what AWS names by itself is made up (physical.py). cfn-policy-validator
resolves one flat template: nested stacks, where all roles but the deployer's are, it leaves out, and what one stack takes of another it asks AWS for.

Variations: `aws` is `parameters/` as it stands; `local` has `parameters/local/` laid over it; `accounts` has gamma and prod in accounts of their own.
What parameters can switch on (beta, the rollback-safety test, a canary in the VPC) is on in all of them, because a permission behind a switch is one.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from localaws.cloudformation import intrinsics, template
from scripts.core import references, settings
from scripts.core.references import Reference
from scripts.core.settings import Environment
from tests.iam import physical
from tests.iam.physical import Place

ROOT = Path(__file__).resolve().parents[2]
Document = Mapping[str, Any]

_BETA = {f"Beta1{output}": f"${{beta.{output}}}"
         for output in ("Region", "ApplicationName", "FleetDeploymentGroupName", "DeployRoleArn", "EndpointUrl")}
_SWITCHED_ON: Mapping[str, Mapping[str, str]] = {
    "pipeline": {"RollbackSafetyTest": "true", **_BETA},
    "beta": {},
    "gamma": {"Scheme": "internal", "Egress": "one-nat"},
    "prod": {},
}
# What parameters/ leaves to its adopter to fill in, and the templates refuse as it stands.
_FILLED_IN = {"AmiId": "ami-0123456789abcdef0", "AgentVersion": "1.8.1", "RepositoryId": "example/sample"}
_OTHER_ACCOUNTS = {"gamma": "222222222222", "prod": "333333333333"}
VARIATIONS = ("aws", "local", "accounts")


@dataclass(frozen=True)
class Role:
    """One role in one place.

    `root` is the root template (pipeline, environment, deployer), `stack` its stack, `path` the logical path in it (`Access/PipelineRole`),
    `file` the template that declares it (relative to templates/). `policies` are the inline ones by name, and managed ones of the templates by logical
    id; `managed` are the ARNs of those of AWS or of others, `attached` the documents of those that are known; `boundary` is the document of the
    permissions boundary, or None.
    """

    root: str
    stack: str
    region: str
    account: str
    path: str
    logical_id: str
    file: str
    arn: str
    description: str
    trust: Document
    policies: Mapping[str, Document]
    boundary: Document | None
    managed: tuple[str, ...]
    attached: tuple[Document, ...]

    @property
    def name(self) -> str:
        return self.arn.rpartition("/")[2]

    @property
    def place(self) -> tuple[str, str, str]:
        return self.stack, self.region, self.path

    @property
    def declared(self) -> str:
        """The role as it stands in the tree, one for all its places: `pipeline/access.yaml PipelineRole`."""
        return f"{self.file} {self.logical_id}"

    def statements(self) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
        """Policy name, number and statement, of the policies that the templates declare."""
        for name, document in self.policies.items():
            for number, statement in enumerate(document["Statement"]):
                yield name, number, statement


@dataclass(frozen=True)
class ResourcePolicy:
    """The policy of one resource. `kind` is bucket, key, topic, repository, bus or function; `arn` the resource that it protects."""

    kind: str
    stack: str
    region: str
    account: str
    path: str
    file: str
    arn: str
    document: Document

    @property
    def logical_id(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def declared(self) -> str:
        return f"{self.file} {self.logical_id}"


@dataclass(frozen=True)
class World:
    """Everything that the templates make, in every Region of every environment. `owners` says whose a bucket is, by its ARN."""

    variation: str
    roles: tuple[Role, ...]
    resource_policies: tuple[ResourcePolicy, ...]
    physical: Mapping[tuple[str, str, str], Mapping[str, str]]
    owners: Mapping[str, str] = field(default_factory=dict)

    @functools.cached_property
    def _by_place(self) -> dict[tuple[str, str, str], Role]:
        return {role.place: role for role in self.roles}

    @functools.cached_property
    def _by_arn(self) -> dict[str, Role]:
        return {role.arn: role for role in self.roles}

    def role(self, stack: str, path: str, region: str) -> Role:
        """The role at a place; KeyError says which there are."""
        found = self._by_place.get((stack, region, path))
        if found is None:
            raise KeyError(f"no role {path} in {stack} ({region}); there are {sorted({r.path for r in self.roles if r.stack == stack})}")
        return found

    def by_arn(self, arn: str) -> Role | None:
        return self._by_arn.get(arn)


def lists(value: Any) -> list[Any]:
    """What IAM lets stand alone or in a list, as a list."""
    return [] if value is None else value if isinstance(value, list) else [value]


# --- the values -------------------------------------------------------------------------------------------------------


def _environments(root: Path, variation: str, switched_on: bool) -> dict[str, Environment]:
    """The environments of parameters/, as the variation has them."""
    found = {}
    for name in settings.names(root):
        environment = settings.load(root, name, local=variation == "local")
        values = {**environment.parameters, **(_SWITCHED_ON.get(name, {}) if switched_on else {})}
        if variation == "accounts":
            environment = replace(environment, account=_OTHER_ACCOUNTS.get(name, environment.account))
            if "EnvironmentAccountIds" in values:
                values["EnvironmentAccountIds"] = ",".join(sorted(_OTHER_ACCOUNTS.values()))
        found[name] = replace(environment, parameters=values)
    return found


# --- the stacks -------------------------------------------------------------------------------------------------------


@functools.cache
def _parsed(path: Path) -> dict[str, Any]:
    return template.parse(path.read_text())


@dataclass
class _Builder:
    """Builds one world, stack by stack."""

    templates: Path
    physical: dict[tuple[str, str, str], Mapping[str, str]] = field(default_factory=dict)
    roles: list[Role] = field(default_factory=list)
    resource_policies: list[ResourcePolicy] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)
    outputs: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    managed_policies: dict[str, tuple[str, Document]] = field(default_factory=dict)
    """Logical id and document of the templates' own, by ARN."""

    def root(self, name: str, stack: str, region: str, account: str, values: Mapping[str, str]) -> None:
        place = Place(stack, region, account, "")
        self.outputs[stack, region] = self._stack(self.templates / f"{name}.yaml", name, place, stack, values)

    def _stack(self, path: Path, root: str, place: Place, stack_name: str, values: Mapping[str, str]) -> dict[str, str]:
        """Resolve a stack, children first where they are needed; return its outputs."""
        data = _parsed(path)
        made: dict[str, Mapping[str, str]] = {}
        bound = template.bind(data, values, strict=True)
        stack_id = place.arn("cloudformation", f"stack/{stack_name}/{replace(place, path=place.path + '/').uuid()}")
        scope = intrinsics.Scope(data, bound, {
            "AWS::AccountId": place.account, "AWS::Partition": "aws", "AWS::Region": place.region, "AWS::StackId": stack_id,
            "AWS::StackName": stack_name, "AWS::URLSuffix": "amazonaws.com", "AWS::NotificationARNs": []},
            ref=lambda name: made[name]["Ref"], attribute=lambda name, attribute: made[name][attribute],
            zones=lambda region: [f"{region}{letter}" for letter in "abcdef"])
        effective = intrinsics.effective(scope)
        for logical in template.check_cycles(effective.needs):
            body = effective.resources[logical]
            here = replace(place, path=f"{place.path}/{logical}" if place.path else logical)
            given = intrinsics.resolve(body.get("Properties") or {}, scope)
            if body["Type"] == "AWS::CloudFormation::Stack":
                child = {key: ",".join(map(template.text_of, value)) if isinstance(value, list) else template.text_of(value)
                         for key, value in (given.get("Parameters") or {}).items()}
                below = f"{stack_name}-{logical}"
                outputs = self._stack((path.parent / given["TemplateURL"]).resolve(), root, here, below, child)
                identity = here.arn("cloudformation", f"stack/{below}/{replace(here, path=here.path + '/').uuid()}")
                made[logical] = {"Ref": identity, **{f"Outputs.{name}": value for name, value in outputs.items()}}
            else:
                made[logical] = physical.of(body["Type"], here, given)
                self._note(body["Type"], here, given, made[logical], root, path)
            self.physical[here.stack, here.region, here.path] = MappingProxyType(dict(made[logical]))
        return {name: template.text_of(intrinsics.resolve(output["Value"], scope)) for name, output in effective.outputs.items()}

    def _note(self, kind: str, place: Place, given: Mapping[str, Any], made: Mapping[str, str], root: str, path: Path) -> None:
        """Keep what says who may do what."""
        file = path.relative_to(self.templates).as_posix()

        def policy(of: str, arn: str, document: Document) -> None:
            self.resource_policies.append(ResourcePolicy(of, place.stack, place.region, place.account, place.path, file, arn, document))

        if kind == "AWS::IAM::Role":
            self._role(place, given, made, root, file)
        elif kind == "AWS::IAM::ManagedPolicy":
            if given.keys() & {"Roles", "Users", "Groups"}:
                raise ValueError(f"{file} {place.path}: a managed policy is attached by the role's ManagedPolicyArns here, not by its own Roles")
            self.managed_policies[made["Ref"]] = (place.path.rpartition("/")[2], given["PolicyDocument"])
        elif kind == "AWS::S3::Bucket":
            self.owners[made["Arn"]] = place.account
        elif kind == "AWS::S3::BucketPolicy":
            policy("bucket", f"arn:aws:s3:::{given['Bucket']}", given["PolicyDocument"])
        elif kind == "AWS::KMS::Key":
            policy("key", made["Arn"], given["KeyPolicy"])
        elif kind == "AWS::SNS::TopicPolicy":
            for topic in given["Topics"]:
                policy("topic", topic, given["PolicyDocument"])
        elif kind == "AWS::ECR::Repository" and "RepositoryPolicyText" in given:
            policy("repository", made["Arn"], given["RepositoryPolicyText"])
        elif kind == "AWS::Events::EventBusPolicy":
            policy("bus", place.arn("events", f"event-bus/{given.get('EventBusName', 'default')}"),
                   {"Version": "2012-10-17", "Statement": [{"Sid": given["StatementId"], **given["Statement"]}]})
        elif kind == "AWS::Lambda::Permission":
            policy("function", _function_arn(place, given["FunctionName"]), {"Version": "2012-10-17", "Statement": [_permission(place, given)]})

    def _role(self, place: Place, given: Mapping[str, Any], made: Mapping[str, str], root: str, file: str) -> None:
        attached = tuple(given.get("ManagedPolicyArns") or ())
        own = {self.managed_policies[arn][0]: self.managed_policies[arn][1] for arn in attached if arn in self.managed_policies}
        managed = tuple(arn for arn in attached if arn not in self.managed_policies)
        boundary = given.get("PermissionsBoundary")
        self.roles.append(Role(
            root=root, stack=place.stack, region=place.region, account=place.account, path=place.path, logical_id=place.path.rpartition("/")[2],
            file=file, arn=made["Arn"], description=str(given.get("Description", "")), trust=given["AssumeRolePolicyDocument"],
            policies={**{one["PolicyName"]: one["PolicyDocument"] for one in given.get("Policies") or ()}, **own},
            boundary=(self.managed_policies[boundary][1] if boundary in self.managed_policies else _of_aws(boundary)) if boundary else None,
            managed=managed, attached=tuple(document for arn in managed if (document := _of_aws(arn)) is not None)))


def _of_aws(arn: str) -> Document | None:
    """The document of one of AWS's managed policies, as far as it is kept in managed/."""
    kept = Path(__file__).parent / "managed" / f"{arn.rpartition('/')[2]}.json"
    if not kept.exists():
        return None
    document: Document = json.loads(kept.read_text())["document"]
    return document


def _function_arn(place: Place, name: str) -> str:
    return name if name.startswith("arn:") else place.arn("lambda", f"function:{name}")


def _permission(place: Place, given: Mapping[str, Any]) -> dict[str, Any]:
    """The statement that AddPermission writes. Source: Lambda API reference, AddPermission."""
    principal = given["Principal"]
    conditions: dict[str, dict[str, str]] = {}
    if given.get("SourceArn"):
        conditions["ArnLike"] = {"AWS:SourceArn": given["SourceArn"]}
    if given.get("SourceAccount"):
        conditions["StringEquals"] = {"AWS:SourceAccount": given["SourceAccount"]}
    return {"Sid": place.path.rpartition("/")[2], "Effect": "Allow", "Action": given["Action"], "Resource": _function_arn(place, given["FunctionName"]),
            "Principal": {"Service": principal} if re.search(r"\.amazonaws\.com$", principal) else {"AWS": principal},
            **({"Condition": conditions} if conditions else {})}


# --- the world --------------------------------------------------------------------------------------------------------


@functools.cache
def resolve(variation: str = "aws", root: Path = ROOT, switched_on: bool = True) -> World:
    """Resolve every root template in every Region of its environments. Raises TemplateError, or KeyError for an output that nobody gives."""
    if variation not in VARIATIONS:
        raise ValueError(f"there is no variation {variation!r}, only {', '.join(VARIATIONS)}")
    environments = _environments(root, variation, switched_on)
    tools = environments["pipeline"]
    builder = _Builder((root / "templates").resolve())
    regions = dict.fromkeys(region for environment in environments.values() for region in environment.regions)
    readers = ",".join(sorted({environment.account for environment in environments.values()} - {tools.account}))
    for region in regions:
        builder.root("release-store", tools.needed_stack_name("release-store"), region, tools.account,
                     {"ServiceName": tools.service, "ReaderAccountIds": readers})
    for name in sorted(environments, key=lambda one: one == "pipeline"):
        environment = environments[name]
        for region in environment.regions:
            look_up = functools.partial(_output, builder, environments, environment, region)
            values = {key: _FILLED_IN.get(key) or references.resolve(value, look_up) for key, value in environment.parameters_in(region).items()}
            builder.root(environment.template, environment.stack_name, region, environment.account, values)
    _others(builder, root, tools, {environment.template for environment in environments.values()} | {"release-store"}, regions)
    return World(variation, tuple(builder.roles), tuple(builder.resource_policies), MappingProxyType(builder.physical), MappingProxyType(builder.owners))


def with_deployer(world: World, root: Path = ROOT, **values: str) -> World:
    """The world with the deployer's role made with other values of its template's parameters."""
    (before,) = [role for role in world.roles if role.root == "deployer"]
    (service,) = {environment.service for environment in _environments(root, world.variation, switched_on=False).values()}
    builder = _Builder((root / "templates").resolve())
    builder.root(before.root, before.stack, before.region, before.account, {"ServiceName": service, **values})
    (after,) = builder.roles
    return replace(world, roles=tuple(after if role.place == before.place else role for role in world.roles))


def _output(builder: _Builder, environments: Mapping[str, Environment], user: Environment, region: str, reference: Reference) -> str:
    """The output of another stack that a value refers to."""
    if reference.source in user.needs:
        return builder.outputs[user.needed_stack_name(reference.source), reference.region or region][reference.output]
    source = environments[reference.source]
    return builder.outputs[source.stack_name, reference.region or source.regions[reference.region_index]][reference.output]


def _others(builder: _Builder, root: Path, tools: Environment, known: set[str], regions: Mapping[str, None]) -> None:
    """Roots that no environment is made of, such as the deployer's role: once, with the pipeline's values where they have the same names."""
    for path in sorted((root / "templates").glob("*.yaml")):
        if path.stem in known:
            continue
        declared = _parsed(path)["Parameters"]
        values = {**tools.parameters, "ServiceName": tools.service}
        given = {name: values[name] for name in declared if name in values and not references.find(values[name])}
        builder.root(path.stem, tools.needed_stack_name(path.stem), tools.regions[0], tools.account, given)
