"""Causes of the pipeline itself: source, permissions, actions that began nothing, Enter and Gate. The real engine runs, and the real functions' words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from inprocess import InProcess
from localaws_fakes import ACCOUNT, CALLER, REGION, FakeAws
from test_localaws_codepipeline_api import KEY, ROLE
from why_world import ROLE_OF_GAMMA, Pipe, error

from localaws.codebuild.api import Api as CodeBuild
from localaws.codedeploy.simulator import Simulation
from localaws.service import ServiceError
from scripts.diagnosis.case import Action, Case, Execution, Hold, Stack, StackEvent, Unreadable
from scripts.diagnosis.judge import catalogue, judge

USER = f"User: arn:aws:sts::{ACCOUNT}:assumed-role/pipe/s"
Step = Callable[[Pipe], Any]


def made(identity: str, *values: Any) -> Any:
    """A case in which a cause is made to happen."""
    return pytest.param(identity, *values, id=identity, marks=pytest.mark.cause(identity, "made"))


def recorded(identity: str, *values: Any) -> Any:
    """A case in AWS's documented shape."""
    return pytest.param(identity, *values, id=identity, marks=pytest.mark.cause(identity, "recorded"))


def refuse(method: str, code: str, message: str) -> Step:
    """The next call of an action is refused."""

    def step(pipe: Pipe) -> None:
        pipe.outside.raises[method] = error(code, message)

    return step


def without(iam: str, service: str, method: str, asked: str = "", **parameters: Any) -> Step:
    """The role does not have this permission: the call is made, and refused by the check of it."""

    def step(pipe: Pipe) -> None:
        aws = InProcess(principal=f"arn:aws:sts::{ACCOUNT}:assumed-role/pipe/s")
        aws.denied.add(iam)
        with pytest.raises(ClientError) as refused:
            getattr(aws.client(service, REGION), asked or method)(**parameters)
        pipe.outside.raises[method] = refused.value

    return step


def by_service(method: str, call: Callable[[Path], Any]) -> Step:
    """The service itself refuses the call."""

    def step(pipe: Pipe) -> None:
        with pytest.raises(ServiceError) as refused:
            call(pipe.folder)
        pipe.outside.raises[method] = error(refused.value.code, refused.value.message)

    return step


def deploy_to_no_group(folder: Path) -> None:
    simulation = Simulation()
    simulation.api.create_deployment(simulation.ctx, {"applicationName": "app", "deploymentGroupName": "gamma-fleet", "revision": {
        "revisionType": "S3", "s3Location": {"bucket": "store", "key": "k", "bundleType": "zip"}}})


def build_no_project(folder: Path) -> None:
    CodeBuild(FakeAws(folder)).start_build(CALLER, {"projectName": "build"})  # type: ignore[arg-type]


def first(pipe: Pipe, environment: str = "gamma") -> str:
    verdict = pipe.verdict(environment)
    assert verdict.first is not None, pipe.case(environment).actions
    assert verdict.first.match.evidence and verdict.first.match.fix
    return verdict.first.cause.id


# Source


@pytest.mark.cause("source-connection-pending", "made")
def test_a_pending_connection(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path, complete=False).create()
    verdict = pipe.verdict("prod")
    assert verdict.first is not None and verdict.first.cause.id == "source-connection-pending"
    assert verdict.first.match.certainty == "certain" and pipe.arn in verdict.first.match.evidence[0]
    pipe.connections.complete(pipe.arn)
    assert pipe.verdict().first.title == "The connection was pending when the release came, and is completed now"  # type: ignore[union-attr]
    assert "make deploy ENV=pipeline" in pipe.verdict().first.match.fix[0]  # type: ignore[union-attr]
    pipe.api.update_pipeline(CALLER, {"pipeline": pipe.api.get_pipeline(CALLER, {"name": "sample"})["pipeline"]})
    pipe.push()
    assert pipe.case().about == "nothing"


