"""A pipeline from push to deployment over made-up S3, CodeBuild and CodeDeploy: operations, actions, permissions, restart."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from localaws_fakes import CALLER, FakeAws
from test_localaws_codeconnections import push

from localaws.codeconnections.api import Api as Connections
from localaws.codepipeline.api import Api
from localaws.service import ServiceError

ROLE = "arn:aws:iam::000000000000:role/pipe"
KEY = "arn:aws:kms:us-east-1:000000000000:key/k"


def refusal(message: str) -> ClientError:
    return ClientError({"Error": {"Code": "AccessDenied", "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "Op")  # type: ignore[typeddict-item]


class Outside:
    """Every service that actions call, as one role's clients. `refuse` holds method names that answer AccessDenied."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.puts: list[dict[str, str]] = []
        self.build: dict[str, Any] = {"id": "bb:1", "projectName": "bb", "buildStatus": "IN_PROGRESS", "phases": [], "logs": {}}
        self.started: list[dict[str, Any]] = []
        self.deployment: dict[str, Any] = {"status": "InProgress"}
        self.deployed: list[dict[str, Any]] = []
        self.refuse: set[str] = set()

    def _check(self, method: str) -> None:
        if method in self.refuse:
            raise refusal(f"User: arn:aws:sts::000000000000:assumed-role/pipe/s is not authorized to perform: {method}")

    def get_caller_identity(self) -> dict[str, str]:
        return {"Arn": "arn:aws:sts::000000000000:assumed-role/pipe/s"}

    def generate_data_key(self, KeyId: str, KeySpec: str) -> None:
        self._check("generate_data_key")

    def put_object(self, Bucket: str, Key: str, Body: bytes, **encryption: str) -> None:
        self._check("put_object")
        self.objects[Key] = Body
        self.puts.append(encryption)

    def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        self._check("head_object")
        return {"ETag": '"etag"', "VersionId": "v1", "SSEKMSKeyId": KEY}

    def get_object(self, Bucket: str, Key: str, Range: str) -> dict[str, Any]:
        self._check("head_object")  # the same permission, s3:GetObject
        return {"Body": io.BytesIO(b"x")}

    def start_build(self, **given: Any) -> dict[str, Any]:
        self._check("start_build")
        self.started.append(given)
        return {"build": self.build}

    def batch_get_builds(self, ids: list[str]) -> dict[str, Any]:
        self._check("batch_get_builds")
        return {"builds": [self.build]}

    def create_deployment(self, **given: Any) -> dict[str, Any]:
        self._check("create_deployment")
        self.deployed.append(given)
        return {"deploymentId": "d-123"}

    def get_deployment(self, deploymentId: str) -> dict[str, Any]:
        self._check("get_deployment")
        return {"deploymentInfo": self.deployment}


