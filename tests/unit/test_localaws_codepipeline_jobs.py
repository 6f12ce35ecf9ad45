"""Functions of Invoke actions: called, answering, called again; and actions of other Regions, with roles of their own."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from localaws_fakes import ACCOUNT, CALLER, FakeClients
from test_localaws_codepipeline_api import KEY, Outside, World, refusal

from localaws.codepipeline import jobs, structure
from localaws.service import Context, ServiceError

GATE = "arn:aws:iam::111111111111:role/deploy"
WEST = {"type": "S3", "location": "west", "encryptionKey": {"id": "arn:aws:kms:us-west-2:000000000000:key/w", "type": "KMS"}}


class Functions(Outside):
    """Outside with Lambda: every call's event, as the function gets it; and S3 with buckets."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []
        self.missing = False

    def invoke(self, FunctionName: str, InvocationType: str, Payload: bytes) -> None:
        self._check("invoke")
        if self.missing:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": f"Function not found: {FunctionName}"}}, "Invoke")
        assert InvocationType == "Event"
        self.events.append(json.loads(Payload)["CodePipeline.job"])

    def put_object(self, Bucket: str, Key: str, Body: bytes, **encryption: str) -> None:
        super().put_object(Bucket, Key, Body, **encryption)
        self.puts[-1] = {**encryption, "Bucket": Bucket}

    def get_object(self, Bucket: str, Key: str, Range: str = "") -> dict[str, Any]:
        self._check("get_object")
        return {"Body": io.BytesIO(self.objects.get(Key, b"x"))}


class Gated(World):
    """Source → Build → Gate (a function); `stage` adds to the last stage, `action` to its action."""

    def __init__(self, tmp_path: Path) -> None:
        super().__init__(tmp_path)
        self.outside: Functions = Functions()
        self.aws.clients = FakeClients(dict.fromkeys(("s3", "kms", "sts", "codebuild", "codedeploy", "lambda"), self.outside))

    def gated(self, configuration: dict[str, str] | None = None, more: list[dict[str, Any]] | None = None, **action: Any) -> None:
        declared = self.declaration()
        declared["stages"][2] = {"name": "Gate", "actions": [{
            "name": "Bake", "actionTypeId": {"category": "Invoke", "owner": "AWS", "provider": "Lambda", "version": "1"},
            "configuration": {"FunctionName": "gate", "UserParameters": '{"execution":"#{codepipeline.PipelineExecutionId}"}', **(configuration or {})},
            "namespace": "Bake", **action}, *(more or [])]}
        self.api.create_pipeline(CALLER, {"pipeline": declared})
        self.settle()
        self.push("a.txt", "a release")
        self.build_done()

    def job(self) -> dict[str, Any]:
        return self.outside.events[-1]

    def say(self, **answer: Any) -> None:
        self.api.put_job_success_result(CALLER, {"jobId": self.job()["id"], **answer})

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.settle()


@pytest.fixture
def world(tmp_path: Path) -> Gated:
    return Gated(tmp_path)


def test_the_function_gets_the_documented_event_asynchronously(world: Gated) -> None:
    world.gated()
    (job,) = world.outside.events
    execution = world.latest()["pipelineExecutionId"]
    assert job == {"id": job["id"], "accountId": ACCOUNT, "data": {
        "actionConfiguration": {"configuration": {"FunctionName": "gate", "UserParameters": json.dumps({"execution": execution}, separators=(",", ":"))}},
        "inputArtifacts": [], "outputArtifacts": [], "encryptionKey": {"id": KEY, "type": "KMS"},
        "artifactCredentials": {"accessKeyId": "ASIAROLE", "secretAccessKey": "s", "sessionToken": "t", "expirationTime": 2_000_000_000_000}}}
    assert world.action("Bake")["status"] == "InProgress"


