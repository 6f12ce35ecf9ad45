"""What runs where: each deployment group's last deployments, the release of each, and how far it is on each instance. Reads only.

Actions that are called: codedeploy:GetDeploymentGroup, GetDeployment, ListDeploymentTargets, BatchGetDeploymentTargets, and s3:GetObjectVersion
(s3:GetObject where a revision names no version) with kms:Decrypt on the store's key. Where all hosts are asked for and no deployment has reached
any, also autoscaling:DescribeAutoScalingGroups, which knows those that there are. Times are epoch seconds.
"""

from __future__ import annotations

import io
import json
import lzma
import struct
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from scripts.core.errors import denied_action, error_code

T = TypeVar("T")
# A bundle is an appspec, a few hooks and release.json; anything far bigger is not ours to read into memory.
_LARGEST_BUNDLE = 20_000_000
BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, ValueError, RuntimeError, NotImplementedError, EOFError, OSError)
"""What reading an archive raises, at its opening or at any member, where it is cut off, changed, encrypted, or of a kind that Python cannot read."""
_MOST_TARGETS = 25  # BatchGetDeploymentTargets takes 25 ids in a call.
# CodeDeploy's statuses of a deployment that is not at its end.
IN_FLIGHT = ("Created", "Queued", "InProgress", "Baking", "Ready")
NO_RELEASE = "without a release"
"""The status of a host that runs, and that no deployment has reached: it came up empty."""


class Clients(Protocol):
    """Gives boto3 clients."""

    def client(self, service: str, region: str) -> Any: ...


Attempt = Callable[[str, Callable[[], T], T], T]
"""(what, read, otherwise): what `read` gives, or `otherwise` where AWS refuses it, which is then noted under the name `what`."""


@dataclass(frozen=True)
class Release:
    """`release.json` of a bundle, or why it cannot be read; `revision` is s3://bucket/key."""

    revision: str
    commit: str = ""
    digest: str = ""
    note: str = ""


@dataclass(frozen=True)
class Instance:
    """One instance of the group's last deployment that has any, or, with status NO_RELEASE, of its Auto Scaling group before the first.

    Its release is known where that deployment succeeded on it; `since` is when it did, and `revision` (s3://bucket/key) what it brought: the group's
    `attempted` may be of a later one, that has reached nobody. `lifecycle` is Auto Scaling's word, where that was asked.
    """

    id: str
    status: str
    commit: str
    digest: str
    since: float | None = None
    lifecycle: str = ""
    revision: str = ""


@dataclass(frozen=True)
class Group:
    """A deployment group as it stands.

    `release` is that of its last successful deployment, which ended at `since`: a deployment of the same release to a host that was added counts as one.
    `attempted` is that of the last deployment, `deployment_id`, whatever became of it. Where `hosts_read` is False, `instances` is no word on the hosts.
    """

    scope: str
    region: str
    name: str
    deployment_id: str
    deployment_status: str
    creator: str
    release: Release | None
    instances: tuple[Instance, ...]
    note: str = ""
    since: float | None = None
    attempted: Release | None = None
    error: str = ""
    description: str = ""
    hosts_read: bool = True

    @property
    def in_flight(self) -> bool:
        """Whether the last deployment is not at its end."""
        return self.deployment_status in IN_FLIGHT


class Bundles:
    """The releases of revisions, each bundle read once; safe from several threads, which may read one bundle twice at once."""

    def __init__(self) -> None:
        self._known: dict[str, Release] = {}
        self._lock = threading.Lock()

    def release(self, s3: Any, revision: Mapping[str, Any]) -> Release:
        """The release of a CodeDeploy revision."""
        location = revision.get("s3Location")
        if not location:
            return Release("", note=f"its revision is {revision.get('revisionType', 'unknown')}, not a bundle in S3")
        name = f"s3://{location['bucket']}/{location['key']}"
        with self._lock:
            known = self._known.get(f"{name}@{location.get('version', '')}")
        if known is None:
            known = _read_release(s3, location, name)
            with self._lock:
                self._known[f"{name}@{location.get('version', '')}"] = known
        return known


def _at_once(what: str, read: Callable[[], T], otherwise: T) -> T:
    """An Attempt that lets errors through."""
    return read()


