"""The deployed environments as AWS describes them: outputs, addresses, and what their hosts say they run."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Place:
    """One environment in one Region.

    `groups` maps scope (fleet, onebox) to its deployment group's name. `client(service, region)` gives boto3 clients of its account.
    """

    environment: str
    region: str
    url: str
    application: str
    groups: Mapping[str, str]
    client: Callable[[str, str], Any] = field(compare=False, repr=False)

    @property
    def name(self) -> str:
        """<environment>/<region>, as the summary names it."""
        return f"{self.environment}/{self.region}"


def outputs(client: Callable[[str, str], Any], stack: str, region: str) -> dict[str, str]:
    """Return a stack's outputs by key."""
    found = client("cloudformation", region).describe_stacks(StackName=stack)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}


def resources(client: Callable[[str, str], Any], stack: str, region: str, kind: str) -> list[str]:
    """Return the physical ids of all resources of a type in a stack and all that are nested in it."""
    found, open_ = [], [stack]
    while open_:
        for one in client("cloudformation", region).describe_stack_resources(StackName=open_.pop())["StackResources"]:
            if one["ResourceType"] == "AWS::CloudFormation::Stack":
                open_.append(one["PhysicalResourceId"])
            elif one["ResourceType"] == kind:
                found.append(str(one["PhysicalResourceId"]))
    return found


def place(environment: str, region: str, of: Mapping[str, str], addresses: Mapping[str, str], client: Callable[[str, str], Any]) -> Place:
    """Return a place from its root stack's outputs. `addresses`: where a balancer's DNS name answers, if not under that name."""
    host = urlsplit(of["EndpointUrl"]).netloc
    groups = {scope: of[key] for scope, key in (("fleet", "FleetDeploymentGroupName"), ("onebox", "OneBoxDeploymentGroupName"))
              if of.get(key)}
    return Place(environment, region, addresses.get(host, of["EndpointUrl"]).rstrip("/") + "/", of["ApplicationName"], groups, client)


def hosts(one: Place, scope: str) -> list[dict[str, Any]]:
    """EC2's description of each host of a scope: those of its group's Auto Scaling groups."""
    group = one.client("codedeploy", one.region).get_deployment_group(
        applicationName=one.application, deploymentGroupName=one.groups[scope])["deploymentGroupInfo"]
    names = [found["name"] for found in group.get("autoScalingGroups", [])]
    described = one.client("autoscaling", one.region).describe_auto_scaling_groups(AutoScalingGroupNames=names)["AutoScalingGroups"]
    ids = [instance["InstanceId"] for found in described for instance in found["Instances"]]
    if not ids:
        return []
    reservations = one.client("ec2", one.region).describe_instances(InstanceIds=ids)["Reservations"]
    return [instance for reservation in reservations for instance in reservation["Instances"]]


def running(one: Place, scope: str, port: int) -> dict[str, str]:
    """Return the commit that each host of a scope itself answers with, by instance id ('' where it does not answer).

    Each is asked at its private address, so this needs a route to it.
    """
    return {instance["InstanceId"]: version(f"http://{instance.get('PrivateIpAddress', 'nowhere.invalid')}:{port}") for instance in hosts(one, scope)}


def version(base: str) -> str:
    """Return the commit that the service at `base` says it is, '' where it does not answer."""
    try:
        with open_directly(f"{base}/version", 5) as response:
            return str(json.load(response)["commit"])
    except (OSError, ValueError, KeyError):
        return ""


def open_directly(url: str, seconds: float) -> Any:
    """Open an address of this machine: no proxy of the user's knows the way. `seconds`: how long to wait for each answer."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=seconds)