def test_a_continuation_token_calls_again_about_three_seconds_later_with_the_token_and_a_new_job(world: Gated) -> None:
    world.gated()
    first = world.job()["id"]
    world.say(continuationToken="one", executionDetails={"summary": "Baking: 40 of 60 s", "percentComplete": 66})
    assert world.action("Bake")["output"]["executionResult"]["externalExecutionSummary"] == "Baking: 40 of 60 s"
    assert world.api.get_pipeline_state(CALLER, {"name": "pipe"})["stageStates"][2]["actionStates"][0]["latestExecution"]["percentComplete"] == 66
    world.wait(2)
    assert len(world.outside.events) == 1
    world.wait(2)
    assert len(world.outside.events) == 2
    assert world.job()["data"]["continuationToken"] == "one"
    assert world.job()["id"] != first
    with pytest.raises(ServiceError) as stale:
        world.api.put_job_success_result(CALLER, {"jobId": first})
    assert stale.value.code == "InvalidJobStateException"
    world.say(executionDetails={"summary": "Baked", "externalExecutionId": "gate-1"}, outputVariables={"Verdict": "good"})
    world.settle()
    result = world.action("Bake")["output"]
    assert world.latest()["status"] == "Succeeded"
    assert result["executionResult"]["externalExecutionId"] == "gate-1"
    assert result["outputVariables"] == {"Verdict": "good"}
    world.wait(10)
    assert len(world.outside.events) == 2


def test_output_variables_reach_later_actions_by_the_namespace(world: Gated) -> None:
    world.gated(more=[{"name": "Next", "runOrder": 2, "actionTypeId": {"category": "Invoke", "owner": "AWS", "provider": "Lambda", "version": "1"},
                       "configuration": {"FunctionName": "next", "UserParameters": "#{Bake.Verdict}"}}])
    world.say(outputVariables={"Verdict": "good"})
    world.settle()
    assert world.job()["data"]["actionConfiguration"]["configuration"] == {"FunctionName": "next", "UserParameters": "good"}


def test_a_failure_carries_the_functions_words_and_a_retry_is_a_new_job_without_a_token(world: Gated) -> None:
    world.gated()
    world.say(continuationToken="one")
    world.wait(4)
    first = world.job()["id"]
    world.api.put_job_failure_result(CALLER, {"jobId": first, "failureDetails": {
        "type": "JobFailed", "message": "The alarm sample-prod-onebox-faults fired", "externalExecutionId": "gate-2"}})
    world.settle()
    assert world.error("Bake") == {"code": "JobFailed", "message": "The alarm sample-prod-onebox-faults fired"}
    assert world.action("Bake")["output"]["executionResult"]["externalExecutionId"] == "gate-2"
    assert world.latest()["status"] == "Failed"
    with pytest.raises(ServiceError) as stale:
        world.api.put_job_failure_result(CALLER, {"jobId": first, "failureDetails": {"type": "JobFailed", "message": "again"}})
    assert stale.value.code == "InvalidJobStateException"
    world.api.retry_stage_execution(CALLER, {"pipelineName": "pipe", "stageName": "Gate", "retryMode": "FAILED_ACTIONS",
                                             "pipelineExecutionId": world.latest()["pipelineExecutionId"]})
    world.settle()
    assert world.job()["id"] != first
    assert "continuationToken" not in world.job()["data"]
    world.say()
    world.settle()
    assert world.latest()["status"] == "Succeeded"


def test_no_answer_for_twenty_minutes_fails_and_a_day_in_all_does_too(world: Gated) -> None:
    world.gated()
    world.aws.clock.advance(jobs.ANSWER_SECONDS - 10)
    world.settle()
    world.say(continuationToken="one")  # starts the twenty minutes anew
    world.aws.clock.advance(30)
    world.settle()
    assert world.action("Bake")["status"] == "InProgress"
    world.aws.clock.advance(jobs.ANSWER_SECONDS)
    world.settle()
    assert world.error("Bake") == {"code": "JobFailed", "message": (
        "The AWS Lambda function gate failed to return a result. Check the function to verify that it has permission to call the "
        "PutJobSuccessResult action and that it made a call to PutJobSuccessResult.")}


def test_a_day_of_continuations_is_the_end(world: Gated) -> None:
    world.gated()
    for hour in range(25):
        world.say(continuationToken=str(hour))
        world.aws.clock.advance(3600)
        world.settle()
        if world.latest()["status"] == "Failed":
            break
    assert hour == 23
    assert "maximum running time" in world.error("Bake")["message"]


