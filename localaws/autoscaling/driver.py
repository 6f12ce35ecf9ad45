"""What Auto Scaling does in the world: EC2 launches, target groups, events, and CodeDeploy at its own hooks."""

from __future__ import annotations

import logging
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localaws.service import Aws

log = logging.getLogger("localaws")

CODEDEPLOY_HOOKS = "CodeDeploy-managed-automatic-"


class WorldError(Exception):
    """An AWS call was refused; the message is AWS's."""


class World:
    """Calls with the service-linked role of one account's Auto Scaling in one Region."""

    def __init__(self, aws: Aws, account: str, region: str) -> None:
        self._aws, self._account, self._region = aws, account, region

    def _client(self, service: str) -> Any:
        return self._aws.as_service(self._account).client(service, self._region)

    def states(self, instance_ids: list[str]) -> dict[str, str]:
        """Return EC2's state of each of these instances that it still knows."""
        if not instance_ids:
            return {}
        pages = self._client("ec2").describe_instances(Filters=[{"Name": "instance-id", "Values": instance_ids}])
        return {instance["InstanceId"]: instance["State"]["Name"] for reservation in pages["Reservations"]
                for instance in reservation["Instances"]}

    def targets(self, target_groups: list[str]) -> dict[str, str]:
        """Return the state of each registered instance, the worst over the target groups."""
        order = ["unhealthy", "draining", "unused", "initial", "unavailable", "healthy"]
        found: dict[str, str] = {}
        for arn in target_groups:
            try:
                health = self._client("elbv2").describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
            except ClientError as error:
                if "NotFound" not in error.response["Error"]["Code"]:
                    raise
                continue  # a deleted target group holds nobody
            for entry in health:
                known, state = entry["Target"]["Id"], entry["TargetHealth"]["State"]
                found[known] = min((state, found.get(known, "healthy")), key=lambda name: order.index(name) if name in order else 0)
        return found

    def launch(self, subnet: str, template: dict[str, str], tags: dict[str, str], token: str) -> dict[str, str]:
        """Start one instance and return {InstanceId, InstanceType, ImageId}. Raises WorldError."""
        specification = {key: template[key] for key in ("LaunchTemplateId", "Version") if template.get(key)}
        try:
            answer = self._client("ec2").run_instances(
                MinCount=1, MaxCount=1, LaunchTemplate=specification, SubnetId=subnet, ClientToken=token,
                TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}])
        except (ClientError, BotoCoreError) as error:
            raise WorldError(_text(error)) from error
        return {key: answer["Instances"][0][key] for key in ("InstanceId", "InstanceType", "ImageId")}

    def terminate(self, instance_id: str) -> None:
        """End an instance; one that is gone is no error."""
        try:
            self._client("ec2").terminate_instances(InstanceIds=[instance_id])
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidInstanceID.NotFound":
                raise

    def register(self, instance_id: str, target_groups: list[str]) -> None:
        """Register an instance with target groups. Raises WorldError."""
        try:
            for arn in target_groups:
                self._client("elbv2").register_targets(TargetGroupArn=arn, Targets=[{"Id": instance_id}])
        except (ClientError, BotoCoreError) as error:
            raise WorldError(_text(error)) from error

    def deregister(self, instance_id: str, target_groups: list[str]) -> None:
        """Take an instance out of target groups; one that is not in them is no error."""
        for arn in target_groups:
            try:
                self._client("elbv2").deregister_targets(TargetGroupArn=arn, Targets=[{"Id": instance_id}])
            except (ClientError, BotoCoreError) as error:
                log.warning("%s stays in %s: %s", instance_id, arn, _text(error))

    def hook(self, group_name: str, group_arn: str, instance_id: str, data: dict[str, Any]) -> None:
        """Tell the world of a lifecycle action: EventBridge, and CodeDeploy where the hook is its own."""
        launching = data["Transition"].endswith("LAUNCHING")
        detail = {"LifecycleActionToken": data["Token"], "AutoScalingGroupName": group_name, "LifecycleHookName": data["Hook"],
                  "EC2InstanceId": instance_id, "LifecycleTransition": data["Transition"],
                  "Origin": "EC2" if launching else "AutoScalingGroup", "Destination": "AutoScalingGroup" if launching else "EC2"}
        if data["Metadata"]:
            detail["NotificationMetadata"] = data["Metadata"]
        self.event("EC2 Instance-launch Lifecycle Action" if launching else "EC2 Instance-terminate Lifecycle Action", detail, group_arn)
        if data["Hook"].startswith(CODEDEPLOY_HOOKS):
            name = "on_instance_launching" if launching else "on_instance_terminating"
            told = getattr(self._aws.services.get("codedeploy"), name, None)
            if told is not None:
                told(self._account, self._region, group_name, instance_id, data["Hook"], data["Token"])

    def event(self, detail_type: str, detail: dict[str, Any], group_arn: str) -> None:
        """Put an event of Auto Scaling on the account's bus."""
        instance = detail.get("EC2InstanceId")
        resources = [group_arn, *([f"arn:aws:ec2:{self._region}:{self._account}:instance/{instance}"] if instance else [])]
        self._aws.emit(self._account, self._region, "aws.autoscaling", detail_type, detail, resources)


def _text(error: Exception) -> str:
    if isinstance(error, ClientError):
        return f"{error.response['Error']['Message']}"
    return str(error)