def group(
    aws: Clients, region: str, scope: str, application: str, name: str, bundles: Bundles, attempt: Attempt[Any] = _at_once, all_hosts: bool = False
) -> Group:
    """One deployment group: six calls or a few more. With `all_hosts`, where the last deployment has reached nobody, the hosts that run all the same."""
    codedeploy, s3 = aws.client("codedeploy", region), aws.client("s3", region)
    try:
        info = codedeploy.get_deployment_group(applicationName=application, deploymentGroupName=name)["deploymentGroupInfo"]
    except ClientError as error:
        if error_code(error) in {"ApplicationDoesNotExistException", "DeploymentGroupDoesNotExistException"}:
            return Group(scope, region, name, "", "", "", None, (), "the deployment group is gone: deploy the environment")
        raise
    successful = info.get("lastSuccessfulDeployment") or {}
    good = successful.get("deploymentId", "")
    last = (info.get("lastAttemptedDeployment") or {}).get("deploymentId", "") or good
    if not last:
        empty = _empty(aws, region, info, attempt) if all_hosts else ()
        return Group(scope, region, name, "", "", "", None, empty, "no release yet")

    def described(identity: str) -> dict[str, Any]:
        what = f"deployment {identity} ({region})"
        return dict(attempt(what, lambda: codedeploy.get_deployment(deploymentId=identity)["deploymentInfo"], {}))

    deployment = described(last)
    attempted = bundles.release(s3, deployment["revision"]) if deployment.get("revision") else Release("", note="its deployment could not be read")
    release: Release | None = attempted if good else None

    def reached(identity: str, brought: Release) -> tuple[Instance, ...] | None:
        found: tuple[Instance, ...] | None = attempt(
            f"targets of deployment {identity} ({region})", lambda: tuple(_instances(codedeploy, identity, brought)), None
        )
        return found

    # None: it may have reached any host, so no other deployment's word, nor that of none, is taken for them.
    instances = reached(last, attempted)
    if good and good != last:
        before = described(good)
        release = bundles.release(s3, before["revision"]) if before.get("revision") else Release("", note="its deployment could not be read")
        # One that has only just begun, or ended before it did, has reached nobody: what runs is what the one before brought.
        instances = reached(good, release) if all_hosts and instances == () else instances
    if all_hosts and instances == () and not good:
        instances = _empty(aws, region, info, attempt)
    failure = deployment.get("errorInformation") or {}
    return Group(
        scope=scope,
        region=region,
        name=name,
        deployment_id=last,
        deployment_status=deployment.get("status", ""),
        creator=deployment.get("creator", ""),
        release=release,
        instances=instances or (),
        note="" if good else "no deployment has succeeded yet",
        since=_epoch(successful.get("endTime")),
        attempted=attempted,
        error=str(failure.get("code", "")),
        description=str(deployment.get("description") or ""),
        hosts_read=instances is not None,
    )


def _targets(codedeploy: Any, deployment_id: str) -> list[str]:
    """The ids of a deployment's targets; none of one that has not begun, or ended before it did."""
    ids: list[str] = []
    token: dict[str, str] = {}
    while True:
        try:
            page = codedeploy.list_deployment_targets(deploymentId=deployment_id, **token)
        except ClientError as error:
            if error_code(error) == "DeploymentNotStartedException":
                return []
            raise
        ids += page.get("targetIds", [])
        if not page.get("nextToken"):
            return ids
        token = {"nextToken": page["nextToken"]}


def _instances(codedeploy: Any, deployment_id: str, release: Release) -> list[Instance]:
    ids = _targets(codedeploy, deployment_id)
    found = []
    for start in range(0, len(ids), _MOST_TARGETS):
        answer = codedeploy.batch_get_deployment_targets(deploymentId=deployment_id, targetIds=ids[start : start + _MOST_TARGETS])
        for target in answer.get("deploymentTargets", []):
            instance = target.get("instanceTarget", {})
            arrived = instance.get("status") == "Succeeded"
            found.append(
                Instance(
                    instance.get("targetId", ""),
                    instance.get("status", ""),
                    release.commit if arrived else "",
                    release.digest if arrived else "",
                    _epoch(instance.get("lastUpdatedAt")) if arrived else None,
                    revision=release.revision if arrived else "",
                )
            )
    return sorted(found, key=lambda instance: instance.id)


def _empty(aws: Clients, region: str, info: Mapping[str, Any], attempt: Attempt[Any]) -> tuple[Instance, ...]:
    """The hosts of a group that no deployment has reached; () where it has none, or is of on-premises instances and tags."""
    names = [one["name"] for one in info.get("autoScalingGroups") or ()]

    def read() -> list[dict[str, Any]]:
        return list(aws.client("autoscaling", region).describe_auto_scaling_groups(AutoScalingGroupNames=names)["AutoScalingGroups"])

    groups = attempt(f"hosts of {', '.join(names)} ({region})", read, ()) if names else ()
    found = [Instance(one["InstanceId"], NO_RELEASE, "", "", lifecycle=one["LifecycleState"]) for group in groups for one in group.get("Instances", ())]
    return tuple(sorted(found, key=lambda instance: instance.id))


def _read_release(s3: Any, location: Mapping[str, Any], name: str) -> Release:
    version = {"VersionId": location["version"]} if location.get("version") else {}
    try:
        answer = s3.get_object(Bucket=location["bucket"], Key=location["key"], **version)
        if answer["ContentLength"] > _LARGEST_BUNDLE:
            return Release(name, note="the bundle is too big to look into")
        with zipfile.ZipFile(io.BytesIO(answer["Body"].read())) as bundle:
            release = json.loads(bundle.read("release.json"))
        return Release(name, str(release.get("commit", "")), str(release.get("digest", "")))
    except ClientError as error:
        return Release(name, note=f"the bundle could not be read ({_missing(error, bool(version)) or error_code(error)})")
    except BotoCoreError as error:
        return Release(name, note=f"the bundle could not be read ({error})")
    except (*BROKEN, KeyError, AttributeError):
        return Release(name, note="the bundle has no readable release.json")


def _missing(error: ClientError, versioned: bool) -> str:
    """The permission that is missing. S3 often says AccessDenied and no more."""
    action = denied_action(error)
    if not action:
        return ""
    if ":" not in action:
        action = "s3:GetObjectVersion" if versioned else "s3:GetObject"
    return f"access denied: {action}"


def _epoch(moment: Any) -> float | None:
    return float(moment.timestamp()) if moment is not None else None
