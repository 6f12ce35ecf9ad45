"""Auto Scaling: AutoScalingGroup, with creation signals and rolling updates.

Source: AWS CloudFormation User Guide, "CreationPolicy attribute", "UpdatePolicy attribute".
"""

from __future__ import annotations

import re
from typing import Any

from botocore.exceptions import ClientError

from localaws.cloudformation import engine
from localaws.cloudformation.resources import Failed, Made, Request, fit, resource, tag_changes, tags_of
from localaws.cloudformation.template import text_of

_SIZES = ("MinSize", "MaxSize", "DesiredCapacity")
_ROLLS = ("LaunchTemplate", "LaunchConfigurationName", "MixedInstancesPolicy", "VPCZoneIdentifier", "AvailabilityZones")
_APART = ("Tags", "VPCZoneIdentifier", "TargetGroupARNs", "MetricsCollection", "NotificationConfigurations")


def seconds_of(duration: str) -> float:
    """Return the seconds of an ISO 8601 duration of the form that CloudFormation takes (PT#H#M#S)."""
    found = re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?", duration)
    if not found or not any(found.groups()):
        raise Failed(f"Invalid duration {duration}: it must be of the form PT#H#M#S")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


@resource("AWS::AutoScaling::AutoScalingGroup")
class Group:
    """An Auto Scaling group."""

    def create(self, request: Request) -> Made:
        scaling, name = request.client("autoscaling"), request.given("AutoScalingGroupName", 255)
        self._refuse(request)
        arguments = fit(scaling, "create_auto_scaling_group", {**request.properties, "AutoScalingGroupName": name}, drop=_APART)
        request.claim(name)
        tags = [{"Key": tag["Key"], "Value": text_of(tag["Value"]), "PropagateAtLaunch": text_of(tag["PropagateAtLaunch"]) == "true",
                 "ResourceId": name, "ResourceType": "auto-scaling-group"} for tag in request.properties.get("Tags") or []]
        scaling.create_auto_scaling_group(**arguments, **self._lists(request), **({"Tags": tags} if tags else {}))
        if signal := request.creation_policy.get("ResourceSignal"):
            self._await(request, int(signal.get("Count", 1)), text_of(signal.get("Timeout", "PT5M")), set(), int(
                (request.creation_policy.get("AutoScalingCreationPolicy") or {}).get("MinSuccessfulInstancesPercent", 100)), False)
        return Made(name, {"AutoScalingGroupARN": (self._found(request, name) or {}).get("AutoScalingGroupARN", "")})

    @staticmethod
    def _refuse(request: Request) -> None:
        for prop in ("MetricsCollection", "NotificationConfigurations"):
            if request.properties.get(prop):
                raise Failed(f"Property {prop} of AWS::AutoScaling::AutoScalingGroup is not served by the local AWS")
        if unknown := sorted(set(request.update_policy) - {"AutoScalingRollingUpdate", "AutoScalingScheduledAction"}):
            raise Failed(f"UpdatePolicy {unknown[0]} is not served by the local AWS")

    @staticmethod
    def _lists(request: Request) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if zones := request.properties.get("VPCZoneIdentifier"):
            found["VPCZoneIdentifier"] = ",".join(zones) if isinstance(zones, list) else zones
        if not request.before and request.properties.get("TargetGroupARNs"):
            found["TargetGroupARNs"] = request.properties["TargetGroupARNs"]
        return found

    @staticmethod
    def _found(request: Request, name: str) -> dict[str, Any] | None:
        groups = request.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        return groups[0] if groups else None

    def _await(self, request: Request, count: int, timeout: str, past: set[str], percent: int, rolling: bool) -> None:
        """Wait for the signals of `count` new instances; raise Failed in AWS's words."""
        def fresh() -> dict[str, str]:
            return {identity: signal["status"] for identity, signal in request.signals().items() if identity not in past}

        def verdict() -> str:
            found = engine.signal_verdict(fresh(), count, percent)
            return "" if found == "wait" else found

        late = f"Failed to receive {{missing}} resource signal(s) {'for the current batch' if rolling else 'within the specified duration'}"
        if rolling:
            late += ".  Each resource signal timeout is counted as a FAILURE."
        try:
            answer = request.wait(verdict, seconds_of(timeout), "late", every=0.5) if count else "enough"
        except Failed:
            good = sum(status == "SUCCESS" for status in fresh().values())
            if rolling and good * 100 >= count * percent:
                return
            raise Failed(late.format(missing=count - len(fresh()))) from None
        if answer == "failed":
            bad = sum(status != "SUCCESS" for status in fresh().values())
            raise Failed(f"Received {bad} FAILURE signal(s) out of {count}.  Unable to satisfy {percent}% MinSuccessfulInstancesPercent "
                         "requirement")

    def update(self, request: Request) -> Made:
        scaling, name = request.client("autoscaling"), request.physical_id
        self._refuse(request)
        scheduled = request.update_policy.get("AutoScalingScheduledAction") or {}
        keep_sizes = text_of(scheduled.get("IgnoreUnmodifiedGroupSizeProperties", False)) == "true"
        drop = [*_APART, *(size for size in _SIZES if keep_sizes and not request.changed(size))]
        rolling = request.update_policy.get("AutoScalingRollingUpdate")
        group = self._found(request, name)
        if group is None:
            raise Failed(f"AutoScalingGroup {name} does not exist")
        arguments = fit(scaling, "update_auto_scaling_group", {**request.properties, "AutoScalingGroupName": name},
                        drop=[*drop, "LifecycleHookSpecificationList", "LoadBalancerNames"])
        # Kept with the stack: of an update that the end of the process cut off, the next one knows what is to be resumed.
        noted: dict[str, list[str]] = request.record.setdefault("suspended", {})
        suspended = noted.get(request.logical_id, [])
        if rolling and request.changed(*_ROLLS):
            already = {item["ProcessName"] for item in group.get("SuspendedProcesses") or []} - set(suspended)
            suspended = [process for process in rolling.get("SuspendProcesses") or [] if process not in already]
            if suspended:
                noted[request.logical_id] = suspended
                scaling.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=suspended)
        try:
            scaling.update_auto_scaling_group(**arguments, **self._lists(request))
            self._targets(request, name)
            self._tags(request, name)
            if rolling and request.changed(*_ROLLS):
                self._roll(request, name, rolling)
        finally:
            if suspended:
                scaling.resume_processes(AutoScalingGroupName=name, ScalingProcesses=suspended)
                noted.pop(request.logical_id, None)
        return Made(name)

    def _targets(self, request: Request, name: str) -> None:
        scaling = request.client("autoscaling")
        old, new = request.before.get("TargetGroupARNs") or [], request.properties.get("TargetGroupARNs") or []
        if added := [arn for arn in new if arn not in old]:
            scaling.attach_load_balancer_target_groups(AutoScalingGroupName=name, TargetGroupARNs=added)
        if removed := [arn for arn in old if arn not in new]:
            scaling.detach_load_balancer_target_groups(AutoScalingGroupName=name, TargetGroupARNs=removed)

    def _tags(self, request: Request, name: str) -> None:
        scaling = request.client("autoscaling")
        changed = request.changed("Tags")
        where = {"ResourceId": name, "ResourceType": "auto-scaling-group"}
        if changed and tags_of(request.properties):
            scaling.create_or_update_tags(Tags=[{"Key": tag["Key"], "Value": text_of(tag["Value"]), **where,
                                                 "PropagateAtLaunch": text_of(tag["PropagateAtLaunch"]) == "true"}
                                                for tag in request.properties["Tags"]])
        if removed := tag_changes(request)[1]:
            scaling.delete_tags(Tags=[{"Key": key, **where} for key in removed])

    def _roll(self, request: Request, name: str, policy: dict[str, Any]) -> None:
        """Replace the instances that are not of the new launch template, batch by batch."""
        scaling = request.client("autoscaling")

        def no_surplus() -> bool:
            found = self._found(request, name) or {"Instances": [], "DesiredCapacity": 0}
            return len(found["Instances"]) <= int(found["DesiredCapacity"])

        # An update that failed or was cut off may have left a host more: it goes first, or no new one would come to be waited for.
        request.wait(no_surplus, 3700, f"AutoScalingGroup {name} did not come back to its desired capacity")
        group = self._found(request, name) or {}
        wanted = group.get("LaunchTemplate") or {}

        def obsolete(instance: dict[str, Any]) -> bool:
            own = instance.get("LaunchTemplate") or {}
            return (own.get("LaunchTemplateId"), text_of(own.get("Version"))) != (wanted.get("LaunchTemplateId"), text_of(wanted.get("Version")))

        subnets_changed = request.changed("VPCZoneIdentifier", "AvailabilityZones")
        old = [instance["InstanceId"] for instance in group.get("Instances") or [] if subnets_changed or obsolete(instance)]
        if not old:
            return
        desired, most = group["DesiredCapacity"], group["MaxSize"]
        least = int(policy.get("MinInstancesInService", 0))
        batch = int(policy.get("MaxBatchSize", 1))
        percent = int(policy.get("MinSuccessfulInstancesPercent", 100))
        waits = text_of(policy.get("WaitOnResourceSignals", False)) == "true"
        pause = text_of(policy.get("PauseTime", "PT5M" if waits else "PT0S"))
        if least >= most:
            raise Failed("MinInstancesInService must be less than the autoscaling group's MaxSize")
        extra = max(0, min(batch, most - desired, least + min(batch, len(old)) - desired))
        request.note(f"Rolling update initiated. Terminating {len(old)} obsolete instance(s) in batches of {batch}, while keeping at "
                     f"least {least} instance(s) in service." + (f" Waiting on resource signals with a timeout of {pause} when new "
                                                                 "instances are added to the autoscaling group." if waits else ""))
        total = len(old)
        if extra:
            past = set(request.signals())
            request.note(f"Temporarily setting autoscaling group MinSize and DesiredCapacity to {desired + extra}.")
            scaling.update_auto_scaling_group(AutoScalingGroupName=name, DesiredCapacity=desired + extra)
            self._settled(request, name, extra, past, percent, waits, pause, desired + extra, set(old))
        known = {instance["InstanceId"] for instance in (self._found(request, name) or {}).get("Instances") or []}
        while old:
            surplus = len(old) <= extra
            now = old[:extra if surplus else max(1, min(batch, desired + extra - least))]
            if not surplus and len(old) - len(now) < extra:
                now = old[:len(old) - extra]
            past = set(request.signals())
            new = 0 if surplus else len(now)
            request.note(f"Terminating instance(s) [{','.join(now)}]; replacing with {new} new instance(s).")
            for identity in now:
                try:
                    scaling.terminate_instance_in_auto_scaling_group(InstanceId=identity, ShouldDecrementDesiredCapacity=surplus)
                except ClientError as error:  # it may have gone by itself in the meantime
                    if "not found" not in str(error).lower():
                        raise
            old = old[len(now):]
            goal = desired if surplus else desired + extra
            self._ended(request, name, now)
            request.note(f"Successfully terminated instance(s) [{','.join(now)}] (Progress {100 * (total - len(old)) // total}%).")
            self._settled(request, name, new, past, percent, waits, pause, goal, known)
            known = {instance["InstanceId"] for instance in (self._found(request, name) or {}).get("Instances") or []}

    def _ended(self, request: Request, name: str, identities: list[str]) -> None:
        """Wait until none of the instances belongs to the group any more."""
        def away() -> bool:
            return not {item["InstanceId"] for item in (self._found(request, name) or {}).get("Instances") or []} & set(identities)

        request.wait(away, 3700, f"Instance(s) [{','.join(identities)}] were not terminated")

    def _settled(self, request: Request, name: str, new: int, past: set[str], percent: int, waits: bool, pause: str, goal: int,
                 known: set[str]) -> None:
        """Wait for a batch: for the signals of its new instances, or for the group to be in service again."""
        if not new:
            return
        if waits:
            request.note(f"New instance(s) added to autoscaling group - Waiting on {new} resource signal(s) with a timeout of {pause}.")
            self._await(request, new, pause, past, percent, True)
            return
        request.wait(lambda: sum(item["LifecycleState"] == "InService" for item in (self._found(request, name) or {}).get(
            "Instances") or []) >= goal, 1800, f"AutoScalingGroup {name} did not come back to {goal} instance(s) in service")
        end = request.clock.now() + seconds_of(pause)
        if request.clock.now() < end:
            request.wait(lambda: request.clock.now() >= end, seconds_of(pause) + 1, "")

    def delete(self, request: Request) -> None:
        scaling, name = request.client("autoscaling"), request.physical_id
        if self._found(request, name) is None:
            return
        try:
            scaling.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)
        except ClientError as error:
            if self._found(request, name) is None or "ScalingActivityInProgress" in str(error):
                pass
            else:
                raise
        request.wait(lambda: self._found(request, name) is None, 600, f"AutoScalingGroup {name} was not deleted")
