"""What the functions read from outside: variables, bundles, documents, the pipeline's answers."""

from __future__ import annotations

import io
import json
import re
import zipfile
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

import places
from configuration import ConfigurationError, Place, Window, read
from decide_rollback import Stuck
from messages import stuck
from model import Deployment, Execution, Group, Rollback
from pipeline import Pipeline, transition_reason
from releases import Releases, commit_in

VARIABLES = {
    "SERVICE": "demo", "PIPELINE": "demo", "LEDGER_TABLE": "t", "TOPIC_ARN": "arn", "STAGES": "Gamma=gamma OneBox=prod Wave1=prod",
    "PLACES": "gamma us-east-1 role-g;prod us-east-1 role-p; ;", "BLOCKS": "prod", "ENTRY_STAGE": "OneBox", "WINDOW_DAYS": "MON,TUE", "WINDOW_HOURS": "08-15"}


def test_variables_are_read() -> None:
    found = read(VARIABLES)
    assert found.environments == ("gamma", "prod") and found.stages_of("prod") == ("OneBox", "Wave1") and found.blocks == {"prod"}
    assert found.places_of("prod") == (Place("prod", "us-east-1", "role-p"),) and str(found.window) == "MON TUE 08-15 UTC"


@pytest.mark.parametrize(("name", "value"), [
    ("SERVICE", ""), ("PLACES", "prod us-east-1"), ("PLACES", "prod us-east-1 role"), ("STAGES", "Gamma"), ("ENTRY_STAGE", "Wave9"),
    ("WINDOW_DAYS", "MON,FUNDAY"), ("WINDOW_HOURS", "8"), ("WINDOW_HOURS", "08-08"), ("WINDOW_HOURS", "08-25")])
def test_a_wrong_variable_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        read({**VARIABLES, name: value})


@pytest.mark.parametrize(("days", "hours", "at", "expected"), [
    ((), None, "2024-03-03T03:00", True),
    (("MON",), None, "2024-03-04T23:59", True),
    (("MON",), None, "2024-03-05T00:00", False),
    ((), (8, 15), "2024-03-04T07:59", False),
    ((), (8, 15), "2024-03-04T14:59", True),
    ((), (8, 15), "2024-03-04T15:00", False),
    (("MON",), (22, 6), "2024-03-04T23:00", True),
    (("MON",), (22, 6), "2024-03-05T05:00", True),  # Monday's night
    (("MON",), (22, 6), "2024-03-04T05:00", False),  # Sunday's night
    (("MON",), (0, 24), "2024-03-04T23:59", True),
])
def test_the_window(days: tuple[str, ...], hours: tuple[int, int] | None, at: str, expected: bool) -> None:
    assert Window(days, hours).open_at(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()) is expected


def bundle(**files: str) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "."), text)
    return body.getvalue()


@pytest.mark.parametrize(("body", "expected"), [
    (bundle(release__json=json.dumps({"commit": "abc1234"}), appspec__yml="x"), "abc1234"),
    (bundle(appspec__yml="x"), None),
    (bundle(release__json="{"), None),
    (bundle(release__json='["commit"]'), None),
    (b"no zip", None),
])
def test_a_bundle_names_its_commit(body: bytes, expected: str | None) -> None:
    assert commit_in(body) == expected


def s3(stub: Any = None) -> Any:
    return boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")


def test_a_bundle_is_read_once_and_a_missing_one_again() -> None:
    client, releases = s3(), Releases()
    where = {"bucket": "b", "key": "k", "version": "v"}
    with Stubber(client) as stub:
        stub.add_client_error("get_object", "NoSuchKey")
        stub.add_response("get_object", {"Body": io.BytesIO(bundle(release__json='{"commit": "abc"}'))}, {"Bucket": "b", "Key": "k", "VersionId": "v"})
        assert [releases.commit(client, where) for _ in range(3)] == [None, "abc", "abc"]
        stub.assert_no_pending_responses()


def test_a_refused_bundle_is_not_taken_for_one_without_a_release() -> None:
    client = s3()
    with Stubber(client) as stub:
        stub.add_client_error("get_object", "AccessDenied")
        with pytest.raises(places.UNANSWERED):
            Releases().commit(client, {"bucket": "b", "key": "k"})


DOCUMENT = {
    "region": "us-east-1", "account": "1", "application": "app", "endpoint": "http://x", "composite": "c", "alarms": ["a"], "rollbackConfigs": ["t", "h", "a"],
    "scopes": {"fleet": {"group": "g", "autoScalingGroup": "asg", "composite": "c", "alarms": ["a"], "loadBalancer": "app/x", "targetGroup": "targetgroup/x"}}}


def test_a_document_is_read_or_refused_by_name() -> None:
    found = places.read_document(json.dumps(DOCUMENT), "here")
    assert found.rollback_configurations == ("t", "h", "a") and found.scopes["fleet"].group == "g" and found.given == DOCUMENT
    for wrong in ("{", "[]", json.dumps({**DOCUMENT, "rollbackConfigs": ["one"]}), json.dumps({**DOCUMENT, "scopes": {"fleet": {}}})):
        with pytest.raises(places.BadDocument, match="here"):
            places.read_document(wrong, "here")


