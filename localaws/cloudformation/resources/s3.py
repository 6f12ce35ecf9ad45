"""S3: Bucket, BucketPolicy."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from localaws.cloudformation.resources import Failed, Made, Request, fit_shape, gone, resource, tag_list, unless_gone
from localaws.cloudformation.template import text_of

_SETTINGS: dict[str, tuple[str, str, str]] = {
    "BucketEncryption": ("put_bucket_encryption", "ServerSideEncryptionConfiguration", "delete_bucket_encryption"),
    "OwnershipControls": ("put_bucket_ownership_controls", "OwnershipControls", "delete_bucket_ownership_controls"),
    "PublicAccessBlockConfiguration": ("put_public_access_block", "PublicAccessBlockConfiguration", "delete_public_access_block"),
    "VersioningConfiguration": ("put_bucket_versioning", "VersioningConfiguration", ""),
    "LifecycleConfiguration": ("put_bucket_lifecycle_configuration", "LifecycleConfiguration", "delete_bucket_lifecycle"),
    "Tags": ("put_bucket_tagging", "Tagging", "delete_bucket_tagging")}
"""Property → (method, its argument, method that takes the setting away)."""


def _wanted(prop: str, value: Any) -> Any:
    """Return a property as the API's argument has it, before scalars are typed."""
    if prop == "BucketEncryption":
        rules = [{**{"ApplyServerSideEncryptionByDefault" if name == "ServerSideEncryptionByDefault" else name: item
                     for name, item in rule.items()}} for rule in value["ServerSideEncryptionConfiguration"]]
        return {"Rules": rules}
    if prop == "LifecycleConfiguration":
        return {"Rules": [_lifecycle(rule) for rule in value["Rules"]]}
    if prop == "Tags":
        return {"TagSet": tag_list({"Tags": value})}
    return value


def _lifecycle(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a lifecycle rule in the API's words."""
    result: dict[str, Any] = {"Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    tags = [{"Key": tag["Key"], "Value": tag["Value"]} for tag in rule.get("TagFilters") or []]
    if len(tags) == 1 and not rule.get("Prefix"):
        result["Filter"] = {"Tag": tags[0]}
    elif tags:
        result["Filter"] = {"And": {"Prefix": rule.get("Prefix", ""), "Tags": tags}}
    for name, item in rule.items():
        if name in ("Status", "Prefix", "TagFilters"):
            continue
        if name == "Id":
            result["ID"] = item
        elif name == "ExpirationInDays":
            result["Expiration"] = {"Days": item}
        elif name == "ExpiredObjectDeleteMarker":
            result["Expiration"] = {"ExpiredObjectDeleteMarker": item}
        elif name == "NoncurrentVersionExpirationInDays":
            result["NoncurrentVersionExpiration"] = {"NoncurrentDays": item}
        else:
            result[name] = item
    return result


@resource("AWS::S3::Bucket")
class Bucket:
    """A bucket; one that holds anything is not deleted."""

    def create(self, request: Request) -> Made:
        s3 = request.client("s3")
        name = request.given("BucketName", 63, lower=True)
        if unless_gone_or_forbidden(s3, name):
            raise Failed(f"{name} already exists")
        where = {} if request.region == "us-east-1" else {
            "CreateBucketConfiguration": {"LocationConstraint": request.region}}
        s3.create_bucket(Bucket=name, **where)
        request.claim(name)
        self._settle(request, name)
        return Made(name, {"Arn": f"arn:aws:s3:::{name}", "DomainName": f"{name}.s3.amazonaws.com",
                           "RegionalDomainName": f"{name}.s3.{request.region}.amazonaws.com",
                           "DualStackDomainName": f"{name}.s3.dualstack.{request.region}.amazonaws.com",
                           "WebsiteURL": f"http://{name}.s3-website-{request.region}.amazonaws.com"})

    def update(self, request: Request) -> Made:
        self._settle(request, request.physical_id)
        return Made(request.physical_id)

    def _settle(self, request: Request, bucket: str) -> None:
        s3 = request.client("s3")
        if unknown := sorted(set(request.properties) - set(_SETTINGS) - {"BucketName"}):
            raise Failed(f"Property {unknown[0]} of AWS::S3::Bucket is not served by the local AWS")
        for prop, (method, argument, take_away) in _SETTINGS.items():
            if not request.changed(prop):
                continue
            if prop in request.properties:
                value = fit_shape(s3, method, argument, _wanted(prop, request.properties[prop]))
                getattr(s3, method)(Bucket=bucket, **{argument: value})
            elif take_away:
                getattr(s3, take_away)(Bucket=bucket)
            else:
                s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})

    def delete(self, request: Request) -> None:
        try:
            unless_gone(request.client("s3").delete_bucket, Bucket=request.physical_id)
        except ClientError as error:
            if error.response["Error"]["Code"] != "BucketNotEmpty":
                raise
            raise Failed('Resource handler returned message: "The bucket you tried to delete is not empty. You must delete all '
                         'versions in the bucket. (Service: S3, Status Code: 409)" (HandlerErrorCode: GeneralServiceException)') from error


def unless_gone_or_forbidden(s3: Any, name: str) -> bool:
    """Tell whether a bucket of this name exists (in whoever's account)."""
    try:
        s3.head_bucket(Bucket=name)
    except ClientError as error:
        return not (gone(error) or text_of(error.response["Error"].get("Code")) == "404")
    return True


@resource("AWS::S3::BucketPolicy")
class BucketPolicy:
    """A bucket's policy; a bucket has one."""

    def create(self, request: Request) -> Made:
        s3, bucket = request.client("s3"), request.properties["Bucket"]
        try:
            s3.get_bucket_policy(Bucket=bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchBucketPolicy":
                raise
        else:
            raise Failed(f"The bucket policy already exists on bucket {bucket}.")
        self._put(request)
        return Made(bucket)

    def update(self, request: Request) -> Made:
        self._put(request)
        return Made(request.physical_id)

    def _put(self, request: Request) -> None:
        request.client("s3").put_bucket_policy(Bucket=request.properties["Bucket"],
                                               Policy=json.dumps(request.properties["PolicyDocument"]))

    def delete(self, request: Request) -> None:
        unless_gone(request.client("s3").delete_bucket_policy, Bucket=request.physical_id)
