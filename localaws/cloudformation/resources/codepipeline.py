"""CodePipeline: Pipeline."""

from __future__ import annotations

from typing import Any

from localaws.cloudformation.resources import Made, Request, fit, resource, tag_changes, tag_list, unless_gone
from localaws.cloudformation.template import text_of

_APART = ("Tags", "RestartExecutionOnUpdate", "DisableInboundStageTransitions")


@resource("AWS::CodePipeline::Pipeline")
class Pipeline:
    """A pipeline. The service itself starts an execution when it is made."""

    def create(self, request: Request) -> Made:
        codepipeline, name = request.client("codepipeline"), request.given("Name", 100)
        tags = tag_list(request.properties, "key", "value")
        found = codepipeline.create_pipeline(**self._declaration(request, name), **({"tags": tags} if tags else {}))["pipeline"]
        request.claim(name)
        self._transitions(request, name)
        return Made(name, self._attributes(request, name, found))

    def update(self, request: Request) -> Made:
        codepipeline, name = request.client("codepipeline"), request.physical_id
        found = codepipeline.update_pipeline(**self._declaration(request, name))["pipeline"]
        self._transitions(request, name)
        arn = f"arn:aws:codepipeline:{request.region}:{request.account}:{name}"
        added, removed = tag_changes(request)
        if added:
            codepipeline.tag_resource(resourceArn=arn, tags=[{"key": key, "value": value} for key, value in added.items()])
        if removed:
            codepipeline.untag_resource(resourceArn=arn, tagKeys=removed)
        if text_of(request.properties.get("RestartExecutionOnUpdate", False)) == "true":
            codepipeline.start_pipeline_execution(name=name)
        return Made(name, self._attributes(request, name, found))

    @staticmethod
    def _attributes(request: Request, name: str, found: dict[str, Any]) -> dict[str, str]:
        return {"Version": text_of(found.get("version", 1)), "Arn": f"arn:aws:codepipeline:{request.region}:{request.account}:{name}"}

    @staticmethod
    def _declaration(request: Request, name: str) -> dict[str, Any]:
        own = {key: value for key, value in request.properties.items() if key not in _APART}
        if isinstance(own.get("ArtifactStores"), list):  # a list of {Region, ArtifactStore} here, a map by Region in the API
            own["ArtifactStores"] = {text_of(item["Region"]): item["ArtifactStore"] for item in own["ArtifactStores"]}
        return fit(request.client("codepipeline"), "create_pipeline", {"pipeline": {**own, "Name": name}})

    @staticmethod
    def _transitions(request: Request, name: str) -> None:
        codepipeline = request.client("codepipeline")
        old = {item["StageName"]: item["Reason"] for item in request.before.get("DisableInboundStageTransitions") or []}
        new = {item["StageName"]: item["Reason"] for item in request.properties.get("DisableInboundStageTransitions") or []}
        for stage, reason in new.items():
            if old.get(stage) != reason:
                codepipeline.disable_stage_transition(pipelineName=name, stageName=stage, transitionType="Inbound", reason=reason)
        for stage in [stage for stage in old if stage not in new]:
            codepipeline.enable_stage_transition(pipelineName=name, stageName=stage, transitionType="Inbound")

    def delete(self, request: Request) -> None:
        unless_gone(request.client("codepipeline").delete_pipeline, name=request.physical_id)
