"""Reads the deployments of a group, their releases, and what became of them on each host. Read-only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from scripts.core import running
from scripts.core.errors import CommandError, error_code
from scripts.diagnosis.collect import Place as Where
from scripts.diagnosis.redact import redact
from scripts.reporting.listing import all_pages, batches, utc
from scripts.reporting.values import Deployment, Host, Scope

Raw = Mapping[str, Any]
MOST_DEPLOYMENTS = 150
"""Deployments of a group that are shown."""
SKEW = 3600.0
"""So long before the period deployments and executions are looked for that reach into it."""
_MOST_LOOKED_INTO = 40
"""Deployments of a group whose hosts are asked for: two calls each, or more."""
_MOST_HOSTS = 200
_BATCH = 25  # BatchGetDeployments and BatchGetDeploymentTargets take 25 ids in a call.
_RECONCILER = "handsoff rollback"
"""The rollback function begins the description of each of its deployments with this (functions/decide_rollback.py)."""


def read(where: Where, scope: str, application: str, group: str, since: float, begun: Mapping[str, str], bundles: running.Bundles) -> Scope:
    """A deployment group's deployments of the period, those that reach into it too, and the one before."""
    codedeploy = where.calls.client("codedeploy", where.region)
    names = {"applicationName": application, "deploymentGroupName": group}
    try:
        ids = all_pages(codedeploy, "list_deployments", "deployments", createTimeRange={"start": utc(since - SKEW)}, **names)
        older = codedeploy.list_deployments(includeOnlyStatuses=["Succeeded"], createTimeRange={"end": utc(since - SKEW)}, **names)["deployments"]
    except ClientError as error:
        if error_code(error) in {"ApplicationDoesNotExistException", "DeploymentGroupDoesNotExistException"}:
            return Scope(scope)
        raise
    infos = sorted(_infos(codedeploy, ids), key=lambda info: info["createTime"])
    shown = [info for info in infos if info.get("completeTime") is None or info["completeTime"].timestamp() >= since]
    left_out = max(0, len(shown) - MOST_DEPLOYMENTS)
    shown = shown[left_out:]
    # A commit is named by the execution that brought it, and by the bundle that another deployment of it had; only then is the bundle read.
    locations = {_location(info): begun[info["deploymentId"]] for info in infos if info["deploymentId"] in begun}

    def commit(info: Raw) -> str:
        by_name = begun.get(info["deploymentId"]) or locations.get(_location(info))
        if by_name is None:
            release = bundles.release(where.calls.client("s3", where.region), info.get("revision") or {})
            if not release.commit:
                where.calls.refused(f"the release of deployment {info['deploymentId']} in {where.region}", CommandError(release.note))
            by_name = release.commit
        return by_name

    deployments = [_deployment(info, commit(info), _hosts(codedeploy, info) if index < _MOST_LOOKED_INTO else ()) for index, info in enumerate(reversed(shown))]
    past = [info for info in infos if info not in shown and info["status"] == "Succeeded"] or _infos(codedeploy, older[:_BATCH])
    before = max(
        (info for info in past if info.get("creator", "user") not in ("autoscaling", "autoscalingTermination", "CodeDeployAutoUpdate")),
        key=lambda info: info["createTime"],
        default=None,
    )
    return Scope(scope, tuple(reversed(deployments)), _deployment(before, commit(before), _hosts(codedeploy, before)) if before else None, left_out)


def _deployment(info: Raw, commit: str, hosts: tuple[Host, ...]) -> Deployment:
    by = "reconciler" if str(info.get("description") or "").startswith(_RECONCILER) else str(info.get("creator") or "user")
    error, ended = info.get("errorInformation") or {}, info.get("completeTime")
    return Deployment(
        info["deploymentId"],
        info["status"],
        by,
        commit,
        info["createTime"].timestamp(),
        ended.timestamp() if ended else None,
        str(error.get("code") or ""),
        redact(str(error.get("message") or "")),
        hosts,
    )


def _infos(codedeploy: Any, ids: Sequence[str]) -> list[Raw]:
    return [info for some in batches(ids, _BATCH) for info in codedeploy.batch_get_deployments(deploymentIds=some)["deploymentsInfo"]]


def _location(info: Raw) -> tuple[str, ...]:
    """Which bundle it is: bucket, key and version."""
    place = (info.get("revision") or {}).get("s3Location") or {}
    return tuple(str(place.get(key) or "") for key in ("bucket", "key", "version", "eTag"))


def _hosts(codedeploy: Any, info: Raw) -> tuple[Host, ...]:
    """What became of it on each instance; nothing where it did not get that far."""
    try:
        ids = all_pages(codedeploy, "list_deployment_targets", "targetIds", deploymentId=info["deploymentId"])[:_MOST_HOSTS]
    except ClientError as error:
        if error_code(error) in {"DeploymentNotStartedException", "DeploymentDoesNotExistException"}:
            return ()
        raise
    found: list[Host] = []
    for some in batches(ids, _BATCH):
        answer = codedeploy.batch_get_deployment_targets(deploymentId=info["deploymentId"], targetIds=some)
        found += [_host(one["instanceTarget"]) for one in answer.get("deploymentTargets", []) if "instanceTarget" in one]
    return tuple(found)


def _host(target: Raw) -> Host:
    """An instance on which it failed before the release there was stopped still runs that one: it is left as it was."""
    events = target.get("lifecycleEvents") or []
    status = str(target.get("status") or "")
    touched = any(event.get("lifecycleEventName") == "ApplicationStop" and event.get("status") == "Succeeded" for event in events)
    if status not in ("Succeeded", "Failed") or (status == "Failed" and not touched):
        return Host(str(target.get("targetId", "")), status, None)
    ends = [event["endTime"] for event in events if event.get("endTime")]
    last = max(ends) if ends else target.get("lastUpdatedAt")
    return Host(str(target.get("targetId", "")), status, last.timestamp() if last else None)
