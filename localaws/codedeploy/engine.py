"""Decides what a deployment does next: pure, over plain data and a given time.

A deployment is a JSON-able dict. The engine owns these keys of it (times are epoch seconds):

    status          Created | InProgress | Succeeded | Failed | Stopped
    startTime, completeTime, errorInformation {code, message}, stoppedBy alarm | request | None
    minimumHealthyHosts {type, value}, zonalConfig {...} | None     the configuration's, copied at creation
    eventNames      the lifecycle events of each target, in order
    ignoreApplicationStopFailures
    hostCount, minimum, bystanders      instances of the group; how many must stay healthy; healthy ones that are not targets
    zones [name], zoneIndex, zoneDoneAt     one entry "" without a zonal configuration
    zoneMinimums {zone: count}
    targets {instance id: {zone, healthy, rank, status, lastUpdatedAt, events: [event]}}

An event is {name, status, offeredAt, acknowledged, startTime, endTime, diagnostics}. The rules are those of the user guide's
"Instance health" page; where AWS documents nothing, the function says which way was chosen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Deployment = dict[str, Any]
Target = dict[str, Any]
Event = dict[str, Any]

BEFORE_TRAFFIC = ["BeforeBlockTraffic", "BlockTraffic", "AfterBlockTraffic"]
INSTALL = ["ApplicationStop", "DownloadBundle", "BeforeInstall", "Install", "AfterInstall", "ApplicationStart", "ValidateService"]
AFTER_TRAFFIC = ["BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic"]
OWN_EVENTS = frozenset({"BlockTraffic", "AllowTraffic"})
"""Events that CodeDeploy does itself; every other one is a command to the agent."""
IGNORABLE = frozenset({"ApplicationStop", "BeforeBlockTraffic", "AfterBlockTraffic"})
"""Events whose failure `ignoreApplicationStopFailures` forgives (API reference, CreateDeployment)."""

START_SECONDS: float = 300
"""An agent that has not begun an event after this long is taken for absent; `Api.absent_after` changes it for a case that has no five minutes."""
EVENT_SECONDS = 3600
DEPLOYMENT_SECONDS = 12 * 3600

ACTIVE = ("Created", "Queued", "InProgress")
FINISHED = ("Succeeded", "Failed", "Skipped")

HEALTH_MESSAGE = (
    "The overall deployment failed because too many individual instances failed deployment, too few healthy instances are "
    "available for deployment, or some instances in your deployment group are experiencing problems.")
HEALTH_INVALID_MESSAGE = (
    "The deployment can't start because the minimum number of healthy instances, as defined by your deployment configuration, "
    "are not available. You can reduce the required number of healthy instances by updating your deployment configuration or "
    "increase the number of instances in this deployment group.")
NO_INSTANCES_MESSAGE = (
    "The deployment failed because no instances were found for your deployment group. Check your deployment group settings to "
    "make sure the tags for your Amazon EC2 instances or Auto Scaling groups correctly identify the instances you want to "
    "deploy to, and then try again.")
ALARM_MESSAGE = (
    "One or more alarms have been activated according to the Amazon CloudWatch metrics you selected, and the affected "
    "deployments have been stopped. Activated alarms: ")
AGENT_MESSAGE = (
    "CodeDeploy agent was not able to receive the lifecycle event. Check the CodeDeploy agent logs on your host and make sure "
    "the agent is running and can connect to the CodeDeploy server.")


@dataclass(frozen=True)
class Host:
    """An instance of the deployment group as it was seen when the deployment starts.

    `healthy`: the last deployment to it succeeded (an instance that never had one is not). `rank`: 0 nothing known to be
    installed, 1 an older revision, 2 the current one; lower ranks go first. `outdated`: it does not have this deployment's
    revision.
    """

    id: str
    zone: str
    healthy: bool = False
    rank: int = 0
    outdated: bool = True


def event_names(traffic: bool, termination: bool = False) -> list[str]:
    """The lifecycle events of a target in AWS's order; a termination hook runs only what stops the application."""
    if termination:
        return (BEFORE_TRAFFIC if traffic else []) + ["ApplicationStop"]
    return BEFORE_TRAFFIC + INSTALL + AFTER_TRAFFIC if traffic else list(INSTALL)


