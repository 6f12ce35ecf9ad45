"""The command service that the CodeDeploy agent polls (CodeDeployCommandService_v20141006, JSON 1.1).

Shapes as the agent (version 1.8.1) sends and reads them; botocore has no model of it. Order per command: PollHostCommand,
GetDeploymentSpecification, PutHostCommandAcknowledgement, the work, PutHostCommandComplete (twice on a failure: the first counts).
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
import uuid
from typing import Any

from localaws.codedeploy import engine
from localaws.codedeploy.deployments import Deployments
from localaws.codedeploy.signing import Signer
from localaws.service import Aws, Context, ServiceError, Stores


class Commands:
    """Answers the agents of instances that are being deployed to."""

    def __init__(self, aws: Aws, stores: Stores, lock: threading.RLock, deployments: Deployments, signer: Signer) -> None:
        self._aws, self._stores, self._lock, self._deployments, self._signer = aws, stores, lock, deployments, signer
        self._signed: dict[str, str] = {}

    def handle(self, operation: str, params: dict[str, Any], ctx: Context) -> dict[str, Any]:
        """Serve one call. Raises ServiceError, for an operation of another name too."""
        served = {"PollHostCommand": self._poll, "GetDeploymentSpecification": self._specification,
                  "PutHostCommandAcknowledgement": self._acknowledge, "PutHostCommandComplete": self._complete}
        if operation not in served:
            raise ServiceError("UnknownOperationException", f"This local AWS does not serve {operation} to CodeDeploy agents.")
        return served[operation](params, ctx)

    def _poll(self, params: dict[str, Any], ctx: Context) -> dict[str, Any]:
        host = params.get("HostIdentifier") or ""
        instance = _own_instance(host, ctx)
        with self._lock:
            for deployment in list(self._stores[ctx]["deployments"].values()):
                event = engine.deliver(deployment, instance, self._aws.clock.now())
                if event:
                    return {"HostCommand": {
                        "HostCommandIdentifier": _pack(deployment["deploymentId"], instance, event), "HostIdentifier": host,
                        "DeploymentExecutionId": _execution(deployment["deploymentId"], ctx), "CommandName": event,
                        "Nonce": str(uuid.uuid4())}}
        return {}

    def _specification(self, params: dict[str, Any], ctx: Context) -> dict[str, Any]:
        instance = _own_instance(params.get("HostIdentifier") or "", ctx)
        name = str(params.get("DeploymentExecutionId") or "").rpartition("/")[2]
        with self._lock:
            deployment = self._stores[ctx]["deployments"].get(name)
            if deployment is None or instance not in (deployment.get("targets") or {}):
                raise ServiceError("ClientException", f"The deployment {name} is not for the instance {instance}.")
            specification = _specify(deployment)
        payload = self._signed.get(name)
        if payload is None:
            payload = self._signed[name] = self._signer.sign(specification)
        return {"DeploymentSystem": "CodeDeploy",
                "DeploymentSpecification": {"GenericEnvelope": {"Format": "PKCS7/JSON", "Payload": payload}}}

    def _acknowledge(self, params: dict[str, Any], ctx: Context) -> dict[str, Any]:
        deployment, instance, event = self._command(params, ctx)
        with self._lock:
            # Also a command without a script of its own (IsCommandNoop) goes on: the agent completes it at once.
            return {"CommandStatus": engine.acknowledge(deployment, instance, event, self._aws.clock.now())}

    def _complete(self, params: dict[str, Any], ctx: Context) -> dict[str, Any]:
        deployment, instance, event = self._command(params, ctx)
        envelope = params.get("Diagnostics") or {}
        try:
            told = json.loads(envelope.get("Payload") or "{}")
        except ValueError:
            told = {"error_code": 5, "message": "The agent's diagnostics are not JSON."}
        succeeded = params.get("CommandStatus") == "Succeeded"
        code = told.get("error_code")
        diagnostics = engine.diagnosis(code if isinstance(code, int) else 0 if succeeded else 5, str(told.get("script_name") or ""),
                                       str(told.get("message") or ""), str(told.get("log") or "")[-4096:])
        with self._lock:
            if engine.complete(deployment, instance, event, succeeded, diagnostics, self._aws.clock.now()):
                self._deployments.settle(ctx.account, ctx.region, deployment)
        return {}

    def _command(self, params: dict[str, Any], ctx: Context) -> tuple[dict[str, Any], str, str]:
        try:
            name, instance, event = base64.b64decode(params.get("HostCommandIdentifier") or "", validate=True).decode().split("/")
        except (binascii.Error, ValueError) as error:
            raise ServiceError("ClientException", "The HostCommandIdentifier is not one of this service's.") from error
        _own_instance(f"arn:aws:ec2:{ctx.region}:{ctx.account}:instance/{instance}", ctx)
        with self._lock:
            deployment = self._stores[ctx]["deployments"].get(name)
        if deployment is None:
            raise ServiceError("ClientException", f"There is no deployment {name}.")
        return deployment, instance, event


def _own_instance(host: str, ctx: Context) -> str:
    """The instance id in the HostIdentifier, if the caller is that instance: its role's session has the instance id as name."""
    prefix, _, instance = host.rpartition("/")
    session = ctx.principal_arn.rpartition("/")[2] if ":assumed-role/" in ctx.principal_arn else ""
    if prefix != f"arn:aws:ec2:{ctx.region}:{ctx.account}:instance" or not instance or instance != session:
        raise ServiceError("AccessDeniedException", f"{ctx.principal_arn} may not speak for the host {host or '(none)'}.")
    return instance


def _pack(*parts: str) -> str:
    return base64.b64encode("/".join(parts).encode()).decode()


def _execution(deployment_id: str, ctx: Context) -> str:
    return f"arn:aws:codedeploy:{ctx.region}:{ctx.account}:deployment/{deployment_id}"


def _specify(deployment: dict[str, Any]) -> dict[str, Any]:
    """What the agent needs to know of a deployment."""
    location = deployment["revision"]["s3Location"]
    revision = {"Bucket": location["bucket"], "Key": location["key"], "BundleType": location["bundleType"]}
    revision |= {to: location[key] for key, to in (("version", "Version"), ("eTag", "ETag")) if location.get(key)}
    return {"DeploymentId": deployment["deploymentId"], "DeploymentGroupId": deployment["deploymentGroupId"],
            "DeploymentGroupName": deployment["deploymentGroupName"], "ApplicationName": deployment["applicationName"],
            "DeploymentCreator": deployment["creator"], "DeploymentType": "IN_PLACE", "AppSpecFilename": "appspec.yml",
            "AgentActionOverrides": {"AgentOverrides": {"FileExistsBehavior": deployment["fileExistsBehavior"]}},
            "Revision": {"RevisionType": "S3", "S3Revision": revision}}