@pytest.mark.cause("source-connection-broken", "made")
def test_a_connection_that_broke_or_is_gone(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path)
    pipe.connections._anywhere(pipe.arn)["ConnectionStatus"] = "ERROR"  # as when the provider takes the app's installation away
    pipe.create()
    assert first(pipe) == "source-connection-broken"
    pipe.connections.delete_connection(CALLER, {"ConnectionArn": pipe.arn})
    assert first(pipe) == "source-connection-broken"
    assert "is gone" in pipe.verdict().first.title  # type: ignore[union-attr]


@pytest.mark.cause("source-branch-missing", "made")
@pytest.mark.cause("source-repository-missing", "made")
def test_a_branch_that_is_not_there_or_its_repository(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path).create()
    verdict = pipe.verdict()
    assert verdict.first is not None and verdict.first.cause.id == "source-branch-missing"
    assert "no branch main in acme/sample" in verdict.first.title
    assert [other.cause.id for other in verdict.others] == ["source-repository-missing"]


def source_says(message: str, code: str = "ConfigurationError") -> Case:
    """The source action's failure, as ListActionExecutions tells it."""
    action = Action("Source", "Source", "Failed", "CodeStarSourceConnection", REGION, "", "", code, message, 100.0, 101.0,
                    {"FullRepositoryId": "acme/sample", "ConnectionArn": f"arn:aws:codeconnections:{REGION}:{ACCOUNT}:connection/1"})
    return Case("gamma", "sample", "execution", 200.0, "e-1", REGION, Execution("e-1", "Failed", ended=101.0), (action,))


@pytest.mark.cause("source-access-revoked", "recorded")
@pytest.mark.parametrize("words", ["Could not access the GitHub repository: \"sample\". The access token might be invalid or has been revoked.",
                                   "Unable to connect to the GitHub repository"])
def test_a_provider_that_lets_nobody_in(words: str) -> None:
    verdict = judge(source_says(words, "PermissionError"))
    assert verdict.first is not None and verdict.first.cause.id == "source-access-revoked"


# Permissions


role_denied = without("codebuild:StartBuild", "codebuild", "start_build", projectName="build")
bucket_denied = without("s3:GetObject", "s3", "head_object", "get_object", Bucket="store", Key="sample/Release/abc")


def key_denied(pipe: Pipe) -> None:
    refuse("put_object", "AccessDenied", f"{USER} is not authorized to perform: kms:GenerateDataKey on resource: {KEY} because no identity-based policy "
                                         "allows the kms:GenerateDataKey action")(pipe)


def connection_denied(pipe: Pipe) -> None:
    pipe.local.denied |= {"codeconnections:UseConnection", "codestar-connections:UseConnection"}


def role_gone(pipe: Pipe) -> None:
    pipe.local.untrusted.add(ROLE)


@pytest.mark.parametrize(("identity", "spoil", "names"), [
    made("permission-pipeline-role", role_denied, ("pipe lacks codebuild:StartBuild",)),
    recorded("permission-kms", key_denied, ("pipe", "kms:GenerateDataKey")),
    made("permission-artifact-bucket", bucket_denied, ("Pipe", "s3:GetObject")),
    made("permission-connection", connection_denied, ("codeconnections:UseConnection",)),
    made("permission-pipeline-role-missing", role_gone, ("the role pipe",)),
])
def test_a_permission_that_is_missing(tmp_path: Path, identity: str, spoil: Step, names: tuple[str, ...]) -> None:
    pipe = Pipe(tmp_path).create()
    spoil(pipe)
    pipe.push().built()
    verdict = pipe.verdict()
    assert verdict.first is not None and (verdict.first.cause.id, verdict.first.match.certainty) == (identity, "certain")
    for name in names:
        assert name in verdict.first.title
    assert not [other for other in verdict.others if other.cause.id.startswith("permission-")]


