"""Stack records: how they are made, what their templates see, what is written down of them.

A *stack record* is plain data, so that it can be dumped: StackId, StackName, ParentId, RootId, template (text), description,
parameters (bound), tags, capabilities, role_arn, rollback (RollbackConfiguration), disable_rollback, status, reason, created,
updated, deleted, resources (logical id → resource record, see engine), outputs (name → {value, description, export}), imports
(export names in use), operation (of the update that is under way or failed in rollback, else None), protected (termination
protection: a root's, which holds for the stacks below it; records of earlier versions have none).
"""

from __future__ import annotations

import json
import urllib.parse
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from localaws.cloudformation import engine, intrinsics, template
from localaws.cloudformation.intrinsics import Effective, Scope
from localaws.cloudformation.schema import Schemas
from localaws.cloudformation.template import TemplateError
from localaws.service import Clients

IAM_TYPES = ("AWS::IAM::Group", "AWS::IAM::InstanceProfile", "AWS::IAM::ManagedPolicy", "AWS::IAM::Policy", "AWS::IAM::Role",
             "AWS::IAM::User")
_IAM_NAMES = {"AWS::IAM::Role": "RoleName", "AWS::IAM::User": "UserName", "AWS::IAM::Group": "GroupName",
              "AWS::IAM::ManagedPolicy": "ManagedPolicyName", "AWS::IAM::InstanceProfile": "InstanceProfileName"}


class MissingCapability(TemplateError):
    """The template makes IAM resources and the caller did not acknowledge it."""


@dataclass(frozen=True)
class Prepared:
    """A template with everything bound to it: ready to be planned or made."""

    body: str
    data: dict[str, Any]
    parameters: dict[str, Any]
    scope: Scope
    effective: Effective


def stack_arn(account: str, region: str, name: str) -> str:
    """Return a new stack's ARN."""
    return f"arn:aws:cloudformation:{region}:{account}:stack/{name}/{uuid.uuid4()}"


