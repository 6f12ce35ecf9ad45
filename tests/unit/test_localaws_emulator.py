"""What is laid over MiniStack: service principals, key policies, the ARNs that IAM is asked about, services of our own."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localaws import emulator
from localaws.service import Context, Service, ServiceError

ACCOUNT, REGION = "000000000000", "us-east-1"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-1111-1111-1111-111111111111"


@pytest.fixture(scope="module")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[emulator.Emulator]:
    before = dict(os.environ)
    os.environ.update(emulator.environment(Path(tmp_path_factory.mktemp("ministack")), 4999, ACCOUNT, REGION))
    one = emulator.Emulator(workers=2)
    yield one
    one.close()
    os.environ.clear()
    os.environ.update(before)


def role(ministack: emulator.Emulator, name: str, trust: Any = None, policy: list[dict[str, Any]] | None = None) -> str:
    """Put a role into MiniStack's IAM and return its ARN."""
    arn = f"arn:aws:iam::{ACCOUNT}:role/{name}"
    ministack._iam._roles[name] = {
        "RoleName": name, "Arn": arn, "RoleId": "AROA" + name.upper(), "AssumeRolePolicyDocument": json.dumps({"Version": "2012-10-17", "Statement": trust or [
            {"Effect": "Allow", "Principal": {"Service": "codebuild.amazonaws.com"}, "Action": "sts:AssumeRole"}]}),
        "InlinePolicies": {"p": json.dumps({"Version": "2012-10-17", "Statement": policy or []})}, "AttachedPolicies": []}
    return arn


def caller(ministack: emulator.Emulator, arn: str) -> Context:
    credentials = ministack.assume(arn, "codebuild.amazonaws.com", "session")
    return Context(ACCOUNT, REGION, "", credentials["AccessKeyId"])


def test_only_the_service_that_a_role_trusts_gets_in(ministack: emulator.Emulator) -> None:
    arn = role(ministack, "build")
    assert ministack.assume(arn, "codebuild.amazonaws.com", "s")["Token"]
    with pytest.raises(ServiceError, match=r"codedeploy\.amazonaws\.com is not authorized to perform: sts:AssumeRole on resource: .*role/build"):
        ministack.assume(arn, "codedeploy.amazonaws.com", "s")
    with pytest.raises(ServiceError, match="AccessDenied"):
        ministack.assume(f"arn:aws:iam::{ACCOUNT}:role/nobody", "codebuild.amazonaws.com", "s")


@pytest.mark.parametrize(("account", "allowed"), [(ACCOUNT, True), ("111122223333", False)])
def test_a_trust_policys_conditions_hold(ministack: emulator.Emulator, account: str, allowed: bool) -> None:
    arn = role(ministack, f"conditional{account}", [{
        "Effect": "Allow", "Principal": {"Service": ["codebuild.amazonaws.com"]}, "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": account}}}])
    if allowed:
        assert ministack.assume(arn, "codebuild.amazonaws.com", "s")
    else:
        with pytest.raises(ServiceError):
            ministack.assume(arn, "codebuild.amazonaws.com", "s")


def test_what_the_policy_does_not_allow_is_refused_with_role_action_and_resource(ministack: emulator.Emulator) -> None:
    ctx = caller(ministack, role(ministack, "narrow", policy=[
        {"Effect": "Allow", "Action": "codedeploy:CreateDeployment", "Resource": "arn:aws:codedeploy:*:*:deploymentgroup:app/fleet"}]))
    ministack.authorize(ctx, "codedeploy:CreateDeployment", f"arn:aws:codedeploy:{REGION}:{ACCOUNT}:deploymentgroup:app/fleet")
    for action, resource in (("codedeploy:CreateDeployment", "app/onebox"), ("codedeploy:StopDeployment", "app/fleet")):
        with pytest.raises(ServiceError, match=rf"assumed-role/narrow/session is not authorized to perform: {action} on resource: .*{resource}"):
            ministack.authorize(ctx, action, f"arn:aws:codedeploy:{REGION}:{ACCOUNT}:deploymentgroup:{resource}")


