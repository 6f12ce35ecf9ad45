"""Answers that AWS could not have given are told; those that it gives are not."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import cbor2
import pytest

from localaws import answers, operations, questions, server, wire

_AUTHORIZATION = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=00"
_TABLE = {"Table": {"TableName": "t", "TableStatus": "ACTIVE", "CreationDateTime": 1.5, "ItemCount": 0}}


def _note(service: str, operation: str, answer: Any, status: int = 200, **sent: str) -> tuple[str, answers.Answers]:
    """What is said of an answer to an operation of a JSON service."""
    one = answers.Answers()
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    problem = one.note(service, "POST", "/", {"x-amz-target": f"X.{operation}"}, b"{}", {}, status, sent, body)
    return problem, one


def _query(service: str, operation: str, xml: str, status: int = 200) -> str:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return answers.Answers().note(service, "POST", "/", headers, f"Action={operation}".encode(), {}, status, {}, xml.encode())


def test_an_answer_of_its_shape_is_good() -> None:
    problem, one = _note("dynamodb", "DescribeTable", _TABLE)
    assert problem == "" and one._calls["dynamodb:DescribeTable"] == {"ok": 1}


@pytest.mark.parametrize(("service", "operation", "answer", "said"), [
    ("dynamodb", "DescribeTable", {"Tabel": {}}, "has Tabel, which is not of its shape DescribeTableOutput"),
    ("dynamodb", "DescribeTable", {"Table": {"TableStatus": "READY"}}, "Table.TableStatus is 'READY', which is not one of CREATING"),
    ("dynamodb", "DescribeTable", {"Table": {"CreationDateTime": "2026-01-01T00:00:00Z"}}, "Table.CreationDateTime is '2026-01-01T00:00:00Z', not a timestamp"),
    ("dynamodb", "DescribeTable", {"Table": {"ItemCount": "3"}}, "Table.ItemCount is '3', not a long"),
    ("dynamodb", "DescribeTable", {"Table": {"KeySchema": {}}}, "Table.KeySchema is dict, not a list"),
    ("dynamodb", "DescribeTable", {"Table": {"KeySchema": [{"KeyType": "HASH"}]}}, "lacks AttributeName, required by KeySchemaElement"),
    ("codedeploy", "BatchGetDeploymentGroups", {"deploymentGroupsInfo": [{"deploymentStyle": {"deploymentType": "CANARY"}}]}, "which is not one of"),
    ("dynamodb", "DescribeTable", b"<html>", "the body cannot be read"),
])
def test_an_answer_that_aws_could_not_give_is_told(service: str, operation: str, answer: Any, said: str) -> None:
    assert said in _note(service, operation, answer)[0]


@pytest.mark.parametrize(("code", "good"), [
    ("ResourceNotFoundException", True), ("AccessDeniedException", True), ("ThrottlingException", True), (answers.shapes.REFUSED, True),
    ("com.amazonaws.dynamodb#ResourceNotFoundException", True), ("InternalFailure", False), ("NoSuchTable", False), ("", False),
])
def test_an_error_is_one_that_the_operation_has(code: str, good: bool) -> None:
    problem, one = _note("dynamodb", "DescribeTable", {"__type": code, "message": "no"}, 400)
    assert (problem == "") == good
    assert list(one._calls["dynamodb:DescribeTable"]) == [code.rpartition("#")[2] or "400"]


_VPCS = ('<DescribeVpcsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>1</requestId><vpcSet><item><vpcId>vpc-1</vpcId>{}'
         "</item></vpcSet></DescribeVpcsResponse>")


@pytest.mark.parametrize(("inside", "said"), [
    ("<state>available</state><isDefault>false</isDefault>", ""),
    ("<state>ready</state>", "Vpcs[].State is 'ready'"),
    ("<isDefault>no</isDefault>", "Vpcs[].IsDefault is 'no', not a boolean"),
    ("<defaultNetworkAclId>acl-1</defaultNetworkAclId>", "has defaultNetworkAclId"),
    ("<tagSet><member><key>a</key></member></tagSet>", "has an item member, not item"),
])
def test_ec2s_documents_are_read(inside: str, said: str) -> None:
    problem = _query("ec2", "DescribeVpcs", _VPCS.format(inside))
    assert said in problem and (said or not problem)


def test_a_query_answer_needs_its_wrapper_and_root() -> None:
    good = "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>1</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
    assert _query("sts", "GetCallerIdentity", good) == ""
    assert "the root element" in _query("sts", "GetCallerIdentity", good.replace("IdentityResponse", "Response"))
    assert "there is no GetCallerIdentityResult" in _query("sts", "GetCallerIdentity", "<GetCallerIdentityResponse/>")


def test_what_aws_answers_beside_its_models_is_good() -> None:
    events = ("<DescribeStackEventsResponse><DescribeStackEventsResult><StackEvents><member><StackId>s</StackId><EventId>e</EventId><StackName>n</StackName>"
              "<Timestamp>2026-01-01T00:00:00.000Z</Timestamp><ResourceStatus>{}</ResourceStatus></member></StackEvents></DescribeStackEventsResult>"
              "</DescribeStackEventsResponse>")
    assert _query("cloudformation", "DescribeStackEvents", events.format("REVIEW_IN_PROGRESS")) == ""
    assert "CREATE_DONE" in _query("cloudformation", "DescribeStackEvents", events.format("CREATE_DONE"))


@pytest.mark.parametrize(("method", "target", "headers", "operation"), [
    ("GET", "/bucket?list-type=2&prefix=a", {}, "ListObjectsV2"),
    ("GET", "/bucket?versioning", {}, "GetBucketVersioning"),
    ("GET", "/bucket/a/b.zip", {}, "GetObject"),
    ("GET", "/bucket/a/b.zip?versionId=1", {}, "GetObject"),
    ("PUT", "/bucket/a", {"x-amz-copy-source": "b/c"}, "CopyObject"),
    ("PUT", "/bucket/a?partNumber=1&uploadId=x", {}, "UploadPart"),
    ("PUT", "/bucket/a", {}, "PutObject"),
    ("PUT", "/bucket?policy", {}, "PutBucketPolicy"),
    ("GET", "/bucket?lifecycle", {}, "GetBucketLifecycleConfiguration"),
    ("PUT", "/bucket?lifecycle", {}, "PutBucketLifecycleConfiguration"),
    ("GET", "/bucket?notification", {}, "GetBucketNotificationConfiguration"),
    ("GET", "/", {}, "ListBuckets"),
])
def test_requests_to_s3_are_told_apart(method: str, target: str, headers: dict[str, str], operation: str) -> None:
    path, _, query = target.partition("?")
    found = operations.asked("s3", method, path, headers, b"", parse_qs(query, keep_blank_values=True))
    assert found is not None and found.name == operation


@pytest.mark.parametrize(("method", "path", "operation"), [
    ("POST", "/2015-03-31/functions/a/invocations", "Invoke"),
    ("GET", "/2015-03-31/functions/a/configuration", "GetFunctionConfiguration"),
    ("GET", "/2015-03-31/functions/arn:aws:lambda:us-east-1:1:function:a", "GetFunction"),
    ("GET", "/2015-03-31/functions", "ListFunctions"),
])
def test_requests_to_lambda_are_told_apart(method: str, path: str, operation: str) -> None:
    found = operations.asked("lambda", method, path, {}, b"", {})
    assert found is not None and found.name == operation


def test_cbor_and_what_has_no_model() -> None:
    answer = cbor2.dumps({"MetricAlarms": [{"AlarmName": "a", "StateValue": "FINE"}]})
    path = "/service/GraniteServiceVersion20100801/operation/DescribeAlarms"
    kind = {"content-type": "application/cbor"}
    problem = answers.Answers().note("monitoring", "POST", path, kind, b"", {}, 200, kind, answer)
    assert "StateValue is 'FINE'" in problem
    one = answers.Answers()
    assert one.note("codedeploy-commands", "POST", "/", {"x-amz-target": "X.PollHostCommand"}, b"", {}, 200, {}, b"nonsense") == ""
    assert one._calls == {"codedeploy-commands:POST (no model)": {"(no model)": 1}}


def test_each_problem_is_reported_once_with_its_number() -> None:
    one = answers.Answers()
    for _ in range(3):
        one.put("dynamodb", "POST", "/", {"x-amz-target": "X.DescribeTable"}, b"{}", {}, 200, {}, b'{"Tabel": 1}')
    threading.Thread(target=one.work, daemon=True).start()
    (found,) = one.report()["invalid"]
    assert found["times"] == 3 and found["operation"] == "dynamodb:DescribeTable"


_WRONG = ("dynamodb", "POST", "/", {"x-amz-target": "X.DescribeTable"}, b"{}", {}, 200, {}, b'{"Tabel": 1}')
_SAID = {"operation": "dynamodb:DescribeTable", "problem": "DescribeTableOutput has Tabel, which is not of its shape DescribeTableOutput", "status": 200}


def _written(path: Path) -> list[dict[str, Any]]:
    return [{name: value for name, value in json.loads(line).items() if name != "time"} for line in path.read_text().splitlines()]


def test_a_problem_is_written_down_as_it_is_found_and_outlives_a_kill(tmp_path: Path) -> None:
    """Its process kills itself, without a word to anybody, as soon as the answers have been looked at."""
    path = tmp_path / "invalid.jsonl"
    good = (*_WRONG[:8], json.dumps(_TABLE).encode())
    done = subprocess.run([sys.executable, "-c", f"""