class World:
    """The two services, a connection, a repository, and a pipeline Source → Build → Gamma."""

    def __init__(self, tmp_path: Path, complete: bool = True) -> None:
        self.tmp_path, self.outside = tmp_path, Outside()
        self.aws = FakeAws(tmp_path, dict.fromkeys(("s3", "kms", "sts", "codebuild", "codedeploy"), self.outside))
        self.connections, self.api = Connections(self.aws), Api(self.aws)  # type: ignore[arg-type]
        self.aws.services.update(codeconnections=self.connections, codepipeline=self.api)
        self.arn = self.connections.create_connection(CALLER, {"ConnectionName": "github", "ProviderType": "GitHub"})["ConnectionArn"]
        if complete:
            self.connections.complete(self.arn)

    def declaration(self, **more: Any) -> dict[str, Any]:
        def action(name: str, category: str, provider: str, configuration: dict[str, str], **rest: Any) -> dict[str, Any]:
            return {"name": name, "actionTypeId": {"category": category, "owner": "AWS", "provider": provider, "version": "1"},
                    "configuration": configuration, **rest}

        return {"name": "pipe", "roleArn": ROLE, "pipelineType": "V2",
                "artifactStore": {"type": "S3", "location": "store", "encryptionKey": {"id": KEY, "type": "KMS"}}, "stages": [
                    {"name": "Source", "actions": [action("Source", "Source", "CodeStarSourceConnection", {
                        "ConnectionArn": self.arn, "FullRepositoryId": "acme/sample", "BranchName": "main"},
                        outputArtifacts=[{"name": "Source"}], namespace="Source")]},
                    {"name": "Build", "actions": [action("Build", "Build", "CodeBuild", {
                        "ProjectName": "bb", "EnvironmentVariables": '[{"name": "C", "value": "#{Source.CommitId}"}]'},
                        inputArtifacts=[{"name": "Source"}], outputArtifacts=[{"name": "Release"}], namespace="Build")]},
                    {"name": "Gamma", "actions": [action("Deploy", "Deploy", "CodeDeploy", {
                        "ApplicationName": "app", "DeploymentGroupName": "group"}, inputArtifacts=[{"name": "Release"}])]}], **more}

    def create(self, **more: Any) -> None:
        self.api.create_pipeline(CALLER, {"pipeline": self.declaration(**more)})
        self.settle()

    def push(self, file: str, message: str) -> None:
        push(self.connections.repository("acme/sample"), self.tmp_path / "work", file, message)
        self.connections.poll()
        self.settle()

    def settle(self) -> None:
        """Do what was begun; then one look at what runs."""
        self.aws.run_spawned()
        self.aws.clock.advance(1)
        self.api.tick()
        self.aws.run_spawned()

    def latest(self) -> dict[str, Any]:
        found = self.api.list_pipeline_executions(CALLER, {"pipelineName": "pipe"})["pipelineExecutionSummaries"]
        return dict(found[0])

    def action(self, name: str) -> dict[str, Any]:
        listed = self.api.list_action_executions(CALLER, {"pipelineName": "pipe", "filter": {
            "pipelineExecutionId": self.latest()["pipelineExecutionId"]}})["actionExecutionDetails"]
        return dict(next(a for a in listed if a["actionName"] == name))

    def error(self, name: str) -> dict[str, str]:
        return dict(self.action(name)["output"]["executionResult"]["errorDetails"])

    def build_done(self, status: str = "SUCCEEDED", **more: Any) -> None:
        self.outside.build = {**self.outside.build, "buildStatus": status, "artifacts": {"location": "arn:aws:s3:::store/pipe/Release/abc"},
                              "exportedEnvironmentVariables": [{"name": "IMAGE_DIGEST", "value": "sha256:1"}], **more}
        self.settle()


def test_creating_a_pipeline_starts_an_execution_that_a_pending_connection_fails_harmlessly(tmp_path: Path) -> None:
    world = World(tmp_path, complete=False)
    world.create()
    assert world.latest()["status"] == "Failed"
    assert world.latest()["trigger"]["triggerType"] == "CreatePipeline"
    assert "PENDING" in world.error("Source")["message"]
    assert world.outside.objects == {}
    world.push("a.txt", "not yet")
    assert len(world.api.list_pipeline_executions(CALLER, {"pipelineName": "pipe"})["pipelineExecutionSummaries"]) == 1