@pytest.mark.parametrize("text", ["release: bad / \"x\" _ — why?", "", "é" * 400, "x" * 400, "a\nb"])
def test_a_transitions_reason_is_one_that_codepipeline_takes(text: str) -> None:
    client = boto3.client("codepipeline", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    shape = client.meta.service_model.operation_model("DisableStageTransition").input_shape.members["reason"].metadata
    found = transition_reason(text)
    assert re.fullmatch(shape["pattern"], found) and shape["min"] <= len(found) <= shape["max"]


def test_which_stages_are_under_way() -> None:
    client = boto3.client("codepipeline", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")

    def state(stage: str, execution: str, status: str) -> dict[str, Any]:
        return {"stageName": stage, "latestExecution": {"pipelineExecutionId": execution, "status": status}}

    states = [state("Gamma", "e-3", "InProgress"), state("OneBox", "e-2", "Failed"), state("Wave1", "e-1", "Stopping"), {"stageName": "Wave2"}]
    with Stubber(client) as stubber:
        stubber.add_response("get_pipeline_state", {"stageStates": states}, {"name": "demo"})
        assert Pipeline(client, "demo").under_way(["OneBox", "Wave1", "Wave2"]) == {"Wave1": "e-1"}


def codedeploy() -> Any:
    return boto3.client("codedeploy", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")


GROUP = Group("prod", "us-east-1", "fleet", "app", "g")
HERE = Place("prod", "us-east-1", "role")


def at(client: Any) -> places.Places:
    """Places whose one client this is."""
    found = places.Places("demo", lambda: 0.0, session=object())
    found.client = lambda place, service: client  # type: ignore[method-assign]
    return found


def test_a_rollbacks_deployment_cannot_be_undone_by_alarms_or_codedeploy() -> None:
    client = codedeploy()
    with Stubber(client) as stub:
        stub.add_response("create_deployment", {"deploymentId": "d-1"}, {
            "applicationName": "app", "deploymentGroupName": "g", "deploymentConfigName": "t", "description": "handsoff rollback 1-x third",
            "revision": {"revisionType": "S3", "s3Location": {"bucket": "b", "key": "k"}}, "ignoreApplicationStopFailures": True,
            "fileExistsBehavior": "OVERWRITE", "autoRollbackConfiguration": {"enabled": False}, "overrideAlarmConfiguration": {"enabled": False}})
        stub.add_client_error("create_deployment", "DeploymentLimitExceededException")
        assert at(client).create(HERE, GROUP, {"bucket": "b", "key": "k", "version": ""}, "t", "handsoff rollback 1-x third") == "d-1"
        assert at(client).create(HERE, GROUP, {"bucket": "b", "key": "k"}, "t", "x") is None


def test_a_deployment_is_stopped_without_codedeploys_own_rollback() -> None:
    client = codedeploy()
    with Stubber(client) as stub:
        stub.add_response("stop_deployment", {"status": "Pending"}, {"deploymentId": "d-1", "autoRollbackEnabled": False})
        stub.add_client_error("stop_deployment", "DeploymentAlreadyCompletedException")
        assert at(client).stop(HERE, "d-1") and not at(client).stop(HERE, "d-1")


def test_a_launch_does_not_say_what_a_group_runs() -> None:
    client, found = codedeploy(), at(codedeploy())
    found.client = lambda place, service: client  # type: ignore[method-assign]
    found._documents[HERE] = (0.0, places.read_document(json.dumps(DOCUMENT), "here"))
    when = datetime(2024, 1, 1, tzinfo=UTC)

    def info(identity: str, creator: str, hour: int) -> dict[str, Any]:
        return {"deploymentId": identity, "status": "Succeeded", "creator": creator, "createTime": when.replace(hour=hour)}

    with Stubber(client) as stub:
        stub.add_response("get_deployment_group", {"deploymentGroupInfo": {
            "lastAttemptedDeployment": {"deploymentId": "d-3"}, "lastSuccessfulDeployment": {"deploymentId": "d-3"}}})
        stub.add_response("list_deployments", {"deployments": []}, {
            "applicationName": "app", "deploymentGroupName": "g", "includeOnlyStatuses": ANY})
        stub.add_response("get_deployment", {"deploymentInfo": info("d-3", "autoscaling", 3)})
        stub.add_response("list_deployments", {"deployments": ["d-1", "d-3", "d-2"]})
        stub.add_response("batch_get_deployments", {"deploymentsInfo": [info("d-1", "user", 1), info("d-3", "autoscaling", 3), info("d-2", "user", 2)]})
        stub.add_response("get_deployment", {"deploymentInfo": info("d-3", "autoscaling", 3)})
        (group,) = found.groups(HERE)
    assert group.last_attempted is not None and group.last_attempted.id == "d-2" and group.place == "prod/us-east-1/fleet"


def deployed(identity: str, creator: str, day: int, **more: Any) -> dict[str, Any]:
    return {"deploymentId": identity, "status": "Succeeded", "creator": creator, "createTime": datetime(1969, 12, day, tzinfo=UTC), **more}


def test_the_newest_is_found_on_whatever_page_it_is_listed() -> None:
    client = codedeploy()
    pages = [["d-1"], ["d-3"], ["d-2"]]
    with Stubber(client) as stub:
        for number, ids in enumerate(pages):
            asked = {"applicationName": "app", "deploymentGroupName": "g", "includeOnlyStatuses": ["Succeeded"]}
            more = {"nextToken": f"p{number + 1}"} if number + 1 < len(pages) else {}
            stub.add_response("list_deployments", {"deployments": ids, **more}, {**asked, **({"nextToken": f"p{number}"} if number else {})})
        stub.add_response("batch_get_deployments", {"deploymentsInfo": [deployed(f"d-{n}", "user", n) for n in (1, 3, 2)]},
                          {"deploymentIds": ["d-1", "d-3", "d-2"]})
        infos, all_of_them = at(client)._newest(HERE, "app", "g", ["Succeeded"])
        stub.assert_no_pending_responses()
    assert [info["deploymentId"] for info in infos] == ["d-3", "d-2", "d-1"] and all_of_them


def test_pages_without_end_are_left_and_nothing_older_stands_in_for_them() -> None:
    client = codedeploy()
    with Stubber(client) as stub:
        for number in range(places.PAGES):
            stub.add_response("list_deployments", {"deployments": [f"d-{number}"], "nextToken": "more"})
        launches = [deployed(f"d-{n}", "autoscaling", n + 1) for n in range(places.PAGES)]
        stub.add_response("batch_get_deployments", {"deploymentsInfo": launches})
        found = list(at(client)._history(HERE, "app", "g", ["Succeeded"]))
        stub.assert_no_pending_responses()
    assert [info["deploymentId"] for info in found] == ["d-4", "d-3", "d-2", "d-1", "d-0"]


def test_older_deployments_are_asked_for_when_the_newer_ones_are_all_launches() -> None:
    client = codedeploy()
    asked = {"applicationName": "app", "deploymentGroupName": "g", "includeOnlyStatuses": places.ENDED}
    week = datetime.fromtimestamp(-places.WINDOWS[0], UTC)
    quarter = datetime.fromtimestamp(-places.WINDOWS[1], UTC)
    with Stubber(client) as stub:
        stub.add_response("get_deployment", {"deploymentInfo": deployed("d-3", "autoscaling", 31)})
        stub.add_response("list_deployments", {"deployments": ["d-3"]}, {**asked, "createTimeRange": {"start": week}})
        stub.add_response("batch_get_deployments", {"deploymentsInfo": [deployed("d-3", "autoscaling", 31)]})
        stub.add_response("list_deployments", {"deployments": ["d-1", "d-2"]}, {**asked, "createTimeRange": {"start": quarter, "end": week}})
        stub.add_response("batch_get_deployments", {"deploymentsInfo": [deployed("d-1", "user", 1), deployed("d-2", "user", 2)]})
        last = at(client)._last_attempted(HERE, "app", "g", {"lastAttemptedDeployment": {"deploymentId": "d-3"}})
    assert last is not None and last.id == "d-2"


def test_actions_of_an_ended_execution_are_asked_for_once() -> None:
    client = boto3.client("codepipeline", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    detail = {"pipelineExecutionId": "e", "actionExecutionId": "a", "stageName": "Wave1", "actionName": "Gate", "status": "Failed",
              "output": {"executionResult": {"errorDetails": {"code": "JobFailed", "message": "an alarm fired"}}}}
    pipeline = Pipeline(client, "demo")
    with Stubber(client) as stub:
        stub.add_response("list_action_executions", {"actionExecutionDetails": [detail]})
        ended = Execution("e", "Failed", "abc", 1.0, 2.0)
        assert pipeline.actions(ended) == pipeline.actions(ended) and pipeline.actions(ended)[0].message == "an alarm fired"


def test_an_execution_at_its_end_is_not_stopped_again() -> None:
    client = boto3.client("codepipeline", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        stub.add_client_error("stop_pipeline_execution", "PipelineExecutionNotStoppableException")
        stub.add_client_error("stop_pipeline_execution", "DuplicatedStopRequestException")
        assert not Pipeline(client, "demo").stop("e", "why") and not Pipeline(client, "demo").stop("e", "why")


def test_a_page_fits_sns() -> None:
    group = Group("prod", "us-east-1", "fleet", "app", "g", last_attempted=Deployment("d", "Failed", None))
    found = stuck("ärger" * 40, Rollback("1-x", "b", "a", "why", "me", 1), Stuck(group, "no bundle"))
    assert found.subject.isascii() and len(found.subject) < 100 and "Next:" in found.text
