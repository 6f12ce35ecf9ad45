"""Turns stored records into the shapes that the API answers, and checks what it is given."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from localaws.codedeploy import engine
from localaws.service import ServiceError

Record = dict[str, Any]

MAX_ALARMS = 50
_DEPLOYMENT_KEYS = (
    "applicationName", "deploymentGroupName", "deploymentConfigName", "deploymentId", "previousRevision", "revision", "status",
    "errorInformation", "createTime", "startTime", "completeTime", "description", "creator", "ignoreApplicationStopFailures",
    "autoRollbackConfiguration", "updateOutdatedInstancesOnly", "rollbackInfo", "deploymentStyle", "loadBalancerInfo",
    "fileExistsBehavior", "computePlatform", "relatedDeployments", "overrideAlarmConfiguration")
GROUP_KEYS = (
    "deploymentConfigName", "serviceRoleArn", "triggerConfigurations", "alarmConfiguration", "autoRollbackConfiguration",
    "deploymentStyle", "outdatedInstancesStrategy", "loadBalancerInfo", "terminationHookEnabled")
"""What CreateDeploymentGroup and UpdateDeploymentGroup set and GetDeploymentGroup gives back as it was."""
_ROLLBACK_EVENTS = frozenset({"DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"})
_REFUSED = {
    "ec2TagFilters": "InvalidEC2TagException", "onPremisesInstanceTagFilters": "InvalidTagException",
    "ec2TagSet": "InvalidEC2TagCombinationException", "onPremisesTagSet": "InvalidOnPremisesTagCombinationException",
    "ecsServices": "InvalidECSServiceException", "blueGreenDeploymentConfiguration": "InvalidBlueGreenDeploymentConfigurationException"}


def deployment_info(deployment: Record) -> Record:
    """DeploymentInfo."""
    info = {key: deployment[key] for key in _DEPLOYMENT_KEYS if deployment.get(key) is not None}
    return info | {"deploymentOverview": engine.overview(deployment)} if deployment.get("targets") else info


def group_info(group: Record, deployments: Record) -> Record:
    """DeploymentGroupInfo."""
    info = {key: group[key] for key in ("applicationName", "deploymentGroupId", "deploymentGroupName", *GROUP_KEYS)
            if group.get(key) is not None}
    info |= {"computePlatform": "Server", "autoScalingGroups": group["autoScalingGroups"], "ec2TagFilters": [],
             "onPremisesInstanceTagFilters": [], "triggerConfigurations": group.get("triggerConfigurations") or []}
    last = group.get("lastSuccess")
    if last:
        info["targetRevision"] = last["revision"]
    named = {"lastSuccessfulDeployment": (last or {}).get("deploymentId"), "lastAttemptedDeployment": group.get("lastAttempt")}
    for key, name in named.items():
        if name in deployments:
            info[key] = {"deploymentId": name, "status": deployments[name]["status"], "createTime": deployments[name]["createTime"],
                         "endTime": deployments[name].get("completeTime")}
    return info


def target_info(deployment: Record, instance: str, account: str, region: str) -> Record:
    """DeploymentTarget of one instance."""
    target = deployment["targets"][instance]
    events = [{"lifecycleEventName": event["name"], "status": event["status"], "startTime": event["startTime"],
               "endTime": event["endTime"], "diagnostics": event["diagnostics"]} for event in target["events"]]
    return {"deploymentTargetType": "InstanceTarget", "instanceTarget": {
        "deploymentId": deployment["deploymentId"], "targetId": instance, "status": target["status"],
        "targetArn": f"arn:aws:ec2:{region}:{account}:instance/{instance}", "lastUpdatedAt": target["lastUpdatedAt"],
        "lifecycleEvents": events}}


def check_group(group: Record) -> None:
    """Refuse what AWS refuses of a deployment group, and what this local AWS does not do (other than Auto Scaling, in place)."""
    for key, code in _REFUSED.items():
        if group.get(key):
            raise ServiceError(code, f"This local AWS deploys in place to Auto Scaling groups; it does not do {key}.")
    style = group["deploymentStyle"]
    if style.get("deploymentType") != "IN_PLACE":
        raise ServiceError("InvalidDeploymentStyleException", "This local AWS deploys in place only.")
    balancer = group.get("loadBalancerInfo") or {}
    if balancer.get("elbInfoList") or balancer.get("targetGroupPairInfoList"):
        raise ServiceError("InvalidLoadBalancerInfoException", "This local AWS knows target groups only (targetGroupInfoList).")
    if style.get("deploymentOption") == "WITH_TRAFFIC_CONTROL" and not balancer.get("targetGroupInfoList"):
        raise ServiceError("InvalidLoadBalancerInfoException", (
            "The load balancer information is required for a deployment with traffic control: specify a target group."))
    check_rollback(group.get("autoRollbackConfiguration"))
    check_alarms(group.get("alarmConfiguration"))


def check_mode(params: Record) -> None:
    """Refuse ways to deploy that CodeDeploy does not know, or that this local AWS does not do."""
    if params.get("deploymentMode", "STANDARD") != "STANDARD":
        raise ServiceError("InvalidInputException", f"This local AWS does not serve the deployment mode {params['deploymentMode']}.")
    if params.get("fileExistsBehavior", "DISALLOW") not in ("DISALLOW", "OVERWRITE", "RETAIN"):
        raise ServiceError("InvalidFileExistsBehaviorException", (
            f"The file exists behavior {params['fileExistsBehavior']} is invalid. Valid values are DISALLOW, OVERWRITE and RETAIN."))


def check_rollback(config: Record | None) -> None:
    """Refuse automatic rollback without events."""
    if config and config.get("enabled") and not config.get("events"):
        raise ServiceError("InvalidAutoRollbackConfigException", "Automatic rollback is enabled, but no event is given that starts it.")
    if unknown := set((config or {}).get("events") or []) - _ROLLBACK_EVENTS:
        raise ServiceError("InvalidAutoRollbackConfigException", f"There is no event {', '.join(sorted(unknown))} that starts a rollback.")


def check_alarms(config: Record | None) -> None:
    """Refuse alarm monitoring without alarms, or with too many."""
    alarms = (config or {}).get("alarms") or []
    if config and config.get("enabled") and not alarms:
        raise ServiceError("InvalidAlarmConfigException", "Alarm monitoring is enabled, but no alarms are given.")
    if len(alarms) > MAX_ALARMS:
        raise ServiceError("AlarmsLimitExceededException", f"A deployment group can have at most {MAX_ALARMS} alarms.")
    if len({alarm.get("name") for alarm in alarms}) < len(alarms):
        raise ServiceError("InvalidAlarmConfigException", "An alarm is given twice.")


def check_revision(revision: Record | None) -> Record:
    """Return the revision as it is kept. Only bundles in S3 are served."""
    if not revision:
        raise ServiceError("RevisionRequiredException", "The revision was not specified.")
    location = revision.get("s3Location") or {}
    if revision.get("revisionType") != "S3" or not location.get("bucket") or not location.get("key"):
        raise ServiceError("InvalidRevisionException", "The revision must be of type S3, with a bucket and a key.")
    if location.get("bundleType") not in ("tar", "tgz", "zip"):
        raise ServiceError("InvalidRevisionException", "The bundle type must be tar, tgz or zip.")
    return {"revisionType": "S3", "s3Location": {key: location[key] for key in ("bucket", "key", "bundleType", "version", "eTag")
                                                if location.get(key) is not None}}


def revision_key(revision: Record) -> str:
    """A revision as a table key."""
    return json.dumps(revision, sort_keys=True)


def page(items: Iterable[str], token: str | None, size: int = 100) -> tuple[list[str], str | None]:
    """Return one page of `items` and the token of the next."""
    everything = list(items)
    try:
        start = int(token or 0)
    except ValueError as error:
        raise ServiceError("InvalidNextTokenException", "The next token was specified in an invalid format.") from error
    return everything[start:start + size], str(start + size) if start + size < len(everything) else None
