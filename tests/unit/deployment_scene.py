"""A scene for diagnosing deployments: CodeDeploy's own Api over simulated hosts, seen by boto3 in process, with real bundles and the real agent's verdicts.

EC2, Auto Scaling, Systems Manager and Elastic Load Balancing are views of the simulated world: they say what those services would say of it.
"""

from __future__ import annotations

import io
import itertools
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from inprocess import InProcess

from localaws.codedeploy.simulator import ACCOUNT, REGION, Outcome, SimulatedHost, SimulatedWorld, Simulation
from localaws.hosts.agent import executor, hooks
from localaws.service import Context, Service
from scripts.diagnosis import deployments
from scripts.diagnosis.calls import Calls
from scripts.diagnosis.case import Alarm, Case, Deployment
from scripts.diagnosis.judge import Verdict, judge

ROOT = Path(__file__).resolve().parents[2]
APPSPEC = "version: 0.0\nos: linux\nhooks:\n{hooks}"
ABANDONED = ("Instance failed to complete user's Lifecycle Action: Lifecycle Action with token {token} was abandoned: "
             "Lifecycle Action Completed with ABANDON Result")


class _View(Service):
    """A service over the simulated world."""

    def __init__(self, world: SimulatedWorld, name: str, iam: str) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self.world, self.name, self.iam = world, name, iam

    def hosts(self) -> list[SimulatedHost]:
        return list(self.world.hosts.values())


