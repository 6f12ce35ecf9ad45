"""What the hosts start from: image, instance type, disk encryption, CodeDeploy agent."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from scripts.core import placeholders
from scripts.core.errors import error_code
from scripts.doctors.finding import Finding, fail, ok, warn
from scripts.doctors.place import Place

_NEWEST = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
_KEY_SOURCE = "https://docs.aws.amazon.com/autoscaling/ec2/userguide/key-policy-requirements-EBS-encryption.html"
_DEPRECATED = "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-deprecate.html"
_ZONES = "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-getavailabilityzones.html"
_NO_IMAGE = frozenset({"InvalidAMIID.NotFound", "InvalidAMIID.Malformed", "InvalidAMIID.Unavailable"})


def image(place: Place) -> Iterable[Finding]:
    """The image exists here, can be started, is Amazon's Amazon Linux 2023 and of the type's architecture."""
    name = place.value("AmiId")
    if not name or name == placeholders.IMAGE:
        return []
    found: list[Finding] = []
    look = f"aws ssm get-parameter --region {place.region} --name {_NEWEST} --query Parameter.Value --output text"
    with place.reading(f"the image {name}", found, f"aws ec2 describe-images --region {place.region} --image-ids {name}"):
        described = _image(place, name)
        if described is None:
            return [
                fail(
                    f"AmiId: there is no image {name} in {place.region}",
                    "an image's id is of one Region: CloudFormation refuses the change set",
                    f"an exact id of today: {look}",
                )
            ]
        found += _judge_image(place, name, described, look)
    return found


def _image(place: Place, name: str) -> dict[str, Any] | None:
    def read() -> dict[str, Any] | None:
        try:
            images: list[dict[str, Any]] = place.client("ec2").describe_images(ImageIds=[name])["Images"]
        except ClientError as error:
            if error_code(error) in _NO_IMAGE:
                return None
            raise
        return images[0] if images else None

    return place.once(f"image {name}", read)


def _judge_image(place: Place, name: str, described: dict[str, Any], look: str) -> Iterable[Finding]:
    title, owner = str(described.get("Name", "")), described.get("ImageOwnerAlias", "")
    if described.get("State") != "available":
        yield fail(
            f"AmiId: {name} is {described.get('State')}",
            "no instance can be started from it: the fleet's group gets no signals",
            f"an exact id of today: {look}",
        )
    elif owner != "amazon":
        yield warn(
            f"AmiId: {name} ({title}) is not of Amazon's, but of {described.get('OwnerId', 'another account')}",
            "user data and hooks are written for Amazon Linux 2023, with its SSM agent, aws, curl and python3",
            f"see that it is yours and has these, or: {look}",
        )
    elif not title.startswith("al2023-ami-"):
        yield warn(f"AmiId: {name} is {title}, not Amazon Linux 2023", "user data and hooks are written for that", f"an exact id of today: {look}")
    elif title.startswith("al2023-ami-minimal"):
        yield warn(
            f"AmiId: {name} is {title}",
            "without the SSM agent in it, as the standard image has one, the CodeDeploy agent is never installed and no host signals",
            f"see that it has one, or the standard image: {look}",
        )
    else:
        yield ok(f"the image {name} is {title}")
    ended = described.get("DeprecationTime", "")
    if ended and datetime.fromisoformat(ended.replace("Z", "+00:00")) <= place.now:
        yield warn(
            f"AmiId: {name} is deprecated since {ended[:10]}", "it still starts, and gets no updates any more", f"an exact id of today: {look}", _DEPRECATED
        )
    kind = describe_type(place)
    architectures = (kind or {}).get("ProcessorInfo", {}).get("SupportedArchitectures", [])
    if kind and described.get("Architecture") not in architectures:
        yield fail(
            f"AmiId is of {described.get('Architecture')}, and {place.value('InstanceType')} runs {', '.join(architectures)}",
            "EC2 refuses to start one on the other: the fleet's group gets no instance",
            f"change AmiId or InstanceType in {place.roots.environment.file}",
        )


def describe_type(place: Place) -> dict[str, Any] | None:
    """The instance type's description; None where there is no such type."""
    name = place.value("InstanceType")

    def read() -> dict[str, Any] | None:
        try:
            found: list[dict[str, Any]] = place.client("ec2").describe_instance_types(InstanceTypes=[name])["InstanceTypes"]
        except ClientError as error:
            if error_code(error) == "InvalidInstanceType":
                return None
            raise
        return found[0] if found else None

    return place.once(f"type {name}", read) if name else None


