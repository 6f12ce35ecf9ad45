"""Invoke, Lambda: a function that is told of a job by an event, and answers by PutJobSuccessResult or PutJobFailureResult.

Source: AWS CodePipeline User Guide, "AWS Lambda invoke action reference" (configuration, artifacts, event) and "Create the CodePipeline
service role" (lambda:ListFunctions and lambda:InvokeFunction); AWS Lambda Developer Guide, "Using AWS Lambda with AWS CodePipeline" (the
function is invoked asynchronously).
"""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from localaws.codepipeline import artifacts
from localaws.codepipeline.actions.base import Work, console
from localaws.codepipeline.engine import Observation, failed
from localaws.service import ServiceError


class LambdaAction:
    """Invokes the function with the role's permissions. How it ends the function says; see `localaws.codepipeline.jobs`."""

    def start(self, work: Work) -> Observation:
        """Call the function for one job."""
        name = work.configuration["FunctionName"]
        try:
            work.aws.authorize(artifacts.role_context(work.clients, work.region), "lambda:ListFunctions", "*")
            work.clients.client("lambda", work.region).invoke(
                FunctionName=name, InvocationType="Event", Payload=json.dumps(event(work)).encode())
        except (ClientError, ServiceError) as error:
            if artifacts.denied(error):
                return failed("PermissionError", (
                    "The service role or action role doesn't have the permissions required to invoke the AWS Lambda function "
                    f"{name}. Update the IAM role permissions, and then try again. Error: {artifacts.message_of(error)}"), work.external_id)
            return failed("ConfigurationError", f"The AWS Lambda function {name} cannot be invoked: {artifacts.message_of(error)}",
                          work.external_id)
        return Observation("InProgress", external_url=console(work.region, f"lambda/home?region={work.region}#/functions/{name}"))

    def poll(self, work: Work) -> Observation:
        """Never asked: the function answers."""
        return Observation("InProgress")


def event(work: Work) -> dict[str, Any]:
    """The event that the function gets."""
    assert work.job is not None  # this action's provider works by jobs
    configuration = {"FunctionName": work.configuration["FunctionName"]}
    if "UserParameters" in work.configuration:
        configuration["UserParameters"] = work.configuration["UserParameters"]
    credentials = work.artifact_credentials()
    data: dict[str, Any] = {
        "actionConfiguration": {"configuration": configuration},
        "inputArtifacts": [_artifact(name, place) for name, place in work.inputs.items()],
        "outputArtifacts": [_artifact(name, place) for name, place in work.job.outputs.items()],
        "artifactCredentials": {
            "accessKeyId": credentials["AccessKeyId"], "secretAccessKey": credentials["SecretAccessKey"],
            "sessionToken": credentials["Token"], "expirationTime": int(credentials["Expiration"] * 1000)}}
    if work.job.token is not None:
        data["continuationToken"] = work.job.token
    if work.encryption_key:
        data["encryptionKey"] = {"id": work.encryption_key, "type": "KMS"}
    return {"CodePipeline.job": {"id": work.job.id, "accountId": work.account, "data": data}}


def _artifact(name: str, place: Any) -> dict[str, Any]:
    return {"name": name, "revision": place.get("revision"), "location": {
        "type": "S3", "s3Location": {"bucketName": place["bucket"], "objectKey": place["key"]}}}
