"""Artifacts in S3, as CodePipeline and CodeBuild keep them: put and fetched with a role's credentials, under the store's key."""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from localaws.service import Clients, Context

_ALPHABET = string.ascii_letters + string.digits


def new_key(pipeline: str, artifact: str) -> str:
    """A fresh object key: the pipeline's name cut to 20 characters, the artifact's to 10, and seven random ones, as on AWS."""
    return f"{pipeline[:20]}/{artifact[:10]}/{''.join(secrets.choice(_ALPHABET) for _ in range(7))}"


def role_context(clients: Clients, region: str) -> Context:
    """The principal behind a role's clients, for `Aws.authorize`."""
    arn = clients.client("sts", region).get_caller_identity()["Arn"]
    return Context(clients.account, region, arn, str(clients.credentials()["AccessKeyId"]))


def put(clients: Clients, region: str, bucket: str, key: str, body: bytes, kms_key: str | None, acl: str | None = None) -> None:
    """Put an object, encrypted with KMS (the account's aws/s3 key without `kms_key`). Raises ClientError, AccessDenied included."""
    more = {"ServerSideEncryption": "aws:kms"}
    if kms_key:
        more["SSEKMSKeyId"] = kms_key
    if acl:
        more["ACL"] = acl
    clients.client("s3", region).put_object(Bucket=bucket, Key=key, Body=body, **more)


def get(clients: Clients, region: str, bucket: str, key: str, version: str | None = None) -> tuple[bytes, dict[str, Any]]:
    """Fetch an object and what S3 says of it (ETag, VersionId, …).

    Raises ClientError where S3 refuses, AccessDenied where the key's use is refused.
    """
    answer = clients.client("s3", region).get_object(Bucket=bucket, Key=key, **({"VersionId": version} if version else {}))
    return answer["Body"].read(), answer


def copy(clients: Clients, source: tuple[str, Mapping[str, str]], region: str, bucket: str, key: str, kms_key: str | None) -> dict[str, str]:
    """Copy an artifact from (Region, {bucket, key}) into the store of another Region, under that store's key; return where it is now."""
    body, _ = get(clients, source[0], source[1]["bucket"], source[1]["key"])
    put(clients, region, bucket, key, body, kms_key)
    return {"bucket": bucket, "key": key}


def reading(inputs: Mapping[str, Mapping[str, str]], outputs: Mapping[str, Mapping[str, str]], kms_key: str | None) -> dict[str, Any]:
    """The session policy of an action's artifact credentials: read its input artifacts, write its output artifacts."""
    def arns(places: Mapping[str, Mapping[str, str]]) -> list[str]:
        return [f"arn:aws:s3:::{place['bucket']}/{place['key']}" for place in places.values()]

    statements = [{"Effect": "Allow", "Action": actions, "Resource": resources} for actions, resources in (
        (["s3:GetObject", "s3:GetObjectVersion"], arns(inputs)), (["s3:PutObject"], arns(outputs)),
        (["kms:Decrypt", "kms:GenerateDataKey"], [kms_key] if kms_key else [])) if resources]
    # A policy needs a statement; an action without artifacts gets one that allows nothing.
    return {"Version": "2012-10-17", "Statement": statements or [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}


def head(clients: Clients, region: str, bucket: str, key: str) -> dict[str, Any]:
    """What S3 says of an object (ETag, VersionId, …); raises as `get` does."""
    s3 = clients.client("s3", region)
    try:
        return dict(s3.head_object(Bucket=bucket, Key=key))
    except ClientError as error:
        if not denied(error):
            raise
        # An answer to HEAD has no body and so no reason; the same refusal of a GET has one.
        s3.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")["Body"].close()
        raise


def message_of(error: Exception) -> str:
    """The message that a service gave, without botocore's words around it."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Message") or error)
    return str(getattr(error, "message", error))


def denied(error: Exception) -> bool:
    """Say whether a service refused for want of permission."""
    code = error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else getattr(error, "code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(error, ClientError) else None
    return "AccessDenied" in code or "NotAuthorized" in code or code in ("Forbidden", "403") or status == 403