@pytest.mark.cause("permission-action-role-assume", "made")
def test_an_actions_role_that_cannot_be_assumed(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path).create()
    pipe.local.untrusted.add(ROLE_OF_GAMMA)
    pipe.push().built()
    verdict = pipe.verdict()
    assert verdict.first is not None and verdict.first.cause.id == "permission-action-role-assume"
    assert "gamma-deploy" in verdict.first.title and verdict.first.match.where == "Gamma/Deploy1 (us-east-1)"


@pytest.mark.parametrize(("words", "identity"), [
    # As people report them from AWS: the sources are the causes'.
    ("Unable to access the artifact with Amazon S3 object key 'sample/Release/abc' located in the Amazon S3 artifact bucket 'store'. The provided role does "
     "not have sufficient permissions.", "permission-artifact-bucket"),
    (f"CodePipeline service role arn:aws:iam::{ACCOUNT}:role/pipe is getting S3 access denied for the S3 bucket store", "permission-artifact-bucket"),
    ("[GitHub] Upload to S3 failed with the following error: Access Denied", "permission-artifact-bucket"),
    ("Unable to use Connection: arn:aws:codestar-connections:us-east-1:1:connection/1. The provided role does not have sufficient permissions.",
     "permission-connection"),
    (f"arn:aws:iam::{ACCOUNT}:role/pipe is not authorized to perform AssumeRole on role arn:aws:iam::{ACCOUNT}:role/gamma-deploy",
     "permission-action-role-assume"),
])
def test_the_words_of_aws_for_a_missing_permission(words: str, identity: str) -> None:
    verdict = judge(source_says(words, "PermissionError"))
    assert verdict.first is not None and verdict.first.cause.id == identity


def test_who_may_not_pass_a_role_when_the_pipeline_is_made_is_told_by_its_stack(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path)
    pipe.local.untrusted.add(ROLE)
    verdict = judge(stack_case(refusal_of(pipe)))
    assert verdict.first is not None and verdict.first.cause.id == "permission-pipeline-role-missing"


# Actions that began nothing


@pytest.mark.parametrize(("identity", "spoil"), [
    made("pipeline-deployment-target-missing", by_service("create_deployment", deploy_to_no_group)),
    made("pipeline-build-project-missing", by_service("start_build", build_no_project)),
    recorded("pipeline-throttled", refuse("start_build", "ThrottlingException", "Rate exceeded")),
    recorded("pipeline-quota-exceeded", refuse("start_build", "ServiceQuotaExceededException", "You have reached the limit of projects")),
    recorded("pipeline-artifact-too-large", refuse("head_object", "JobFailed", "Artifact [Release] exceeds max artifact size")),
    recorded("pipeline-region-unavailable", refuse("create_deployment", "UnknownHost", "UnknownHostException: codedeploy.us-east-1.amazonaws.com")),
])
def test_an_action_that_could_not_begin(tmp_path: Path, identity: str, spoil: Step) -> None:
    pipe = Pipe(tmp_path).create()
    spoil(pipe)
    pipe.push().built()
    assert first(pipe) == identity


def test_what_is_gone_is_named(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path).create()
    by_service("create_deployment", deploy_to_no_group)(pipe)
    pipe.push().built()
    assert pipe.verdict().first.title == "The deployment group gamma-fleet does not exist in us-east-1"  # type: ignore[union-attr]


def test_a_deployment_that_began_is_none_of_these(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path).to_gamma().deployed("Failed", errorInformation={"code": "HEALTH_CONSTRAINTS", "message": "ServiceQuotaExceeded, Rate exceeded"})
    found = {one.cause.id for one in (pipe.verdict().first, *pipe.verdict().others) if one}
    assert not found & {"pipeline-throttled", "pipeline-quota-exceeded"}


@pytest.mark.cause("pipeline-variable-missing", "made")
def test_a_variable_without_a_value(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path)
    declared = pipe.declaration()
    declared["stages"][2]["actions"][1]["configuration"]["EnvironmentVariables"] = '[{"name": "D", "value": "#{Build.IMAGE_DIGEST}"}]'
    pipe.api.create_pipeline(CALLER, {"pipeline": declared})
    pipe.settle().push().built().deployed()
    assert first(pipe) == "pipeline-variable-missing"


