"""CloudWatch Synthetics: Canary."""

from __future__ import annotations

from typing import Any

from localaws.cloudformation.resources import Failed, Made, Request, fit, resource, served, tag_changes, tags_of, unless_gone
from localaws.cloudformation.template import text_of

_SERVED = {"Name", "Code", "ArtifactS3Location", "ExecutionRoleArn", "Schedule", "RuntimeVersion", "RunConfig", "SuccessRetentionPeriod",
           "FailureRetentionPeriod", "StartCanaryAfterCreation", "ProvisionedResourceCleanup", "DeleteLambdaResourcesOnCanaryDeletion",
           "ArtifactConfig", "VPCConfig", "Tags"}
_RENAMED = {"VPCConfig": "VpcConfig", "SuccessRetentionPeriod": "SuccessRetentionPeriodInDays", "FailureRetentionPeriod": "FailureRetentionPeriodInDays"}
_APART = ("StartCanaryAfterCreation", "DeleteLambdaResourcesOnCanaryDeletion", "Tags")
_WAIT_SECONDS = 120.0


@resource("AWS::Synthetics::Canary")
class Canary:
    """A canary; its physical id is its name."""

    def create(self, request: Request) -> Made:
        client, properties = request.client("synthetics"), request.properties
        served(properties, _SERVED)
        name = text_of(properties["Name"])
        arguments = fit(client, "create_canary", self._own(properties), _RENAMED, _APART)
        client.create_canary(**arguments, **({"Tags": tags_of(properties)} if tags_of(properties) else {}))
        request.claim(name)
        self._settle(request, name, "READY")
        if text_of(properties.get("StartCanaryAfterCreation", False)) == "true":
            client.start_canary(Name=name)
            self._settle(request, name, "RUNNING", "STOPPED")
        return self._made(request, name)

    def update(self, request: Request) -> Made:
        client, properties, name = request.client("synthetics"), request.properties, request.physical_id
        served(properties, _SERVED)
        own = [key for key in _SERVED if key not in _APART]
        if request.changed(*own):
            changed = {key: properties[key] for key in own if key in properties and request.changed(key)}
            client.update_canary(**fit(client, "update_canary", {"Name": name, **self._own(changed)}, _RENAMED))
            self._settle(request, name, "READY", "RUNNING", "STOPPED")
        added, removed = tag_changes(request)
        arn = f"arn:aws:synthetics:{request.region}:{request.account}:canary:{name}"
        if added:
            client.tag_resource(ResourceArn=arn, Tags=added)
        if removed:
            client.untag_resource(ResourceArn=arn, TagKeys=removed)
        return self._made(request, name)

    @staticmethod
    def _own(properties: dict[str, Any]) -> dict[str, Any]:
        """Return the properties as the API writes them: a code version is S3Version there."""
        own = dict(properties)
        if "Code" in own:
            served(own["Code"], {"Handler", "S3Bucket", "S3Key", "S3ObjectVersion"}, "Code.")
            own["Code"] = {"S3Version" if key == "S3ObjectVersion" else key: value for key, value in own["Code"].items()}
        return own

    @staticmethod
    def _settle(request: Request, name: str, *states: str) -> None:
        def ready() -> bool:
            status = request.client("synthetics").get_canary(Name=name)["Canary"]["Status"]
            if status["State"] == "ERROR":
                raise Failed(status.get("StateReason") or f"The canary {name} is in the state ERROR")
            return status["State"] in states

        request.wait(ready, _WAIT_SECONDS, f"The canary {name} did not become {' or '.join(states)}", every=0.2)

    @staticmethod
    def _made(request: Request, name: str) -> Made:
        found = request.client("synthetics").get_canary(Name=name)["Canary"]
        return Made(name, {"Id": found["Id"], "State": found["Status"]["State"], "Code.SourceLocationArn": found["Code"]["SourceLocationArn"]})

    def delete(self, request: Request) -> None:
        client, name = request.client("synthetics"), request.physical_id
        found = unless_gone(client.get_canary, Name=name)
        if found is None:
            return
        if found["Canary"]["Status"]["State"] in ("RUNNING", "STARTING"):
            client.stop_canary(Name=name)
            self._settle(request, name, "STOPPED")
        unless_gone(client.delete_canary, Name=name,
                    DeleteLambda=text_of(request.properties.get("DeleteLambdaResourcesOnCanaryDeletion", False)) == "true")
        request.wait(lambda: unless_gone(client.get_canary, Name=name) is None, _WAIT_SECONDS, f"The canary {name} is not gone", every=0.2)
