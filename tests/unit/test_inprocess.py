"""The clients of tests/unit/inprocess.py: botocore's own, answered in process."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from inprocess import InProcess

from localaws.codedeploy.simulator import Simulation
from localaws.service import ServiceError
from scripts.core.errors import denied_action

REGION = "us-east-1"


def test_a_service_answers_boto3_and_its_errors_are_botocores() -> None:
    simulation = Simulation()
    aws = InProcess({"codedeploy": simulation.api})
    client = aws.client("codedeploy", REGION)
    simulation.ship("one")
    assert client.list_applications()["applications"] == ["app"]
    last = client.get_deployment_group(applicationName="app", deploymentGroupName="fleet")["deploymentGroupInfo"]["lastSuccessfulDeployment"]
    assert client.get_deployment(deploymentId=last["deploymentId"])["deploymentInfo"]["createTime"].year == 2023
    with pytest.raises(client.exceptions.DeploymentDoesNotExistException, match="could not be found"):
        client.get_deployment(deploymentId="d-NONE")
    assert aws.called[0] == ("codedeploy", "ListApplications")


def test_what_is_denied_names_its_action() -> None:
    aws = InProcess({"codedeploy": Simulation().api})
    aws.denied = {"codedeploy:List*", "s3:GetObject", "ec2:DescribeInstances"}
    for call, action in ((lambda: aws.client("codedeploy", REGION).list_applications(), "codedeploy:ListApplications"),
                         (lambda: aws.client("s3", REGION).get_object(Bucket="b", Key="k"), "s3:GetObject"),
                         (lambda: aws.client("ec2", REGION).describe_instances(), "ec2:DescribeInstances")):
        with pytest.raises(ClientError) as refused:
            call()
        assert denied_action(refused.value) == action


def test_throttling_is_retried_and_each_attempt_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    aws = InProcess({"codedeploy": Simulation().api})
    aws.throttled["codedeploy:ListApplications"] = 2
    assert aws.client("codedeploy", REGION).list_applications()["applications"] == ["app"]
    assert len(aws.called) == 3


@pytest.mark.parametrize(("service", "operation", "answer"), [
    ("ec2", "DescribeInstances", {"Reservations": [{"Instances": [{"InstanceId": "i-1", "LaunchTime": 1.7e9}]}]}),
    ("elbv2", "DescribeTargetGroups", {"TargetGroups": [{"TargetGroupName": "t"}]}),
    ("autoscaling", "DescribeAutoScalingGroups", {"AutoScalingGroups": []}),
    ("cloudwatch", "DescribeAlarms", {"MetricAlarms": [{"AlarmName": "a", "Threshold": 1.0}]}),
    ("cloudformation", "DescribeStacks", {"Stacks": []}),
    ("ssm", "DescribeInstanceInformation", {"InstanceInformationList": [{"InstanceId": "i-1", "PingStatus": "Online"}]}),
    ("logs", "GetLogEvents", {"events": [{"message": "m", "timestamp": 1}]}),
    ("codebuild", "BatchGetBuilds", {"builds": [{"id": "b:1"}]}),
    ("codepipeline", "GetPipelineState", {"pipelineName": "p"}),
    ("dynamodb", "GetItem", {"Item": {"k": {"S": "v"}}})])
def test_an_answer_is_recorded_in_every_protocol(service: str, operation: str, answer: dict[str, object]) -> None:
    from botocore import xform_name

    needed = {"GetLogEvents": {"logStreamName": "s"}, "BatchGetBuilds": {"ids": ["b:1"]}, "GetPipelineState": {"name": "p"},
              "GetItem": {"TableName": "t", "Key": {"k": {"S": "x"}}}}.get(operation, {})
    aws = InProcess()
    aws.record(service, operation, answer)
    told = getattr(aws.client(service, REGION), xform_name(operation))(**needed)
    assert set(answer) <= set(told)


def test_an_answer_that_is_not_awss_shape_fails() -> None:
    aws = InProcess()
    aws.record("ec2", "DescribeInstances", {"Instances": []})
    with pytest.raises(ValueError, match="does not have"):
        aws.client("ec2", REGION).describe_instances()


def test_a_recorded_function_may_refuse() -> None:
    aws = InProcess()
    aws.record("elbv2", "DescribeTargetGroups", ServiceError("TargetGroupNotFound", "One or more target groups not found"))
    client = aws.client("elbv2", REGION)
    with pytest.raises(client.exceptions.TargetGroupNotFoundException):
        client.describe_target_groups(Names=["gone"])


def test_objects() -> None:
    aws = InProcess()
    aws.buckets.put("b", "k/one.zip", b"PK")
    client = aws.client("s3", REGION)
    assert client.get_object(Bucket="b", Key="k/one.zip")["Body"].read() == b"PK"
    assert client.head_object(Bucket="b", Key="k/one.zip")["ContentLength"] == 2
    with pytest.raises(client.exceptions.NoSuchKey):
        client.get_object(Bucket="b", Key="none")
    with pytest.raises(client.exceptions.NoSuchBucket):
        client.get_object(Bucket="c", Key="none")
    assert aws.client("sts", REGION).get_caller_identity()["Account"] == aws.account
