"""What `why` looks at: the newest failure, the one that is named, and nothing where nothing fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from why_world import Pipe

from scripts.core.errors import WrongUse
from scripts.diagnosis import answer
from scripts.diagnosis.judge import judge


@pytest.fixture
def pipe(tmp_path: Path) -> Pipe:
    return Pipe(tmp_path)


def test_an_execution_under_way_is_no_failure_and_its_action_is_named(pipe: Pipe) -> None:
    case = pipe.to_gamma().case()
    assert (case.about, case.deployments, [action.name for action in case.actions]) == ("nothing", (), ["Deploy1"])
    assert f"execution {pipe.execution()} of" in case.running and "Gamma/Deploy1" in case.running
    assert not answer.failing(case, judge(case))


def test_a_healthy_pipeline_says_so_and_invents_nothing(pipe: Pipe) -> None:
    pipe.to_prod_gate().told("passed", ok=True)
    assert pipe.status() == "Succeeded"
    for environment in ("gamma", "prod", "pipeline"):
        case = pipe.case(environment)
        verdict = judge(case)
        assert (verdict.first, verdict.others, case.unreadable, case.running) == (None, (), (), "")
        assert not answer.failing(case, verdict)
        page = answer.text(case, verdict, 7, None)
        assert page.startswith(f"{environment}: nothing is failing. The newest execution, ")
        assert answer.document(case, verdict, 7)["cause"] is None


def test_from_the_newest_execution_to_its_failed_action_and_deployment(pipe: Pipe) -> None:
    pipe.to_gamma().deployed("Failed", errorInformation={"code": "HEALTH_CONSTRAINTS", "message": "The overall deployment failed"})
    case = pipe.case()
    assert (case.about, case.subject) == ("execution", pipe.execution())
    (action,) = case.actions
    assert (action.stage, action.name, action.environment, action.external, action.code) == ("Gamma", "Deploy1", "gamma", "d-000000001", "HEALTH_CONSTRAINTS")
    assert ("codedeploy", "GetDeployment") in pipe.aws.called
    assert answer.failing(case, judge(case))


def test_gammas_failure_is_not_prods_but_a_builds_is_everyones(pipe: Pipe) -> None:
    pipe.to_gamma().deployed("Failed")
    assert pipe.case("prod").about == "nothing"
    assert pipe.case("pipeline").about == "execution"
    pipe.push().built("FAILED")
    assert pipe.case("prod").actions[0].name == "Build"
    assert pipe.case("gamma").actions[0].name == "Build"


def test_what_a_newer_execution_got_through_is_made_good(pipe: Pipe) -> None:
    pipe.to_gamma().deployed("Failed")
    pipe.push().built()
    assert pipe.case().about == "execution"  # it is in gamma again, and not through
    pipe.deployed().built(project="tests").told("passed", ok=True)
    assert pipe.case().about == "nothing"


def test_an_execution_that_failed_in_prod_was_good_for_gamma(pipe: Pipe) -> None:
    pipe.to_gamma().deployed("Failed")
    pipe.push().built().deployed().built(project="tests").told("passed", ok=True).told("no", ok=False)
    assert pipe.case("gamma").about == "nothing"
    assert pipe.case("prod").actions[0].name == "Enter"


def test_a_retried_action_counts_as_its_last_attempt(pipe: Pipe) -> None:
    from localaws_fakes import CALLER

    pipe.to_gamma().deployed("Failed")
    pipe.api.retry_stage_execution(CALLER, {"pipelineName": "sample", "stageName": "Gamma", "retryMode": "FAILED_ACTIONS",
                                            "pipelineExecutionId": pipe.execution()})
    pipe.settle()
    assert pipe.case().about == "nothing"


def test_an_execution_can_be_named_by_its_beginning(pipe: Pipe) -> None:
    pipe.to_gamma().deployed("Failed")
    failed = pipe.execution()
    pipe.push().built().deployed()
    assert pipe.case(execution=failed[:8]).subject == failed
    with pytest.raises(WrongUse, match="has no such execution"):
        pipe.case(execution="00000000-0000-0000-0000-000000000000")


def test_a_deployment_outside_of_the_pipeline_counts(pipe: Pipe) -> None:
    from datetime import UTC, datetime

    pipe.to_prod_gate().told("passed", ok=True)
    pipe.groups({"deploymentId": "d-BYHAND000", "status": "Failed", "endTime": datetime.fromtimestamp(pipe.local.clock.now(), UTC)})
    case = pipe.case()
    assert (case.about, case.subject) == ("deployment", "d-BYHAND000")


def test_what_failed_at_another_time_is_named_and_not_looked_into(pipe: Pipe) -> None:
    from datetime import UTC, datetime

    pipe.to_gamma().deployed("Failed")
    pipe.groups({"deploymentId": "d-LONGAGO00", "status": "Stopped", "endTime": datetime.fromtimestamp(pipe.local.clock.now() - 86400, UTC)})
    case = pipe.case()
    assert case.about == "execution"
    assert case.also == ("deployment d-LONGAGO00 in us-east-1 ended stopped: DEPLOYMENT=d-LONGAGO00",)


def test_without_permission_the_rest_is_told_and_the_permission_named(pipe: Pipe) -> None:
    pipe.to_gamma().deployed("Failed")
    pipe.aws.denied |= {"codepipeline:GetPipeline", "dynamodb:GetItem"}
    case = pipe.case()
    assert case.about == "execution" and case.actions[0].environment == "gamma"
    assert {"codepipeline:GetPipeline", "dynamodb:GetItem"} <= {one.permission for one in case.unreadable}
    assert "allow codepipeline:GetPipeline" in answer.text(case, judge(case), 1, None)


def test_throttling_is_survived(pipe: Pipe) -> None:
    pipe.to_gamma().deployed("Failed")
    pipe.aws.throttled.update({"codepipeline:GetPipelineState": 1, "codepipeline:ListActionExecutions": 1})
    case = pipe.case()
    assert case.about == "execution" and "codepipeline" not in "".join(one.what for one in case.unreadable)