def instance_type(place: Place) -> Iterable[Finding]:
    """The type exists and is offered in every zone that hosts are put into."""
    name = place.value("InstanceType")
    if not name:
        return []
    found: list[Finding] = []
    look = f"aws ec2 describe-instance-type-offerings --region {place.region} --location-type availability-zone --filters Name=instance-type,Values={name}"
    with place.reading(f"whether {name} is offered", found, look):
        if describe_type(place) is None:
            return [
                fail(
                    f"InstanceType: {place.region} has no {name}",
                    "the launch template would be refused, or no instance started",
                    f"correct it in {place.roots.environment.file}: "
                    f"aws ec2 describe-instance-types --region {place.region} --query InstanceTypes[].InstanceType",
                )
            ]
        pages = (
            place.client("ec2")
            .get_paginator("describe_instance_type_offerings")
            .paginate(LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": [name]}])
        )
        offered = {item["Location"] for page in pages for item in page["InstanceTypeOfferings"]}
        missing = [zone for zone in zones(place) if zone not in offered]
        if missing:
            found.append(
                fail(
                    f"InstanceType: {name} is not offered in {', '.join(missing)}",
                    "hosts are put into these zones: the group gets no instance there and the stack waits for signals until it fails",
                    f"choose a type that all zones have: {look}, or another Region",
                )
            )
        else:
            found.append(ok(f"{name} is offered in {', '.join(zones(place)) or 'its zones'}"))
    return found


def available(place: Place) -> Iterable[Finding]:
    """There are as many Availability Zones as the environment's own network takes, of those that CloudFormation counts."""
    wanted = int(place.value("AvailabilityZoneCount") or 0)
    if place.value("ExistingVpcId") or not wanted:
        return []
    found: list[Finding] = []
    look = f"aws ec2 describe-subnets --region {place.region} --filters Name=default-for-az,Values=true --query Subnets[].AvailabilityZone"
    with place.reading("the Availability Zones that CloudFormation counts", found, look):
        there = zones(place)
        if len(there) >= wanted:
            return [ok(f"hosts go to {', '.join(there)}")]
        found.append(
            fail(
                f"AvailabilityZoneCount: {wanted} wanted, and CloudFormation counts {len(there)}: {', '.join(there) or 'none'}",
                "it counts the zones with a default subnet (Fn::GetAZs), and all of them only where none has one: the stack Network would fail",
                f"aws ec2 create-default-subnet --region {place.region} --availability-zone <zone>, or AvailabilityZoneCount: {max(len(there), 2)} in "
                f"{place.roots.environment.file}" + ("" if len(there) > 1 else ", and no less: another Region"),
                _ZONES,
            )
        )
    return found


def zones(place: Place) -> list[str]:
    """The zones that hosts are put into: those of the existing subnets, or the first ones that Fn::GetAZs gives (as _ZONES says it)."""
    subnets = [part for part in place.value("ExistingHostSubnetIds").split(",") if part]
    if subnets:
        described = place.once("host subnets", lambda: place.client("ec2").describe_subnets(SubnetIds=subnets)["Subnets"])
        return sorted({subnet["AvailabilityZone"] for subnet in described})
    every = place.once("zones", lambda: place.client("ec2").describe_availability_zones()["AvailabilityZones"])
    usable = sorted(zone["ZoneName"] for zone in every if zone.get("ZoneType", "availability-zone") == "availability-zone" and zone["State"] == "available")
    filters = [{"Name": "default-for-az", "Values": ["true"]}]
    default = place.once("default subnets", lambda: place.client("ec2").describe_subnets(Filters=filters)["Subnets"])
    usable = sorted({subnet["AvailabilityZone"] for subnet in default}) or usable
    return usable[: int(place.value("AvailabilityZoneCount") or len(usable))]


def disks(place: Place) -> Iterable[Finding]:
    """Where the account encrypts disks with a key of its own, Auto Scaling must be let use it: its role has no such permission by itself."""
    if not place.value("InstanceType"):
        return []
    found: list[Finding] = []
    with place.reading("the account's default disk encryption", found, f"aws ec2 get-ebs-default-kms-key-id --region {place.region}"):
        name = place.client("ec2").get_ebs_default_kms_key_id()["KmsKeyId"]
        if name.endswith("alias/aws/ebs"):
            return [ok("disks are encrypted with AWS's own key")]
        key = place.client("kms").describe_key(KeyId=name)["KeyMetadata"]
        if key.get("KeyManager") == "AWS":
            return [ok("disks are encrypted with AWS's own key")]
        if key.get("KeyState") != "Enabled":
            return [
                fail(
                    f"the account's key for disks, {name}, is {key.get('KeyState')}",
                    "no instance can be started: its disk cannot be encrypted",
                    f"aws ec2 modify-ebs-default-kms-key-id --region {place.region} --kms-key-id <key>",
                )
            ]
        policy = place.client("kms").get_key_policy(KeyId=name, PolicyName="default")["Policy"]
        if _lets_auto_scaling(json.loads(policy)) or _granted(place.client("kms"), name):
            found.append(ok(f"the account's key for disks, {name}, lets Auto Scaling use it"))
        else:
            found.append(
                fail(
                    f"the account's key for disks, {name}, does not let Auto Scaling use it",
                    "every host would end as it is started (Client.InternalError), and the stack waits for signals until it fails",
                    "add AWSServiceRoleForAutoScaling to the key's policy, with kms:CreateGrant",
                    _KEY_SOURCE,
                )
            )
    return found


def _lets_auto_scaling(policy: dict[str, Any]) -> bool:
    """Whether a statement names the role of Auto Scaling, or everyone of the account (kms:CallerAccount)."""
    for statement in policy.get("Statement", ()):
        principal = statement.get("Principal", {})
        named = principal if isinstance(principal, str) else principal.get("AWS", [])
        text = json.dumps(named)
        if statement.get("Effect") == "Allow" and ("AWSServiceRoleForAutoScaling" in text or '"*"' in text):
            return True
    return False


def _granted(kms: Any, key: str) -> bool:
    """Whether a grant lets Auto Scaling use the key: https://repost.aws/knowledge-center/kms-launch-ec2-instance"""
    pages = kms.get_paginator("list_grants").paginate(KeyId=key)
    return any("AWSServiceRoleForAutoScaling" in grant.get("GranteePrincipal", "") for page in pages for grant in page["Grants"])


def agent(place: Place) -> Iterable[Finding]:
    """The version of the CodeDeploy agent's package that the hosts' association asks for."""
    version = place.value("AgentVersion")
    if not version or version == placeholders.AGENT:
        return []
    found: list[Finding] = []
    look = f"aws ssm list-document-versions --region {place.region} --name AWSCodeDeployAgent --query DocumentVersions[].VersionName"
    with place.reading(f"whether AWSCodeDeployAgent has a version {version}", found, look):
        pages = place.client("ssm").get_paginator("list_document_versions").paginate(Name="AWSCodeDeployAgent")
        versions = [item.get("VersionName", "") for page in pages for item in page["DocumentVersions"]]
        if version in versions:
            found.append(ok(f"AWSCodeDeployAgent has a version {version}"))
        else:
            found.append(
                fail(
                    f"AgentVersion: AWSCodeDeployAgent has no version {version} in {place.region}",
                    "the association fails on every host: none gets an agent, none signals, and the stack waits until it fails",
                    f"one of {', '.join(filter(None, versions[:5])) or 'none'}: {look}",
                )
            )
    return found