def required(minimum: dict[str, Any], hosts: int) -> int:
    """How many of `hosts` must be healthy: percentages round up; MOST_CONCURRENCY is CodeDeployDefault.OneAtATime's own type."""
    value = int(minimum["value"])
    if minimum["type"] == "FLEET_PERCENT":
        return -(-hosts * value // 100)
    if minimum["type"] == "MOST_CONCURRENCY":
        return max(0, hosts - value)
    return value


# What comes in.

def begin(deployment: Deployment, hosts: Iterable[Host], now: float, outdated_only: bool = False) -> None:
    """Start a Created deployment on the instances that the group has now.

    With `outdated_only` the others stay as they are, and count among the healthy ones if they are. Order of the zones is not
    documented: chosen is the documented order of instances (unhealthy, unknown, old, current revision), then the name, so that a
    rollback repairs the zone that failed before it touches a good one.
    """
    hosts = list(hosts)
    chosen = [host for host in hosts if host.outdated or not outdated_only]
    deployment.update(status="InProgress", startTime=now, hostCount=len(hosts), targets={
        host.id: {"zone": host.zone, "healthy": host.healthy, "rank": host.rank, "status": "Pending", "lastUpdatedAt": now,
                  "events": [_event(name) for name in deployment["eventNames"]]} for host in chosen})
    deployment["bystanders"] = sum(1 for host in hosts if host.healthy and host not in chosen)
    deployment["minimum"] = required(deployment["minimumHealthyHosts"], len(hosts))
    zonal = deployment.get("zonalConfig")
    by_zone: dict[str, list[Host]] = {}
    for host in chosen:
        by_zone.setdefault(host.zone if zonal else "", []).append(host)
    deployment["zones"] = sorted(by_zone, key=lambda zone: (
        all(host.healthy for host in by_zone[zone]), min(host.rank for host in by_zone[zone]), zone))
    # Without the option AWS takes 0 percent.
    zone_minimum = (zonal or {}).get("minimumHealthyHostsPerZone") or {"type": "FLEET_PERCENT", "value": 0}
    in_zone = {zone: sum(1 for host in hosts if not zonal or host.zone == zone) for zone in by_zone}
    deployment["zoneMinimums"] = {zone: required(zone_minimum, count) for zone, count in in_zone.items()}
    deployment.update(zoneIndex=0, zoneDoneAt=None)
    if not chosen:
        fail(deployment, "NO_INSTANCES", NO_INSTANCES_MESSAGE, now)
    elif deployment["minimum"] > len(hosts):
        fail(deployment, "HEALTH_CONSTRAINTS_INVALID", HEALTH_INVALID_MESSAGE, now)
    advance(deployment, now)


def advance(deployment: Deployment, now: float) -> None:
    """Let time pass: end events that took too long, start the next targets, zones, or end the deployment."""
    if deployment["status"] != "InProgress":
        return
    for target in _targets(deployment, "InProgress"):
        _expire(deployment, target, now)
    if now - deployment["startTime"] > DEPLOYMENT_SECONDS:
        fail(deployment, "TIMEOUT", "The deployment did not finish within 12 hours.", now)
    while deployment["status"] == "InProgress" and _schedule(deployment, now):
        pass


def deliver(deployment: Deployment, instance: str, now: float) -> str | None:
    """Hand the instance's agent the event it is to run, or None. Handed out again until it is acknowledged."""
    event = _current(deployment, instance)
    if event is None or event["name"] in OWN_EVENTS or event["acknowledged"]:
        return None
    if event["status"] == "Pending":
        event.update(status="InProgress", startTime=now)
    return str(event["name"])


def acknowledge(deployment: Deployment, instance: str, name: str, now: float) -> str:
    """The agent is about to run the event; return its status: an agent runs it only while that is InProgress."""
    event = _find(deployment, instance, name)
    if event is None:
        return "Failed"
    if event is _current(deployment, instance) and event["status"] in ("Pending", "InProgress"):
        event.update(status="InProgress", acknowledged=True, startTime=event["startTime"] or now)
        return "InProgress"
    return "Succeeded" if event["status"] == "Succeeded" else "Failed"


def complete(deployment: Deployment, instance: str, name: str, succeeded: bool, diagnostics: dict[str, str], now: float) -> bool:
    """An event ended. Only the first word on it counts; return whether this was it."""
    event = _current(deployment, instance)
    if event is None or event["name"] != name or event["status"] != "InProgress":
        return False
    _end_event(deployment, deployment["targets"][instance], event, succeeded, diagnostics, now)
    advance(deployment, now)
    return True


def own_work(deployment: Deployment) -> list[tuple[str, str]]:
    """The (instance, BlockTraffic | AllowTraffic) that CodeDeploy itself has to bring about now."""
    if deployment["status"] != "InProgress":
        return []
    current = [(instance, _current(deployment, instance)) for instance in deployment["targets"]]
    return [(instance, event["name"]) for instance, event in current if event is not None and event["name"] in OWN_EVENTS]


def stop_on_alarm(deployment: Deployment, active: list[str], now: float) -> None:
    """Alarms are in ALARM: AWS ends the deployment as Stopped (also one that had not begun), code ALARM_ACTIVE."""
    message = ALARM_MESSAGE + " ".join(f"<{name}>" for name in sorted(active))
    _end(deployment, "Stopped", now, {"code": "ALARM_ACTIVE", "message": message})
    deployment["stoppedBy"] = "alarm"


def stop_on_request(deployment: Deployment, now: float, rollback: bool | None) -> None:
    """StopDeployment. `rollback` True or False overrides what the deployment was configured to do."""
    _end(deployment, "Stopped", now, {"code": "MANUAL_STOP", "message": "The deployment was stopped by a user."})
    deployment.update(stoppedBy="request", rollbackAsked=rollback)


def fail(deployment: Deployment, code: str, message: str, now: float) -> None:
    """End the deployment as Failed."""
    _end(deployment, "Failed", now, {"code": code, "message": message})


def instance_ended(deployment: Deployment, instance: str, now: float) -> None:
    """An instance that is being deployed to was terminated: it will never report, so its event fails now."""
    event = _current(deployment, instance)
    if event is not None:
        message = f"The instance {instance} was terminated during the deployment."
        _end_event(deployment, deployment["targets"][instance], event, False, diagnosis(5, message=message), now)


def in_progress(deployment: Deployment) -> list[str]:
    """The instances that are being deployed to."""
    return [instance for instance, target in (deployment.get("targets") or {}).items() if target["status"] == "InProgress"]


# What is asked of a deployment that ended.

def wants_rollback(deployment: Deployment) -> bool:
    """Whether CodeDeploy should redeploy the last successful revision. A rollback and a launch are never rolled back."""
    if deployment["status"] not in ("Failed", "Stopped") or deployment["creator"] not in ("user", "CodeDeployAutoUpdate"):
        return False
    if deployment.get("stoppedBy") == "request" and deployment.get("rollbackAsked") is not None:
        return bool(deployment["rollbackAsked"])
    config = deployment.get("autoRollbackConfiguration") or {}
    event = {"alarm": "DEPLOYMENT_STOP_ON_ALARM", "request": "DEPLOYMENT_STOP_ON_REQUEST"}.get(
        deployment.get("stoppedBy") or "", "DEPLOYMENT_FAILURE")
    return bool(config.get("enabled")) and event in (config.get("events") or [])


def overview(deployment: Deployment) -> dict[str, int]:
    """deploymentOverview: how many targets are in each status."""
    counts = dict.fromkeys(("Pending", "InProgress", "Succeeded", "Failed", "Skipped", "Ready"), 0)
    for target in (deployment.get("targets") or {}).values():
        counts[target["status"]] += 1
    return counts


# How it decides.

def _schedule(deployment: Deployment, now: float) -> bool:
    """Start what may start; return True if something moved, so that the caller looks again."""
    minimum, pending = deployment["minimum"], _targets(deployment, "Pending")
    in_flight = len(_targets(deployment, "InProgress"))
    lost = len(_targets(deployment, "Failed")) + (deployment["hostCount"] - deployment["bystanders"] - len(deployment["targets"]))
    # "If the number of healthy instances falls to the minimum at any point, CodeDeploy stops the deployment": one more failure
    # would go below it. The last instance is the exception: nothing is pending then.
    if pending and deployment["hostCount"] - lost <= minimum:
        if not in_flight:
            fail(deployment, "HEALTH_CONSTRAINTS", HEALTH_MESSAGE, now)
        return False
    zone = deployment["zones"][deployment["zoneIndex"]]
    here = [target for target in deployment["targets"].values() if zone in ("", target["zone"])]
    waiting = [target for target in here if target["status"] == "Pending"]
    if not waiting:
        return not any(target["status"] == "InProgress" for target in here) and _leave_zone(deployment, zone, here, now)
    # Unhealthy instances go first and alone: taking one costs nothing, and what they become decides whether others may go.
    unhealthy = [target for target in here if not target["healthy"] and target["status"] in ("Pending", "InProgress")]
    candidates = [target for target in waiting if not target["healthy"]] if unhealthy else waiting
    for target in sorted(candidates, key=lambda candidate: candidate["rank"]):
        # How many unhealthy instances go at once is not documented; chosen: as many as would go if they were healthy.
        room = in_flight < max(1, deployment["hostCount"] - minimum)
        spared = not target["healthy"] or (
            _serving(deployment) - 1 >= minimum and _serving(deployment, zone) - 1 >= deployment["zoneMinimums"][zone])
        if room and spared:
            _start_target(target, now)
            return True
    if not in_flight:
        fail(deployment, "HEALTH_CONSTRAINTS", HEALTH_MESSAGE, now)
    return False


def _leave_zone(deployment: Deployment, zone: str, here: list[Target], now: float) -> bool:
    """All targets of the zone ended: watch it for the configured time, then go to the next; or end."""
    serving = _serving(deployment, zone)
    if zone and serving < min(deployment["zoneMinimums"][zone], len(here)):
        fail(deployment, "HEALTH_CONSTRAINTS", HEALTH_MESSAGE, now)
        return True
    if deployment["zoneIndex"] + 1 == len(deployment["zones"]):
        succeeded = _targets(deployment, "Succeeded")
        if not succeeded or _serving(deployment) < deployment["minimum"]:
            fail(deployment, "HEALTH_CONSTRAINTS", HEALTH_MESSAGE, now)
        else:
            deployment.update(status="Succeeded", completeTime=now)
        return True
    if deployment["zoneDoneAt"] is None:
        deployment["zoneDoneAt"] = now
    zonal = deployment["zonalConfig"]
    seconds = zonal.get("monitorDurationInSeconds") or 0
    if deployment["zoneIndex"] == 0 and zonal.get("firstZoneMonitorDurationInSeconds") is not None:
        seconds = zonal["firstZoneMonitorDurationInSeconds"]
    if now - deployment["zoneDoneAt"] < seconds:
        return False
    deployment.update(zoneIndex=deployment["zoneIndex"] + 1, zoneDoneAt=None)
    return True


def _serving(deployment: Deployment, zone: str = "") -> int:
    """Healthy instances that are not being deployed to, of the zone or of all."""
    here = [target for target in deployment["targets"].values() if zone in ("", target["zone"])]
    serving = sum(1 for target in here if target["status"] == "Succeeded" or (target["healthy"] and target["status"] == "Pending"))
    return serving + (0 if zone else deployment["bystanders"])


def _start_target(target: Target, now: float) -> None:
    target.update(status="InProgress", lastUpdatedAt=now)
    _offer(target["events"][0], now)


def _offer(event: Event, now: float) -> None:
    event["offeredAt"] = now
    if event["name"] in OWN_EVENTS:
        event.update(status="InProgress", startTime=now, acknowledged=True)


def _end_event(deployment: Deployment, target: Target, event: Event, succeeded: bool, diagnostics: dict[str, str], now: float) -> None:
    event.update(status="Succeeded" if succeeded else "Failed", endTime=now, diagnostics=diagnostics)
    target["lastUpdatedAt"] = now
    if not succeeded and not (deployment.get("ignoreApplicationStopFailures") and event["name"] in IGNORABLE):
        _end_target(target, "Failed", now)
        return
    later = [other for other in target["events"] if other["status"] == "Pending"]
    if later:
        _offer(later[0], now)
    else:
        _end_target(target, "Succeeded", now)


def _end_target(target: Target, status: str, now: float) -> None:
    for event in target["events"]:
        if event["status"] == "Pending":
            event["status"] = "Skipped"
    target.update(status=status, lastUpdatedAt=now)


def _expire(deployment: Deployment, target: Target, now: float) -> None:
    """End the target's event if its agent never began it, or it takes more than an hour."""
    event = next(event for event in target["events"] if event["status"] in ("Pending", "InProgress"))
    if not event["acknowledged"] and now - event["offeredAt"] >= START_SECONDS:
        _end_event(deployment, target, event, False, diagnosis(5, message=AGENT_MESSAGE), now)
    elif event["acknowledged"] and now - event["startTime"] >= EVENT_SECONDS:
        message = f"The lifecycle event {event['name']} did not finish within {EVENT_SECONDS} seconds."
        _end_event(deployment, target, event, False, diagnosis(5, message=message), now)


def _end(deployment: Deployment, status: str, now: float, error: dict[str, str]) -> None:
    """End the deployment. What runs on an instance is given up (its agent's late word is ignored), the rest is skipped."""
    for target in (deployment.get("targets") or {}).values():
        if target["status"] == "InProgress":
            for event in target["events"]:
                if event["status"] == "InProgress":
                    event.update(status="Failed", endTime=now, diagnostics=diagnosis(5, message=error["message"]))
            _end_target(target, "Failed", now)
        elif target["status"] == "Pending":
            _end_target(target, "Skipped", now)
    deployment.update(status=status, completeTime=now, errorInformation=error)


def diagnosis(code: int, script: str = "", message: str = "", log: str = "") -> dict[str, str]:
    """An event's diagnostics, from the agent's numeric code (0 to 7; those without a name of their own are UnknownError)."""
    names = ("Success", "ScriptMissing", "ScriptNotExecutable", "ScriptTimedOut", "ScriptFailed")
    return {"errorCode": names[code] if 0 <= code < len(names) else "UnknownError", "scriptName": script, "message": message,
            "logTail": log}


def _event(name: str) -> Event:
    return {"name": name, "status": "Pending", "offeredAt": None, "acknowledged": False, "startTime": None, "endTime": None,
            "diagnostics": None}


def _targets(deployment: Deployment, status: str) -> list[Target]:
    return [target for target in deployment["targets"].values() if target["status"] == status]


def _find(deployment: Deployment, instance: str, name: str) -> Event | None:
    target = (deployment.get("targets") or {}).get(instance)
    return next((event for event in target["events"] if event["name"] == name), None) if target else None


def _current(deployment: Deployment, instance: str) -> Event | None:
    """The event that the instance is at, if it is being deployed to."""
    target = (deployment.get("targets") or {}).get(instance)
    if deployment["status"] != "InProgress" or target is None or target["status"] != "InProgress":
        return None
    current: Event = next(event for event in target["events"] if event["status"] in ("Pending", "InProgress"))
    return current
