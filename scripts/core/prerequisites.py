"""What would stop a deploy half-way, looked at first: quotas, deployments in progress, alarms that fire.

Quota codes: Service Quotas, "EC2-VPC Elastic IPs" (ec2, L-0263D0A3) and "VPCs per Region" (vpc, L-F678F1CE).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from scripts.core.errors import CommandError, Problem, denied_action, error_code
from scripts.core.session import Aws
from scripts.core.stacks import Stack

_UNFINISHED = ["Created", "Queued", "InProgress", "Baking", "Ready"]


@dataclass(frozen=True)
class Need:
    """How many of one thing a new stack takes, and the quota that limits them."""

    what: str
    count: int
    service_code: str
    quota_code: str
    next_step: str


def network_needs(values: Mapping[str, str]) -> tuple[Need, ...]:
    """What an environment's own network takes; nothing where the VPC is an existing one. `values` are the root's parameters."""
    if "Egress" not in values or values.get("ExistingVpcId"):
        return ()
    zones = int(values.get("AvailabilityZoneCount") or 3)
    addresses = {"public": 0, "one-nat": 1, "nat-per-zone": zones}.get(values["Egress"], 0)
    vpc = Need("VPCs", 1, "vpc", "L-F678F1CE", "remove an unused VPC, ask for more in Service Quotas, or set ExistingVpcId")
    if not addresses:
        return (vpc,)
    eip = Need(
        "Elastic IP addresses",
        addresses,
        "ec2",
        "L-0263D0A3",
        "release unused ones, ask for more in Service Quotas, or choose Egress: one-nat or public",
    )
    return (vpc, eip)


def shortage(need: Need, used: int, quota: float, region: str) -> Problem | None:
    """The problem when `need` does not fit under the quota."""
    if used + need.count <= quota:
        return None
    return Problem(f"{need.what} in {region}", f"{need.count} needed, {used} of {quota:.0f} in use", need.next_step)


def check_quotas(aws: Aws, region: str, needs: Sequence[Need]) -> tuple[list[Problem], list[str]]:
    """Problems, and notes on what could not be looked up (no permission, no such service): those do not stop a deploy."""
    problems, notes = [], []
    for need in needs:
        try:
            quota = limit(aws.client("service-quotas", region), need)
            used = in_use(aws.client("ec2", region), need)
        except (ClientError, BotoCoreError) as error:
            why = denied_action(error) if isinstance(error, ClientError) else None
            notes.append(
                f"the quota of {need.what} in {region} could not be read ({why or error_code(error) or type(error).__name__}); not checked"
            )
            continue
        problem = shortage(need, used, quota, region)
        if problem:
            problems.append(problem)
    return problems, notes


def limit(quotas: Any, need: Need) -> float:
    """The quota as it is applied to the account, else AWS's default: one that was never changed may have no applied value.

    Source: https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html
    """
    asked = {"ServiceCode": need.service_code, "QuotaCode": need.quota_code}
    try:
        return float(quotas.get_service_quota(**asked)["Quota"]["Value"])
    except ClientError as error:
        if error_code(error) != "NoSuchResourceException":
            raise
        return float(quotas.get_aws_default_service_quota(**asked)["Quota"]["Value"])


def in_use(ec2: Any, need: Need) -> int:
    """How many addresses or VPCs there are."""
    if need.quota_code == "L-0263D0A3":
        # Addresses that a customer brought (pools named ipv4pool-…) do not count.
        return sum(not address.get("PublicIpv4Pool", "").startswith("ipv4pool-") for address in ec2.describe_addresses()["Addresses"])
    return sum(len(page["Vpcs"]) for page in ec2.get_paginator("describe_vpcs").paginate())


def deployment_groups(stack: Stack) -> tuple[tuple[str, str, str], ...]:
    """(scope, application, group) of an environment's stack; one-box where there is one."""
    application = stack.outputs.get("ApplicationName", "")
    named = (("onebox", stack.outputs.get("OneBoxDeploymentGroupName", "")), ("fleet", stack.outputs.get("FleetDeploymentGroupName", "")))
    return tuple((scope, application, group) for scope, group in named if application and group)


def running_deployments(codedeploy: Any, stack: Stack) -> list[tuple[str, str]]:
    """(group, deployment id) of every deployment that has not ended."""
    found = []
    for _, application, group in deployment_groups(stack):
        try:
            pages = codedeploy.get_paginator("list_deployments").paginate(
                applicationName=application, deploymentGroupName=group, includeOnlyStatuses=_UNFINISHED
            )
            found += [(group, deployment) for page in pages for deployment in page["deployments"]]
        except ClientError as error:
            # A stack that failed half-way names groups that are gone; they lock nothing.
            if error_code(error) not in {"ApplicationDoesNotExistException", "DeploymentGroupDoesNotExistException"}:
                raise
    return found


def require_no_deployment(codedeploy: Any, stack: Stack, region: str) -> None:
    """The environment lock: infrastructure and application never change at once."""
    running = running_deployments(codedeploy, stack)
    if running:
        first = running[0][1]
        raise CommandError(
            f"{stack.name} ({region}) is locked: a deployment is in progress",
            "; ".join(f"{deployment} to {group}" for group, deployment in running),
            f"wait until it ends (make status), or: aws deploy stop-deployment --region {region} --deployment-id {first}",
        )


# The outputs that name composites: what the update of a stack is taken back by. CloudFormation takes five triggers at most.
COMPOSITES = ("EnvironmentCompositeAlarmName", "FleetCompositeAlarmName", "OneBoxCompositeAlarmName")


def composite_triggers(cloudwatch: Any, stack: Stack, region: str) -> tuple[str, ...]:
    """The composites that watch an update of the stack, by ARN. CommandError when one fires already: CloudFormation would take the update back."""
    names = [stack.outputs[key] for key in COMPOSITES if stack.outputs.get(key)]
    if not names:
        return ()
    # DescribeAlarms leaves composites out unless they are asked for.
    alarms = cloudwatch.describe_alarms(AlarmNames=names, AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    firing = [alarm["AlarmName"] for alarm in alarms if alarm["StateValue"] == "ALARM"]
    if firing:
        raise CommandError(
            f"{stack.name} ({region}) is not updated while an alarm fires",
            f"in ALARM: {', '.join(firing)}",
            "make status shows what is wrong; if this deploy is the remedy: IGNORE_ALARMS=1",
        )
    return tuple(alarm["AlarmArn"] for alarm in alarms)