@pytest.mark.cause("pipeline-function-silent", "made")
def test_a_function_that_never_answers(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path).to_gate().built(project="tests")
    pipe.local.clock.advance(21 * 60)
    pipe.settle()
    assert first(pipe) == "pipeline-function-silent"


@pytest.mark.cause("pipeline-function-missing", "made")
def test_a_function_that_is_gone(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path).to_gamma()
    refuse("invoke", "ResourceNotFoundException", f"Function not found: arn:aws:lambda:{REGION}:{ACCOUNT}:function:gate")(pipe)
    pipe.deployed().built(project="tests")
    assert first(pipe) == "pipeline-function-missing"


@pytest.mark.cause("pipeline-action-timed-out", "made")
def test_an_action_that_takes_too_long(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path).to_gamma()
    pipe.local.clock.advance(5 * 24 * 3600 + 60)
    pipe.settle()
    assert first(pipe) == "pipeline-action-timed-out"


def test_an_action_that_ran_for_all_its_time_ran_too_long_whatever_is_said_of_it() -> None:
    action = Action("Gamma", "Deploy1", "Failed", "CodeDeploy", REGION, "gamma", "d-ABCDEFGHI", "JobFailed", "It was given up", 1.0, 5 * 86400 + 1.0)
    found = {limit: judge(Case("gamma", "sample", "execution", 9.0, region=REGION, actions=(replace(action, started=limit),))).first for limit in (1.0, 3600.0)}
    assert [one.cause.id if one else "" for one in found.values()] == ["pipeline-action-timed-out", ""]


@pytest.mark.cause("pipeline-tests-failed", "made")
def test_tests_of_a_release_that_fail(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path).to_gate().built("FAILED", project="tests").told("passed", ok=True)
    assert first(pipe) == "pipeline-tests-failed"
    assert pipe.verdict().first.title == "Tests of the release failed in gamma"  # type: ignore[union-attr]


def test_a_build_that_fails_is_no_test_of_a_release(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path).create().push().built("FAILED")
    assert "pipeline-tests-failed" not in {one.cause.id for one in (pipe.verdict().first, *pipe.verdict().others) if one}


# Executions that were ended


@pytest.mark.cause("pipeline-superseded", "made")
def test_an_execution_that_was_overtaken_is_no_failure(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path).create().push()  # it builds
    pipe.push()
    waited = pipe.execution()
    pipe.push()
    assert pipe.status(1) == "Superseded"
    verdict = pipe.verdict(execution=waited)
    assert verdict.first is not None and (verdict.first.cause.id, verdict.first.cause.failing) == ("pipeline-superseded", False)
    assert pipe.execution() in verdict.first.match.fix[0]
    assert pipe.case().about == "nothing"


@pytest.mark.cause("pipeline-stopped-by-hand", "made")
def test_an_execution_that_a_person_stopped_is_no_failure(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path).to_gamma()
    pipe.api.stop_pipeline_execution(CALLER, {"pipelineName": "sample", "pipelineExecutionId": pipe.execution(), "abandon": True, "reason": "lunch"})
    verdict = pipe.settle().verdict()
    assert verdict.first is not None and (verdict.first.cause.id, verdict.first.cause.failing) == ("pipeline-stopped-by-hand", False)
    assert "lunch" in verdict.first.match.evidence[0] and "d-000000001 may go on" in verdict.first.match.evidence[1]


