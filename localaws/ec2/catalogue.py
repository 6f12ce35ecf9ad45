"""What EC2 offers in a Region: images, instance types, zones that have them, and how disks are encrypted by default.

MiniStack takes any word for an instance type, and calls the image that our hosts stand for Ubuntu. Sources: the EC2 API Reference of each operation;
vCPUs and architectures: https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-types.html
"""

from __future__ import annotations

from typing import Any

from localaws.service import Context, ServiceError

_AMAZON = "137112412989"
_IMAGES = {
    "ami-0123456789abcdef0": "al2023-ami-2023.6.20241010.0-kernel-6.1-x86_64",
    "ami-0c2023a1b2c3d4e5f": "al2023-ami-2023.6.20241010.0-kernel-6.1-x86_64",
    "ami-0abcdef1234567890": "amzn2-ami-hvm-2.0.20231116.0-x86_64-gp2",
}
_TYPES = {  # architecture, vCPUs, MiB
    "t3.micro": ("x86_64", 2, 1024), "t3.small": ("x86_64", 2, 2048), "t3.medium": ("x86_64", 2, 4096), "t3.large": ("x86_64", 2, 8192),
    "t4g.micro": ("arm64", 2, 1024), "t4g.small": ("arm64", 2, 2048), "t4g.medium": ("arm64", 2, 4096),
    "m5.large": ("x86_64", 2, 8192), "m5.xlarge": ("x86_64", 4, 16384), "m7g.large": ("arm64", 2, 8192),
    "c5.large": ("x86_64", 2, 4096), "c5.xlarge": ("x86_64", 4, 8192)}


class Catalogue:
    """The operations that read it: a part of EC2's Api."""

    def describe_images(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Tell images by id."""
        _only(params, "ImageIds")
        wanted = params.get("ImageIds") or list(_IMAGES)
        missing = [name for name in wanted if name not in _IMAGES]
        if missing:
            raise ServiceError("InvalidAMIID.NotFound", f"The image id '[{', '.join(missing)}]' does not exist")
        return {"Images": [
            {"ImageId": name, "Name": _IMAGES[name], "ImageLocation": f"amazon/{_IMAGES[name]}", "ImageOwnerAlias": "amazon", "OwnerId": _AMAZON,
             "Architecture": "x86_64", "State": "available", "Public": True, "ImageType": "machine", "RootDeviceType": "ebs",
             "RootDeviceName": "/dev/xvda", "VirtualizationType": "hvm", "Hypervisor": "xen", "EnaSupport": True, "BlockDeviceMappings": []}
            for name in wanted]}

    def describe_instance_types(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Tell types by name."""
        _only(params, "InstanceTypes")
        wanted = params.get("InstanceTypes") or list(_TYPES)
        unknown = [name for name in wanted if name not in _TYPES]
        if unknown:
            raise ServiceError("InvalidInstanceType", f"The following supplied instance types do not exist: [{', '.join(unknown)}]")
        return {"InstanceTypes": [
            {"InstanceType": name, "CurrentGeneration": True, "SupportedUsageClasses": ["on-demand", "spot"], "Hypervisor": "nitro",
             "ProcessorInfo": {"SupportedArchitectures": [_TYPES[name][0]]}, "MemoryInfo": {"SizeInMiB": _TYPES[name][2]},
             "VCpuInfo": {"DefaultVCpus": _TYPES[name][1], "DefaultCores": max(1, _TYPES[name][1] // 2), "DefaultThreadsPerCore": 2}}
            for name in wanted]}

    def describe_instance_type_offerings(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Tell where types are offered: in each zone. Only by LocationType availability-zone, and only the filter instance-type."""
        _only(params, "LocationType", "Filters")
        filters = {item["Name"]: item["Values"] for item in params.get("Filters") or []}
        if params.get("LocationType") != "availability-zone" or set(filters) - {"instance-type"}:
            raise ServiceError("InvalidParameterValue", "The local AWS tells offerings by availability-zone and instance-type only.")
        return {"InstanceTypeOfferings": [
            {"InstanceType": name, "LocationType": "availability-zone", "Location": f"{ctx.region}{letter}"}
            for name in _TYPES if name in filters.get("instance-type", _TYPES) for letter in "abc"]}

    def get_ebs_default_kms_key_id(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Tell the key that disks are encrypted with where none is named: AWS's own, unless somebody chose another."""
        return {"KmsKeyId": "alias/aws/ebs"}


def _only(params: dict[str, Any], *served: str) -> None:
    """Refuse what would be passed over in silence. DryRun and paging change nothing here."""
    other = [name for name, value in params.items() if value and name not in (*served, "DryRun", "MaxResults", "NextToken")]
    if other:
        raise ServiceError("InvalidParameterValue", f"The local AWS does not take {', '.join(other)} here.")
