"""A deployment group as it is now, with what it deploys to: Auto Scaling groups, target groups, and instances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from scripts.core.errors import error_code
from scripts.diagnosis.calls import Calls
from scripts.diagnosis.case import Activity, Group, Instance, TargetGroup, TargetHealth

_GONE = frozenset({"ApplicationDoesNotExistException", "DeploymentGroupDoesNotExistException"})
_HOOK = "CodeDeploy-managed-automatic-"
_MOST_ACTIVITIES = 20
_MOST_GROUPS = 3
"""Auto Scaling groups and target groups of a deployment group that are looked at one by one."""
_SSM_IDS = 50
_AGENT_DOCUMENT = "AWS-ConfigureAWSPackage"
_MOST_ASSOCIATIONS = 2


@dataclass(frozen=True)
class Read:
    """A group, and of the instances in it what Auto Scaling says."""

    group: Group
    members: Mapping[str, Instance] = field(default_factory=dict)


def read(calls: Calls, region: str, application: str, name: str, since: float) -> Read:
    """The group, by GetDeploymentGroup, DescribeAutoScalingGroups, and for each Auto Scaling group its hooks and its failed launches since then."""
    client = calls.client("codedeploy", region)
    try:
        info = calls.once(("group", region, application, name), lambda: client.get_deployment_group(
            applicationName=application, deploymentGroupName=name)["deploymentGroupInfo"])
    except ClientError as error:
        if error_code(error) in _GONE:
            return Read(Group(name, missing=True))
        calls.refused(f"the deployment group {name}", error)
        return Read(Group(name))
    alarms = info.get("alarmConfiguration") or {}
    group = Group(
        name, role=info.get("serviceRoleArn", ""), scaling_groups=tuple(one["name"] for one in info.get("autoScalingGroups") or []),
        tag_filters=tuple(_filters(info)), alarms=tuple(alarm["name"] for alarm in alarms.get("alarms") or []),
        alarms_enabled=bool(alarms.get("enabled")), last_successful=(info.get("lastSuccessfulDeployment") or {}).get("deploymentId", ""),
        last_attempted=(info.get("lastAttemptedDeployment") or {}).get("deploymentId", ""),
        outdated_strategy=info.get("outdatedInstancesStrategy", ""))
    balancers = (info.get("loadBalancerInfo") or {}).get("targetGroupInfoList") or []
    group = replace(group, target_groups=tuple(TargetGroup(one["name"]) for one in balancers if one.get("name")))
    if not group.scaling_groups:
        return Read(group)
    return _scaling(calls, region, group, info, since)


def _filters(info: Mapping[str, Any]) -> list[str]:
    """Tag filters as people write them: Name=value."""
    lists = [info.get("ec2TagFilters") or [], *((info.get("ec2TagSet") or {}).get("ec2TagSetList") or [])]
    return [f"{one.get('Key', '*')}={one.get('Value', '*')}" for some in lists for one in some]


def _scaling(calls: Calls, region: str, group: Group, info: Mapping[str, Any], since: float) -> Read:
    client, names = calls.client("autoscaling", region), list(group.scaling_groups)
    found = calls.attempt(f"the Auto Scaling groups of {group.name}",
                          lambda: calls.once(("scaling", region, *names), lambda: client.describe_auto_scaling_groups(
                              AutoScalingGroupNames=names)["AutoScalingGroups"]), None)
    if found is None:
        return Read(group)
    there = {one["AutoScalingGroupName"] for one in found}
    members = {one["InstanceId"]: Instance(one["InstanceId"], lifecycle=one["LifecycleState"], health=one.get("HealthStatus", ""),
                                           group=asg["AutoScalingGroupName"]) for asg in found for one in asg.get("Instances") or []}
    hooks: list[Mapping[str, Any]] = []
    activities: list[Activity] = []
    for name in sorted(there)[:_MOST_GROUPS]:
        hooks += calls.attempt(f"the lifecycle hooks of {name}", partial(calls.once, ("hooks", region, name), partial(_hooks, client, name)), [])
        ended: list[Activity] = calls.attempt(
            f"the scaling activities of {name}", partial(calls.once, ("activities", region, name), partial(_activities, client, name)), [])
        activities += [one for one in ended if one.at >= since]
    return Read(replace(
        group, missing_scaling_groups=tuple(name for name in names if name not in there), desired_instances=sum(one["DesiredCapacity"] for one in found),
        members=dict(Counter(member.lifecycle for member in members.values())), hooks=tuple(hook["LifecycleHookName"] for hook in hooks),
        leftover_hooks=tuple(_left_over(calls, region, info, hooks)), activities=tuple(sorted(activities, key=lambda one: one.at))), members)


def _hooks(client: Any, name: str) -> list[Mapping[str, Any]]:
    return list(client.describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"])


def _activities(client: Any, name: str) -> list[Activity]:
    page = client.describe_scaling_activities(AutoScalingGroupName=name, MaxRecords=_MOST_ACTIVITIES)["Activities"]
    return [Activity(one["StartTime"].timestamp(), one["StatusCode"], one.get("Description", ""), one.get("StatusMessage", "")) for one in page
            if one["StatusCode"] in ("Failed", "Cancelled")]


def _left_over(calls: Calls, region: str, info: Mapping[str, Any], hooks: Sequence[Mapping[str, Any]]) -> list[str]:
    """CodeDeploy's hooks that no deployment group of this application answers: a group that was deleted leaves its hook behind.

    A hook of another application's group looks the same from here, so this asks for the group that the hook's name has in it.
    """
    own = {one.get("hook") for one in info.get("autoScalingGroups") or []} | {one.get("terminationHook") for one in info.get("autoScalingGroups") or []}
    strange = [hook["LifecycleHookName"] for hook in hooks if hook["LifecycleHookName"].startswith(_HOOK)
               and hook["LifecycleHookName"] not in own and hook.get("NotificationMetadata") != info.get("deploymentGroupId")
               and info["deploymentGroupName"] not in hook["LifecycleHookName"]]
    if not strange:
        return []
    # The name ends with the group's and a UUID of five parts.
    names = {hook: "-".join(hook.partition("-deployment-hook-")[2].split("-")[:-5]) for hook in strange}
    asked = sorted({name for name in names.values() if name})
    answer = calls.attempt("the deployment groups of other hooks", lambda: calls.client("codedeploy", region).batch_get_deployment_groups(
        applicationName=info["applicationName"], deploymentGroupNames=asked)["deploymentGroupsInfo"], None) if asked else []
    if answer is None:
        return []
    answered = {one.get(key) for group in answer for one in group.get("autoScalingGroups") or [] for key in ("hook", "terminationHook")}
    return [hook for hook in strange if hook not in answered]


def role_problem(calls: Calls, region: str, role: str) -> str:
    """Why the service role cannot be used, "" where it is there (or cannot be looked at). One GetRole."""
    try:
        calls.client("iam", region).get_role(RoleName=role.rpartition("/")[2])
    except ClientError as error:
        if error_code(error) in ("NoSuchEntity", "NoSuchEntityException"):
            return f"IAM has no role {role.rpartition('/')[2]}"
        calls.refused(f"the role {role}", error)
    return ""


def balancer(calls: Calls, region: str, group: Group, draining: bool) -> tuple[TargetGroup, ...]:
    """The group's target groups with health check and targets; with `draining` also how long they wait for a target's requests to end."""
    client, names = calls.client("elbv2", region), [one.name for one in group.target_groups]
    if not names:
        return ()
    found: list[Mapping[str, Any]] = calls.attempt(
        f"the target groups {', '.join(names)}", lambda: client.describe_target_groups(Names=names)["TargetGroups"], [])
    read = []
    for one in found[:_MOST_GROUPS]:
        arn, name = one["TargetGroupArn"], one["TargetGroupName"]
        nothing: tuple[TargetHealth, ...] = ()
        health = calls.attempt(f"the targets of {name}", partial(_health, client, arn), nothing)
        matcher = one.get("Matcher") or {}
        read.append(TargetGroup(
            name, one.get("Protocol", ""), one.get("Port", 0), one.get("HealthCheckProtocol", ""), one.get("HealthCheckPort", ""),
            one.get("HealthCheckPath", ""), matcher.get("HttpCode", "") or matcher.get("GrpcCode", ""), one.get("HealthCheckIntervalSeconds", 0),
            one.get("HealthyThresholdCount", 0), health,
            calls.attempt(f"the attributes of {name}", partial(_deregistration, client, arn), None) if draining else None))
    return tuple(read) or group.target_groups


def _health(client: Any, arn: str) -> tuple[TargetHealth, ...]:
    return tuple(TargetHealth(one["Target"]["Id"], one["TargetHealth"]["State"], one["TargetHealth"].get("Reason", ""),
                              one["TargetHealth"].get("Description", "")) for one in
                 client.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"])


def _deregistration(client: Any, arn: str) -> int | None:
    told = {one["Key"]: one["Value"] for one in client.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]}
    value = told.get("deregistration_delay.timeout_seconds", "")
    return int(value) if value.isdigit() else None


def instances(calls: Calls, region: str, ids: Sequence[str], members: Mapping[str, Instance], silent: Sequence[str]) -> dict[str, Instance]:
    """What EC2, Auto Scaling and Systems Manager say of `ids`: two calls for all of them, and one more each for the first few `silent` ones."""
    if not ids:
        return {}
    found = {one: members.get(one, Instance(one)) for one in ids}
    ec2 = calls.client("ec2", region)
    # By filter, not by ids: an instance that EC2 has forgotten is then left out and is no error.
    told = calls.attempt("the instances", lambda: [
        one for page in ec2.get_paginator("describe_instances").paginate(Filters=[{"Name": "instance-id", "Values": list(ids)}])
        for reservation in page["Reservations"] for one in reservation["Instances"]], None)
    if told is not None:
        found = {one: replace(known, state="gone") for one, known in found.items()}
        for one in told:
            if one["InstanceId"] not in found:
                continue
            found[one["InstanceId"]] = replace(
                found[one["InstanceId"]], state=one["State"]["Name"], launched=one["LaunchTime"].timestamp() if one.get("LaunchTime") else None,
                profile=(one.get("IamInstanceProfile") or {}).get("Arn", ""), tags={tag["Key"]: tag["Value"] for tag in one.get("Tags") or []})
    return _managed(calls, region, found, silent) if silent else found


def _managed(calls: Calls, region: str, found: dict[str, Instance], silent: Sequence[str]) -> dict[str, Instance]:
    """With what Systems Manager knows of the silent ones: whether it reaches them, and whether its association installed the agent."""
    ssm, asked = calls.client("ssm", region), list(silent)[:_SSM_IDS]
    pings = calls.attempt("the instances in Systems Manager", lambda: {
        one["InstanceId"]: one.get("PingStatus", "") for one in ssm.describe_instance_information(
            Filters=[{"Key": "InstanceIds", "Values": asked}], MaxResults=50)["InstanceInformationList"]}, None)
    if pings is not None:
        found |= {one: replace(found[one], ssm_ping=pings.get(one, "none")) for one in asked}
    for one in asked[:_MOST_ASSOCIATIONS]:
        package = calls.attempt(f"the associations of {one}", partial(_agent_package, ssm, one), "")
        found[one] = replace(found[one], agent_package=package)
    return found


def _agent_package(ssm: Any, instance: str) -> str:
    """What became of the association that installs the agent: Success, Failed, Pending, or "none"."""
    try:
        told = ssm.describe_instance_associations_status(InstanceId=instance)["InstanceAssociationStatusInfos"]
    except ClientError as error:
        if error_code(error) == "InvalidInstanceId":  # no managed instance
            return "none"
        raise
    states = [one.get("Status", "") for one in told if one.get("Name") == _AGENT_DOCUMENT]
    return next((state for state in ("Failed", "Pending", "Success") if state in states), states[0] if states else "none")


def in_pages(ids: Sequence[str], size: int, call: Callable[[list[str]], Iterable[Any]]) -> list[Any]:
    """What `call` gives for each `size` of the ids, in one list."""
    return [one for start in range(0, len(ids), size) for one in call(list(ids[start:start + size]))]