def test_a_key_policy_must_allow_too(ministack: emulator.Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = caller(ministack, role(ministack, "reader", policy=[{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": KEY}]))
    key_policy = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*",
                                 "Condition": {"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}}}]}
    monkeypatch.setattr(ministack._evaluator, "_resource_policy", lambda service, arn: (json.dumps(key_policy), ACCOUNT))
    ministack.authorize(ctx, "kms:Decrypt", KEY, {"kms:ViaService": f"s3.{REGION}.amazonaws.com"})
    with pytest.raises(ServiceError, match="kms:Decrypt"):
        ministack.authorize(ctx, "kms:Decrypt", KEY, {"kms:ViaService": f"ecr.{REGION}.amazonaws.com"})


def test_what_no_request_brought_comes_by_tls(ministack: emulator.Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service asks in a thread of its own, on a role's behalf."""
    ctx = caller(ministack, role(ministack, "writer", policy=[{"Effect": "Allow", "Action": "s3:PutObjectAcl", "Resource": "arn:aws:s3:::store/*"}]))
    tls = {"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]}
    monkeypatch.setattr(ministack._evaluator, "_resource_policy", lambda service, arn: (json.dumps(tls), ACCOUNT))
    ministack._evaluator.pin_request_origin("127.0.0.1", False)
    ministack.authorize(ctx, "s3:PutObjectAcl", "arn:aws:s3:::store/key")
    with pytest.raises(ServiceError, match="s3:PutObjectAcl on resource: arn:aws:s3:::other/key"):
        ministack.authorize(ctx, "s3:PutObjectAcl", "arn:aws:s3:::other/key")


@pytest.mark.parametrize(("target", "body", "arn"), [
    ("Logs_20140328.CreateLogStream", {"logGroupName": "g", "logStreamName": "s"}, f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:g:log-stream:s"),
    ("AmazonSSM.GetParametersByPath", {"Path": "/a/b/"}, f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/a/b"),
])
def test_iam_is_asked_about_the_arns_that_aws_asks_about(ministack: emulator.Emulator, target: str, body: dict[str, str], arn: str) -> None:
    service = "logs" if target.startswith("Logs") else "ssm"
    assert ministack._actions.extract_resource_arn(service, "POST", "/", {"x-amz-target": target}, json.dumps(body).encode(), {}, REGION, ACCOUNT) == arn


class Applications(Service):
    """A service with one operation, which asks for a permission."""

    name, iam = "codedeploy", "codedeploy"

    def get_application(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        return {"application": {"applicationName": params["applicationName"]}}


def ask(ministack: emulator.Emulator, operation: str, key: str) -> tuple[int, dict[str, Any]]:
    """Ask the service for one operation with an access key and return (status, body)."""
    ministack.register("codedeploy", Applications(None), "CodeDeploy_20141006")  # type: ignore[arg-type]
    headers = {"x-amz-target": f"CodeDeploy_20141006.{operation}",
               "authorization": f"AWS4-HMAC-SHA256 Credential={key}/20260101/{REGION}/codedeploy/aws4_request"}
    status, _, body = asyncio.run(ministack._app.SERVICE_HANDLERS["codedeploy"]("POST", "/", headers, b'{"applicationName": "a"}', {}))
    return status, json.loads(body)


def test_a_service_of_ours_answers_whom_iam_lets_and_nobody_else(ministack: emulator.Emulator) -> None:
    allowed = caller(ministack, role(ministack, "may", policy=[{"Effect": "Allow", "Action": "codedeploy:GetApplication", "Resource": "*"}]))
    refused = caller(ministack, role(ministack, "maynot"))
    assert ask(ministack, "GetApplication", allowed.access_key_id) == (200, {"application": {"applicationName": "a"}})
    status, body = ask(ministack, "GetApplication", refused.access_key_id)
    assert (status, body["__type"]) == (400, "AccessDeniedException")
    assert "assumed-role/maynot/session is not authorized to perform: codedeploy:GetApplication" in body["message"]


def test_an_operation_that_is_not_there_is_refused_by_name(ministack: emulator.Emulator) -> None:
    status, body = ask(ministack, "DeleteApplication", ACCOUNT)
    assert status == 501
    assert "codedeploy:DeleteApplication" in body["message"]


def test_another_version_of_ministack_is_refused_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator.importlib.metadata, "version", lambda name: "9.9.9")
    with pytest.raises(emulator.EmulatorError, match=r"1\.5\.33 is needed, 9\.9\.9 is installed"):
        emulator.Emulator()
