"""The commands that only read: with one permission missing at a time, throttled, with secrets in what AWS says, narrow, wide and piped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from reading_place import BAD, GOOD, SECRET, Place
from scripts_fakes import Recorder

from scripts import history, status
from scripts.core import reads

PARTS = {
    "status": {
        "desired release": {"dynamodb:GetItem"}, "bad release": {"dynamodb:BatchGetItem", "dynamodb:Query"}, "last rollback": {"dynamodb:Query"},
        "pipeline sample": set(), "newest execution": {"codepipeline:ListPipelineExecutions"}, "Wave1": {"codepipeline:GetPipelineState"},
        "deployment window": {"codepipeline:GetPipeline"}, "fleet (us-west-2)": {"codedeploy:GetDeploymentGroup"},
        f"fleet (us-west-2): {GOOD[:12]}": {"codedeploy:GetDeploymentGroup", "codedeploy:GetDeployment", "s3:GetObjectVersion"},
        "i-1": {"codedeploy:GetDeploymentGroup", "codedeploy:ListDeploymentTargets", "codedeploy:BatchGetDeploymentTargets"},
        "alarms (": {"cloudwatch:DescribeAlarms"}, "sample-environment-prod  us-west-2": set()},
    "history": {
        "good ": set(), BAD[:12]: set(), "bad ": set(), "rolled back to": {"dynamodb:Query"},
        "Better answers": {"codepipeline:ListPipelineExecutions"}, "key figures of prod": set(),
        "Build 00:02": {"codepipeline:ListActionExecutions", "codepipeline:ListPipelineExecutions"}},
}
"""What stands in the output, and the permissions without which it may be missing."""
COMMANDS: dict[str, Any] = {"status": status, "history": history}
NEEDED = [("status", action) for action in reads.STATUS] + [("history", action) for action in reads.HISTORY]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr("time.sleep", lambda _: None)  # botocore's pauses between tries
    return Place(tmp_path)


@pytest.mark.parametrize(("command", "declared"), [("status", reads.STATUS), ("history", reads.HISTORY)])
def test_what_they_call_is_what_is_declared_and_reads_only(place: Place, command: str, declared: tuple[str, ...]) -> None:
    place.never_deployed("prod-onebox")
    place.run(COMMANDS[command])
    called = {f"{service}:{operation}" for service, operation in place.aws.called} - {"sts:GetCallerIdentity"}
    assert called == {"s3:GetObject" if action == "s3:GetObjectVersion" else action for action in declared}
    assert all(action.split(":")[1].startswith(("Get", "List", "Describe", "Query", "BatchGet")) for action in called)


@pytest.mark.parametrize(("command", "action"), NEEDED)
def test_a_missing_permission_is_named_and_the_rest_is_shown(place: Place, command: str, action: str) -> None:
    place.never_deployed("prod-onebox")
    place.aws.denied = {action}
    if (command, action) == ("history", "cloudformation:DescribeStacks"):
        # The stack says where the pipeline and the ledger are: there is no rest.
        recorder = Recorder()
        assert history.main(["--env", "prod"], place.world(recorder)) == 1
        assert f"Access denied: {action}" in recorder.errors
        return
    text = place.run(COMMANDS[command])
    assert action in text or action == "iam:ListAccountAliases"
    if action == "cloudformation:DescribeStacks":
        return  # no outputs: no names to ask for
    for part, without in PARTS[command].items():
        assert part in text or action in without, f"without {action} there is no {part!r}:\n{text}"


def test_where_bundles_may_not_be_read_the_ledger_knows_their_commits(place: Place) -> None:
    place.aws.denied = {"s3:GetObjectVersion"}
    text = place.run(status)
    assert f"fleet (us-east-1): {GOOD[:12]} for 3 h, last good" in text and "access denied: s3:GetObjectVersion" in text


@pytest.mark.parametrize("command", ["status", "history"])
def test_throttled_calls_are_made_again(place: Place, command: str) -> None:
    for operation in ("cloudformation:DescribeStacks", "codepipeline:ListPipelineExecutions", "codepipeline:ListActionExecutions", "dynamodb:Query",
                      "codedeploy:GetDeploymentGroup"):
        place.aws.throttled[operation] = 2
    text = place.run(COMMANDS[command])
    assert "not readable" not in text and GOOD[:12] in text


@pytest.mark.parametrize("command", ["status", "history"])
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_no_secret_is_printed(place: Place, command: str, form: tuple[str, ...]) -> None:
    place.states[3]["latestExecution"]["status"] = "Failed"
    place.states[3]["actionStates"][0]["latestExecution"] = {"status": "Failed", "errorDetails": {"message": f"password=hunter2 {SECRET}"}}
    text = place.run(COMMANDS[command], *form)
    assert "hunter2" not in text and SECRET not in text and "[hidden]" in text


@pytest.mark.parametrize("command", ["status", "history"])
@pytest.mark.parametrize("columns", [80, 200])
def test_it_fits_and_has_no_colour(place: Place, command: str, columns: int) -> None:
    place.environ = {"COLUMNS": str(columns)}
    text = place.run(COMMANDS[command])
    body = text.split("\n\n", 1)[1]
    assert max(map(len, body.splitlines())) <= columns
    assert "\033" not in text and "\u00a0" not in text
    place.environ = {}
    assert "\033" not in place.run(COMMANDS[command])


@pytest.mark.parametrize("command", ["status", "history"])
def test_json_is_one_document_with_a_schema(place: Place, command: str) -> None:
    document = json.loads(place.run(COMMANDS[command], "--json"))
    assert document["schema"] == 1 and place.recorder.errors.startswith("Target:")
