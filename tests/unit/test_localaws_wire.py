"""The wire against botocore itself: what its serialisers send is understood, what its parsers read is what we meant."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import botocore.parsers
import botocore.serialize
import pytest

from localaws import wire
from localaws.service import ServiceError


def request_of(service: str, operation: str, params: dict[str, Any], protocol: str) -> tuple[dict[str, str], str, bytes]:
    """Return (headers, path, body) as botocore sends `operation` in `protocol`."""
    model = wire.model(service).operation_model(operation)
    sent = botocore.serialize.create_serializer(protocol).serialize_to_request(params, model)
    headers = {name.lower(): value for name, value in sent["headers"].items()}
    body = sent["body"]
    if isinstance(body, dict):
        body = urlencode(body).encode()
        headers["content-type"] = "application/x-www-form-urlencoded; charset=utf-8"
    return headers, sent["url_path"], body


CASES = [
    ("codedeploy", "json", "CreateDeployment", {
        "applicationName": "app", "deploymentGroupName": "group", "ignoreApplicationStopFailures": True,
        "revision": {"revisionType": "S3", "s3Location": {"bucket": "b", "key": "k", "bundleType": "zip"}},
        "autoRollbackConfiguration": {"enabled": False, "events": ["DEPLOYMENT_FAILURE"]}}),
    ("cloudformation", "query", "CreateChangeSet", {
        "StackName": "s", "ChangeSetName": "c", "Capabilities": ["CAPABILITY_IAM"], "IncludeNestedStacks": True,
        "Parameters": [{"ParameterKey": "A", "ParameterValue": ""}, {"ParameterKey": "B", "UsePreviousValue": True}],
        "Tags": [{"Key": "k", "Value": "v & <w>"}]}),
    ("autoscaling", "query", "CreateAutoScalingGroup", {
        "AutoScalingGroupName": "g", "MinSize": 0, "MaxSize": 3, "TargetGroupARNs": ["a", "b"],
        "Tags": [{"Key": "k", "Value": "v", "PropagateAtLaunch": True}]}),
    ("ec2", "ec2", "RunInstances", {
        "MinCount": 1, "MaxCount": 2, "LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": "1"},
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}]}),
    ("cloudwatch", "query", "PutMetricAlarm", {
        "AlarmName": "a", "EvaluationPeriods": 2, "ComparisonOperator": "GreaterThanThreshold", "Threshold": 1.5,
        "Metrics": [{"Id": "m1", "MetricStat": {"Metric": {"Namespace": "N", "MetricName": "M",
                                                             "Dimensions": [{"Name": "d", "Value": "v"}]}, "Period": 60, "Stat": "Sum"},
                     "ReturnData": True}]}),
    ("cloudwatch", "smithy-rpc-v2-cbor", "PutMetricAlarm", {
        "AlarmName": "a", "EvaluationPeriods": 2, "ComparisonOperator": "GreaterThanThreshold", "Threshold": 1.5}),
    ("elbv2", "query", "CreateListener", {
        "LoadBalancerArn": "arn", "Protocol": "HTTP", "Port": 80, "DefaultActions": [
            {"Type": "forward", "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": "t", "Weight": 90}]}}]}),
]


@pytest.mark.parametrize(("service", "protocol", "operation", "params"), CASES, ids=[f"{c[0]}-{c[1]}-{c[2]}" for c in CASES])
def test_what_botocore_sends_is_understood(service: str, protocol: str, operation: str, params: dict[str, Any]) -> None:
    headers, path, body = request_of(service, operation, params, protocol)
    request = wire.parse(service, headers, path, body, {})
    assert request.operation.name == operation
    assert request.params == params


RESULTS = [
    ("codedeploy", "json", "GetDeployment", {"deploymentInfo": {
        "deploymentId": "d-1", "status": "Failed", "createTime": 1700000000.5, "errorInformation": {"code": "ALARM_ACTIVE", "message": "m"},
        "deploymentOverview": {"Pending": 1, "Failed": 0}}}),
    ("cloudformation", "query", "DescribeStacks", {"Stacks": [{
        "StackName": "s", "CreationTime": 1700000000.5, "StackStatus": "CREATE_COMPLETE",
        "Outputs": [{"OutputKey": "Url", "OutputValue": "http://a/?b=1&c=<d>"}], "Capabilities": ["CAPABILITY_IAM"]}]}),
    ("autoscaling", "query", "DescribeAutoScalingGroups", {"AutoScalingGroups": [{
        "AutoScalingGroupName": "g", "MinSize": 1, "MaxSize": 1, "DesiredCapacity": 1, "DefaultCooldown": 300, "AvailabilityZones": ["a"],
        "HealthCheckType": "EC2", "CreatedTime": 1700000000.0, "Instances": [{
            "InstanceId": "i-1", "AvailabilityZone": "a", "LifecycleState": "InService", "HealthStatus": "Healthy",
            "ProtectedFromScaleIn": False}]}]}),
    ("ec2", "ec2", "DescribeInstances", {"Reservations": [{"Instances": [{
        "InstanceId": "i-1", "PrivateIpAddress": "172.18.0.2", "State": {"Code": 16, "Name": "running"},
        "Tags": [{"Key": "k", "Value": "v"}], "Placement": {"AvailabilityZone": "us-east-1a"}}]}]}),
    ("cloudwatch", "query", "DescribeAlarms", {"MetricAlarms": [{"AlarmName": "a", "StateValue": "OK", "Threshold": 1.0,
                                                                  "EvaluationPeriods": 1, "Dimensions": [{"Name": "n", "Value": "v"}]}]}),
    ("cloudwatch", "smithy-rpc-v2-cbor", "DescribeAlarms", {"CompositeAlarms": [{
        "AlarmName": "a", "StateValue": "ALARM", "ActionsEnabled": True, "StateUpdatedTimestamp": 1700000000.0}]}),
]


@pytest.mark.parametrize(("service", "protocol", "operation", "result"), RESULTS, ids=[f"{c[0]}-{c[1]}-{c[2]}" for c in RESULTS])
def test_what_we_answer_botocore_reads(service: str, protocol: str, operation: str, result: dict[str, Any]) -> None:
    model = wire.model(service).operation_model(operation)
    ours = "cbor" if "cbor" in protocol else protocol
    status, headers, body = wire.respond(wire.Request(model, {}, ours), result, "request-1")
    read = botocore.parsers.create_parser(protocol).parse(
        {"status_code": status, "headers": headers, "body": body, "context": {"operation_name": operation}}, model.output_shape)
    read.pop("ResponseMetadata", None)
    assert comparable(read) == comparable(result)


def comparable(value: Any) -> Any:
    """Return `value` with times as seconds, and without what a parser fills in as empty."""
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items() if item not in ([], {}, None)}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    return value.timestamp() if hasattr(value, "timestamp") else value


def test_an_answer_that_aws_could_not_give_is_refused() -> None:
    model = wire.model("codedeploy").operation_model("GetDeployment")
    with pytest.raises(ValueError, match="deploymentInformation"):
        wire.respond(wire.Request(model, {}, "json"), {"deploymentInformation": {}}, "r")


@pytest.mark.parametrize(("params", "message"), [
    ({}, "applicationName"),
    ({"applicationName": 7}, "Invalid type"),
    ({"applicationName": "a", "fileExistsBehavior": "SOMETIMES"}, "enum value set"),
])
def test_a_request_that_the_model_refuses_is_refused(params: dict[str, Any], message: str) -> None:
    import json

    headers = {"x-amz-target": "CodeDeploy_20141006.CreateDeployment"}
    with pytest.raises(ServiceError, match=message) as caught:
        wire.parse("codedeploy", headers, "/", json.dumps(params).encode(), {})
    assert caught.value.code == "ValidationException"


def test_an_unknown_operation_is_refused_by_name() -> None:
    with pytest.raises(ServiceError, match="DeployEverything"):
        wire.parse("codedeploy", {"x-amz-target": "CodeDeploy_20141006.DeployEverything"}, "/", b"{}", {})


@pytest.mark.parametrize("protocol", ["json", "query", "ec2"])
def test_errors_are_read_by_botocore(protocol: str) -> None:
    service, operation = {"json": ("codedeploy", "GetDeployment"), "query": ("autoscaling", "DescribeAutoScalingGroups"),
                          "ec2": ("ec2", "DescribeInstances")}[protocol]
    model = wire.model(service).operation_model(operation)
    status, headers, body = wire.respond_error(protocol, ServiceError("SomeError", "why & <how>"), "r")
    read = botocore.parsers.create_parser(protocol).parse(
        {"status_code": status, "headers": headers, "body": body, "context": {"operation_name": operation}}, model.output_shape)
    assert (read["Error"]["Code"], read["Error"]["Message"]) == ("SomeError", "why & <how>")
