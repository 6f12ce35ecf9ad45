"""Auto Scaling's operations (Query protocol, 2011-01-01): groups, lifecycle hooks, processes, target groups, tags, activities.

Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/ ; wording of errors from AWS's answers in public issue threads.
"""

from __future__ import annotations

import concurrent.futures
import functools
import logging
import threading
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from botocore.exceptions import ClientError

from localaws.autoscaling import driver, engine
from localaws.service import Aws, Context, Service, ServiceError, Stores

log = logging.getLogger("localaws")

STEP_SECONDS = 1.0
AT_ONCE = 4
"""Launches and other slow work done at the same time."""
_UNPLAYED = ("LaunchConfigurationName", "MixedInstancesPolicy", "InstanceId", "LoadBalancerNames", "PlacementGroup", "TrafficSources",
             "InstanceMaintenancePolicy", "CapacityRebalance", "MaxInstanceLifetime", "AvailabilityZoneDistribution",
             "AvailabilityZoneImpairmentPolicy", "CapacityReservationSpecification", "InstanceLifecyclePolicy", "DesiredCapacityType")


class Api(Service):
    """Auto Scaling groups."""

    name = "autoscaling"
    iam = "autoscaling"

    def __init__(self, aws: Aws) -> None:
        super().__init__(aws)
        self._stores = Stores()
        self._pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE, "autoscaling")
        self._wake = threading.Event()

    def permissions(self, operation: str, params: dict[str, Any], ctx: Context) -> Iterable[tuple[str, str] | tuple[str, str, dict[str, Any]]]:
        """Writing operations ask for the group's ARN; Describe* know no resources."""
        action = f"autoscaling:{operation}"
        if operation.startswith("Describe"):
            return [(action, "*")]
        names = [params["AutoScalingGroupName"]] if params.get("AutoScalingGroupName") else []
        if operation == "CreateOrUpdateTags":
            names = [tag.get("ResourceId", "") for tag in params["Tags"]]
        if operation in ("SetInstanceHealth", "TerminateInstanceInAutoScalingGroup"):
            group = self._group_of(ctx, params.get("InstanceId", ""))
            names = [group["Name"]] if group else []
        tags = {f"aws:RequestTag/{tag['Key']}": tag.get("Value", "") for tag in params.get("Tags") or []}
        return [(action, self._arn_of(ctx, name), tags) for name in dict.fromkeys(names)] or [(action, "*")]

    # -- groups ------------------------------------------------------------------------------------------------------------

    def create_auto_scaling_group(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Make a group; it launches its instances at once, in the background."""
        name = params["AutoScalingGroupName"]
        self._refuse_unplayed(params)
        with self.lock:
            if name in self._stores[ctx]["groups"]:
                pending = " and is pending delete" if self._stores[ctx]["groups"][name]["Deleting"] else ""
                raise _taken(name, pending)
        if not params.get("LaunchTemplate"):
            raise ServiceError("ValidationError", "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or "
                               "MixedInstancesPolicy parameter.")
        if not params.get("VPCZoneIdentifier"):
            raise ServiceError("ValidationError", "At least one Availability Zone or VPC Subnet is required.")
        zones = self._zones(ctx, params["VPCZoneIdentifier"])
        template = self._template(ctx, params["LaunchTemplate"])
        self._try_launch(ctx, template, zones[0][1])
        self._check_target_groups(ctx, params.get("TargetGroupARNs") or [])
        desired = params.get("DesiredCapacity", params["MinSize"])
        _check_sizes(params["MinSize"], params["MaxSize"], desired)
        group: engine.Group = {
            "Name": name, "Arn": f"arn:aws:autoscaling:{ctx.region}:{ctx.account}:autoScalingGroup:{uuid.uuid4()}:autoScalingGroupName/{name}",
            "Min": params["MinSize"], "Max": params["MaxSize"], "Desired": desired, "Zones": zones, "LaunchTemplate": template,
            "TargetGroups": list(params.get("TargetGroupARNs") or []), "HealthCheckType": params.get("HealthCheckType", "EC2"),
            "GracePeriod": params.get("HealthCheckGracePeriod", 0), "Protect": bool(params.get("NewInstancesProtectedFromScaleIn")),
            "Suspended": {}, "Created": self.aws.clock.now(), "Tags": [_tag(tag) for tag in params.get("Tags") or []], "Hooks": {},
            "Members": {}, "Activities": [], "RetryAt": 0.0, "Failures": 0, "Deleting": False, "Cooldown": params.get("DefaultCooldown", 300),
            "Policies": params.get("TerminationPolicies") or ["Default"], "Warmup": params.get("DefaultInstanceWarmup"),
            "Told": f"At {engine._stamp(self.aws.clock.now())} a user request created an AutoScalingGroup changing the desired capacity from "
                    f"0 to {desired}. "}
        for hook in params.get("LifecycleHookSpecificationList") or []:
            group["Hooks"][hook["LifecycleHookName"]] = _hook(hook, {})
        with self.lock:
            if name in self._stores[ctx]["groups"]:
                raise _taken(name)
            self._stores[ctx]["groups"][name] = group
        self._wake.set()
        return {}

    def update_auto_scaling_group(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Change a group; instances that run keep their launch template."""
        self._refuse_unplayed(params)
        with self.lock:
            group = self._group(ctx, params["AutoScalingGroupName"])
            old_zones, old_template = group["Zones"], group["LaunchTemplate"]
        zones = self._zones(ctx, params["VPCZoneIdentifier"]) if params.get("VPCZoneIdentifier") else old_zones
        template = self._template(ctx, params["LaunchTemplate"]) if params.get("LaunchTemplate") else old_template
        if template != old_template:
            self._try_launch(ctx, template, zones[0][1])
        with self.lock:
            group = self._group(ctx, params["AutoScalingGroupName"])
            sizes: dict[str, int] = {"MinSize": group["Min"], "MaxSize": group["Max"]} | params
            least, most = sizes["MinSize"], sizes["MaxSize"]
            # Without a desired capacity, the old one is moved into the new bounds.
            desired = params.get("DesiredCapacity", max(least, min(most, group["Desired"])))
            _check_sizes(least, most, desired)
            if desired != group["Desired"]:
                group["Told"] = (f"At {engine._stamp(self.aws.clock.now())} a user request update of AutoScalingGroup constraints to min: {least}, "
                                 f"max: {most}, desired: {desired} changing the desired capacity from {group['Desired']} to {desired}. ")
            group.update(Min=least, Max=most, Desired=desired, Zones=zones, LaunchTemplate=template, RetryAt=0.0)
            for name, key in (("HealthCheckType", "HealthCheckType"), ("HealthCheckGracePeriod", "GracePeriod"), ("DefaultCooldown", "Cooldown"),
                              ("NewInstancesProtectedFromScaleIn", "Protect"), ("TerminationPolicies", "Policies"),
                              ("DefaultInstanceWarmup", "Warmup")):
                if name in params:
                    group[key] = params[name]
        self._wake.set()
        return {}

    def delete_auto_scaling_group(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Remove an empty group, or with ForceDelete end its instances first."""
        with self.lock:
            group = self._group(ctx, params["AutoScalingGroupName"])
            if group["Members"] and not params.get("ForceDelete"):
                if any(member["State"] not in ("InService", "Standby") for member in group["Members"].values()):
                    raise ServiceError("ScalingActivityInProgress", "You cannot delete an AutoScalingGroup while there are scaling activities in "
                                       "progress for that group.")
                raise ServiceError("ResourceInUse", "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance "
                                   "request(s) still in the group.")
            if group["Members"]:
                group["Deleting"] = True
                for member in group["Members"].values():
                    member["Waits"] = {}
                    if member["State"] == "Terminating:Wait":
                        member["State"] = "Terminating:Proceed"
            else:
                del self._stores[ctx]["groups"][group["Name"]]
        self._wake.set()
        return {}

    def describe_auto_scaling_groups(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Tell groups, by name or by tag filters."""
        names = params.get("AutoScalingGroupNames") or []
        with self.lock:
            groups = [group for group in self._stores[ctx]["groups"].values()
                      if (not names or group["Name"] in names) and _passes(group, params.get("Filters") or [])]
            return _page([_describe(group) for group in sorted(groups, key=lambda group: str(group["Name"]))], params, "AutoScalingGroups", 50)

    def set_desired_capacity(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Change the desired capacity within the bounds."""
        with self.lock:
            group, wanted = self._group(ctx, params["AutoScalingGroupName"]), params["DesiredCapacity"]
            if wanted > group["Max"]:
                raise ServiceError("ValidationError", f"New SetDesiredCapacity value {wanted} is above max value {group['Max']} for the "
                                   "AutoScalingGroup.")
            if wanted < group["Min"]:
                raise ServiceError("ValidationError", f"New SetDesiredCapacity value {wanted} is below min value {group['Min']} for the "
                                   "AutoScalingGroup.")
            group["Told"] = (f"At {engine._stamp(self.aws.clock.now())} a user request explicitly set group desired capacity changing the desired "
                             f"capacity from {group['Desired']} to {wanted}. ")
            group["Desired"] = wanted
        self._wake.set()
        return {}

    # -- instances ---------------------------------------------------------------------------------------------------------

    def describe_auto_scaling_instances(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Tell the instances of all groups; ids that belong to none are left out."""
        ids = params.get("InstanceIds") or []
        with self.lock:
            shown = [{**_describe_member(member), "AutoScalingGroupName": group["Name"], "HealthStatus": member["Health"].upper()}
                     for group in self._stores[ctx]["groups"].values() for member in _shown(group) if not ids or member["Id"] in ids]
        return _page(sorted(shown, key=lambda entry: str(entry["InstanceId"])), params, "AutoScalingInstances", 50)

    def terminate_instance_in_auto_scaling_group(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """End one instance, replaced unless the desired capacity is to fall with it."""
        if params.get("InstanceIds"):
            raise ServiceError("ValidationError", "The local AWS ends one instance a call: use InstanceId.")
        instance_id = params.get("InstanceId", "")
        effects: list[engine.Effect] = []
        with self.lock:
            group = self._group_of(ctx, instance_id)
            if group is None:
                raise ServiceError("ValidationError", f"Instance Id not found - No managed instance found for instance ID: {instance_id}")
            if group["Members"][instance_id]["State"].startswith("Terminating"):
                raise ServiceError("ScalingActivityInProgress", f"Instance {instance_id} is being terminated already.")
            cause = "instance"
            if params["ShouldDecrementDesiredCapacity"]:
                if group["Desired"] <= group["Min"]:
                    raise ServiceError("ValidationError", f"Currently, desiredSize equals minSize ({group['Min']}). Terminating instance without "
                                       "replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to "
                                       "false or lower group's min size.")
                cause = f"instance, shrinking the capacity from {group['Desired']} to {group['Desired'] - 1}"
                group["Desired"] -= 1
            activity = engine.begin_termination(group, instance_id, f"{cause} was taken out of service in response to a user request.",
                                                self.aws.clock.now(), _new_id, effects)
            told = dict(activity)
        self._carry_out(ctx.account, ctx.region, group, effects)
        self._wake.set()
        return {"Activity": told}

    def set_instance_health(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Mark an instance Healthy or Unhealthy (then it is replaced)."""
        if params["HealthStatus"] not in ("Healthy", "Unhealthy"):
            raise ServiceError("ValidationError", "Valid instance health states are: [Healthy, Unhealthy].")
        with self.lock:
            group = self._group_of(ctx, params["InstanceId"])
            if group is None:
                raise ServiceError("ValidationError", f"Instance Id not found - No managed instance found for instance ID: {params['InstanceId']}")
            member = group["Members"][params["InstanceId"]]
            fresh = self.aws.clock.now() - member["Since"] < group["GracePeriod"]
            if not (params["HealthStatus"] == "Unhealthy" and fresh and params.get("ShouldRespectGracePeriod", True)):
                member["Health"], member["Judged"] = params["HealthStatus"], "a user health-check"
        self._wake.set()
        return {}

    # -- hooks -------------------------------------------------------------------------------------------------------------

    def put_lifecycle_hook(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Make or change a lifecycle hook; it holds for instances that launch or end from now on."""
        with self.lock:
            group = self._group(ctx, params["AutoScalingGroupName"])
            old = group["Hooks"].get(params["LifecycleHookName"], {})
            if not old and not params.get("LifecycleTransition"):
                raise ServiceError("ValidationError", "LifecycleTransition is required when creating a lifecycle hook.")
            if params.get("NotificationTargetARN"):
                raise ServiceError("ValidationError", "The local AWS tells lifecycle actions to EventBridge, not to NotificationTargetARN "
                                   "(docs/local-aws.md, Auto Scaling).")
            group["Hooks"][params["LifecycleHookName"]] = _hook(params, old)
        return {}

    def describe_lifecycle_hooks(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Tell a group's hooks."""
        wanted = params.get("LifecycleHookNames") or []
        with self.lock:
            group = self._group(ctx, params["AutoScalingGroupName"])
            return {"LifecycleHooks": [_describe_hook(group["Name"], name, hook) for name, hook in sorted(group["Hooks"].items())
                                       if not wanted or name in wanted]}

    def delete_lifecycle_hook(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Remove a hook; instances that wait at it go on: launching ones are abandoned, terminating ones continue."""
        name = params["LifecycleHookName"]
        effects: list[engine.Effect] = []
        with self.lock:
            group = self._group(ctx, params["AutoScalingGroupName"])
            if name not in group["Hooks"]:
                raise ServiceError("ValidationError", f"No Lifecycle Hook found with name: {name}")
            for member in list(group["Members"].values()):
                if name in member["Waits"]:
                    result = "ABANDON" if member["State"].startswith("Pending") else "CONTINUE"
                    effects += engine.complete(group, member["Id"], name, result, self.aws.clock.now(), _new_id)
            del group["Hooks"][name]
        self._carry_out(ctx.account, ctx.region, group, effects)
        self._wake.set()
        return {}

    def complete_lifecycle_action(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """End an instance's wait at a hook with CONTINUE or ABANDON."""
        if params["LifecycleActionResult"] not in ("CONTINUE", "ABANDON"):
            raise ServiceError("ValidationError", "LifecycleActionResult must be CONTINUE or ABANDON.")
        with self.lock:
            group, instance_id = self._waiting(ctx, params)
            effects = engine.complete(group, instance_id, params["LifecycleHookName"], params["LifecycleActionResult"], self.aws.clock.now(), _new_id)
        self._carry_out(ctx.account, ctx.region, group, effects)
        self._wake.set()
        return {}

    def record_lifecycle_action_heartbeat(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Begin an instance's wait at a hook anew."""
        with self.lock:
            group, instance_id = self._waiting(ctx, params)
            engine.heartbeat(group, instance_id, params["LifecycleHookName"], self.aws.clock.now())
        return {}

    # -- processes, target groups, tags, activities ------------------------------------------------------------------------

    def suspend_processes(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Suspend the processes named, all if none is."""
        with self.lock:
            group = self._group(ctx, params["AutoScalingGroupName"])
            for process in _processes(params):
                group["Suspended"].setdefault(process, f"User suspended at {engine._stamp(self.aws.clock.now())}")
        return {}

    def resume_processes(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Resume the processes named, all if none is."""
        with self.lock:
            group = self._group(ctx, params["AutoScalingGroupName"])
            for process in _processes(params):
                group["Suspended"].pop(process, None)
        self._wake.set()
        return {}

    def attach_load_balancer_target_groups(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Attach target groups and register the instances in service."""
        self._check_target_groups(ctx, params["TargetGroupARNs"])
        with self.lock:
            group = self._group(ctx, params["AutoScalingGroupName"])
            new = [arn for arn in params["TargetGroupARNs"] if arn not in group["TargetGroups"]]
            group["TargetGroups"] += new
            serving = [member["Id"] for member in group["Members"].values() if member["State"] == "InService"]
        self._carry_out(ctx.account, ctx.region, group, [engine.Effect("register", known, {"TargetGroups": new}) for known in serving if new])
        return {}

    def detach_load_balancer_target_groups(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Detach target groups and deregister the group's instances from them."""
        with self.lock:
            group = self._group(ctx, params["AutoScalingGroupName"])
            left = [arn for arn in params["TargetGroupARNs"] if arn in group["TargetGroups"]]
            group["TargetGroups"] = [arn for arn in group["TargetGroups"] if arn not in left]
            members = [member["Id"] for member in _shown(group)]
        self._carry_out(ctx.account, ctx.region, group, [engine.Effect("deregister", known, {"TargetGroups": left}) for known in members if left])
        return {}

    def describe_load_balancer_target_groups(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Tell a group's target groups: InService once an instance of it is registered."""
        with self.lock:
            group = self._group(ctx, params["AutoScalingGroupName"])
            state = "InService" if any(member["Registered"] for member in group["Members"].values()) else "Added"
            return {"LoadBalancerTargetGroups": [{"LoadBalancerTargetGroupARN": arn, "State": state} for arn in group["TargetGroups"]]}

    def create_or_update_tags(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Tag groups; instances get new tags when they launch."""
        with self.lock:
            for tag in params["Tags"]:
                if tag.get("ResourceType", "auto-scaling-group") != "auto-scaling-group" or tag.get("ResourceId") not in self._stores[ctx]["groups"]:
                    raise ServiceError("ValidationError", f"AutoScalingGroup not found - AutoScaling Group {tag.get('ResourceId')} not found")
            for tag in params["Tags"]:
                group = self._stores[ctx]["groups"][tag["ResourceId"]]
                group["Tags"] = [known for known in group["Tags"] if known["Key"] != tag["Key"]] + [_tag(tag)]
        return {}

    def delete_tags(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Take tags from groups."""
        with self.lock:
            for tag in params["Tags"]:
                group = self._stores[ctx]["groups"].get(tag.get("ResourceId"))
                if group is None:
                    raise ServiceError("ValidationError", f"AutoScalingGroup not found - AutoScaling Group {tag.get('ResourceId')} not found")
                group["Tags"] = [known for known in group["Tags"] if known["Key"] != tag["Key"]]
        return {}

    def describe_tags(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Tell tags of groups; filters: auto-scaling-group, key, value, propagate-at-launch."""
        keys = {"auto-scaling-group": "ResourceId", "key": "Key", "value": "Value", "propagate-at-launch": "PropagateAtLaunch"}
        with self.lock:
            tags = [tag for group in self._stores[ctx]["groups"].values() for tag in _describe(group)["Tags"]]
        for entry in params.get("Filters") or []:
            if entry.get("Name") not in keys:
                raise ServiceError("ValidationError", f"Filter type {entry.get('Name')} is not correct. Allowed Filter types are: "
                                   f"{' '.join(keys)}")
            wanted = [value.lower() for value in entry.get("Values", [])]
            tags = [tag for tag in tags if str(tag[keys[entry["Name"]]]).lower() in wanted]
        return _page(tags, params, "Tags", 50)

    def describe_scaling_activities(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Tell activities, newest first."""
        name, ids = params.get("AutoScalingGroupName"), params.get("ActivityIds") or []
        with self.lock:
            if name:
                self._group(ctx, name)
            activities = [dict(activity) for group in self._stores[ctx]["groups"].values() if not name or group["Name"] == name
                          for activity in group["Activities"] if not ids or activity["ActivityId"] in ids]
        activities.sort(key=lambda activity: ("EndTime" in activity, -activity["StartTime"]))
        return _page(activities, params, "Activities", 100)

    # -- life --------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Keep the counts: each second, and at once after a change."""
        self.aws.every(0.05, "autoscaling", self._turn)

    def stop(self) -> None:
        """Wait for launches under way, so that no instance is left without a group."""
        self._pool.shutdown(wait=True)

    def dump(self) -> Any:
        """The groups."""
        with self.lock:
            return self._stores.dump()

    def load(self, state: Any) -> None:
        """Take up the groups of the last run."""
        self._stores.load(state)
        for scope in self._stores.scopes():
            for group in self._stores.at(*scope)["groups"].values():
                engine.drop_unanswered(group)

    def _turn(self) -> None:
        self._wake.wait(STEP_SECONDS)
        self._wake.clear()
        for account, region in self._stores.scopes():
            world = driver.World(self.aws, account, region)
            with self.lock:
                names = list(self._stores.at(account, region)["groups"])
            for name in names:
                try:
                    self._step(account, region, name, world)
                except Exception:
                    log.exception("Auto Scaling group %s", name)

    def _step(self, account: str, region: str, name: str, world: driver.World) -> None:
        """Look at a group's world, let the engine decide, carry it out."""
        with self.lock:
            group = self._stores.at(account, region)["groups"].get(name)
            if group is None:
                return
            if group["Deleting"] and not group["Members"]:
                del self._stores.at(account, region)["groups"][name]
                return
            # Members of now: one that EC2 tells of later is judged in the next step.
            known = [member["Id"] for member in _shown(group)]
            target_groups = list(group["TargetGroups"]) if engine.needs_targets(group) else []
        states = world.states(known)
        targets = world.targets(target_groups) if target_groups else None
        with self.lock:
            later = [member["Id"] for member in _shown(group) if member["Id"] not in known]
            seen = engine.World({**states, **dict.fromkeys(later, "pending")}, targets)
            effects = engine.step(group, seen, self.aws.clock.now(), _new_id)
        self._carry_out(account, region, group, effects)

    def _carry_out(self, account: str, region: str, group: engine.Group, effects: list[engine.Effect]) -> None:
        """Do what the engine wants, on the pool; each piece reports back by itself."""
        world = driver.World(self.aws, account, region)
        for effect in effects:
            if effect.kind == "launch":
                self._submit(functools.partial(self._launch, world, group, effect))
            elif effect.kind == "register":
                self._submit(functools.partial(self._register, world, group, effect))
            elif effect.kind == "terminate":
                self._submit(functools.partial(world.terminate, effect.member))
            elif effect.kind == "deregister":
                world.deregister(effect.member, effect.data["TargetGroups"])  # now: the next look must find it draining or gone
            elif effect.kind == "hook":
                self._submit(functools.partial(world.hook, group["Name"], group["Arn"], effect.member, effect.data))
            elif effect.kind == "event":
                self._submit(functools.partial(world.event, effect.data["DetailType"], effect.data["Detail"], group["Arn"]))

    def _submit(self, work: Callable[[], None]) -> None:
        def logged() -> None:
            try:
                work()
            except Exception:
                log.exception("Auto Scaling")
            self._wake.set()

        self._pool.submit(logged)

    def _launch(self, world: driver.World, group: engine.Group, effect: engine.Effect) -> None:
        with self.lock:
            tags = {tag["Key"]: tag["Value"] for tag in group["Tags"] if tag["PropagateAtLaunch"]}
            template = effect.data["LaunchTemplate"]
        tags |= {"aws:autoscaling:groupName": group["Name"], "aws:ec2launchtemplate:id": template["LaunchTemplateId"],
                 "aws:ec2launchtemplate:version": str(template["Number"])}
        try:
            instance = world.launch(effect.data["Subnet"], {**template, "Version": str(template["Number"])}, tags, effect.member)
        except driver.WorldError as error:
            log.warning("Auto Scaling group %s: %s", group["Name"], error)
            with self.lock:
                more = engine.launch_failed(group, effect.member, str(error), self.aws.clock.now())
            for event in more:
                world.event(event.data["DetailType"], event.data["Detail"], group["Arn"])
            return
        with self.lock:
            wanted = engine.launched(group, effect.member, instance, template["Number"])
        if not wanted:
            world.terminate(instance["InstanceId"])

    def _register(self, world: driver.World, group: engine.Group, effect: engine.Effect) -> None:
        try:
            world.register(effect.member, effect.data["TargetGroups"])
            done = True
        except driver.WorldError as error:
            log.warning("%s of %s: %s", effect.member, group["Name"], error)
            done = False
        with self.lock:
            too_late = engine.registered(group, effect.member, done)
        if too_late:
            world.deregister(effect.member, effect.data["TargetGroups"])

    # -- inside ------------------------------------------------------------------------------------------------------------

    def _group(self, ctx: Context, name: str) -> engine.Group:
        """Return a group by name or ARN."""
        name = name.rpartition("autoScalingGroupName/")[2]
        group: engine.Group | None = self._stores[ctx]["groups"].get(name)
        if group is None:
            raise ServiceError("ValidationError", f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
        return group

    def _group_of(self, ctx: Context, instance_id: str) -> engine.Group | None:
        with self.lock:
            return next((group for group in self._stores[ctx]["groups"].values() if instance_id in group["Members"]), None)

    def _arn_of(self, ctx: Context, name: str) -> str:
        with self.lock:
            group = self._stores[ctx]["groups"].get(name)
        return str(group["Arn"]) if group else f"arn:aws:autoscaling:{ctx.region}:{ctx.account}:autoScalingGroup:*:autoScalingGroupName/{name}"

    def _waiting(self, ctx: Context, params: dict[str, Any]) -> tuple[engine.Group, str]:
        """Return the group and instance whose wait at a hook is meant, by token or by instance id."""
        group = self._group(ctx, params["AutoScalingGroupName"])
        hook, token, instance_id = params["LifecycleHookName"], params.get("LifecycleActionToken"), params.get("InstanceId")
        if hook not in group["Hooks"]:
            raise ServiceError("ValidationError", f"No Lifecycle Hook found with name: {hook}")
        if not token and not instance_id:
            raise ServiceError("ValidationError", "You must specify either the InstanceId or the LifecycleActionToken.")
        for member in group["Members"].values():
            wait = member["Waits"].get(hook)
            if wait and ((token and wait["Token"] == token) or (not token and member["Id"] == instance_id)):
                return group, member["Id"]
        raise ServiceError("ValidationError", f"No active Lifecycle Action found with token {token}" if token
                           else f"No active Lifecycle Action found with instance ID {instance_id}")

    def _refuse_unplayed(self, params: dict[str, Any]) -> None:
        for name in _UNPLAYED:
            if params.get(name):
                raise ServiceError("ValidationError", f"The local AWS has no Auto Scaling groups with {name} (docs/local-aws.md, Auto Scaling).")

    def _zones(self, ctx: Context, identifier: str) -> list[list[str]]:
        """Return [[zone, subnet id], …] of a VPCZoneIdentifier ("subnet-a,subnet-b")."""
        ids = [part.strip() for part in identifier.split(",") if part.strip()]
        try:
            subnets = self.aws.as_service(ctx.account).client("ec2", ctx.region).describe_subnets(SubnetIds=ids)["Subnets"]
        except ClientError as error:
            raise ServiceError("ValidationError", f"The subnet ID(s) '{identifier}' are not valid. {error.response['Error']['Message']}") from error
        found = {subnet["SubnetId"]: subnet["AvailabilityZone"] for subnet in subnets}
        missing = [subnet for subnet in ids if subnet not in found]
        if missing:
            raise ServiceError("ValidationError", f"The subnet ID '{', '.join(missing)}' does not exist")
        return sorted([found[subnet], subnet] for subnet in ids)

    def _template(self, ctx: Context, specification: dict[str, Any]) -> dict[str, Any]:
        """Return {LaunchTemplateId, LaunchTemplateName, Version, Number}; Number is what Version means now."""
        names = {key: specification[key] for key in ("LaunchTemplateId", "LaunchTemplateName") if specification.get(key)}
        version = specification.get("Version") or "$Default"
        try:
            ec2 = self.aws.as_service(ctx.account).client("ec2", ctx.region)
            versions = ec2.describe_launch_template_versions(Versions=[version], **names)["LaunchTemplateVersions"]
        except ClientError as error:
            message = error.response["Error"]["Message"]
            raise ServiceError("ValidationError", f"You must use a valid fully-formed launch template. {message}") from error
        if not versions:
            raise ServiceError("ValidationError", f"You must use a valid fully-formed launch template. Could not find version {version} of "
                               f"{', '.join(names.values())}")
        return {"LaunchTemplateId": versions[0]["LaunchTemplateId"], "LaunchTemplateName": versions[0]["LaunchTemplateName"],
                "Version": version, "Number": int(versions[0]["VersionNumber"])}

    def _try_launch(self, ctx: Context, template: dict[str, Any], subnet: str) -> None:
        """Refuse a launch template that the caller could not launch: AWS checks RunInstances and PassRole of who makes the group.

        https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-launch-template-permissions.html
        """
        try:
            self.aws.as_caller(ctx).client("ec2", ctx.region).run_instances(
                MinCount=1, MaxCount=1, DryRun=True, SubnetId=subnet,
                LaunchTemplate={"LaunchTemplateId": template["LaunchTemplateId"], "Version": str(template["Number"])})
        except ClientError as error:
            code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
            if code == "DryRunOperation":
                return
            if code in ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException"):
                wrong = f"You are not authorized to use launch template: {template['LaunchTemplateId']}. {message}"
                raise ServiceError("AccessDenied", wrong, 403) from error
            raise ServiceError("ValidationError", f"You must use a valid fully-formed launch template. {message}") from error

    def _check_target_groups(self, ctx: Context, arns: list[str]) -> None:
        if not arns:
            return
        try:
            self.aws.as_service(ctx.account).client("elbv2", ctx.region).describe_target_groups(TargetGroupArns=arns)
        except ClientError as error:
            raise ServiceError("ValidationError", "Provided Target Groups may not be valid. Please ensure they exist and try again.") from error


def _taken(name: str, pending: str = "") -> ServiceError:
    return ServiceError("AlreadyExists", f"AutoScalingGroup by this name already exists{pending} - A group with the name {name} already exists")


def _new_id() -> str:
    return str(uuid.uuid4())


def _check_sizes(least: int, most: int, desired: int) -> None:
    if least > most:
        raise ServiceError("ValidationError", f"Max bound, {most}, must be greater than or equal to min bound, {least}")
    if not least <= desired <= most:
        raise ServiceError("ValidationError", f"Desired capacity:{desired} must be between the specified min size:{least} and max size:{most}")


def _processes(params: dict[str, Any]) -> list[str]:
    wanted = params.get("ScalingProcesses") or list(engine.PROCESSES)
    for process in wanted:
        if process not in engine.PROCESSES:
            raise ServiceError("ValidationError", f"{process} is not a valid process type")
    return list(wanted)


def _tag(tag: dict[str, Any]) -> dict[str, Any]:
    return {"Key": tag["Key"], "Value": tag.get("Value", ""), "PropagateAtLaunch": bool(tag.get("PropagateAtLaunch"))}


def _hook(params: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """Return a hook's record from the parameters of PutLifecycleHook over what it was."""
    transition = params.get("LifecycleTransition", old.get("Transition", ""))
    if transition not in (engine.LAUNCHING, engine.TERMINATING):
        raise ServiceError("ValidationError", f"{transition} is not a lifecycle transition of the local AWS: {engine.LAUNCHING}, "
                           f"{engine.TERMINATING}")
    heartbeat = params.get("HeartbeatTimeout", old.get("Heartbeat", engine.HOOK_SECONDS))
    if not 30 <= heartbeat <= 7200:
        raise ServiceError("ValidationError", "HeartbeatTimeout must be between 30 and 7200 seconds.")
    default = params.get("DefaultResult", old.get("Default", "ABANDON"))
    if default not in ("CONTINUE", "ABANDON"):
        raise ServiceError("ValidationError", "DefaultResult must be CONTINUE or ABANDON.")
    return {"Transition": transition, "Heartbeat": heartbeat, "Default": default,
            "Metadata": params.get("NotificationMetadata", old.get("Metadata", "")), "Target": "", "Role": params.get("RoleARN", "")}


def _describe_hook(group: str, name: str, hook: dict[str, Any]) -> dict[str, Any]:
    shown = {"LifecycleHookName": name, "AutoScalingGroupName": group, "LifecycleTransition": hook["Transition"],
             "HeartbeatTimeout": hook["Heartbeat"], "DefaultResult": hook["Default"],
             "GlobalTimeout": min(hook["Heartbeat"] * engine.GLOBAL_HEARTBEATS, engine.GLOBAL_SECONDS_MAX)}
    return {**shown, "NotificationMetadata": hook["Metadata"]} if hook["Metadata"] else shown


def _shown(group: engine.Group) -> list[engine.Member]:
    """Return the members that have an instance."""
    return [member for member in group["Members"].values() if not member["Id"].startswith("launch-")]


def _specification(template: dict[str, Any], version: str) -> dict[str, str]:
    return {"LaunchTemplateId": template["LaunchTemplateId"], "LaunchTemplateName": template["LaunchTemplateName"], "Version": version}


def _describe_member(member: engine.Member) -> dict[str, Any]:
    return {"InstanceId": member["Id"], "InstanceType": member["InstanceType"], "AvailabilityZone": member["Zone"],
            "LifecycleState": member["State"], "HealthStatus": member["Health"], "ProtectedFromScaleIn": member["Protected"],
            "LaunchTemplate": _specification(member["LaunchTemplate"], str(member["LaunchTemplate"]["Number"]))}


def _describe(group: engine.Group) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "AutoScalingGroupName": group["Name"], "AutoScalingGroupARN": group["Arn"],
        "LaunchTemplate": _specification(group["LaunchTemplate"], group["LaunchTemplate"]["Version"]), "MinSize": group["Min"],
        "MaxSize": group["Max"], "DesiredCapacity": group["Desired"], "DefaultCooldown": group["Cooldown"],
        "AvailabilityZones": sorted({zone for zone, _ in group["Zones"]}), "LoadBalancerNames": [], "TargetGroupARNs": group["TargetGroups"],
        "HealthCheckType": group["HealthCheckType"], "HealthCheckGracePeriod": group["GracePeriod"], "CreatedTime": group["Created"],
        "Instances": [_describe_member(member) for member in _shown(group)], "VPCZoneIdentifier": ",".join(subnet for _, subnet in group["Zones"]),
        "SuspendedProcesses": [{"ProcessName": name, "SuspensionReason": reason} for name, reason in sorted(group["Suspended"].items())],
        "EnabledMetrics": [], "TerminationPolicies": group["Policies"], "NewInstancesProtectedFromScaleIn": group["Protect"],
        "Tags": [{"ResourceId": group["Name"], "ResourceType": "auto-scaling-group", **tag} for tag in group["Tags"]],
        "ServiceLinkedRoleARN": f"arn:aws:iam::{group['Arn'].split(':')[4]}:role/aws-service-role/autoscaling.amazonaws.com/"
                                "AWSServiceRoleForAutoScaling"}
    if group["Warmup"] is not None:
        shown["DefaultInstanceWarmup"] = group["Warmup"]
    if group["Deleting"]:
        shown["Status"] = "Delete in progress"
    return shown


def _passes(group: engine.Group, filters: list[dict[str, Any]]) -> bool:
    tags = {tag["Key"]: tag["Value"] for tag in group["Tags"]}
    for entry in filters:
        name, values = entry.get("Name", ""), entry.get("Values", [])
        if name.startswith("tag:"):
            good = tags.get(name.removeprefix("tag:")) in values
        elif name == "tag-key":
            good = bool(set(tags) & set(values))
        elif name == "tag-value":
            good = bool(set(tags.values()) & set(values))
        else:
            raise ServiceError("ValidationError", f"Filter {name} is not supported: use tag-key, tag-value or tag:<key>.")
        if not good:
            return False
    return True


def _page(entries: list[dict[str, Any]], params: dict[str, Any], name: str, size: int) -> dict[str, Any]:
    """Return one page of entries; NextToken is the number of those told so far."""
    token = params.get("NextToken") or "0"
    if not token.isdigit():
        raise ServiceError("InvalidNextToken", "The NextToken value is not valid.")
    begin, end = int(token), int(token) + (params.get("MaxRecords") or size)
    return {name: entries[begin:end], **({"NextToken": str(end)} if end < len(entries) else {})}
