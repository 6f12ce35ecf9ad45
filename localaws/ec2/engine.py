"""Decisions about instances over plain data: launch templates merged with requests, filters, the shape of an instance.

An instance record is {InstanceId, ReservationId, OwnerId, State, ImageId, InstanceType, SubnetId, VpcId, Zone, PrivateIpAddress, LaunchTime
(epoch seconds), ProfileArn, ProfileId, SecurityGroups [{GroupId, GroupName}], Tags {key: value}, Metadata {HttpTokens, …}, Monitoring
(enabled|disabled), Reason (StateReason or None), EndTime (epoch seconds or None)}.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from typing import Any

STATE_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
TERMINATED_SHOWN_SECONDS = 3600.0
"""How long DescribeInstances shows a terminated instance: "usually for one hour"
(https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/terminating-instances.html)."""

_UNPLAYED = ("NetworkInterfaces", "InstanceMarketOptions", "Placement.GroupName", "KeyName", "HibernationOptions", "LicenseSpecifications")


class InvalidRequest(Exception):
    """A request that EC2 refuses: `code` and message on the wire."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def merged(template: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """Return what to launch: the launch template's data overlaid by the request's own parameters (tags by resource type and key).

    Raises InvalidRequest for what is missing or not played here.
    """
    result = {**template, **{name: value for name, value in request.items() if name not in ("LaunchTemplate", "TagSpecifications")}}
    result["Tags"] = {**tags_for(template.get("TagSpecifications"), "instance"), **tags_for(request.get("TagSpecifications"), "instance")}
    for name in _UNPLAYED:
        section, _, inner = name.partition(".")
        value = result.get(section)
        if (value or {}).get(inner) if inner else value:
            raise InvalidRequest("UnsupportedOperation", f"The local AWS launches no instances with {name} (docs/local-aws.md, Hosts).")
    if not result.get("ImageId"):
        raise InvalidRequest("MissingParameter", "The request must contain the parameter ImageId")
    result.setdefault("InstanceType", "m1.small")
    return result


def tags_for(specifications: list[dict[str, Any]] | None, resource_type: str) -> dict[str, str]:
    """Return the tags of TagSpecifications for one type of resource."""
    return {tag["Key"]: tag.get("Value", "") for entry in specifications or [] if entry.get("ResourceType") == resource_type
            for tag in entry.get("Tags", [])}


def describe(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record as DescribeInstances tells it."""
    address = record["PrivateIpAddress"]
    alive = record["State"] not in ("terminated", "shutting-down")
    shown: dict[str, Any] = {
        "InstanceId": record["InstanceId"], "ImageId": record["ImageId"], "InstanceType": record["InstanceType"],
        "State": {"Code": STATE_CODES[record["State"]], "Name": record["State"]}, "LaunchTime": record["LaunchTime"],
        "Placement": {"AvailabilityZone": record["Zone"], "GroupName": "", "Tenancy": "default"}, "AmiLaunchIndex": 0,
        "Architecture": "x86_64", "Hypervisor": "xen", "VirtualizationType": "hvm", "RootDeviceType": "ebs", "EbsOptimized": False,
        "RootDeviceName": "/dev/xvda", "PublicDnsName": "", "PrivateDnsName": "", "ProductCodes": [], "EnaSupport": True,
        "Monitoring": {"State": record["Monitoring"]}, "SourceDestCheck": True, "ClientToken": record.get("ClientToken", ""),
        "StateTransitionReason": record.get("TransitionReason", ""), "MetadataOptions": {"State": "applied", **record["Metadata"]},
        "Tags": [{"Key": key, "Value": value} for key, value in sorted(record["Tags"].items())],
        "SecurityGroups": record["SecurityGroups"] if alive else []}
    if alive:
        shown |= {"SubnetId": record["SubnetId"], "VpcId": record["VpcId"]}
        if address:
            shown |= {"PrivateIpAddress": address, "PrivateDnsName": f"ip-{address.replace('.', '-')}.ec2.internal"}
        if record["ProfileArn"]:
            shown["IamInstanceProfile"] = {"Arn": record["ProfileArn"], "Id": record["ProfileId"]}
    if record.get("Reason"):
        shown["StateReason"] = record["Reason"]
    return shown


_FILTERS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "instance-id": lambda record: [record["InstanceId"]],
    "instance-state-name": lambda record: [record["State"]],
    "instance-state-code": lambda record: [str(STATE_CODES[record["State"]])],
    "image-id": lambda record: [record["ImageId"]],
    "instance-type": lambda record: [record["InstanceType"]],
    "availability-zone": lambda record: [record["Zone"]],
    "subnet-id": lambda record: [record["SubnetId"]],
    "vpc-id": lambda record: [record["VpcId"]],
    "private-ip-address": lambda record: [record["PrivateIpAddress"]],
    "iam-instance-profile.arn": lambda record: [record["ProfileArn"]],
    "instance.group-id": lambda record: [group["GroupId"] for group in record["SecurityGroups"]],
    "reservation-id": lambda record: [record["ReservationId"]],
    "tag-key": lambda record: list(record["Tags"]),
}


def matches(record: dict[str, Any], filters: list[dict[str, Any]]) -> bool:
    """Return whether a record passes every filter (values of one filter are alternatives; * and ? are wildcards).

    Raises InvalidRequest for a filter that EC2 does not know or that is not played here.
    """
    for entry in filters:
        name, wanted = entry.get("Name", ""), entry.get("Values", [])
        if name.startswith("tag:"):
            value = record["Tags"].get(name.removeprefix("tag:"))
            found = [] if value is None else [value]
        elif name in _FILTERS:
            found = _FILTERS[name](record)
        else:
            raise InvalidRequest("InvalidParameterValue", f"The filter '{name}' is invalid")
        if not any(fnmatch.fnmatchcase(value, pattern.replace("[", "[[]")) for value in found for pattern in wanted):
            return False
    return True


def expired(record: dict[str, Any], now: float) -> bool:
    """Return whether a terminated instance is no longer shown."""
    return record["State"] == "terminated" and record.get("EndTime") is not None and now - record["EndTime"] > TERMINATED_SHOWN_SECONDS
