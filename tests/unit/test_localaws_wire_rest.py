"""REST JSON against botocore itself: what its serialiser sends is understood, what its parser reads is what we meant."""

from __future__ import annotations

from typing import Any

import botocore.parsers
import botocore.serialize
import pytest

from localaws import wire
from localaws.service import ServiceError

CANARY = {"Name": "shop", "Code": {"S3Bucket": "b", "S3Key": "k", "Handler": "canary.handler"}, "ArtifactS3Location": "s3://b/a",
          "ExecutionRoleArn": "arn:aws:iam::000000000000:role/canary", "Schedule": {"Expression": "rate(5 minutes)"},
          "RuntimeVersion": "syn-python-selenium-7.0"}
ARN = "arn:aws:synthetics:us-east-1:000000000000:canary:shop"


def sent(operation: str, params: dict[str, Any]) -> wire.Request:
    model = wire.model("synthetics").operation_model(operation)
    request = botocore.serialize.create_serializer("rest-json").serialize_to_request(params, model)
    path = request["url_path"].partition("?")[0]
    found = {name: [str(value).lower() if isinstance(value, bool) else str(value)] for name, value in request["query_string"].items()}
    return wire.parse("synthetics", {":method": request["method"]}, path, request["body"] or b"", found)


@pytest.mark.parametrize(("operation", "params"), [
    ("CreateCanary", CANARY), ("GetCanary", {"Name": "shop"}), ("DeleteCanary", {"Name": "shop", "DeleteLambda": True}),
    ("StartCanary", {"Name": "shop"}), ("DescribeCanaries", {"Names": ["shop"]}), ("GetCanaryRuns", {"Name": "shop", "MaxResults": 5}),
    ("TagResource", {"ResourceArn": ARN, "Tags": {"a": "b"}}), ("UpdateCanary", {"Name": "shop", "RunConfig": {"EnvironmentVariables": {"URL": "u"}}}),
])
def test_what_botocore_sends_is_understood(operation: str, params: dict[str, Any]) -> None:
    request = sent(operation, params)
    assert (request.operation.name, request.params, request.protocol) == (operation, params, "rest-json")


def test_what_is_answered_botocore_understands() -> None:
    request = sent("GetCanary", {"Name": "shop"})
    status, headers, body = wire.respond(request, {"Canary": {"Name": "shop", "Timeline": {"Created": 1_700_000_000.5}}}, "id")
    parsed = botocore.parsers.create_parser("rest-json").parse({"status_code": status, "headers": headers, "body": body}, request.operation.output_shape)
    assert parsed["Canary"]["Name"] == "shop"
    assert parsed["Canary"]["Timeline"]["Created"].timestamp() == 1_700_000_000.5


def test_errors_carry_code_and_text() -> None:
    status, headers, body = wire.respond_error("rest-json", ServiceError("ResourceNotFoundException", "no canary", 404), "id")
    sent_back = {"status_code": status, "headers": {name.lower(): value for name, value in headers.items()}, "body": body}
    parsed = botocore.parsers.create_parser("rest-json").parse(sent_back, None)
    assert parsed["Error"] == {"Code": "ResourceNotFoundException", "Message": "no canary"}


def test_bad_requests_are_refused() -> None:
    with pytest.raises(ServiceError, match="UnknownOperation"):
        wire.parse("synthetics", {":method": "PUT"}, "/canary", b"{}", {})
    with pytest.raises(ServiceError, match="Missing required parameter"):
        wire.parse("synthetics", {":method": "POST"}, "/canary", b"{}", {})