@pytest.mark.parametrize(("ctx", "job", "code"), [
    (CALLER, "00000000-0000-0000-0000-000000000000", "JobNotFoundException"),
    (Context("111111111111", "us-east-1", "arn:aws:iam::111111111111:user/me", "k"), None, "JobNotFoundException"),
    (Context(ACCOUNT, "us-west-2", CALLER.principal_arn, "k"), None, "JobNotFoundException"),
])
def test_who_is_not_of_the_pipelines_account_and_region_cannot_answer(world: Gated, ctx: Context, job: str | None, code: str) -> None:
    world.gated()
    for call, more in ((world.api.put_job_success_result, {}),
                       (world.api.put_job_failure_result, {"failureDetails": {"type": "JobFailed", "message": "m"}})):
        with pytest.raises(ServiceError) as refused:
            call(ctx, {"jobId": job or world.job()["id"], **more})
        assert refused.value.code == code
    assert world.action("Bake")["status"] == "InProgress"


@pytest.mark.parametrize(("answer", "code"), [
    ({"continuationToken": "t", "outputVariables": {"A": "b"}}, "ValidationException"),
    ({"outputVariables": {"A b": "c"}}, "ValidationException"),
    ({"outputVariables": {"A": "b" * jobs.VARIABLES_BYTES}}, "OutputVariablesSizeExceededException"),
])
def test_answers_that_aws_does_not_take_leave_the_job_open(world: Gated, answer: dict[str, Any], code: str) -> None:
    world.gated()
    with pytest.raises(ServiceError) as refused:
        world.say(**answer)
    assert refused.value.code == code
    world.say()
    world.settle()
    assert world.latest()["status"] == "Succeeded"


def test_an_abandoned_action_takes_no_answer_and_calls_no_more(world: Gated) -> None:
    world.gated()
    world.say(continuationToken="one")
    execution = world.latest()["pipelineExecutionId"]
    world.api.stop_pipeline_execution(CALLER, {"pipelineName": "pipe", "pipelineExecutionId": execution, "abandon": True, "reason": "rollback"})
    world.wait(10)
    assert len(world.outside.events) == 1
    assert world.latest()["status"] == "Stopped"
    stage = world.api.get_pipeline_state(CALLER, {"name": "pipe"})["stageStates"][2]
    assert stage["latestExecution"]["status"] == "Stopped"
    assert stage["actionStates"][0]["latestExecution"]["status"] == "Abandoned"
    with pytest.raises(ServiceError) as refused:
        world.say()
    assert refused.value.code == "InvalidJobStateException"


def test_a_stop_that_waits_lets_the_function_end_its_job(world: Gated) -> None:
    world.gated()
    execution = world.latest()["pipelineExecutionId"]
    world.api.stop_pipeline_execution(CALLER, {"pipelineName": "pipe", "pipelineExecutionId": execution})
    world.say(continuationToken="one")
    world.wait(4)
    assert len(world.outside.events) == 2
    assert world.latest()["status"] == "Stopping"
    world.say()
    world.settle()
    assert world.latest()["status"] == "Stopped"


@pytest.mark.parametrize("spoil", [lambda world: world.outside.refuse.add("invoke"),
                                   lambda world: world.aws.denied.add("lambda:ListFunctions")])
def test_a_role_that_may_not_invoke_fails_the_action_with_its_name(world: Gated, spoil: Callable[[Gated], None]) -> None:
    spoil(world)
    world.gated()
    assert world.error("Bake")["code"] == "PermissionError"
    assert "is not authorized to perform" in world.error("Bake")["message"]


def test_a_function_that_is_not_there_fails_the_action(world: Gated) -> None:
    world.outside.missing = True
    world.gated()
    assert world.error("Bake") == {"code": "ConfigurationError",
                                   "message": "The AWS Lambda function gate cannot be invoked: Function not found: gate"}


def test_a_call_that_a_stop_cut_off_is_made_again_as_the_same_job(world: Gated, tmp_path: Path) -> None:
    world.gated()
    state, job = json.loads(json.dumps(world.api.dump())), world.job()["id"]
    again = Gated(tmp_path)
    again.api.load(state)
    again.settle()
    assert [event["id"] for event in again.outside.events] == [job]
    again.say()
    again.settle()
    assert again.latest()["status"] == "Succeeded"


