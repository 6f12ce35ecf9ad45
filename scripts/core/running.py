"""What runs where: each deployment group's last deployment, and the release on each of its instances."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from scripts.core import prerequisites
from scripts.core.errors import error_code
from scripts.core.session import Aws
from scripts.core.stacks import Stack

# A bundle is an appspec, a few hooks and release.json; anything far bigger is not ours to read into memory.
_LARGEST_BUNDLE = 20_000_000
_MOST_TARGETS = 25  # BatchGetDeploymentTargets takes 25 ids in a call.


@dataclass(frozen=True)
class Release:
    """`release.json` of a bundle, or why it cannot be read; `revision` is s3://bucket/key."""

    revision: str
    commit: str = ""
    digest: str = ""
    note: str = ""


@dataclass(frozen=True)
class Instance:
    """One instance of the group's last deployment: its release is known where that deployment succeeded on it."""

    id: str
    status: str
    commit: str
    digest: str


@dataclass(frozen=True)
class Group:
    """A deployment group as it stands."""

    scope: str
    region: str
    name: str
    deployment_id: str
    deployment_status: str
    creator: str
    release: Release | None
    instances: tuple[Instance, ...]
    note: str = ""


def groups(aws: Aws, region: str, stack: Stack) -> list[Group]:
    """Every deployment group of an environment's stack."""
    return [_group(aws, region, scope, application, group) for scope, application, group in prerequisites.deployment_groups(stack)]


def _group(aws: Aws, region: str, scope: str, application: str, name: str) -> Group:
    codedeploy = aws.client("codedeploy", region)
    try:
        info = codedeploy.get_deployment_group(applicationName=application, deploymentGroupName=name)["deploymentGroupInfo"]
    except ClientError as error:
        if error_code(error) in {"ApplicationDoesNotExistException", "DeploymentGroupDoesNotExistException"}:
            return Group(scope, region, name, "", "", "", None, (), "the deployment group is gone: deploy the environment")
        raise
    good = info.get("lastSuccessfulDeployment", {}).get("deploymentId", "")
    last = info.get("lastAttemptedDeployment", {}).get("deploymentId", "") or good
    if not last:
        return Group(scope, region, name, "", "", "", None, (), "no release yet")
    known: dict[str, Release] = {}
    deployment = codedeploy.get_deployment(deploymentId=last)["deploymentInfo"]
    attempted = release_of(aws.client("s3", region), deployment.get("revision", {}), known)
    if good and good != last:
        revision = codedeploy.get_deployment(deploymentId=good)["deploymentInfo"].get("revision", {})
        release: Release | None = release_of(aws.client("s3", region), revision, known)
    else:
        release = attempted if good else None
    return Group(
        scope=scope,
        region=region,
        name=name,
        deployment_id=last,
        deployment_status=deployment.get("status", ""),
        creator=deployment.get("creator", ""),
        release=release,
        instances=tuple(_instances(codedeploy, last, attempted)),
        note="" if good else "no deployment has succeeded yet",
    )


def _instances(codedeploy: Any, deployment_id: str, release: Release) -> list[Instance]:
    ids: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = codedeploy.list_deployment_targets(deploymentId=deployment_id, **token)
        ids += page.get("targetIds", [])
        if not page.get("nextToken"):
            break
        token = {"nextToken": page["nextToken"]}
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
                )
            )
    return sorted(found, key=lambda instance: instance.id)


def release_of(s3: Any, revision: Mapping[str, Any], known: dict[str, Release]) -> Release:
    """The release of a CodeDeploy revision; `known` keeps what was read already."""
    location = revision.get("s3Location")
    if not location:
        return Release("", note=f"its revision is {revision.get('revisionType', 'unknown')}, not a bundle in S3")
    name = f"s3://{location['bucket']}/{location['key']}"
    if name not in known:
        known[name] = _read_release(s3, location, name)
    return known[name]


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
        return Release(name, note=f"the bundle could not be read ({error_code(error)})")
    except (zipfile.BadZipFile, KeyError, ValueError):
        return Release(name, note="the bundle has no readable release.json")