def new_record(stack_id: str, now: float, parent: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the record of a stack that does not exist yet (status '')."""
    return {"StackId": stack_id, "StackName": stack_id.split("/")[1], "ParentId": parent["StackId"] if parent else None,
            "RootId": (parent["RootId"] or parent["StackId"]) if parent else None, "template": "", "description": "",
            "parameters": {}, "tags": {}, "capabilities": [], "role_arn": None, "rollback": {}, "disable_rollback": False,
            "status": "", "reason": "", "created": now, "updated": None, "deleted": None, "resources": {}, "outputs": {},
            "imports": [], "operation": None, "protected": False}


def pseudo(stack_id: str) -> dict[str, Any]:
    """Return the pseudo parameters of a stack."""
    region, account = stack_id.split(":")[3:5]
    return {"AWS::AccountId": account, "AWS::NotificationARNs": [], "AWS::Partition": "aws", "AWS::Region": region,
            "AWS::StackId": stack_id, "AWS::StackName": stack_id.split("/")[1], "AWS::URLSuffix": "amazonaws.com"}


def prepare(body: str, given: Mapping[str, Any], stack_id: str, clients: Clients, schemas: Schemas,
            exported: Callable[[str], str], strict: bool = True) -> Prepared:
    """Parse and check a template and bind it to parameters. Raises TemplateError as AWS would answer ValidationError."""
    data = template.parse(body)
    schemas.check(data)
    parameters = template.bind(data, given, strict)
    region = stack_id.split(":")[3]
    _check_existing(data, parameters, clients, region)
    scope = Scope(data, parameters, pseudo(stack_id), zones=lambda wanted: default_zones(clients, wanted), exported=exported)
    return Prepared(body, data, parameters, scope, intrinsics.effective(scope))


def zones(clients: Clients, region: str) -> list[str]:
    """Return the names of a Region's availability zones."""
    answer = clients.client("ec2", region).describe_availability_zones()
    return sorted(zone["ZoneName"] for zone in answer["AvailabilityZones"])


def default_zones(clients: Clients, region: str) -> list[str]:
    """Return what Fn::GetAZs does: the zones that have a default subnet; all of them where none has one.

    Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-getavailabilityzones.html
    """
    filters = [{"Name": "default-for-az", "Values": ["true"]}]
    found = clients.client("ec2", region).describe_subnets(Filters=filters)["Subnets"]
    return sorted({subnet["AvailabilityZone"] for subnet in found}) or zones(clients, region)


_LOOKUPS: dict[str, tuple[str, str, str, str]] = {
    "AWS::EC2::VPC::Id": ("describe_vpcs", "VpcIds", "Vpcs", "VpcId"),
    "AWS::EC2::Subnet::Id": ("describe_subnets", "SubnetIds", "Subnets", "SubnetId"),
    "AWS::EC2::SecurityGroup::Id": ("describe_security_groups", "GroupIds", "SecurityGroups", "GroupId"),
    "AWS::EC2::Image::Id": ("describe_images", "ImageIds", "Images", "ImageId"),
    "AWS::EC2::KeyPair::KeyName": ("describe_key_pairs", "KeyNames", "KeyPairs", "KeyName")}


def _check_existing(data: Mapping[str, Any], parameters: Mapping[str, Any], clients: Clients, region: str) -> None:
    """Check that what AWS-specific parameters name exists."""
    for name, value in parameters.items():
        kind = data["Parameters"][name]["Type"]
        plain = kind[5:-1] if kind.startswith("List<") else kind
        if value is template.UNKNOWN or not plain.startswith("AWS::"):
            continue
        wanted = [part.strip() for part in value.split(",")] if kind.startswith("List<") else [value]
        if plain == "AWS::EC2::AvailabilityZone::Name":
            found = set(zones(clients, region))
        elif plain in _LOOKUPS:
            operation, argument, answer, key = _LOOKUPS[plain]
            try:
                result = getattr(clients.client("ec2", region), operation)(**{argument: wanted})
            except ClientError as error:
                if "NotFound" not in error.response["Error"]["Code"] and "Malformed" not in error.response["Error"]["Code"]:
                    raise TemplateError(f"Parameter validation failed: {error.response['Error']['Message']}") from error
                result = {answer: []}
            found = {item[key] for item in result[answer]}
        else:
            raise TemplateError(f"Parameter {name}: type {kind} is not served by the local AWS")
        for part in wanted:
            if part not in found:
                raise TemplateError(f"Parameter validation failed: parameter value {part} for parameter name {name} does not exist")


def check_capabilities(data: Mapping[str, Any], capabilities: list[str]) -> None:
    """Raise MissingCapability where the template makes IAM resources that were not acknowledged."""
    needed = ""
    for resource in data["Resources"].values():
        if resource["Type"] in IAM_TYPES:
            named = _IAM_NAMES.get(resource["Type"], "") in (resource.get("Properties") or {})
            needed = "CAPABILITY_NAMED_IAM" if named or needed == "CAPABILITY_NAMED_IAM" else "CAPABILITY_IAM"
    if needed and needed not in capabilities and "CAPABILITY_NAMED_IAM" not in capabilities:
        raise MissingCapability(f"Requires capabilities : [{needed}]")


def live_scope(prepared: Prepared, record: Mapping[str, Any]) -> Scope:
    """Return the template's scope, seeing the resources that the stack has now."""
    def ref(name: str) -> Any:
        return record["resources"][name]["physical_id"]

    def attribute(name: str, wanted: str) -> Any:
        return engine.attribute_of(record["resources"][name], name, wanted)

    prepared.scope.ref, prepared.scope.attribute = ref, attribute
    return prepared.scope


def outputs_of(prepared: Prepared, scope: Scope) -> dict[str, dict[str, str]]:
    """Return the stack's outputs: name → {value, description, export}."""
    result = {}
    for name, output in prepared.effective.outputs.items():
        value = intrinsics.resolve(output["Value"], scope)
        if isinstance(value, (dict, list)):
            raise TemplateError(f"Template format error: The Value field of every Outputs member must evaluate to a String. ({name})")
        export = intrinsics.resolve((output.get("Export") or {}).get("Name", ""), scope)
        result[name] = {"value": template.text_of(value), "description": output.get("Description", ""), "export": export}
    return result


def imports_of(prepared: Prepared, scope: Scope) -> list[str]:
    """Return the names of the exports that the template imports."""
    return sorted({template.text_of(intrinsics.resolve(argument, scope))
                   for item in (*prepared.effective.resources.values(), *prepared.effective.outputs.values())
                   for name, argument in template.functions(item) if name == "Fn::ImportValue"})


def read_url(url: str, clients: Clients, region: str, endpoint: str = "") -> str:
    """Return the text of a template in S3, read with the caller's own s3:GetObject.

    Both styles of URL, and path style at this local AWS's own endpoint. Raises TemplateError in AWS's words.
    """
    bucket, key = split_url(url, endpoint)
    try:
        body = clients.client("s3", region).get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        text = {"AccessDenied": "Access Denied", "403": "Access Denied"}.get(error.response["Error"]["Code"],
                                                                           error.response["Error"]["Message"])
        raise TemplateError(f"S3 error: {text}\nFor more information check "
                            "http://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html") from error
    if len(body) > 1_000_000:
        raise TemplateError("Template may not exceed 1000000 bytes in size.")
    return str(body, "utf-8")


def split_url(url: str, endpoint: str = "") -> tuple[str, str]:
    """Return (bucket, key) of an S3 URL."""
    parts = urllib.parse.urlsplit(url)
    path = urllib.parse.unquote(parts.path.lstrip("/"))
    host = parts.hostname or ""
    labels = host.split(".")
    if endpoint and f"{parts.scheme}://{parts.netloc}" == endpoint.rstrip("/"):
        bucket, _, key = path.partition("/")
    elif parts.scheme != "https" or not host.endswith(".amazonaws.com"):
        raise TemplateError("TemplateURL must be a supported URL.")
    elif labels[0] == "s3" or labels[0].startswith("s3-"):
        bucket, _, key = path.partition("/")
    else:
        where = next((index for index, label in enumerate(labels) if label == "s3" or label.startswith("s3-")), 0)
        bucket, key = ".".join(labels[:where]), path
    if not bucket or not key:
        raise TemplateError("TemplateURL must be a supported URL.")
    return bucket, key


def json_text(value: Any) -> str:
    """Return properties as events and descriptions carry them."""
    return json.dumps(value, sort_keys=True, default=str)