import os, pathlib, signal, threading
from localaws import answers
one = answers.Answers(pathlib.Path({str(path)!r}))
threading.Thread(target=one.work, daemon=True).start()
for call in ({good!r}, {_WRONG!r}, {_WRONG!r}):
    one.put(*call)
one.report()
os.kill(os.getpid(), signal.SIGKILL)
"""], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert _written(path) == [_SAID], "each once, and nothing of the good one"


def test_an_orderly_end_looks_at_what_is_left(tmp_path: Path) -> None:
    one = answers.Answers(tmp_path / "invalid.jsonl")
    one.put(*_WRONG)
    threading.Thread(target=one.work, daemon=True).start()
    one.finish()
    assert _written(tmp_path / "invalid.jsonl") == [_SAID]


def test_what_was_not_looked_at_before_the_end_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_SECONDS", 0.0)
    one = answers.Answers(tmp_path / "invalid.jsonl")
    one.put(*_WRONG)  # nobody works
    one.finish()
    found, = _written(tmp_path / "invalid.jsonl")
    assert "answers were not looked at within 0 s of the end" in found["problem"]


def test_an_answer_that_cannot_be_looked_at_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> str:
        raise KeyError("a shape")

    monkeypatch.setattr(answers.shapes, "check", fail)
    one = answers.Answers()
    threading.Thread(target=one.work, daemon=True).start()
    one.put(*_WRONG)
    found, = one.report()["invalid"]
    assert found["operation"] == "dynamodb:POST /" and found["problem"] == "could not be looked at: KeyError('a shape')"


def test_an_answer_that_was_read_is_not_read_again_but_counts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    one, read = answers.Answers(), []
    monkeypatch.setattr(answers.shapes, "check", lambda *call: read.append(call) or "wrong")
    form = {"content-type": "application/x-www-form-urlencoded"}
    for number in range(3):
        body = f"<DescribeVpcsResponse><requestId>{number}</requestId></DescribeVpcsResponse>".encode()
        assert one.note("ec2", "POST", "/", form, b"Action=DescribeVpcs", {}, 200, {}, body) == "wrong"
    assert len(read) == 1 and one._calls["ec2:DescribeVpcs"] == {"ok": 3}


def test_our_own_answers_are_of_their_shapes_on_every_wire() -> None:
    """What `wire` writes, `shapes` accepts: the same models, two readers."""
    operation = wire.model("autoscaling").operation_model("DescribeLifecycleHooks")
    request = wire.Request(operation, {}, "query")
    status, sent, body = wire.respond(request, {"LifecycleHooks": [{"LifecycleHookName": "h", "HeartbeatTimeout": 30}]}, "id")
    assert answers.shapes.check(operation, status, sent, body, {}) == ""


def test_questions_are_kept_once_each_and_not_without_end() -> None:
    asked = questions.Questions()
    for number in range(100):
        for _ in range(2):
            asked.note(SimpleNamespace(principal_arn=f"arn:aws:sts::1:assumed-role/role/{number}", action="s3:GetObject", region="us-east-1",
                                       resource_arn=f"arn:aws:s3:::bucket/{number}", service_context={"s3:prefix": None, "s3:tls": "1.2"},
                                       principal_keys={}), True)
    found = asked.report()
    assert 1 < len(found) < 20
    assert found[0] == {"principal": "arn:aws:sts::1:assumed-role/role/0", "region": "us-east-1", "action": "s3:GetObject",
                        "resource": "arn:aws:s3:::bucket/0", "keys": {"s3:tls": "1.2"}, "allowed": True}


def test_a_credential_scope_is_read_from_header_or_query() -> None:
    assert operations.scope_of({"authorization": _AUTHORIZATION.format("s3")}, {}) == ("AKIA", "s3")
    assert operations.scope_of({}, {"X-Amz-Credential": ["ASIA/20260101/us-east-1/s3/aws4_request"]}) == ("ASIA", "s3")
    assert operations.scope_of({}, {}) == ("", "")


def test_a_record_that_is_no_folder_is_refused_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(answers.RECORD, str(tmp_path / "nowhere"))
    with pytest.raises(server.StartError, match=r"LOCALAWS_RECORD=\S+/nowhere is not a folder\. Next: make it, or unset LOCALAWS_RECORD"):
        server.LocalAws(server.Options(tmp_path / "state"))
    assert list(tmp_path.iterdir()) == []


def test_a_request_that_breaks_off_is_noted_as_it_is_answered(tmp_path: Path) -> None:
    """hypercorn answers 500 without a code then, which AWS does not."""
    async def fail(*_: Any) -> None:
        raise ValueError("a fault of ours")

    one = object.__new__(server.LocalAws)  # without an engine, a network and the services
    one.answers, one.emulator = answers.Answers(), SimpleNamespace(application=fail)  # type: ignore[assignment]
    one._calls = (tmp_path / "calls.jsonl").open("w")
    headers = [(b"authorization", _AUTHORIZATION.format("dynamodb").encode()), (b"x-amz-target", b"X.DescribeTable")]
    scope = {"type": "http", "path": "/", "query_string": b"", "method": "POST", "headers": headers}
    with pytest.raises(ValueError, match="a fault of ours"):
        asyncio.run(one(scope, None, None))
    threading.Thread(target=one.answers.work, daemon=True).start()
    found, = one.answers.report()["invalid"]
    assert found["problem"] == "error 500 (HTTP 500) is not one that DescribeTable answers"
