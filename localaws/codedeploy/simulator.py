"""Simulated hosts, balancer, alarms and Auto Scaling for CodeDeploy in virtual time.

`Simulation` is the real Api over a simulated world: agents that speak the command protocol, target groups that drain and check
health, alarms set by hand. A second of virtual time costs well under a millisecond.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localaws.clock import VirtualClock
from localaws.codedeploy.api import Api
from localaws.codedeploy.driver import AlarmStates, Instance, WorldError
from localaws.service import Context, ServiceError

ACCOUNT, REGION = "111122223333", "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/codedeploy"
Outcome = tuple[float, bool, dict[str, Any]]
"""(seconds an event takes, whether it succeeds, the agent's diagnostics)."""


@dataclass
class SimulatedHost:
    """An instance with an agent. `behave(event, bundle key)` says what becomes of an event."""

    id: str
    zone: str
    behave: Callable[[str, str], Outcome]
    alive: bool = True
    lifecycle: str = "InService"
    installed: str | None = None
    busy: tuple[float, dict[str, Any], str, bool, dict[str, Any]] | None = None
    deaf_to: set[str] = field(default_factory=set)
    ran: list[tuple[str, str]] = field(default_factory=list)
    """(event, bundle key) in the order in which the agent finished them."""


def well(event: str, bundle: str) -> Outcome:
    """Every event succeeds in a second."""
    return 1.0, True, {"error_code": 0, "script_name": "", "message": "Succeeded", "log": ""}


def failing(bundle_name: str, at: str, seconds: float = 1.0) -> Callable[[str, str], Outcome]:
    """Behaviour of a host on which the script of event `at` of one bundle exits with 1."""
    def behave(event: str, bundle: str) -> Outcome:
        if (event, bundle) != (at, bundle_name):
            return well(event, bundle)
        return seconds, False, {"error_code": 4, "script_name": f"hooks/{at}.sh", "message": "Script at specified location failed",
                                "log": f"LifecycleEvent - {at}\n[stderr]it broke"}
    return behave


class SimulatedWorld:
    """Everything that a deployment group's service role can see. Its own session."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.hosts: dict[str, SimulatedHost] = {}
        self.alarm_states: dict[str, str] = {}
        self.denied: dict[str, str | WorldError] = {}
        """method name -> errorInformation code with which it is refused, or the very error."""
        self.target_groups: dict[str, dict[str, tuple[str, float]]] = {}
        self.drain_seconds, self.health_seconds, self.service_seconds = 5.0, 3.0, 10.0
        self.proceeding: dict[str, float] = {}
        """Instances that Auto Scaling puts in service (and into the balancer) at that time."""
        self.hooks: dict[str, tuple[str, str]] = {}
        self.answers: list[tuple[str, str]] = []
        self.heartbeats: list[str] = []
        self.published: list[tuple[str, str, str]] = []

    def session(self, role: str, region: str) -> SimulatedWorld:
        self._allow("assume")
        return self

    def missing_groups(self, names: list[str]) -> list[str]:
        self._allow("missing_groups")
        return [name for name in names if name != "asg"]

    def instances(self, groups: list[str]) -> list[Instance]:
        self._allow("instances")
        return [Instance(host.id, host.zone) for host in self.hosts.values() if host.lifecycle == "InService"]

    def ended(self, instances: list[str]) -> list[str]:
        self._allow("ended")
        return [instance for instance in instances if instance not in self.hosts or self.hosts[instance].lifecycle == "Terminated"]

    def put_hook(self, group: str, hook: str, transition: str, metadata: str) -> None:
        self._allow("put_hook")
        self.hooks[hook] = (group, transition)

    def delete_hook(self, group: str, hook: str) -> None:
        self._allow("delete_hook")
        self.hooks.pop(hook, None)

    def complete_hook(self, group: str, hook: str, token: str, instance: str, result: str) -> None:
        self._allow("complete_hook")
        self.answers.append((instance, result))
        if instance in self.hosts:
            launching = self.hosts[instance].lifecycle.startswith("Pending")
            self.hosts[instance].lifecycle = "Pending:Proceed" if launching and result == "CONTINUE" else "Terminated"
            self.proceeding[instance] = self.clock.now() + self.service_seconds

    def heartbeat(self, group: str, hook: str, token: str, instance: str) -> None:
        self._allow("heartbeat")
        self.heartbeats.append(instance)

    def alarms(self, names: list[str]) -> AlarmStates:
        self._allow("alarms")
        return AlarmStates([name for name in names if self.alarm_states.get(name) == "ALARM"],
                           [name for name in names if name not in self.alarm_states])

    def block(self, target_groups: list[str], instance: str) -> bool:
        self._allow("block")
        now, done = self.clock.now(), True
        for name in target_groups:
            targets = self.target_groups.setdefault(name, {})
            state, since = targets.get(instance, ("", 0.0))
            if state and state != "draining":
                state, since = targets[instance] = ("draining", now)
            if state == "draining" and now - since >= self.drain_seconds:
                del targets[instance]
            done = done and instance not in targets
        return done

    def allow(self, target_groups: list[str], instance: str) -> bool:
        self._allow("allow")
        now, done = self.clock.now(), True
        for name in target_groups:
            targets = self.target_groups.setdefault(name, {})
            if targets.get(instance, ("draining", 0.0))[0] == "draining":
                targets[instance] = ("initial", now)
            if now - targets[instance][1] >= self.health_seconds and self.hosts[instance].alive:
                targets[instance] = ("healthy", targets[instance][1])
            done = done and targets[instance][0] == "healthy"
        return done

    def publish(self, topic: str, subject: str, message: str) -> None:
        self._allow("publish")
        self.published.append((topic, subject, message))

    def _allow(self, method: str) -> None:
        if method in self.denied:
            why = self.denied[method]
            raise why if isinstance(why, WorldError) else WorldError(why, f"{ROLE} is not allowed {method}")


class PlainSigner:
    """Leaves a specification as it is."""

    def sign(self, specification: dict[str, Any]) -> str:
        return json.dumps(specification)


class _Aws:
    """As much of `localaws.service.Aws` as CodeDeploy asks for."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock, self.state_dir = clock, Path("/nonexistent")
        self.events: list[tuple[str, dict[str, Any], list[str]]] = []

    def check_pass_role(self, ctx: Context, role_arn: str, service_principal: str) -> None:
        """Everybody may."""

    def emit(self, account: str, region: str, source: str, detail_type: str, detail: dict[str, Any], resources: list[str]) -> None:
        self.events.append((detail_type, detail, resources))


class Simulation:
    """One application `app` with one deployment group `fleet` on the Auto Scaling group `asg`.

    `zones` gives the zone of each host; they are born healthy in the balancer, with nothing installed.
    """

    def __init__(self, zones: str = "abc", *, minimum: dict[str, Any] | None = None, zonal: dict[str, Any] | None = None,
                 traffic: bool = True, alarms: tuple[str, ...] = (), seed: int = 1, **group: Any) -> None:
        self.clock = VirtualClock()
        self.aws = _Aws(self.clock)
        self.world = SimulatedWorld(self.clock)
        self.api = Api(self.aws, self.world, random.Random(seed), PlainSigner())  # type: ignore[arg-type]
        self.ctx = Context(ACCOUNT, REGION, f"arn:aws:iam::{ACCOUNT}:root", "key")
        self.watchers: list[Callable[[Simulation], None]] = []
        for zone in zones:
            self.add_host(zone)
        self.world.alarm_states = dict.fromkeys(alarms, "OK")
        self.call("CreateApplication", applicationName="app")
        self.call("CreateDeploymentConfig", deploymentConfigName="config", zonalConfig=zonal,
                  minimumHealthyHosts=minimum or {"type": "FLEET_PERCENT", "value": 66})
        style = "WITH_TRAFFIC_CONTROL" if traffic else "WITHOUT_TRAFFIC_CONTROL"
        self.call("CreateDeploymentGroup", **{
            "applicationName": "app", "deploymentGroupName": "fleet", "deploymentConfigName": "config", "serviceRoleArn": ROLE,
            "autoScalingGroups": ["asg"], "deploymentStyle": {"deploymentType": "IN_PLACE", "deploymentOption": style},
            "loadBalancerInfo": {"targetGroupInfoList": [{"name": "targets"}]} if traffic else None,
            "alarmConfiguration": {"enabled": bool(alarms), "alarms": [{"name": name} for name in alarms]},
            "autoRollbackConfiguration": {"enabled": True, "events": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM"]}} | group)

    def call(self, operation: str, **params: Any) -> dict[str, Any]:
        """Call an operation of the Api by its AWS name."""
        name = "".join("_" + letter.lower() if letter.isupper() else letter for letter in operation).lstrip("_")
        return getattr(self.api, name)(self.ctx, {key: value for key, value in params.items() if value is not None}) or {}

    def add_host(self, zone: str, lifecycle: str = "InService") -> SimulatedHost:
        """Add an instance; in service it is healthy in the balancer at once."""
        host = SimulatedHost(f"i-{len(self.world.hosts):04d}", zone, well, lifecycle=lifecycle)
        self.world.hosts[host.id] = host
        if lifecycle == "InService":
            self.world.target_groups.setdefault("targets", {})[host.id] = ("healthy", self.clock.now())
        return host

    def launch(self, zone: str) -> SimulatedHost:
        """Scale out by one: Auto Scaling holds the new instance at CodeDeploy's launch hook."""
        host = self.add_host(zone, "Pending:Wait")
        hook = next(name for name, (_, transition) in self.world.hooks.items() if transition.endswith("LAUNCHING"))
        self.api.on_instance_launching(ACCOUNT, REGION, "asg", host.id, hook, "token")
        return host

    def deploy(self, bundle: str, **options: Any) -> str:
        """Create a deployment of s3://bucket/`bundle` and return its id."""
        return str(self.call("CreateDeployment", applicationName="app", deploymentGroupName="fleet", revision=revision(bundle),
                             **options)["deploymentId"])

    def run(self, seconds: float, step: float = 1.0) -> None:
        """Let virtual time pass."""
        end = self.clock.now() + seconds
        while self.clock.now() < end:
            for host in self.world.hosts.values():
                self._agent(host)
                if host.lifecycle == "Pending:Proceed" and self.clock.now() >= self.world.proceeding[host.id]:
                    host.lifecycle = "InService"
                    self.world.target_groups.setdefault("targets", {})[host.id] = ("healthy", self.clock.now())
            self.api.work()
            for watcher in self.watchers:
                watcher(self)
            self.clock.advance(step)

    def finish(self, deployment_id: str, limit: float = 24 * 3600) -> dict[str, Any]:
        """Run until the deployment has ended and return its info. Raises AssertionError after `limit` virtual seconds."""
        end = self.clock.now() + limit
        while self.info(deployment_id)["status"] in ("Created", "Queued", "InProgress"):
            assert self.clock.now() < end, f"{deployment_id} did not end"
            self.run(1)
        self.run(2)  # what follows from it
        return self.info(deployment_id)

    def ship(self, bundle: str, **options: Any) -> dict[str, Any]:
        """Deploy and finish."""
        return self.finish(self.deploy(bundle, **options))

    def info(self, deployment_id: str) -> dict[str, Any]:
        """deploymentInfo."""
        return dict(self.call("GetDeployment", deploymentId=deployment_id)["deploymentInfo"])

    def events_of(self, deployment_id: str, host: str) -> dict[str, dict[str, Any]]:
        """A target's lifecycle events by name."""
        target = self.call("GetDeploymentTarget", deploymentId=deployment_id, targetId=host)["deploymentTarget"]["instanceTarget"]
        return {event["lifecycleEventName"]: event for event in target["lifecycleEvents"]}

    def installed(self) -> list[str | None]:
        """The bundle on each host in service."""
        return [host.installed for host in self.world.hosts.values() if host.lifecycle == "InService" and host.alive]

    def agent_call(self, host: SimulatedHost, operation: str, **params: Any) -> dict[str, Any]:
        """A call of the host's agent with the host's own credentials."""
        ctx = Context(ACCOUNT, REGION, f"arn:aws:sts::{ACCOUNT}:assumed-role/host/{host.id}", "key")
        return self.api.handle_command(operation, params, ctx)

    def _agent(self, host: SimulatedHost) -> None:
        if not host.alive:
            return
        if host.busy is not None:
            until, finished, bundle, ok, told = host.busy
            if self.clock.now() < until:
                return
            host.busy = None
            host.ran.append((finished["CommandName"], bundle))
            if ok and finished["CommandName"] == "Install":
                host.installed = bundle
            done = {"HostCommandIdentifier": finished["HostCommandIdentifier"], "CommandStatus": "Succeeded" if ok else "Failed"}
            self.agent_call(host, "PutHostCommandComplete", Diagnostics={"Format": "JSON", "Payload": json.dumps(told)}, **done)
            if not ok:  # as the real agent does
                again = json.dumps({"error_code": 5, "script_name": "", "message": "the second word", "log": ""})
                self.agent_call(host, "PutHostCommandComplete", Diagnostics={"Format": "JSON", "Payload": again}, **done)
            return
        name = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{host.id}"
        command: dict[str, Any] = self.agent_call(host, "PollHostCommand", HostIdentifier=name).get("HostCommand") or {}
        if not command or command["CommandName"] in host.deaf_to:
            return
        envelope = self.agent_call(host, "GetDeploymentSpecification", HostIdentifier=name,
                                   DeploymentExecutionId=command["DeploymentExecutionId"])
        specification = json.loads(envelope["DeploymentSpecification"]["GenericEnvelope"]["Payload"])
        bundle = specification["Revision"]["S3Revision"]["Key"]
        status = self.agent_call(host, "PutHostCommandAcknowledgement", HostCommandIdentifier=command["HostCommandIdentifier"],
                                 Diagnostics={"Format": "JSON", "Payload": '{"IsCommandNoop":false}'})["CommandStatus"]
        if status == "InProgress":
            seconds, ok, told = host.behave(command["CommandName"], bundle)
            host.busy = (self.clock.now() + seconds, command, bundle, ok, told)


def revision(bundle: str) -> dict[str, Any]:
    """The revision s3://bucket/`bundle`."""
    return {"revisionType": "S3", "s3Location": {"bucket": "bucket", "key": bundle, "bundleType": "zip"}}


__all__ = ["ACCOUNT", "REGION", "ROLE", "ServiceError", "SimulatedHost", "SimulatedWorld", "Simulation", "failing", "revision", "well"]
