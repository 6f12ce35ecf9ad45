"""Reads a CodeDeploy deployment: its targets with their events, its group, its bundle, and the deployments beside it.

At most about twenty calls for a failed deployment over fifty instances: lists are paged, details are asked for in batches, and only of what failed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from scripts.core.errors import error_code
from scripts.diagnosis import bundles, groups
from scripts.diagnosis.calls import Calls
from scripts.diagnosis.case import Beside, Deployment, Event, Function, Target

_BATCH = 25
"""BatchGetDeploymentTargets and BatchGetDeployments take 25 ids in a call."""
_LOOK_BACK = 2 * 3600
_MOST_PAGES = 2
_FROM_LAST_INSTALLED = frozenset({"BeforeBlockTraffic", "AfterBlockTraffic", "ApplicationStop"})
_BALANCERS_OWN = frozenset({"BlockTraffic", "AllowTraffic"})
_ROLE_CODES = frozenset({"IAM_ROLE_MISSING", "IAM_ROLE_PERMISSIONS", "AUTO_SCALING_IAM_ROLE_PERMISSIONS"})
_ORDER = {"Failed": 0, "InProgress": 1, "Skipped": 2, "Unknown": 3, "Pending": 4, "Ready": 5, "Succeeded": 6}


def read(calls: Calls, region: str, deployment_id: str, *, most_targets: int = 50) -> Deployment:
    """The deployment, with at most `most_targets` of its targets (failed ones first).

    What may not be read is left out and noted in `calls.unreadable`. Raises botocore's ClientError where the deployment itself cannot be read.
    """
    codedeploy = calls.client("codedeploy", region)
    info = codedeploy.get_deployment(deploymentId=deployment_id)["deploymentInfo"]
    made = _described(region, info)
    if made.configuration:
        made = calls.attempt(f"the configuration {made.configuration}", lambda: _configured(calls, codedeploy, made), made)
    if made.platform == "Lambda":
        return _with_function(calls, region, made)
    made = replace(made, targets=_targets(calls, codedeploy, made, most_targets))
    found = groups.read(calls, region, made.application, made.group, made.created - _LOOK_BACK)
    settings = found.group
    if made.code in _ROLE_CODES and settings.role:
        settings = replace(settings, role_problem=groups.role_problem(calls, region, settings.role))
    made = replace(made, bundle=bundles.read(calls, region, info.get("revision") or {}))
    failed = {event.name for target in made.targets for event in target.events if event.status == "Failed"}
    if failed & _FROM_LAST_INSTALLED:
        made = replace(made, previous=bundles.read(calls, region, info.get("previousRevision") or {}))
    if failed & _BALANCERS_OWN or made.code in ("ELASTIC_LOAD_BALANCING_INVALID", "ELB_INVALID_INSTANCE"):
        settings = replace(settings, target_groups=groups.balancer(calls, region, settings, "BlockTraffic" in failed))
    made = replace(made, settings=settings, commit=made.bundle.commit if made.bundle else "")
    if not settings.missing:
        made = replace(made, beside=_beside(calls, codedeploy, made))
    return _with_instances(calls, region, made, found)


def _described(region: str, info: Mapping[str, Any]) -> Deployment:
    """What GetDeployment says."""
    error, back = info.get("errorInformation") or {}, info.get("rollbackInfo") or {}
    overview = {name: count for name, count in (info.get("deploymentOverview") or {}).items() if count}
    group = info.get("deploymentGroupName", "")
    return Deployment(
        id=info["deploymentId"], region=region, application=info.get("applicationName", ""), group=group, scope=_scope(group),
        status=info.get("status", ""), creator=info.get("creator", "user"), created=_seconds(info.get("createTime")) or 0.0,
        started=_seconds(info.get("startTime")), ended=_seconds(info.get("completeTime")), code=error.get("code", ""),
        message=error.get("message", ""), description=info.get("description", ""), configuration=info.get("deploymentConfigName", ""),
        platform=info.get("computePlatform", "Server"), overview=overview, targets_total=sum(overview.values()),
        rollback_of=back.get("rollbackTriggeringDeploymentId", ""), rollback_message=back.get("rollbackMessage", ""),
        revision=bundles.name_of(info.get("revision") or {}))


def _scope(group: str) -> str:
    """onebox or fleet, as this project's templates name deployment groups; "" for another's."""
    return next((scope for scope in ("onebox", "fleet") if scope in group.lower()), "")


def _configured(calls: Calls, codedeploy: Any, made: Deployment) -> Deployment:
    info = calls.once(("configuration", made.region, made.configuration), lambda: codedeploy.get_deployment_config(
        deploymentConfigName=made.configuration)["deploymentConfigInfo"])
    minimum = info.get("minimumHealthyHosts") or {}
    return replace(made, minimum=(minimum["type"], int(minimum["value"])) if minimum else None, zonal=bool(info.get("zonalConfig")))


def _targets(calls: Calls, codedeploy: Any, made: Deployment, most: int) -> tuple[Target, ...]:
    """The targets, failed ones first; a deployment that never began has none."""
    def read_all() -> list[Mapping[str, Any]]:
        names = _names(codedeploy, made.id)
        if len(names) > most:  # what failed is what is asked about
            failed = _names(codedeploy, made.id, targetFilters={"TargetStatus": ["Failed"]})
            names = [*failed, *(name for name in names if name not in set(failed))][:most]
        return groups.in_pages(names, _BATCH, lambda some: codedeploy.batch_get_deployment_targets(
            deploymentId=made.id, targetIds=some).get("deploymentTargets", []))

    def do() -> list[Mapping[str, Any]]:
        try:
            return read_all()
        except ClientError as error:
            if error_code(error) == "DeploymentNotStartedException":
                return []
            raise

    told: list[Mapping[str, Any]] = calls.attempt(f"the targets of {made.id}", do, [])
    return tuple(sorted((_target(one) for one in told), key=lambda target: (_ORDER.get(target.status, 3), target.id)))


def _names(codedeploy: Any, deployment_id: str, **filters: Any) -> list[str]:
    names: list[str] = []
    token: dict[str, str] = {}
    for _ in range(_MOST_PAGES):
        page = codedeploy.list_deployment_targets(deploymentId=deployment_id, **filters, **token)
        names += page.get("targetIds", [])
        if not page.get("nextToken"):
            break
        token = {"nextToken": page["nextToken"]}
    return names


def _target(told: Mapping[str, Any]) -> Target:
    kind = {"InstanceTarget": "instanceTarget", "LambdaTarget": "lambdaTarget"}.get(told.get("deploymentTargetType", ""), "instanceTarget")
    one = told.get(kind) or {}
    return Target(id=str(one.get("targetId", "")).rpartition("/")[2], status=one.get("status", ""),
                  events=tuple(_event(event) for event in one.get("lifecycleEvents") or []))


def _event(told: Mapping[str, Any]) -> Event:
    said = told.get("diagnostics") or {}
    return Event(name=told.get("lifecycleEventName", ""), status=told.get("status", ""), started=_seconds(told.get("startTime")),
                 ended=_seconds(told.get("endTime")), code=said.get("errorCode", ""), script=said.get("scriptName", ""),
                 message=said.get("message", ""), log=said.get("logTail", ""))


def _beside(calls: Calls, codedeploy: Any, made: Deployment) -> tuple[Beside, ...]:
    """Deployments of the group that were made while this one ran, or soon after; and the ones that still ran when it began. Oldest first."""
    span = {"start": made.created - _LOOK_BACK, "end": (made.ended or made.created + _LOOK_BACK) + _LOOK_BACK}

    def do() -> list[Mapping[str, Any]]:
        page = codedeploy.list_deployments(applicationName=made.application, deploymentGroupName=made.group, createTimeRange=span)
        names = [name for name in page["deployments"] if name != made.id][:_BATCH]
        return codedeploy.batch_get_deployments(deploymentIds=names)["deploymentsInfo"] if names else []

    told: list[Mapping[str, Any]] = calls.attempt(f"the deployments beside {made.id}", do, [])
    found = [_neighbour(one) for one in told if (_seconds(one.get("completeTime")) or float("inf")) >= made.created]
    return tuple(sorted(found, key=lambda one: one.created))


def _neighbour(info: Mapping[str, Any]) -> Beside:
    error = info.get("errorInformation") or {}
    return Beside(info["deploymentId"], info.get("creator", "user"), info.get("status", ""), _seconds(info.get("createTime")) or 0.0,
                  bundles.name_of(info.get("revision") or {}), error.get("code", ""), error.get("message", ""))


def _with_instances(calls: Calls, region: str, made: Deployment, found: groups.Read) -> Deployment:
    """With what is known of the instances whose targets failed."""
    failed = [target for target in made.targets if target.status not in ("Succeeded", "Pending", "Ready")
              and (target.status != "Skipped" or made.status == "Failed")]
    silent = [target.id for target in failed if is_silent(target)]
    known = groups.instances(calls, region, [target.id for target in failed], found.members, silent)
    earlier = _ran_before(calls, region, made, silent)
    return replace(made, targets=tuple(
        replace(target, instance=replace(known[target.id], ran_before=earlier.get(target.id, ""))) if target.id in known else target
        for target in made.targets))


def is_silent(target: Target) -> bool:
    """Whether the instance's agent ended no event of this deployment: what AWS calls every event skipped, and an event that was never received."""
    agents = [event for event in target.events if event.name not in _BALANCERS_OWN]
    return target.status in ("Failed", "Skipped", "Unknown") and bool(agents) and not any(
        event.status == "Succeeded" or (event.status == "Failed" and (event.script or event.log or "not able to receive" not in event.message))
        for event in agents)


