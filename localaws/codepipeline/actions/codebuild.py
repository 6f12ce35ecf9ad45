"""Build or Test, CodeBuild: a build of a project over the input artifact; its exported variables become output variables."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from localaws.codepipeline import artifacts
from localaws.codepipeline.actions.base import Work, console, only
from localaws.codepipeline.engine import Observation, failed


class CodeBuildAction:
    """Starts a build with the pipeline's role, and watches it."""

    def start(self, work: Work) -> Observation:
        """Start the build; the action execution's id is its idempotency token."""
        source = only(work.inputs)
        override: dict[str, Any] = {"type": "NO_ARTIFACTS"}
        if work.outputs:
            path, _, name = artifacts.new_key(work.pipeline, work.outputs[0]).rpartition("/")
            override = {"type": "CODEPIPELINE", "location": work.bucket, "path": path, "name": name, "packaging": "ZIP",
                        "artifactIdentifier": work.outputs[0]}
        try:
            build = work.clients.client("codebuild", work.region).start_build(
                projectName=work.configuration["ProjectName"], sourceTypeOverride="CODEPIPELINE",
                sourceVersion=f"arn:aws:s3:::{source['bucket']}/{source['key']}", artifactsOverride=override,
                environmentVariablesOverride=json.loads(work.configuration.get("EnvironmentVariables", "[]")),
                idempotencyToken=work.action_execution_id)["build"]
        except ClientError as error:
            return failed("PermissionError" if artifacts.denied(error) else "JobFailed", f"Error calling startBuild: {artifacts.message_of(error)}")
        return self._seen(work, build)

    def poll(self, work: Work) -> Observation:
        """Ask for the build."""
        try:
            builds = work.clients.client("codebuild", work.region).batch_get_builds(ids=[work.external_id])["builds"]
        except ClientError as error:
            if not artifacts.denied(error):
                raise
            return failed("PermissionError", f"Error calling batchGetBuilds: {artifacts.message_of(error)}", work.external_id)
        if not builds:
            return failed("JobFailed", f"Build {work.external_id} was not found", work.external_id)
        return self._seen(work, builds[0])

    def _seen(self, work: Work, build: dict[str, Any]) -> Observation:
        url = build.get("logs", {}).get("deepLink") or console(
            work.region, f"codesuite/codebuild/projects/{build['projectName']}/build/{build['id']}/?region={work.region}")
        stream = build.get("logs", {}).get("cloudWatchLogsArn")
        status = build["buildStatus"]
        if status == "IN_PROGRESS":
            return Observation("InProgress", build["id"], url, log_stream_arn=stream)
        if status != "SUCCEEDED":
            message = f"Build terminated with state: {status}."
            for phase in build.get("phases", []):
                for context in phase.get("contexts", []) if phase.get("phaseStatus") not in ("SUCCEEDED", "IN_PROGRESS", None) else []:
                    message += (f" Phase: {phase['phaseType']}, Code: {context.get('statusCode', '')}, "
                                f"Message: {context.get('message', '')}")
                    return failed("JobFailed", message, build["id"], external_url=url, summary=message, log_stream_arn=stream)
            return failed("JobFailed", message, build["id"], external_url=url, summary=message, log_stream_arn=stream)
        outputs = {}
        if work.outputs:
            bucket, _, key = build["artifacts"]["location"].removeprefix("arn:aws:s3:::").partition("/")
            outputs = {work.outputs[0]: {"bucket": bucket, "key": key}}
        variables = {v["name"]: v["value"] for v in build.get("exportedEnvironmentVariables", [])}
        return Observation("Succeeded", build["id"], url, outputs=outputs, variables=variables, log_stream_arn=stream)
