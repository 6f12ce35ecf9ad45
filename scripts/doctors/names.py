"""Names that are taken: by stacks in a state of their own, and by resources that other stacks or hands made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from scripts.core import changes, documents, fixed, packaging, references, roots, stacks
from scripts.core.errors import error_code
from scripts.core.stacks import Step
from scripts.doctors.finding import Finding, fail, ok, warn
from scripts.doctors.place import Place
from scripts.planning import compare, tree
from scripts.planning.schemas import schemas
from scripts.planning.values import UNKNOWN

_GONE = ("NotFound", "NoSuch", "DoesNotExist", "404")


def stacks_(place: Place) -> Iterable[Finding]:
    """The environment's stack and those that it needs: what a deploy would have to do about their states."""
    environment = place.roots.environment
    found: list[Finding] = []
    owners = [(place.calls, environment.stack_name)]
    owners += [(place.tools, environment.needed_stack_name(need)) for need in environment.needs if place.region in roots.regions_of(environment, need)]
    for calls, name in owners:
        with place.reading(f"the stack {name}", found, f"aws cloudformation describe-stacks --region {place.region} --stack-name {name}"):
            stack = stacks.find(calls.client("cloudformation", place.region), name)
            found.append(_judge(place, name, stack))
            if name == environment.stack_name:
                others = fixed.problems(place.roots.template, environment, place.region, stack, place.values)
                found += [fail(f"{one.name}: {one.reason}", "a deploy refuses it before it begins", one.next_step) for one in others]
    return found


def _judge(place: Place, name: str, stack: stacks.Stack | None) -> Finding:
    if stack is None:
        return ok(f"the stack {name} is still to be made")
    service = stack.parameters.get("ServiceName", place.roots.environment.service)
    step = stacks.next_step(stack.status)
    if service != place.roots.environment.service:
        return fail(
            f"the stack {name} is another service's: {service}",
            "a deploy would turn that service's resources into this one's",
            f"give this service another ServiceName in {place.roots.environment.file}",
        )
    if step is Step.UPDATE:
        return ok(f"the stack {name} is {stack.status}")
    if step is Step.WAIT:
        return warn(f"the stack {name} is {stack.status}", "a deploy waits until that operation ends", "wait, or see who deploys: make status")
    if step is Step.REMOVE_REVIEW or stack.status == "ROLLBACK_COMPLETE":
        return warn(
            f"the stack {name} is {stack.status}",
            "its first create did not go through; a deploy removes what is left, and creates it again",
            f"nothing, or see why: make why ENV={place.roots.environment.name}",
        )
    if step is Step.BY_HAND:
        return fail(
            f"the stack {name} is {stack.status}",
            stack.reason or "it cannot be updated",
            f"aws cloudformation rollback-stack --region {place.region} --stack-name {name}",
        )
    return warn(
        f"the stack {name} is {stack.status}",
        f"{stack.reason or 'an operation failed'}; a deploy asks before it {step.value}s",
        f"see why first: make why ENV={place.roots.environment.name}",
    )


def taken(place: Place) -> Iterable[Finding]:
    """The names that templates give to resources, before the stack that would make them is there."""
    found: list[Finding] = []
    what = "whether the names of the new stack's resources are free"
    with place.reading(what, found, f"make plan ENV={place.roots.environment.name} names them (JSON=1)"):
        if not place.is_new():
            return []
        for kind, names in _named(place).items():
            probe = _PROBES.get(kind)
            if probe is None:
                continue
            service, look, held_by = probe
            with place.reading(f"whether names of {kind} are free", found, f"the console of {service}, for {', '.join(names)}"):
                there = look(place.client(service), names)
                found += [
                    fail(
                        f"{kind.removeprefix('AWS::')} {name} exists already, outside of the stack",
                        held_by,
                        "see whose it is; remove it, or give the service or the environment another name",
                    )
                    for name in there
                ]
                free = [name for name in names if name not in there]
                found += [ok(f"{kind.removeprefix('AWS::')} {', '.join(free)}: free")] if free else []
    return found


def _named(place: Place) -> Mapping[str, list[str]]:
    """Names by resource type, worked out from the tree as a plan does it."""
    loaded, environment = place.roots, place.roots.environment
    store = packaging.Store("not-known-yet", place.region, place.suffix)
    package = packaging.plan(loaded.template.path.parent, environment.template, store, roots.has_canaries(environment))
    values = {key: UNKNOWN if references.find(value) else value for key, value in place.values.items()}
    document = documents.parse(package.root.text, environment.stack_name, documents.TemplateLoader)
    pseudo = tree.pseudo(environment.stack_name, place.region, environment.account, place.suffix)
    added = compare.compare(None, document, values, pseudo, tree.finder(package), schemas(place.region)).changes
    names: dict[str, list[str]] = {}
    for _, change in changes.flatten(added):
        if change.physical_id:
            names.setdefault(change.type, []).append(change.physical_id)
    return names


def _one_by_one(ask: Callable[[Any, str], Any]) -> Callable[[Any, list[str]], list[str]]:
    """Names of which AWS does not say that there is none."""

    def look(client: Any, names: list[str]) -> list[str]:
        there = []
        for name in names:
            try:
                ask(client, name)
            except ClientError as error:
                if any(word in error_code(error) for word in _GONE):
                    continue
                raise
            there.append(name)
        return there

    return look


def _alarms(client: Any, names: list[str]) -> list[str]:
    found = client.describe_alarms(AlarmNames=names, AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    return [alarm["AlarmName"] for alarm in [*found.get("MetricAlarms", ()), *found.get("CompositeAlarms", ())]]


def _dashboards(client: Any, names: list[str]) -> list[str]:
    return [name for name in names if any(entry["DashboardName"] == name for entry in client.list_dashboards(DashboardNamePrefix=name)["DashboardEntries"])]


def _log_groups(client: Any, names: list[str]) -> list[str]:
    return [name for name in names if any(group["logGroupName"] == name for group in client.describe_log_groups(logGroupNamePrefix=name)["logGroups"])]


_FAILS = "CloudFormation refuses to make one that exists: the stack would fail, and be taken back"
_PROBES: Mapping[str, tuple[str, Callable[[Any, list[str]], list[str]], str]] = {
    "AWS::CloudWatch::Alarm": ("cloudwatch", _alarms, _FAILS),
    "AWS::CloudWatch::CompositeAlarm": ("cloudwatch", _alarms, _FAILS),
    "AWS::CloudWatch::Dashboard": ("cloudwatch", _dashboards, _FAILS),
    "AWS::DynamoDB::Table": ("dynamodb", _one_by_one(lambda client, name: client.describe_table(TableName=name)), _FAILS),
    "AWS::ECR::Repository": ("ecr", _one_by_one(lambda client, name: client.describe_repositories(repositoryNames=[name])), _FAILS),
    "AWS::IAM::Role": ("iam", _one_by_one(lambda client, name: client.get_role(RoleName=name)), _FAILS),
    "AWS::Logs::LogGroup": ("logs", _log_groups, _FAILS),
    "AWS::S3::Bucket": ("s3", _one_by_one(lambda client, name: client.head_bucket(Bucket=name)), _FAILS + "; a bucket's name is taken for all accounts"),
    "AWS::SSM::Parameter": ("ssm", lambda client, names: [item["Name"] for item in client.get_parameters(Names=names[:10])["Parameters"]], _FAILS),
    "AWS::Synthetics::Canary": ("synthetics", _one_by_one(lambda client, name: client.get_canary(Name=name)), _FAILS),
}
"""How a name is looked up: service, names that are there, what happens."""