def _ran_before(calls: Calls, region: str, made: Deployment, silent: Sequence[str]) -> dict[str, str]:
    """Of the silent instances, those on which the group's last successful deployment succeeded, with its id. One call."""
    last = made.settings.last_successful if made.settings else ""
    if not silent or not last or last == made.id:
        return {}
    codedeploy = calls.client("codedeploy", region)
    there: list[str] = calls.attempt(f"the targets of {last}", partial(_names, codedeploy, last, targetFilters={"TargetStatus": ["Succeeded"]}), [])
    return dict.fromkeys((name.rpartition("/")[2] for name in there if name.rpartition("/")[2] in silent), last)


def _with_function(calls: Calls, region: str, made: Deployment) -> Deployment:
    """A deployment of the Lambda platform: its one target, and the alias as it is now."""
    codedeploy = calls.client("codedeploy", region)

    def do() -> list[Mapping[str, Any]]:
        names = _names(codedeploy, made.id)[:_BATCH]
        return codedeploy.batch_get_deployment_targets(deploymentId=made.id, targetIds=names).get("deploymentTargets", []) if names else []

    told: list[Mapping[str, Any]] = calls.attempt(f"the targets of {made.id}", do, [])
    made = replace(made, targets=tuple(_target(one) for one in told), settings=groups.read(calls, region, made.application, made.group, made.created).group)
    about = next(((one.get("lambdaTarget") or {}).get("lambdaFunctionInfo") or {} for one in told), {})
    if not about:
        return made
    function = Function(about.get("functionName", ""), about.get("functionAlias", ""), about.get("currentVersion", ""), about.get("targetVersion", ""))

    def routed() -> Mapping[str, float]:
        alias = calls.client("lambda", region).get_alias(FunctionName=function.name, Name=function.alias)
        further = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        return {alias["FunctionVersion"]: 1.0 - sum(further.values()), **further}

    return replace(made, function=replace(function, routing=calls.attempt(f"the alias {function.alias} of {function.name}", routed, {})))


def _seconds(moment: Any) -> float | None:
    return moment.timestamp() if moment is not None else None