@pytest.mark.cause("pipeline-stopped-by-rollback", "made")
def test_an_execution_that_the_rollback_function_stopped(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path).to_prod_gate()
    from decide_rollback import STOP_WORD

    stop = {"pipelineName": "sample", "pipelineExecutionId": pipe.execution(), "abandon": True, "reason": f"{STOP_WORD} prod goes back to 0ddba11"}
    pipe.api.stop_pipeline_execution(CALLER, stop)
    pipe.ledger({"blocked": {"reason": "alarm sample-prod-faults fires", "by": "handsoff", "at": 5, "rollback": "r-1"}}).settle()
    verdict = pipe.verdict("prod")
    assert verdict.first is not None and (verdict.first.cause.id, verdict.first.cause.failing) == ("pipeline-stopped-by-rollback", True)
    assert "alarm sample-prod-faults fires" in " ".join(verdict.first.match.evidence)
    assert any("make unblock ENV=prod" in step for step in verdict.first.match.fix)


def test_what_became_of_a_later_release_does_not_explain_an_earlier_one(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path).to_prod_gate()
    stop = {"pipelineName": "sample", "pipelineExecutionId": pipe.execution(), "abandon": True, "reason": "Handsoff: prod goes back to 0ddba11"}
    pipe.api.stop_pipeline_execution(CALLER, stop)
    own = {"reason": "Wave2/Gate failed", "where": "prod: Wave2/Gate", "at": 5}
    pipe.ledger({"blocked": {"reason": "another's alarm", "by": "handsoff", "at": 9, "rollback": "9-feedbee"}, "bad": own}).settle()
    verdict = pipe.verdict("prod")
    assert verdict.first is not None and verdict.first.cause.id == "pipeline-stopped-by-rollback"
    told = " ".join(verdict.first.match.evidence)
    assert "is marked bad: Wave2/Gate failed" in told and "another's" not in told


@pytest.mark.cause("pipeline-definition-changed", "made")
def test_an_execution_that_a_new_definition_ended_is_no_failure(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path).to_gamma()
    pipe.api.update_pipeline(CALLER, {"pipeline": pipe.declaration()})
    pipe.deployed()
    assert pipe.status() == "Cancelled"
    assert first(pipe) == "pipeline-definition-changed"


# The definition


def refusal_of(pipe: Pipe, change: Step = lambda declared: None) -> str:
    """Why CodePipeline does not take a definition."""
    declared = pipe.declaration()
    change(declared)
    with pytest.raises(ServiceError) as refused:
        pipe.api.create_pipeline(CALLER, {"pipeline": declared})
    return (f'Resource handler returned message: "{refused.value.message} (Service: CodePipeline, Status Code: 400, Request ID: 1)" '
            f"(RequestToken: 2, HandlerErrorCode: InvalidRequest)")


def stack_case(reason: str) -> Case:
    """The pipeline's stack, whose pipeline could not be made for this reason."""
    event = StackEvent(50.0, ("sample-pipeline", "Stages"), "Pipeline", "AWS::CodePipeline::Pipeline", "", "CREATE_FAILED", reason)
    stack = Stack("sample-pipeline", REGION, "ROLLBACK_COMPLETE", failures=(event,))
    return Case("pipeline", "sample", "stack", 100.0, "sample-pipeline", REGION, stacks=(stack,))


def twice(declared: Any) -> None:
    declared["stages"][1]["name"] = "Gamma"


def unknown_provider(declared: Any) -> None:
    declared["stages"][2]["actions"][0]["actionTypeId"]["provider"] = "CodeDeployToECS"


@pytest.mark.parametrize(("identity", "change"), [made("pipeline-structure-invalid", twice)])
def test_a_definition_that_is_not_taken(tmp_path: Path, identity: str, change: Step) -> None:
    verdict = judge(stack_case(refusal_of(Pipe(tmp_path), change)))
    assert verdict.first is not None and verdict.first.cause.id == identity


def test_an_action_type_that_a_region_does_not_have(tmp_path: Path) -> None:
    verdict = judge(stack_case(refusal_of(Pipe(tmp_path), unknown_provider)))
    assert verdict.first is not None and verdict.first.cause.id == "pipeline-region-unavailable"
    assert verdict.first.title == "CodeDeployToECS is not available in us-east-1 for CodePipeline"