def test_a_repository_without_the_branch_fails_in_awss_words(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.create()
    assert world.error("Source") == {"code": "ConfigurationError",
                                     "message": "[GitHub] No Branch [main] found for FullRepositoryName [acme/sample]"}


def test_a_push_goes_through_build_and_deployment(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.create()
    world.push("a.txt", "a good release")
    assert world.latest()["trigger"]["triggerType"] == "WebhookV2"
    commit = world.latest()["sourceRevisions"][0]["revisionId"]
    assert json.loads(world.latest()["sourceRevisions"][0]["revisionSummary"])["CommitMessage"] == "a good release"
    (started,) = world.outside.started
    source = world.action("Source")["output"]["outputArtifacts"][0]["s3location"]
    assert source["key"].startswith("pipe/Source/")
    assert world.outside.puts == [{"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KEY, "ACL": "bucket-owner-full-control"}]
    assert started["sourceVersion"] == f"arn:aws:s3:::store/{source['key']}"
    assert started["artifactsOverride"]["location"] == "store"
    assert started["environmentVariablesOverride"] == [{"name": "C", "value": commit}]
    world.build_done()
    assert world.action("Build")["output"]["outputVariables"] == {"IMAGE_DIGEST": "sha256:1"}
    (deployed,) = world.outside.deployed
    assert deployed == {"applicationName": "app", "deploymentGroupName": "group", "revision": {"revisionType": "S3", "s3Location": {
        "bucket": "store", "key": "pipe/Release/abc", "bundleType": "zip", "eTag": "etag", "version": "v1"}}}
    assert world.latest()["status"] == "InProgress"
    assert world.action("Deploy")["output"]["executionResult"]["externalExecutionId"] == "d-123"
    world.outside.deployment = {"status": "Succeeded"}
    world.settle()
    assert world.latest()["status"] == "Succeeded"
    kinds = [(kind.split(" ")[1], detail["state"]) for _, kind, detail in world.aws.events if detail["execution-id"]
             == world.latest()["pipelineExecutionId"]]
    assert kinds[0] == ("Pipeline", "STARTED")
    assert kinds[-1] == ("Pipeline", "SUCCEEDED")
    assert kinds.count(("Action", "SUCCEEDED")) == 3


def test_a_failed_deployment_carries_codedeploys_own_words(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.create()
    world.push("a.txt", "bad")
    world.build_done()
    world.outside.deployment = {"status": "Failed", "errorInformation": {"code": "ALARM_ACTIVE", "message": "One or more alarms"}}
    world.settle()
    assert world.latest()["status"] == "Failed"
    assert world.error("Deploy") == {"code": "ALARM_ACTIVE", "message": "One or more alarms"}
    state = world.api.get_pipeline_state(CALLER, {"name": "pipe"})["stageStates"][2]
    assert state["latestExecution"]["status"] == "Failed"
    assert state["actionStates"][0]["latestExecution"]["externalExecutionId"] == "d-123"
    world.outside.deployment = {"status": "Succeeded"}
    world.api.retry_stage_execution(CALLER, {"pipelineName": "pipe", "stageName": "Gamma", "retryMode": "FAILED_ACTIONS",
                                             "pipelineExecutionId": world.latest()["pipelineExecutionId"]})
    world.settle()
    assert world.latest()["status"] == "Succeeded"
    assert len(world.outside.deployed) == 2


def test_a_failed_build_names_phase_and_command(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.create()
    world.push("a.txt", "bad")
    world.build_done("FAILED", phases=[{"phaseType": "BUILD", "phaseStatus": "FAILED", "contexts": [
        {"statusCode": "COMMAND_EXECUTION_ERROR", "message": "Error while executing command: make. Reason: exit status 2"}]}])
    assert world.error("Build") == {"code": "JobFailed", "message": (
        "Build terminated with state: FAILED. Phase: BUILD, Code: COMMAND_EXECUTION_ERROR, Message: Error while executing command: make. "
        "Reason: exit status 2")}


@pytest.mark.parametrize(("method", "action"), [("put_object", "Source"), ("start_build", "Build"),
                                                ("batch_get_builds", "Build"), ("head_object", "Deploy"), ("create_deployment", "Deploy"),
                                                ("get_deployment", "Deploy")])
def test_each_permission_that_the_role_lacks_fails_its_action_with_role_and_action(tmp_path: Path, method: str, action: str) -> None:
    world = World(tmp_path)
    world.create()
    world.outside.refuse.add(method)
    world.push("a.txt", "x")
    world.build_done()
    world.settle()
    error = world.error(action)
    assert error["code"] == "PermissionError"
    assert "assumed-role/pipe" in error["message"]
    assert method in error["message"]


def test_the_source_is_put_with_an_acl_that_the_role_must_be_allowed_to_set(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.create()
    world.aws.denied.add("s3:PutObjectAcl")
    world.push("a.txt", "x")
    assert world.error("Source")["message"].startswith("[GitHub] Upload to S3 failed with the following error: ")
    assert "assumed-role/pipe/s is not authorized to perform: s3:PutObjectAcl on resource: arn:aws:s3:::store/pipe/Source/" in world.error("Source")["message"]
    assert world.outside.objects == {}


def test_pushes_are_heard_through_connections_that_were_completed_before_the_pipeline_was_made_or_changed(tmp_path: Path) -> None:
    world = World(tmp_path, complete=False)
    world.create()
    world.connections.complete(world.arn)
    world.push("a.txt", "not heard")
    assert [world.latest()["trigger"]["triggerType"], world.latest()["status"]] == ["CreatePipeline", "Failed"]
    world.api.update_pipeline(CALLER, {"pipeline": world.api.get_pipeline(CALLER, {"name": "pipe"})["pipeline"]})
    world.push("b.txt", "heard")
    assert world.latest()["trigger"]["triggerType"] == "WebhookV2"
    pending = world.connections.create_connection(CALLER, {"ConnectionName": "other", "ProviderType": "GitHub"})["ConnectionArn"]
    declaration = world.declaration()
    declaration["stages"][0]["actions"][0]["configuration"]["ConnectionArn"] = pending
    world.api.update_pipeline(CALLER, {"pipeline": declaration})
    world.connections.complete(pending)
    heard = world.latest()["pipelineExecutionId"]
    world.push("c.txt", "not heard through the new one")
    assert world.latest()["pipelineExecutionId"] == heard


def test_the_connection_asks_for_permission_under_either_prefix(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.create()
    world.aws.denied |= {"codeconnections:UseConnection", "codestar-connections:UseConnection"}
    world.push("a.txt", "x")
    assert "Unable to use Connection" in world.error("Source")["message"]
    assert "UseConnection" in world.error("Source")["message"]
    world.aws.denied = {"codestar-connections:UseConnection"}
    world.push("b.txt", "y")
    assert world.action("Source")["status"] == "Succeeded"


def test_a_repository_id_that_is_none_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    given = world.declaration()
    given["stages"][0]["actions"][0]["configuration"]["FullRepositoryId"] = "sample"
    with pytest.raises(ServiceError, match="'sample' in action 'Source' is not owner/name"):
        world.api.create_pipeline(CALLER, {"pipeline": given})
    assert world.api.list_pipelines(CALLER, {})["pipelines"] == []


def test_who_may_not_pass_role_or_connection_makes_no_pipeline(tmp_path: Path) -> None:
    world = World(tmp_path)
    for denied in ({"iam:PassRole"}, {"codeconnections:PassConnection", "codestar-connections:PassConnection"}):
        world.aws.denied = set(denied)
        with pytest.raises(ServiceError, match="is not authorized to perform"):
            world.create()
    world.aws.denied.clear()
    world.aws.untrusted.add(ROLE)
    with pytest.raises(ServiceError) as refused:
        world.create()
    assert refused.value.code == "InvalidStructureException"
    assert ROLE in refused.value.message


def test_executions_in_progress_go_on_after_a_restart(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.create()
    world.push("a.txt", "x")
    state = json.loads(json.dumps(world.api.dump()))
    assert world.action("Build")["status"] == "InProgress"
    again = World(tmp_path)
    again.api.load(state)
    again.build_done()
    assert again.outside.started == []
    assert len(again.outside.deployed) == 1
    again.outside.deployment = {"status": "Succeeded"}
    again.settle()
    assert again.latest()["status"] == "Succeeded"


def test_an_action_that_was_not_started_before_the_stop_is_started_by_the_next_start(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.create()
    push(world.connections.repository("acme/sample"), tmp_path / "work", "a.txt", "x")
    world.connections.poll()
    state = json.loads(json.dumps(world.api.dump()))
    again = World(tmp_path)
    again.connections.load(world.connections.dump())
    again.api.load(state)
    again.settle()
    assert again.action("Source")["status"] == "Succeeded"
    assert len(again.outside.started) == 1


def test_start_with_a_commit_tokens_and_what_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.create()
    world.push("a.txt", "first")
    first = world.latest()["sourceRevisions"][0]["revisionId"]
    world.push("b.txt", "second")
    given = {"name": "pipe", "clientRequestToken": "t",
             "sourceRevisions": [{"actionName": "Source", "revisionType": "COMMIT_ID", "revisionValue": first}]}
    one = world.api.start_pipeline_execution(CALLER, given)
    assert world.api.start_pipeline_execution(CALLER, given) == one
    world.settle()
    assert world.latest()["sourceRevisions"][0]["revisionId"] == first
    with pytest.raises(ServiceError, match="does not declare the variables Colour"):
        world.api.start_pipeline_execution(CALLER, {"name": "pipe", "variables": [{"name": "Colour", "value": "x"}]})
    with pytest.raises(ServiceError) as refused:
        world.api.start_pipeline_execution(CALLER, {"name": "none"})
    assert refused.value.code == "PipelineNotFoundException"
    with pytest.raises(ServiceError) as refused:
        world.api.get_pipeline_execution(CALLER, {"pipelineName": "pipe", "pipelineExecutionId": "none"})
    assert refused.value.code == "PipelineExecutionNotFoundException"


def test_the_structures_versions_and_the_tags(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.create()
    with pytest.raises(ServiceError) as refused:
        world.create()
    assert refused.value.code == "PipelineNameInUseException"
    updated = world.api.update_pipeline(CALLER, {"pipeline": world.declaration(executionMode="QUEUED")})["pipeline"]
    assert (updated["version"], updated["executionMode"]) == (2, "QUEUED")
    assert world.api.get_pipeline(CALLER, {"name": "pipe", "version": 1})["pipeline"]["executionMode"] == "SUPERSEDED"
    with pytest.raises(ServiceError) as refused:
        world.api.get_pipeline(CALLER, {"name": "pipe", "version": 3})
    assert refused.value.code == "PipelineVersionNotFoundException"
    arn = world.api.get_pipeline(CALLER, {"name": "pipe"})["metadata"]["pipelineArn"]
    world.api.tag_resource(CALLER, {"resourceArn": arn, "tags": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]})
    world.api.untag_resource(CALLER, {"resourceArn": arn, "tagKeys": ["a"]})
    assert world.api.list_tags_for_resource(CALLER, {"resourceArn": arn})["tags"] == [{"key": "b", "value": "2"}]
    assert [p["name"] for p in world.api.list_pipelines(CALLER, {})["pipelines"]] == ["pipe"]
    world.api.delete_pipeline(CALLER, {"name": "pipe"})
    world.api.delete_pipeline(CALLER, {"name": "pipe"})
    assert world.api.list_pipelines(CALLER, {})["pipelines"] == []


def test_lists_come_in_pages(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.create()
    for _ in range(4):
        world.api.start_pipeline_execution(CALLER, {"name": "pipe"})
        world.settle()
    seen, token = [], None
    while True:
        page = world.api.list_pipeline_executions(CALLER, {"pipelineName": "pipe", "maxResults": 2, **({"nextToken": token} if token else {})})
        seen += [e["pipelineExecutionId"] for e in page["pipelineExecutionSummaries"]]
        token = page.get("nextToken")
        if not token:
            break
    assert len(seen) == len(set(seen)) == 5
    with pytest.raises(ServiceError):
        world.api.list_pipeline_executions(CALLER, {"pipelineName": "pipe", "nextToken": "x"})


def test_permissions_name_pipeline_and_stage(tmp_path: Path) -> None:
    api = World(tmp_path).api
    assert list(api.permissions("GetPipelineState", {"name": "pipe"}, CALLER)) == [
        ("codepipeline:GetPipelineState", "arn:aws:codepipeline:us-east-1:000000000000:pipe")]
    assert list(api.permissions("RetryStageExecution", {"pipelineName": "pipe", "stageName": "Gamma"}, CALLER)) == [
        ("codepipeline:RetryStageExecution", "arn:aws:codepipeline:us-east-1:000000000000:pipe/Gamma")]
    assert list(api.permissions("ListPipelines", {}, CALLER)) == [("codepipeline:ListPipelines", "*")]