class Ec2View(_View):
    states: dict[str, str]
    profile = True

    def describe_instances(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        wanted = next(one["Values"] for one in params["Filters"] if one["Name"] == "instance-id")
        ended = {"Terminated": "terminated", "Terminating": "shutting-down"}
        return {"Reservations": [{"Instances": [{
            "InstanceId": host.id, "State": {"Code": 16, "Name": self.states.get(host.id, ended.get(host.lifecycle, "running"))}, "LaunchTime": 1.69e9,
            "Tags": [{"Key": "Name", "Value": "fleet"}], **({
                "IamInstanceProfile": {"Arn": f"arn:aws:iam::{ACCOUNT}:instance-profile/host", "Id": "AIPA"}} if self.profile else {})}
            for host in self.hosts() if host.id in wanted]}]}


class ScalingView(_View):
    there = True
    hooks_beside: list[dict[str, Any]]

    def describe_auto_scaling_groups(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        members = [{"InstanceId": host.id, "AvailabilityZone": host.zone, "LifecycleState": host.lifecycle, "HealthStatus": "Healthy",
                    "ProtectedFromScaleIn": False} for host in self.hosts() if host.lifecycle != "Terminated"]
        return {"AutoScalingGroups": [{
            "AutoScalingGroupName": "asg", "MinSize": 0, "MaxSize": 60, "DesiredCapacity": len(members), "DefaultCooldown": 300,
            "AvailabilityZones": ["a"], "HealthCheckType": "EC2", "CreatedTime": 1.69e9, "Instances": members}] if self.there else []}

    def describe_lifecycle_hooks(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        return {"LifecycleHooks": [*({"LifecycleHookName": name, "AutoScalingGroupName": group, "LifecycleTransition": transition,
                                      "NotificationMetadata": self.group_id} for name, (group, transition) in self.world.hooks.items()),
                                   *self.hooks_beside]}

    group_id = ""

    def describe_scaling_activities(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        return {"Activities": [{
            "ActivityId": f"a-{number}", "AutoScalingGroupName": "asg", "Description": f"Launching a new EC2 instance: {instance}", "Cause": "c",
            "StartTime": self.world.clock.now(), "StatusCode": "Cancelled", "StatusMessage": ABANDONED.format(token=f"t-{number}")}
            for number, (instance, result) in enumerate(self.world.answers) if result == "ABANDON"]}


class SsmView(_View):
    pings: dict[str, str]
    packages: dict[str, str]

    def describe_instance_information(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        wanted = next(one["Values"] for one in params["Filters"] if one["Key"] == "InstanceIds")
        return {"InstanceInformationList": [{"InstanceId": one, "PingStatus": self.pings.get(one, "Online")} for one in wanted
                                            if self.pings.get(one) != "none"]}

    def describe_instance_associations_status(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        status = self.packages.get(params["InstanceId"], "Success")
        return {"InstanceAssociationStatusInfos": [] if status == "none" else [
            {"Name": "AWS-ConfigureAWSPackage", "InstanceId": params["InstanceId"], "Status": status}]}


class ElbView(_View):
    check: dict[str, Any]
    reasons: dict[str, tuple[str, str]]

    def describe_target_groups(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        return {"TargetGroups": [{
            "TargetGroupArn": f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/{name}/1", "TargetGroupName": name, "Protocol": "HTTP",
            "Port": 8080, "HealthCheckProtocol": "HTTP", "HealthCheckPort": "traffic-port", "HealthCheckPath": "/health",
            "HealthCheckIntervalSeconds": 10, "HealthyThresholdCount": 3, "Matcher": {"HttpCode": "200"}, **self.check} for name in params["Names"]]}

    def describe_target_health(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        told = []
        for instance, (state, _) in self.world.target_groups.get("targets", {}).items():
            reason, words = self.reasons.get(instance, ("", ""))
            health = {"State": "unhealthy" if reason and state != "draining" else state} | ({"Reason": reason, "Description": words} if reason else {})
            told.append({"Target": {"Id": instance, "Port": 8080}, "TargetHealth": health})
        return {"TargetHealthDescriptions": told}

    def describe_target_group_attributes(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        return {"Attributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": str(round(self.world.drain_seconds))}]}


class Scene:
    """A simulation and what boto3 sees of it. `aws.buckets` hold the bundles, `s3://bucket/<name>`."""

    def __init__(self, zones: str = "abc", **options: Any) -> None:
        self.sim = Simulation(zones, **options)
        self.world, self.clock = self.sim.world, self.sim.clock
        self.ec2, self.scaling = Ec2View(self.world, "ec2", "ec2"), ScalingView(self.world, "autoscaling", "autoscaling")
        self.ssm, self.elb = SsmView(self.world, "ssm", "ssm"), ElbView(self.world, "elbv2", "elasticloadbalancing")
        self.ec2.states, self.ssm.pings, self.ssm.packages, self.elb.check, self.elb.reasons, self.scaling.hooks_beside = {}, {}, {}, {}, {}, []
        info = self.sim.call("GetDeploymentGroup", applicationName="app", deploymentGroupName="fleet")["deploymentGroupInfo"]
        self.scaling.group_id = info["deploymentGroupId"]
        self.aws = InProcess({"codedeploy": self.sim.api, "ec2": self.ec2, "autoscaling": self.scaling, "ssm": self.ssm, "elbv2": self.elb})
        self.calls = Calls(self.aws)
        for name in ("one", "two"):
            self.bundle(name, {"appspec.yml": "version: 0.0\nos: linux\n", "release.json": f'{{"commit": "{name * 8}"}}'})

    @property
    def hosts(self) -> list[SimulatedHost]:
        return list(self.world.hosts.values())

    def bundle(self, name: str, files: Mapping[str, str | bytes], modes: Mapping[str, int] | None = None) -> None:
        """Put a bundle into S3."""
        self.aws.buckets.put("bucket", name, archive(files, modes))

    def read(self, deployment_id: str) -> Deployment:
        """The deployment as `why` reads it; whatever could not be read fails the test."""
        found = deployments.read(self.calls, REGION, deployment_id)
        assert [one for one in self.calls.unreadable if not one.permission] == []
        return found

    def case(self, *ids: str, alarms: tuple[Alarm, ...] = (), **more: Any) -> Case:
        """A case about these deployments."""
        found = tuple(replace(self.read(one), scope="fleet") for one in ids)
        return Case("gamma", "sample", "deployment", self.clock.now(), ids[0] if ids else "", REGION, deployments=found, alarms=alarms, **more)

    def why(self, *ids: str, **more: Any) -> Verdict:
        """What the whole catalogue says of these deployments."""
        return judge(self.case(*ids, **more))

    def agents(self, folder: Path) -> None:
        """Let each host run its events by the real agent's code, each below a folder of its own."""
        for host in self.hosts:
            host.behave = agent(folder / host.id, self.aws)


def archive(files: Mapping[str, str | bytes], modes: Mapping[str, int] | None = None) -> bytes:
    """A zip; what is below hooks/ may be executed unless `modes` says otherwise."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as made:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = ((modes or {}).get(name, 0o755 if name.startswith("hooks/") else 0o644) | 0o100000) << 16
            made.writestr(info, content)
    return data.getvalue()


class _Bucket:
    """Where the agent downloads from: S3's words for what is not there."""

    def __init__(self, aws: InProcess) -> None:
        self.aws = aws

    def download(self, bucket: str, key: str, version: str | None, target: IO[bytes]) -> str:
        target.write(self.aws.buckets.get(bucket, key))
        return ""


def agent(folder: Path, aws: InProcess, downloader: Any = None) -> Callable[[str, str], Outcome]:
    """A host's behaviour by localaws/hosts/agent: codes, messages and log tails are what it would send."""
    runner = executor.Executor(downloader or _Bucket(aws), folder)
    numbers = itertools.count()
    current = {"id": ""}

    def behave(event: str, bundle: str) -> Outcome:
        if event in ("BeforeBlockTraffic", "ApplicationStop") and current.get("bundle") != bundle:
            current.update(id=f"d-{next(numbers)}", bundle=bundle)
        spec = executor.specification({
            "DeploymentId": current["id"], "DeploymentGroupId": "group", "Revision": {
                "RevisionType": "S3", "S3Revision": {"Bucket": "bucket", "Key": bundle, "BundleType": "zip"}}})
        try:
            runner.is_noop(event, spec)
            log = runner.run(event, spec)
        except hooks.ScriptError as error:
            return 1.0, False, {"error_code": error.code, "script_name": error.script, "message": str(error), "log": error.log}
        except Exception as error:
            return 1.0, False, {"error_code": hooks.UNKNOWN_ERROR, "script_name": "", "message": str(error), "log": ""}
        return 1.0, True, {"error_code": 0, "script_name": "", "message": "Succeeded", "log": log}

    return behave


def one_hook(event: str, location: str = "hooks/run.sh", **more: int) -> str:
    """An appspec.yml with one script."""
    lines = f"  {event}:\n    - location: {location}\n" + "".join(f"      {name}: {value}\n" for name, value in more.items())
    return APPSPEC.format(hooks=lines)


def first(verdict: Verdict) -> str:
    return verdict.first.cause.id if verdict.first else ""


def named(verdict: Verdict) -> set[str]:
    return {one.cause.id for one in ([verdict.first] if verdict.first else []) + list(verdict.others)}


def saying(event: str, code: int = 5, message: str = "", log: str = "", script: str = "", bundle: str = "two") -> Callable[[str, str], Outcome]:
    """A host on which an event of a bundle ends with these diagnostics."""
    def behave(name: str, given: str) -> Outcome:
        if (name, given) != (event, bundle):
            return 1.0, True, {"error_code": 0, "script_name": "", "message": "Succeeded", "log": ""}
        return 1.0, False, {"error_code": code, "script_name": script, "message": message, "log": log}
    return behave


def ship_bad(scene: Scene, behave: Callable[[str, str], Outcome] | None = None) -> str:
    """Deploy `one`, which goes well, and then `two`; return that deployment's id."""
    assert scene.sim.ship("one")["status"] == "Succeeded"
    for host in scene.hosts if behave else ():
        host.behave = behave  # type: ignore[assignment]
    return str(scene.sim.ship("two")["deploymentId"])
