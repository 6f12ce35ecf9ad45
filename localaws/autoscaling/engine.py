"""Decisions of Auto Scaling over plain data and a given time: no I/O, no sleeping, no threads.

A group is a JSON-able dict:
    Name, Arn, Min, Max, Desired (ints), Zones [[zone, subnet id], …], LaunchTemplate {LaunchTemplateId, LaunchTemplateName, Version},
    TargetGroups [arn], HealthCheckType "EC2"|"ELB"|…, GracePeriod (s), Protect (bool), Suspended {process: reason}, Created (time),
    Tags [{Key, Value, PropagateAtLaunch}], Hooks {name: {Transition, Heartbeat (s), Default, Metadata, Target, Role}},
    Members {id: member}, Activities [activity, newest first], RetryAt (time), Failures (int), Deleting (bool), Told (cause of the next change)
A member:
    Id, Zone, Subnet, State (AWS's lifecycle states), Health, Since (time of launch), LaunchTemplate, InstanceType, ImageId, Protected,
    Waits {hook: {Token, Deadline, Until}}, Registered, Activity (id of the activity under way), Served (was in service once)
A launch that EC2 has not answered yet is a member whose id begins with "launch-"; callers are not shown it.

`step` moves a group on and returns what must be done in the world; the caller does it and reports with `launched`, `launch_failed` and
`registered`. Sources: https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html, …/lifecycle-hooks-overview.html,
…/as-suspend-resume-processes.html, …/ec2-auto-scaling-termination-policies.html
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
PROCESSES = ("Launch", "Terminate", "AddToLoadBalancer", "AlarmNotification", "AZRebalance", "HealthCheck", "InstanceRefresh",
             "ReplaceUnhealthy", "ScheduledActions")
HOOK_SECONDS = 3600
GLOBAL_SECONDS_MAX = 48 * 3600
GLOBAL_HEARTBEATS = 100
RETRY_SECONDS = 5.0
RETRY_SECONDS_MAX = 60.0
ACTIVITIES_KEPT = 200

Group = dict[str, Any]
Member = dict[str, Any]


@dataclass(frozen=True)
class Effect:
    """Something to do in the world: `kind` is launch, register, deregister, terminate, hook or event; `data` its particulars."""

    kind: str
    member: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class World:
    """What is so outside: `states` EC2's state of each known instance; `targets` ELB's state of each registered instance
    (the worst over the group's target groups; absent = not registered), None where it was not asked."""

    states: dict[str, str]
    targets: dict[str, str] | None


def needs_targets(group: Group) -> bool:
    """Return whether `step` needs to know the targets' states: somebody drains, or their health counts."""
    return bool(group["TargetGroups"]) and (group["HealthCheckType"] != "EC2" or any(
        member["State"] == "Terminating" for member in group["Members"].values()))


def counts(member: Member) -> bool:
    """Return whether a member counts towards the desired capacity."""
    state: str = member["State"]
    return state == "InService" or state.startswith("Pending")


def capacity(group: Group) -> int:
    """Return the number of members that count."""
    return sum(counts(member) for member in group["Members"].values())


def step(group: Group, world: World, now: float, new_id: Callable[[], str]) -> list[Effect]:
    """Move `group` on as far as it goes at `now`; return what is to be done. `new_id` makes unique ids (tokens, activities)."""
    effects: list[Effect] = []
    for member in list(group["Members"].values()):
        _advance(group, member, world, now, new_id, effects)
    _judge(group, world, now)
    if "ReplaceUnhealthy" not in group["Suspended"] and "Terminate" not in group["Suspended"]:
        for member in list(group["Members"].values()):
            if member["Health"] == "Unhealthy" and not member["State"].startswith("Terminating"):
                cause = ("an instance was taken out of service in response to " + (member.get("Judged") or "a user health-check") + ".")
                begin_termination(group, member["Id"], cause, now, new_id, effects)
    _scale(group, now, new_id, effects)
    return effects


def _advance(group: Group, member: Member, world: World, now: float, new_id: Callable[[], str], effects: list[Effect]) -> None:
    """Move one member along its lifecycle."""
    state, outside = member["State"], world.states.get(member["Id"])
    if member["Id"].startswith("launch-"):
        return
    for hook, wait in list(member["Waits"].items()):
        if now >= min(wait["Deadline"], wait["Until"]):
            default = group["Hooks"].get(hook, {}).get("Default", "ABANDON")
            effects += complete(group, member["Id"], hook, default, now, new_id, "Heartbeat Timeout")
            state = member["State"]
    if state == "Pending" and outside == "running":
        _begin_waits(group, member, LAUNCHING, now, new_id, effects)
        state = member["State"]
    if state == "Pending:Proceed":
        wanted = bool(group["TargetGroups"]) and "AddToLoadBalancer" not in group["Suspended"]
        if not wanted or member["Registered"]:
            member["State"], member["Served"] = "InService", True
            _end_activity(group, member, "Successful", now)
            effects.append(_event(group, member, "EC2 Instance Launch Successful"))
        elif not member.get("Registering"):
            member["Registering"] = True
            effects.append(Effect("register", member["Id"], {"TargetGroups": list(group["TargetGroups"])}))
    if state == "Terminating" and (outside != "running" or not group["TargetGroups"] or (
            world.targets is not None and member["Id"] not in world.targets)):
        _begin_waits(group, member, TERMINATING, now, new_id, effects)
        state = member["State"]
    if state == "Terminating:Proceed":
        if outside in (None, "terminated"):
            del group["Members"][member["Id"]]
            _end_activity(group, member, "Successful", now)
            effects.append(_event(group, member, "EC2 Instance Terminate Successful"))
        elif not member.get("Ended"):
            member["Ended"] = True
            effects.append(Effect("terminate", member["Id"]))


def _judge(group: Group, world: World, now: float) -> None:
    """Mark members that the health checks find unhealthy."""
    if "HealthCheck" in group["Suspended"]:
        return
    for member in group["Members"].values():
        if member["Id"].startswith("launch-") or member["State"].startswith("Terminating") or member["Health"] == "Unhealthy":
            continue
        outside = world.states.get(member["Id"])
        if outside not in ("pending", "running"):
            member["Health"] = "Unhealthy"
            member["Judged"] = "an EC2 health check indicating it has been terminated or stopped"
        elif (group["HealthCheckType"] != "EC2" and member["State"] == "InService" and world.targets is not None
              and now - member["Since"] >= group["GracePeriod"] and world.targets.get(member["Id"]) in ("unhealthy", "unused")):
            member["Health"] = "Unhealthy"
            member["Judged"] = "an ELB system health check failure"


def _scale(group: Group, now: float, new_id: Callable[[], str], effects: list[Effect]) -> None:
    """Launch or terminate towards the desired capacity, keeping zones even."""
    desired = 0 if group["Deleting"] else group["Desired"]
    have = capacity(group)
    if have < desired and "Launch" not in group["Suspended"] and not group["Deleting"] and now >= group["RetryAt"]:
        for number in range(have, desired):
            zone, subnet = min(group["Zones"], key=lambda pair: (_population(group, pair[0]), group["Zones"].index(pair)))
            launch_id = "launch-" + new_id()
            member: Member = {"Id": launch_id, "Zone": zone, "Subnet": subnet, "State": "Pending", "Health": "Healthy", "Since": now,
                              "LaunchTemplate": dict(group["LaunchTemplate"]), "InstanceType": "", "ImageId": "",
                              "Protected": group["Protect"], "Waits": {}, "Registered": False, "Served": False, "Activity": ""}
            group["Members"][launch_id] = member
            cause = group.pop("Told", "") or ""
            _begin_activity(group, member, "Launching a new EC2 instance", f"{cause}At {_stamp(now)} an instance was started in response to "
                            f"a difference between desired and actual capacity, increasing the capacity from {number} to {number + 1}.",
                            now, new_id)
            effects.append(Effect("launch", launch_id, {"Zone": zone, "Subnet": subnet, "LaunchTemplate": dict(group["LaunchTemplate"])}))
    elif have > desired and ("Terminate" not in group["Suspended"] or group["Deleting"]):
        for number in range(have, desired, -1):
            chosen = choose_surplus(group)
            if chosen is None:
                break
            cause = group.pop("Told", "") or ""
            begin_termination(group, chosen, f"{cause}At {_stamp(now)} an instance was taken out of service in response to a difference between "
                              f"desired and actual capacity, shrinking the capacity from {number} to {number - 1}.", now, new_id, effects, True)


def choose_surplus(group: Group) -> str | None:
    """Return the member that leaves first: of the fullest zone, oldest launch template version, longest in the group; None if all stay."""
    free = [member for member in group["Members"].values()
            if counts(member) and not member["Id"].startswith("launch-") and (not member["Protected"] or group["Deleting"])]
    if not free:
        return None
    fullest = max(_population(group, member["Zone"]) for member in free)
    return str(min((member for member in free if _population(group, member["Zone"]) == fullest),
                   key=lambda member: (int(member["LaunchTemplate"].get("Number", 0)), member["Since"], member["Id"]))["Id"])


def begin_termination(group: Group, instance_id: str, cause: str, now: float, new_id: Callable[[], str], effects: list[Effect],
                      complete_cause: bool = False) -> dict[str, Any]:
    """Take a member out: out of its target groups first, then its hooks, then EC2. Returns the activity."""
    member = group["Members"][instance_id]
    _end_activity(group, member, "Cancelled", now)
    member["State"], member["Waits"] = "Terminating", {}
    if group["TargetGroups"]:
        effects.append(Effect("deregister", instance_id, {"TargetGroups": list(group["TargetGroups"])}))
    return _begin_activity(group, member, f"Terminating EC2 instance: {instance_id}",
                           cause if complete_cause else f"At {_stamp(now)} {cause}", now, new_id)


def complete(group: Group, instance_id: str, hook: str, result: str, now: float, new_id: Callable[[], str],
             why: str = "Lifecycle Action Completed with ABANDON Result") -> list[Effect]:
    """End a member's wait at `hook` with CONTINUE or ABANDON; the next `step` moves it on. The wait must exist.

    What the activity then says of an abandoned launch: https://repost.aws/knowledge-center/lifecycle-actions-code-deploy
    """
    effects: list[Effect] = []
    member = group["Members"][instance_id]
    launching = member["State"].startswith("Pending")
    token = member["Waits"].pop(hook)["Token"]
    if result == "ABANDON":
        member["Waits"] = {}
        if launching:
            _end_activity(group, member, "Cancelled", now, (
                f"Instance failed to complete user's Lifecycle Action: Lifecycle Action with token {token} was abandoned: {why}"))
            effects.append(_event(group, member, "EC2 Instance Launch Unsuccessful"))
            begin_termination(group, instance_id, f"an instance was taken out of service: lifecycle hook {hook} was completed with ABANDON.",
                              now, new_id, effects)
            return effects
    if not member["Waits"]:
        member["State"] = "Pending:Proceed" if launching else "Terminating:Proceed"
    return effects


def heartbeat(group: Group, instance_id: str, hook: str, now: float) -> None:
    """Begin the wait of a member at `hook` anew, within its global timeout."""
    group["Members"][instance_id]["Waits"][hook]["Deadline"] = now + group["Hooks"].get(hook, {}).get("Heartbeat", HOOK_SECONDS)


def launched(group: Group, launch_id: str, instance: dict[str, str], number: int) -> bool:
    """EC2 answered a launch with `instance` {InstanceId, InstanceType, ImageId}, of launch template version `number`.

    Returns False if the group no longer wants it (then the caller terminates it).
    """
    member = group["Members"].pop(launch_id, None)
    if member is None:
        return False
    member.update(Id=instance["InstanceId"], InstanceType=instance["InstanceType"], ImageId=instance["ImageId"])
    member["LaunchTemplate"]["Number"] = number
    group["Members"][member["Id"]] = member
    group["Failures"] = 0
    activity = _activity(group, member["Activity"])
    if activity is not None:
        activity["Description"] = f"Launching a new EC2 instance: {member['Id']}"
        activity["Progress"] = 30
    return True


def launch_failed(group: Group, launch_id: str, message: str, now: float) -> list[Effect]:
    """EC2 refused a launch: the activity failed, and the next try waits a while longer each time."""
    member = group["Members"].pop(launch_id, None)
    if member is None:
        return []
    group["Failures"] += 1
    group["RetryAt"] = now + min(RETRY_SECONDS * 2 ** (group["Failures"] - 1), RETRY_SECONDS_MAX)
    _end_activity(group, member, "Failed", now, f"{message} Launching EC2 instance failed.")
    return [_event(group, member, "EC2 Instance Launch Unsuccessful")]


def registered(group: Group, instance_id: str, done: bool) -> bool:
    """The target groups took a member in (or not: then it is tried again); return whether they must let it go: it began to leave meanwhile."""
    member = group["Members"].get(instance_id)
    if member is not None:
        member["Registered"], member["Registering"] = done, False
    return done and (member is None or str(member["State"]).startswith("Terminating"))


def drop_unanswered(group: Group) -> None:
    """After a restart: launches that were under way have nobody to report them; they begin anew."""
    for launch_id in [known for known in group["Members"] if known.startswith("launch-")]:
        del group["Members"][launch_id]
    for member in group["Members"].values():
        member["Registering"] = False
        member.pop("Ended", None)


def _begin_waits(group: Group, member: Member, transition: str, now: float, new_id: Callable[[], str], effects: list[Effect]) -> None:
    """Stop at the hooks of a transition, all at once; without hooks go on."""
    prefix = "Pending" if transition == LAUNCHING else "Terminating"
    hooks = {name: hook for name, hook in group["Hooks"].items() if hook["Transition"] == transition}
    # An instance that never served, and those of a group that is deleted, end without asking anybody.
    if transition == TERMINATING and (not member["Served"] or group["Deleting"]):
        hooks = {}
    member["State"] = f"{prefix}:Wait" if hooks else f"{prefix}:Proceed"
    for name, hook in hooks.items():
        token = new_id()
        limit = min(hook["Heartbeat"] * GLOBAL_HEARTBEATS, GLOBAL_SECONDS_MAX)
        member["Waits"][name] = {"Token": token, "Deadline": now + hook["Heartbeat"], "Until": now + limit}
        effects.append(Effect("hook", member["Id"], {"Hook": name, "Token": token, "Transition": transition, "Metadata": hook["Metadata"]}))
    activity = _activity(group, member["Activity"])
    if activity is not None and hooks:
        activity["StatusCode"] = "MidLifecycleAction"


def _population(group: Group, zone: str) -> int:
    return sum(counts(member) and member["Zone"] == zone for member in group["Members"].values())


def _activity(group: Group, activity_id: str) -> dict[str, Any] | None:
    return next((entry for entry in group["Activities"] if entry["ActivityId"] == activity_id), None)


def _begin_activity(group: Group, member: Member, description: str, cause: str, now: float, new_id: Callable[[], str]) -> dict[str, Any]:
    activity = {"ActivityId": new_id(), "AutoScalingGroupName": group["Name"], "AutoScalingGroupARN": group["Arn"], "Description": description,
                "Cause": cause[:1023], "StartTime": now, "StatusCode": "InProgress", "Progress": 0,
                "Details": json.dumps({"Subnet ID": member["Subnet"], "Availability Zone": member["Zone"]})}
    member["Activity"] = activity["ActivityId"]
    group["Activities"].insert(0, activity)
    del group["Activities"][ACTIVITIES_KEPT:]
    return activity


def _end_activity(group: Group, member: Member, status: str, now: float, message: str = "") -> None:
    activity = _activity(group, member["Activity"])
    if activity is not None and "EndTime" not in activity:
        activity.update(StatusCode=status, EndTime=now, Progress=100, **({"StatusMessage": message[:255]} if message else {}))


def _event(group: Group, member: Member, detail_type: str) -> Effect:
    activity = _activity(group, member["Activity"]) or {}
    return Effect("event", member["Id"], {"DetailType": detail_type, "Detail": {
        "StatusCode": activity.get("StatusCode", "InProgress"), "AutoScalingGroupName": group["Name"], "ActivityId": member["Activity"],
        "Details": json.loads(activity.get("Details", "{}")), "RequestId": member["Activity"], "EndTime": _stamp(activity.get("EndTime", 0.0)),
        "EC2InstanceId": "" if member["Id"].startswith("launch-") else member["Id"], "StartTime": _stamp(activity.get("StartTime", 0.0)),
        "Cause": activity.get("Cause", ""), "StatusMessage": activity.get("StatusMessage", ""), "Description": activity.get("Description", "")}})


def _stamp(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