@pytest.mark.parametrize(("words", "title"), [
    ("ActionType (Category: 'Deploy', Provider: 'CloudFormation', Owner: 'AWS', Version: '1') in action 'Prepare' is not available in region 'CN_NORTH_1' "
     "(Service: AWSCodePipeline; Status Code: 400; Error Code: InvalidActionDeclarationException)",
     "CloudFormation is not available in cn-north-1 for CodePipeline"),
    ("The region af-south-1 specified in 'pipeline.artifactStores' is not a valid AWS Region. (Service: AWSCodePipeline; Status Code: 400)",
     "the service is not available in af-south-1 for CodePipeline"),
])
def test_the_words_of_aws_for_a_region_without_the_service(words: str, title: str) -> None:
    """https://github.com/aws/aws-cdk/issues/20987 and 15650."""
    verdict = judge(stack_case(words))
    assert verdict.first is not None and (verdict.first.cause.id, verdict.first.title) == ("pipeline-region-unavailable", title)


def test_an_endpoint_that_is_not_there_is_possible_only(tmp_path: Path) -> None:
    why = 'Could not connect to the endpoint URL: "https://codedeploy.mx-central-1.amazonaws.com/"'
    case = Case("gamma", "sample", "nothing", 1.0, unreadable=(Unreadable("deployment groups", why),))
    assert judge(case).first.match.certainty == "possible"  # type: ignore[union-attr]


@pytest.mark.cause("pipeline-condition-failed", "recorded")
def test_a_condition_of_a_stage(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path).to_gamma()
    pipe.api.stop_pipeline_execution(CALLER, {"pipelineName": "sample", "pipelineExecutionId": pipe.execution(), "abandon": True})
    state = pipe.api.get_pipeline_state(CALLER, {"name": "sample"})
    condition = {"latestExecution": {"status": "Failed", "summary": "1 of 1 conditions failed"}, "conditionStates": [{
        "latestExecution": {"status": "Failed"}, "ruleStates": [{"ruleName": "Quiet", "latestExecution": {
            "status": "Failed", "errorDetails": {"code": "RuleFailed", "message": "Alarm sample-gamma is in ALARM"}}}]}]}
    state["stageStates"][2]["beforeEntryConditionState"] = condition
    pipe.aws.record("codepipeline", "GetPipelineState", state)
    verdict = pipe.verdict()
    assert verdict.first is not None and (verdict.first.cause.id, verdict.first.cause.failing) == ("pipeline-condition-failed", False)
    assert verdict.first.match.evidence == ("Gamma: entry condition failed: Quiet: Failed: Alarm sample-gamma is in ALARM",)


# Near misses of every cause of the pipeline


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_words_that_none_of_them_knows_match_none(status: str) -> None:
    action = Action("Gamma", "Deploy1", "Failed", "CodeDeploy", REGION, "gamma", "", "JobFailed", "A vogon constructor fleet came by", 1.0, 2.0)
    case = Case("gamma", "sample", "execution", 5.0, "e", REGION, Execution("e", status, ended=2.0), (action,))
    found = judge(case)
    known = [] if found.first is None else [found.first.cause.id, *(other.cause.id for other in found.others)]
    assert known == (["pipeline-stopped-by-hand"] if status == "Stopped" else [])


def test_a_healthy_case_matches_no_cause_at_all() -> None:
    case = Case("gamma", "sample", "nothing", 5.0, execution=Execution("e", "Succeeded"))
    assert judge(case).first is None
    held = replace(case, holds=(Hold("window", "OneBox", "Outside of the deployment window", 1.0),))
    assert judge(held).first is None  # nobody waits for it


def test_ids_are_those_of_the_files() -> None:
    folder = Path(__file__).resolve().parents[2] / "scripts" / "causes"
    names = {path.stem.replace("_", "-") for path in folder.glob("*.py") if path.stem != "__init__"}
    assert {cause.id for cause in catalogue()} == names
