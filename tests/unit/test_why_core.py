"""What `why` looks at: the newest failure, the one that is named, and nothing where nothing fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from inprocess import InProcess
from why_world import Pipe

from localaws.service import Context, ServiceError
from scripts.core.errors import WrongUse
from scripts.diagnosis import answer
from scripts.diagnosis.calls import Calls
from scripts.diagnosis.case import Case, Deployment, Event, Instance, Target
from scripts.diagnosis.collect import Asked, Place, Scene, collect
from scripts.diagnosis.judge import catalogue, judge


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


@pytest.mark.parametrize("failed_since", [5, 15])
def test_prods_failure_is_found_behind_newer_ones_in_gamma(pipe: Pipe, failed_since: int) -> None:
    pipe.to_onebox().told("no", ok=False)
    failed = pipe.execution()
    for _ in range(failed_since):
        pipe.push().built().deployed("Failed")
    pipe.aws.called.clear()
    case = pipe.case("prod")
    assert (case.subject, case.actions[0].name) == (failed, "Enter")
    assert pipe.aws.called.count(("codepipeline", "ListActionExecutions")) <= 14


def test_what_is_not_looked_into_is_told_and_not_called_healthy(pipe: Pipe) -> None:
    pipe.to_gamma().deployed("Failed")
    for _ in range(14):
        pipe.push().built().deployed("Failed")
    case = pipe.case("prod")
    assert case.about == "nothing"
    assert "executions of pipeline sample before" in str(case.unreadable)
    assert "nothing that could be read is failing" in answer.text(case, judge(case), 1, None)


def test_a_command_for_each_alarm() -> None:
    stopped = Deployment("d-1", "us-east-1", "app", "fleet", "fleet", "Stopped", code="ALARM_ACTIVE", message="One or more alarms: <a-high>, <b-high>")
    first = judge(Case("gamma", "sample", "deployment", 9.0, deployments=(stopped,))).first
    assert first is not None and first.cause.id == "deployment-stopped-by-alarm"
    assert [step[-len("--alarm-name 'a-high'"):] for step in first.match.fix[:2]] == ["--alarm-name 'a-high'", "--alarm-name 'b-high'"]


def test_the_networks_stack_is_asked_where_agents_are_cut_off() -> None:
    events = (Event("ApplicationStop", "Failed", message="CodeDeploy agent was not able to receive the lifecycle event."),)
    targets = tuple(Target(name, "Failed", events=events, instance=Instance(name, "running", profile="hosts", ssm_ping="Online", agent_package="Success"))
                    for name in ("i-1", "i-2"))
    deployment = Deployment("d-1", "us-west-2", "app", "fleet", "fleet", "Failed", code="HEALTH_CONSTRAINTS", targets=targets, targets_total=2)
    first = judge(Case("gamma", "sample", "deployment", 9.0, deployments=(deployment,))).first
    assert first is not None and first.cause.id == "deployment-agent-cut-off"
    assert "detect-stack-drift --region us-west-2 --stack-name $(" in first.match.fix[-1]
    assert "--stack-name sample-environment-gamma --logical-resource-id Network" in first.match.fix[-1]


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


class TwoAccounts:
    """An environment in an account of its own, and the release store beside the pipeline: it could not be deleted."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.accounts = {name: InProcess({"cloudformation": self}, account=account) for name, account in (("tools", "2" * 12), ("prod", "3" * 12))}

    def permissions(self, operation: str, params: dict[str, Any], ctx: Context) -> list[tuple[str, str]]:
        return []

    def describe_stacks(self, ctx: Context, given: dict[str, Any]) -> dict[str, Any]:
        name = given["StackName"].split("/")[1] if ":" in given["StackName"] else given["StackName"]
        self.asked.append((ctx.account, ctx.region, name))
        if self.asked[-1] != ("2" * 12, "us-west-2", "sample-release-store"):
            raise ServiceError("ValidationError", f"Stack with id {name} does not exist")
        return {"Stacks": [{"StackId": f"arn:aws:cloudformation:us-west-2:222222222222:stack/{name}/1", "StackName": name, "CreationTime": 1e9,
                            "LastUpdatedTime": 1e9, "StackStatus": "DELETE_FAILED"}]}

    def describe_stack_events(self, ctx: Context, given: dict[str, Any]) -> dict[str, Any]:
        return {"StackEvents": []}

    def case(self, **asked: str) -> Case:
        calls = Calls(self.accounts["tools"])
        home = Place("pipeline", "us-east-1", calls, "sample-pipeline")
        places = (Place("prod", "us-west-2", calls.of(self.accounts["prod"]), "sample-environment-prod"),)
        return collect(Scene("prod", "sample", ("prod",), places, home, ("sample-release-store",)), Asked(**asked), 2e9)


@pytest.mark.parametrize("asked", [{}, {"stack": "sample-release-store"}])
def test_what_environments_share_is_asked_in_the_pipelines_account(asked: dict[str, str]) -> None:
    world = TwoAccounts()
    case = world.case(**asked)
    assert (case.about, case.subject, case.region) == ("stack", "sample-release-store", "us-west-2")
    assert [stack.status for stack in case.stacks] == ["DELETE_FAILED"]
    assert "make destroy ENV=release-store" in str(judge(case).first)
    assert asked or "3" * 12 not in [account for account, _, _ in world.asked]


# The table of causes


def test_the_page_of_causes_is_as_the_catalogue_and_its_tests_are() -> None:
    from scripts.diagnosis import table

    root = Path(__file__).resolve().parents[2]
    tested = tuple(table.marks(root / "tests"))
    assert table.problems(catalogue(), tested) == []
    assert (root / table.PAGE).read_text(encoding="utf-8") == table.render(catalogue(), tested), "python -m scripts.diagnosis.table"


def test_a_cause_without_a_test_and_a_mark_without_a_cause_are_told() -> None:
    from scripts.diagnosis import table

    cause = catalogue()[0]
    assert "has no test" in table.problems([cause], [])[0]
    assert table.problems([cause], [table.Tested(cause.id, "made", "a"), table.Tested("nowhere", "made", "b")]) == ["b marks nowhere, which is no cause"]


@pytest.mark.parametrize(("source", "found"), [
    ('@pytest.mark.cause("a-b", "made")\ndef test_x(): ...', {("a-b", "made")}),
    ('x = pytest.param(1, marks=pytest.mark.cause("a-b", "recorded"))', {("a-b", "recorded")}),
    ('made = pytest.mark.cause\n@made("a-b", "made")\ndef test_x(): ...', {("a-b", "made")}),
    ('def made(identity): return pytest.param(marks=pytest.mark.cause(identity, "made"))\nx = [made("a-b"), made("c-d", 1)]',
     {("a-b", "made"), ("c-d", "made")}),
    ('def marked(cause, how="made"): return pytest.param(marks=pytest.mark.cause(cause, how))\nx = [marked("a-b"), marked("c-d", how="recorded")]',
     {("a-b", "made"), ("c-d", "recorded")}),
    ('T = {"a-b": 1}\nx = [pytest.param(c, marks=pytest.mark.cause(c, "recorded")) for c in T]', {("a-b", "recorded")}),
    ('T = {"a-b": 1}\nx = (*(pytest.param(c, marks=pytest.mark.cause(c, "made")) for c, v in T.items()),)', {("a-b", "made")}),
    ('# cause("a-b", "made")\nx = f("a-b", "else")', set()),
])
def test_marks_are_read_from_the_source(source: str, found: set[tuple[str, str]]) -> None:
    from scripts.diagnosis import table

    assert set(table.in_source(source)) == found
