"""Deploy, CodeDeploy: a deployment of the input artifact, where it lies, to a deployment group."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from localaws.codepipeline import artifacts
from localaws.codepipeline.actions.base import Work, console, only
from localaws.codepipeline.engine import Observation, failed
from localaws.service import ServiceError


class CodeDeployAction:
    """Creates the deployment with the pipeline's role, and watches it. The revision is the pipeline's own object in S3."""

    def start(self, work: Work) -> Observation:
        """Create the deployment of exactly this object: its ETag, and its version where the bucket keeps versions."""
        source = only(work.inputs)
        try:
            object_ = artifacts.head(work.clients, work.region, source["bucket"], source["key"])
        except (ClientError, ServiceError) as error:
            if not artifacts.denied(error):
                raise
            return failed("PermissionError", (
                "The service role or action role doesn't have the permissions required to access the Amazon S3 bucket named "
                f"{source['bucket']}. Update the IAM role permissions, and then try again. Error: {artifacts.message_of(error)}"))
        location = {"bucket": source["bucket"], "key": source["key"], "bundleType": "zip", "eTag": object_["ETag"].strip('"')}
        if object_.get("VersionId") not in (None, "null"):
            location["version"] = object_["VersionId"]
        try:
            deployment = work.clients.client("codedeploy", work.region).create_deployment(
                applicationName=work.configuration["ApplicationName"], deploymentGroupName=work.configuration["DeploymentGroupName"],
                revision={"revisionType": "S3", "s3Location": location})["deploymentId"]
        except ClientError as error:
            return failed("PermissionError" if artifacts.denied(error) else "JobFailed", artifacts.message_of(error))
        return Observation("InProgress", deployment, self._url(work, deployment))

    def poll(self, work: Work) -> Observation:
        """Ask for the deployment; a failure carries the code and message of its errorInformation."""
        try:
            info: dict[str, Any] = work.clients.client("codedeploy", work.region).get_deployment(
                deploymentId=work.external_id)["deploymentInfo"]
        except ClientError as error:
            if not artifacts.denied(error):
                raise
            return failed("PermissionError", artifacts.message_of(error), work.external_id)
        url, status = self._url(work, str(work.external_id)), info["status"]
        if status == "Succeeded":
            return Observation("Succeeded", work.external_id, url, summary="Deployment Succeeded")
        if status in ("Failed", "Stopped"):
            why = info.get("errorInformation") or {}
            return failed(why.get("code", "JobFailed"), why.get("message") or f"Deployment {work.external_id} {status.lower()}",
                          work.external_id, external_url=url, summary=f"Deployment {work.external_id} {status.lower()}")
        return Observation("InProgress", work.external_id, url, summary=f"Deployment {status}")

    def _url(self, work: Work, deployment: str) -> str:
        return console(work.region, f"codesuite/codedeploy/deployments/{deployment}?region={work.region}")
