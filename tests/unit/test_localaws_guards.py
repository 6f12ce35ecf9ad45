"""What Lambda and EventBridge ask for before they take code or a role."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from localaws_fakes import CALLER, FakeAws

from localaws import guards
from localaws.service import ServiceError

ROLE = "arn:aws:iam::000000000000:role/shop"
NEW = {"FunctionName": "f", "Role": ROLE, "Code": {"S3Bucket": "code", "S3Key": "f.zip"}}


class S3:
    """Holds one object; `refusal` is the code of its error."""

    refusal = ""

    def get_object(self, **_: Any) -> dict[str, Any]:
        if self.refusal:
            raise ClientError({"Error": {"Code": self.refusal, "Message": "no"}}, "GetObject")
        return {"Body": io.BytesIO(b"zip")}


@pytest.fixture
def s3() -> S3:
    return S3()


@pytest.fixture
def aws(tmp_path: Path, s3: S3) -> Any:
    found: Any = FakeAws(tmp_path, {"s3": s3})
    found.as_caller = lambda ctx: found.clients
    return found


def ask(aws: Any, method: str, path: str, body: dict[str, Any]) -> None:
    guards.function(aws, CALLER, method, path, {}, json.dumps(body).encode())


def test_who_may_is_let_through(aws: Any) -> None:
    ask(aws, "POST", "/2015-03-31/functions", NEW)
    ask(aws, "PUT", "/2015-03-31/functions/f/code", {"S3Bucket": "code", "S3Key": "f.zip"})
    ask(aws, "PUT", "/2015-03-31/functions/f/configuration", {"Role": ROLE})


def test_the_role_must_be_passed_and_trust_lambda(aws: Any) -> None:
    aws.untrusted.add(ROLE)
    for method, path in (("POST", "/2015-03-31/functions"), ("PUT", "/2015-03-31/functions/f/configuration")):
        with pytest.raises(ServiceError, match="cannot be assumed by Lambda"):
            ask(aws, method, path, NEW)
    aws.untrusted.clear()
    aws.denied.add("iam:PassRole")
    with pytest.raises(ServiceError, match=r"AccessDeniedException.*iam:PassRole"):
        ask(aws, "POST", "/2015-03-31/functions/", NEW)


@pytest.mark.parametrize(("refusal", "told"), [("AccessDenied", "AccessDeniedException: Your access has been denied by S3"),
                                               ("NoSuchKey", "InvalidParameterValueException: Error occurred while GetObject")])
def test_the_caller_must_be_able_to_read_the_code(aws: Any, s3: S3, refusal: str, told: str) -> None:
    s3.refusal = refusal
    with pytest.raises(ServiceError, match=told):
        ask(aws, "POST", "/2015-03-31/functions", NEW)
    with pytest.raises(ServiceError, match=told):
        ask(aws, "PUT", "/2015-03-31/functions/f/code", {"S3Bucket": "code", "S3Key": "f.zip"})


def test_other_requests_are_not_looked_at(aws: Any, s3: S3) -> None:
    aws.denied.add("iam:PassRole")
    s3.refusal = "AccessDenied"
    ask(aws, "POST", "/2015-03-31/functions/f/invocations", NEW)
    ask(aws, "POST", "/2015-03-31/functions/f/policy", NEW)
    ask(aws, "GET", "/2015-03-31/functions/f/configuration", {})


def test_roles_of_rules_and_targets_must_be_passed(aws: Any) -> None:
    aws.denied.add("iam:PassRole")
    headers = {"x-amz-target": "AWSEvents.PutTargets"}
    guards.target(aws, CALLER, "POST", "/", headers, json.dumps({"Rule": "r", "Targets": [{"Id": "a", "Arn": "x"}]}).encode())
    with pytest.raises(ServiceError, match="iam:PassRole"):
        guards.target(aws, CALLER, "POST", "/", headers, json.dumps({"Rule": "r", "Targets": [{"Id": "a", "Arn": "x", "RoleArn": ROLE}]}).encode())
    with pytest.raises(ServiceError, match="iam:PassRole"):
        guards.target(aws, CALLER, "POST", "/", {"x-amz-target": "AWSEvents.PutRule"}, json.dumps({"Name": "r", "RoleArn": ROLE}).encode())