def test_input_and_output_artifacts_are_told_and_become_the_next_actions(world: Gated) -> None:
    world.gated(inputArtifacts=[{"name": "Release"}], outputArtifacts=[{"name": "Verdict"}])
    data = world.job()["data"]
    assert data["inputArtifacts"] == [{"name": "Release", "revision": None, "location": {
        "type": "S3", "s3Location": {"bucketName": "store", "objectKey": "pipe/Release/abc"}}}]
    (out,) = data["outputArtifacts"]
    assert out["location"]["s3Location"]["objectKey"].startswith("pipe/Verdict/")
    world.say()
    world.settle()
    assert world.action("Bake")["output"]["outputArtifacts"] == [{"name": "Verdict", "s3location": {
        "bucket": "store", "key": out["location"]["s3Location"]["objectKey"]}}]


# Other Regions, other roles


def regional(world: Gated, **action: Any) -> dict[str, Any]:
    """The pipeline with stores in two Regions and a deployment in the second."""
    declared = world.declaration()
    declared["artifactStores"] = {"us-east-1": declared.pop("artifactStore"), "us-west-2": WEST}
    declared["stages"][2]["actions"][0].update(region="us-west-2", **action)
    return declared


def test_an_action_of_another_region_gets_its_artifact_from_that_regions_store(world: Gated) -> None:
    regions: list[tuple[str, str]] = []
    world.aws.clients.client = lambda service, region: regions.append((service, region)) or world.outside  # type: ignore[func-returns-value,method-assign]
    world.api.create_pipeline(CALLER, {"pipeline": regional(world)})
    world.settle()
    world.push("a.txt", "x")
    world.build_done()
    (deployed,) = world.outside.deployed
    assert deployed["revision"]["s3Location"]["bucket"] == "west"
    assert deployed["revision"]["s3Location"]["key"].startswith("pipe/Release/")
    assert world.outside.puts[-1] == {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": WEST["encryptionKey"]["id"], "Bucket": "west"}  # type: ignore[index]
    assert ("codedeploy", "us-west-2") in regions
    assert ("codedeploy", "us-east-1") not in regions
    listed = world.action("Deploy")
    assert listed["input"]["region"] == "us-west-2"
    assert listed["input"]["inputArtifacts"][0]["s3location"]["bucket"] == "west"
    assert [d["region"] for _, kind, d in world.aws.events if "Action" in kind and d["action"] == "Deploy"] == ["us-west-2"]


def test_a_retried_action_uses_the_copy_that_is_there(world: Gated) -> None:
    world.api.create_pipeline(CALLER, {"pipeline": regional(world)})
    world.settle()
    world.push("a.txt", "x")
    world.outside.deployment = {"status": "Failed"}
    world.build_done()
    world.settle()
    puts = len(world.outside.puts)
    world.api.retry_stage_execution(CALLER, {"pipelineName": "pipe", "stageName": "Gamma", "retryMode": "FAILED_ACTIONS",
                                             "pipelineExecutionId": world.latest()["pipelineExecutionId"]})
    world.settle()
    one, two = world.outside.deployed
    assert one["revision"] == two["revision"]
    assert len(world.outside.puts) == puts


@pytest.mark.parametrize("method", ["get_object", "put_object"])
def test_an_artifact_that_the_pipelines_role_may_not_copy_fails_the_action(world: Gated, method: str) -> None:
    world.api.create_pipeline(CALLER, {"pipeline": regional(world)})
    world.settle()
    world.push("a.txt", "x")
    world.outside.refuse.add(method)
    world.build_done()
    assert world.error("Deploy")["code"] == "PermissionError"
    assert world.error("Deploy")["message"].startswith("Failed replicating 'Release': ")
    assert world.outside.deployed == []


@pytest.mark.parametrize(("spoil", "code", "words"), [
    (lambda p: p["artifactStores"].pop("us-west-2"), "InvalidStructureException", "no artifact store for the Region us-west-2"),
    (lambda p: p["artifactStores"].pop("us-east-1"), "InvalidStructureException", "no artifact store for the Region us-east-1"),
    (lambda p: p.update(artifactStore=p.pop("artifactStores")["us-east-1"]), "InvalidStructureException", "must use artifactStores"),
    (lambda p: p.update(artifactStore=p["artifactStores"]["us-east-1"]), "InvalidStructureException", "you cannot use both"),
    (lambda p: p["stages"][0]["actions"][0].update(region="us-west-2"), "InvalidActionDeclarationException", "must be in the Region of the pipeline"),
    (lambda p: p["stages"][2]["actions"][0].update(
        actionTypeId={"category": "Invoke", "owner": "AWS", "provider": "Lambda", "version": "1"}, configuration={"FunctionName": "f"}),
     "InvalidActionDeclarationException", "Lambda actions in the pipeline's Region only"),
    (lambda p: p["stages"][1]["actions"][0]["configuration"].update(EnvironmentVariables="x" * 1001), "ValidationException", "1001 characters"),
])
def test_structures_of_several_regions_that_aws_does_not_take(world: Gated, spoil: Callable[[dict[str, Any]], Any], code: str, words: str) -> None:
    declared = regional(world)
    structure.check(declared, "us-east-1")
    spoil(declared)
    with pytest.raises(ServiceError) as refused:
        structure.check(declared, "us-east-1")
    assert refused.value.code == code
    assert words in refused.value.message


def test_an_actions_own_role_acts_after_the_pipelines_role_assumed_it(world: Gated) -> None:
    other = Functions()
    world.aws.roles[GATE] = FakeClients(dict.fromkeys(("s3", "sts", "codedeploy"), other))
    world.api.create_pipeline(CALLER, {"pipeline": regional(world, roleArn=GATE)})
    world.settle()
    world.push("a.txt", "x")
    world.build_done()
    assert world.outside.deployed == []
    assert other.deployed[0]["revision"]["s3Location"]["bucket"] == "west"
    assert world.action("Deploy")["input"]["roleArn"] == GATE
    assert world.outside.puts[-1]["Bucket"] == "west"  # the pipeline's role copied


def test_an_action_role_that_the_pipelines_role_may_not_assume_makes_no_pipeline_and_fails_the_action_later(world: Gated) -> None:
    world.aws.untrusted.add(GATE)
    with pytest.raises(ServiceError) as refused:
        world.api.create_pipeline(CALLER, {"pipeline": regional(world, roleArn=GATE)})
    assert refused.value.code == "InvalidStructureException"
    assert refused.value.message == f"arn:aws:iam::000000000000:role/pipe is not authorized to perform AssumeRole on role {GATE}"
    world.aws.untrusted.clear()
    world.api.create_pipeline(CALLER, {"pipeline": regional(world, roleArn=GATE)})
    world.settle()
    world.push("a.txt", "x")
    world.aws.untrusted.add(GATE)
    world.build_done()
    assert world.error("Deploy")["code"] == "PermissionError"
    assert f"sts:AssumeRole on resource: {GATE}" in world.error("Deploy")["message"]


def test_an_action_role_that_may_not_read_the_artifact_fails_the_action(world: Gated) -> None:
    other = Functions()
    other.refuse |= {"head_object", "get_object"}
    world.aws.roles[GATE] = FakeClients(dict.fromkeys(("s3", "sts", "codedeploy"), other))
    world.api.create_pipeline(CALLER, {"pipeline": regional(world, roleArn=GATE)})
    world.settle()
    world.push("a.txt", "x")
    world.build_done()
    assert world.error("Deploy")["code"] == "PermissionError"
    assert "S3 bucket named west" in world.error("Deploy")["message"]


@pytest.mark.parametrize("reason", ["", "blocked: bad", "it's bad", "x" * 301, "a/b"])
def test_a_reason_that_aws_does_not_take_is_refused(world: Gated, reason: str) -> None:
    world.gated()
    given = {"pipelineName": "pipe", "stageName": "Gate", "transitionType": "Inbound"}
    with pytest.raises(ServiceError) as refused:
        world.api.disable_stage_transition(CALLER, {**given, "reason": reason})
    assert refused.value.code == "ValidationException"
    world.api.disable_stage_transition(CALLER, {**given, "reason": "Blocked by rollback (2026-01-01 - d-123)"})
    state = world.api.get_pipeline_state(CALLER, {"name": "pipe"})["stageStates"][2]["inboundTransitionState"]
    assert state["disabledReason"] == "Blocked by rollback (2026-01-01 - d-123)"
    assert state["lastChangedBy"] == CALLER.principal_arn
    assert not state["enabled"]


def test_who_answers_needs_the_action_on_everything(world: Gated) -> None:
    for operation in ("PutJobSuccessResult", "PutJobFailureResult"):
        assert list(world.api.permissions(operation, {"jobId": "j"}, CALLER)) == [(f"codepipeline:{operation}", "*")]
    assert refusal("m").response["Error"]["Code"] == "AccessDenied"


def test_action_executions_are_listed_by_execution_and_latest_attempt(world: Gated) -> None:
    world.gated()
    execution = world.latest()["pipelineExecutionId"]
    world.api.put_job_failure_result(CALLER, {"jobId": world.job()["id"], "failureDetails": {"type": "JobFailed", "message": "no"}})
    world.api.retry_stage_execution(CALLER, {"pipelineName": "pipe", "stageName": "Gate", "retryMode": "ALL_ACTIONS", "pipelineExecutionId": execution})
    world.settle()

    def listed(**filters: Any) -> list[tuple[str, str]]:
        found = world.api.list_action_executions(CALLER, {"pipelineName": "pipe", "filter": filters})["actionExecutionDetails"]
        return [(a["actionName"], a["status"]) for a in found]

    assert listed(pipelineExecutionId=execution)[:2] == [("Bake", "InProgress"), ("Bake", "Failed")]
    assert listed(latestInPipelineExecution={"pipelineExecutionId": execution, "startTimeRange": "Latest"}) == [
        ("Bake", "InProgress"), ("Build", "Succeeded"), ("Source", "Succeeded")]
    assert len(listed(latestInPipelineExecution={"pipelineExecutionId": execution, "startTimeRange": "All"})) == 4
    with pytest.raises(ServiceError) as refused:
        listed(pipelineExecutionId="none")
    assert refused.value.code == "PipelineExecutionNotFoundException"


def test_executions_wait_before_a_closed_stage_the_newest_alone_and_go_on_when_it_opens(world: Gated) -> None:
    world.gated()
    world.say()
    given = {"pipelineName": "pipe", "stageName": "Gate", "transitionType": "Inbound"}
    world.api.disable_stage_transition(CALLER, {**given, "reason": "Blocked by rollback"})
    waiting = []
    for file in ("b.txt", "c.txt"):
        world.outside.build = {**world.outside.build, "buildStatus": "IN_PROGRESS"}
        world.push(file, file)
        world.build_done()
        waiting.append(world.latest()["pipelineExecutionId"])
    calls = len(world.outside.events)
    stage = world.api.get_pipeline_state(CALLER, {"name": "pipe"})["stageStates"][2]
    assert stage["inboundExecution"]["pipelineExecutionId"] == waiting[1]
    statuses = {s["pipelineExecutionId"]: s["status"] for s in
                world.api.list_pipeline_executions(CALLER, {"pipelineName": "pipe"})["pipelineExecutionSummaries"]}
    assert [statuses[one] for one in waiting] == ["Superseded", "InProgress"]
    world.api.enable_stage_transition(CALLER, given)
    world.settle()
    assert len(world.outside.events) == calls + 1
    assert world.action("Bake")["pipelineExecutionId"] == waiting[1]
    assert list(world.api.permissions("DisableStageTransition", given, CALLER)) == [
        ("codepipeline:DisableStageTransition", f"arn:aws:codepipeline:us-east-1:{ACCOUNT}:pipe/Gate")]


def test_cloudformations_list_of_stores_is_the_apis_map() -> None:
    from types import SimpleNamespace

    import boto3

    from localaws.cloudformation.resources.codepipeline import Pipeline

    client = boto3.client("codepipeline", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    request: Any = SimpleNamespace(client=lambda name: client, properties={
        "RoleArn": "r", "ArtifactStores": [{"Region": "us-west-2", "ArtifactStore": {
            "Type": "S3", "Location": "west", "EncryptionKey": {"Id": "k", "Type": "KMS"}}}],
        "Stages": [{"Name": "Wave2", "Actions": [{"Name": "Deploy", "Region": "us-west-2", "RoleArn": GATE, "ActionTypeId": {
            "Category": "Invoke", "Owner": "AWS", "Provider": "Lambda", "Version": 1}, "Configuration": {"FunctionName": "f"}}]}]})
    made = Pipeline._declaration(request, "sample")["pipeline"]
    assert made["artifactStores"] == {"us-west-2": {"type": "S3", "location": "west", "encryptionKey": {"id": "k", "type": "KMS"}}}
    assert made["stages"][0]["actions"][0]["region"] == "us-west-2"
    assert made["stages"][0]["actions"][0]["roleArn"] == GATE
