"""What AWS asks for before it takes a function's code or a role, and MiniStack does not: laid before its handlers.

Each guard is called with the local AWS and a request that was authenticated, and raises ServiceError where AWS refuses.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

from botocore.exceptions import ClientError

from localaws.service import Context, ServiceError

_FUNCTIONS = re.compile(r"/2015-03-31/functions/?(?:(?P<name>[^/]+)/(?P<what>code|configuration))?")
EVENTS, LAMBDA = "events.amazonaws.com", "lambda.amazonaws.com"


def function(aws: Any, ctx: Context, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
    """Lambda: the caller may pass the role, Lambda may assume it, and the caller may read the code.

    Source: Lambda developer guide, "Execution role" and the API reference of CreateFunction.
    """
    found = _FUNCTIONS.fullmatch(unquote(path))
    if found is None or method not in ("POST", "PUT") or (method == "POST") == bool(found["what"]):
        return
    data = json.loads(body or b"{}")
    if data.get("Role") and found["what"] != "code":
        execution_role(aws, ctx, data["Role"], "function")
    code = data.get("Code", {}) if method == "POST" else data if found["what"] == "code" else {}
    if code.get("S3Bucket"):
        code_object(aws, ctx, code["S3Bucket"], code["S3Key"], code.get("S3ObjectVersion"))


def execution_role(aws: Any, ctx: Context, role: str, what: str) -> None:
    """Raise unless the caller may pass `role` to Lambda, and Lambda may assume it."""
    try:
        aws.check_pass_role(ctx, role, LAMBDA)
        aws.as_role(role, LAMBDA, "check")
    except ServiceError as error:
        if error.code == "NoSuchEntity" or "sts:AssumeRole" in error.message:
            raise ServiceError("InvalidParameterValueException", f"The role defined for the {what} cannot be assumed by Lambda.") from error
        raise ServiceError("AccessDeniedException", error.message, 403) from error


def code_object(aws: Any, ctx: Context, bucket: str, key: str, version: str | None) -> bytes:
    """Return an object that holds code, read in the caller's name; raise Lambda's errors where that fails."""
    try:
        more = {"VersionId": version} if version else {}
        found = aws.as_caller(ctx).client("s3", ctx.region).get_object(Bucket=bucket, Key=key, **more)
        return bytes(found["Body"].read())
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        told = f"S3 Error Code: {code}. S3 Error Message: {message}"
        if code == "AccessDenied":
            raise ServiceError("AccessDeniedException", "Your access has been denied by S3, please make sure your request credentials have "
                               f"permission to GetObject for {bucket}/{key}. {told}", 403) from error
        raise ServiceError("InvalidParameterValueException", f"Error occurred while GetObject. {told}") from error


def target(aws: Any, ctx: Context, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
    """EventBridge: the caller may pass the roles of a rule and of its targets. Source: EventBridge user guide, "iam:PassRole"."""
    operation = headers.get("x-amz-target", "").rpartition(".")[2]
    if operation not in ("PutRule", "PutTargets"):
        return
    data: dict[str, Any] = json.loads(body or b"{}")
    for role in [each.get("RoleArn") for each in (data, *(data.get("Targets") or ()))]:
        if role:
            aws.check_pass_role(ctx, role, EVENTS)
