"""What one account's roles may do with another's roles, buckets, keys and images: boto3 against MiniStack in this process."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.awsrequest
import botocore.config
import pytest
from botocore.exceptions import ClientError

from localaws import emulator
from localaws.service import Context, ServiceError

TOOLS, PROD, REGION = "000000000000", "222222222222", "us-west-2"
PRODS = {"AWS": f"arn:aws:iam::{PROD}:root"}
"""The whole account; a condition on aws:PrincipalArn narrows it. (Everyone with such a condition S3 takes for public.)"""


@pytest.fixture(scope="module")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[emulator.Emulator]:
    before = dict(os.environ)
    os.environ.update(emulator.environment(Path(tmp_path_factory.mktemp("ministack")), 4999, TOOLS, "us-east-1"))
    one = emulator.Emulator(workers=2)
    yield one
    one.close()
    os.environ.clear()
    os.environ.update(before)


class _Raw:
    """A body as botocore reads one."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self._body

    def read(self, *_: Any, **__: Any) -> bytes:
        body, self._body = self._body, b""
        return body


def client(ministack: emulator.Emulator, service: str, account: str, session: dict[str, Any] | None = None, style: str = "path") -> Any:
    """A boto3 client whose requests go to MiniStack's ASGI application: an account's root, or a session's. `style` is how it names S3's buckets."""
    endpoint = "http://127.0.0.1:4999" if style == "path" else f"http://s3.{REGION}.amazonaws.com"
    made = boto3.client(
        service, region_name=REGION, endpoint_url=endpoint, aws_access_key_id=session["AccessKeyId"] if session else account,
        aws_secret_access_key=session["SecretAccessKey"] if session else emulator.ROOT_SECRET,
        aws_session_token=session and session.get("SessionToken", session.get("Token")),
        config=botocore.config.Config(s3={"addressing_style": style}, retries={"max_attempts": 1}))

    def send(request: Any, **_: Any) -> Any:
        url = urlsplit(request.url)
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else body.read()
        status, headers, chunks = [0], {}, bytearray()
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": request.method, "scheme": "http", "path": url.path,
                 "raw_path": url.path.encode(), "query_string": url.query.encode(), "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 4999),
                 "headers": [(name.lower().encode(), value if isinstance(value, bytes) else str(value).encode())
                             for name, value in {"Host": url.netloc, "x-forwarded-proto": "https", **request.headers}.items()]}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def answer(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
                headers.update({name.decode(): value.decode() for name, value in message["headers"]})
            else:
                chunks.extend(message.get("body", b""))

        asyncio.run(ministack.application(scope, receive, answer))
        return botocore.awsrequest.AWSResponse(request.url, status[0], headers, _Raw(bytes(chunks)))  # type: ignore[arg-type]

    made.meta.events.register("before-send", send)
    return made


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(actions: Any, resources: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **more}


def role(ministack: emulator.Emulator, account: str, name: str, allowed: list[dict[str, Any]], trust: dict[str, Any] | None = None) -> dict[str, Any]:
    """Make a role that CodePipeline may assume (or as `trust` says), and return credentials of a session of it."""
    iam = client(ministack, "iam", account)
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(
        {"Effect": "Allow", "Action": "sts:AssumeRole", **(trust or {"Principal": {"Service": "codepipeline.amazonaws.com"}})}))
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy(*allowed or [allow("ec2:DescribeVpcs", "*")]))
    return {} if trust else ministack.assume(f"arn:aws:iam::{account}:role/{name}", "codepipeline.amazonaws.com", "session")


def refused(call: Any, **given: Any) -> str:
    """The message of the refusal of a call."""
    with pytest.raises(ClientError) as error:
        call(**given)
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    return str(error.value.response["Error"].get("Message"))


# Roles


@pytest.mark.parametrize(("name", "may", "pattern", "taken"), [
    ("sample-pipeline-gate", True, "sample-pipeline-*", True),
    ("other-pipeline-gate", True, "sample-pipeline-*", False),
    ("sample-pipeline-idle", False, "sample-pipeline-*", False),
])
def test_a_role_of_another_account_is_assumed_if_both_roles_say_so(ministack: emulator.Emulator, name: str, may: bool, pattern: str, taken: bool) -> None:
    target = f"arn:aws:iam::{PROD}:role/control-{name}"
    role(ministack, PROD, f"control-{name}", [], trust={
        "Principal": {"AWS": f"arn:aws:iam::{TOOLS}:root"},
        "Condition": {"ArnLike": {"aws:PrincipalArn": f"arn:*:iam::{TOOLS}:role/{pattern}"}}})
    caller = role(ministack, TOOLS, name, [allow("sts:AssumeRole", target)] if may else [])
    sts = client(ministack, "sts", TOOLS, caller)
    if taken:
        session = sts.assume_role(RoleArn=target, RoleSessionName="session")["Credentials"]
        assert client(ministack, "sts", PROD, session).get_caller_identity()["Arn"] == f"arn:aws:sts::{PROD}:assumed-role/control-{name}/session"
    else:
        assert "is not authorized to perform: sts:AssumeRole" in refused(sts.assume_role, RoleArn=target, RoleSessionName="session")


def test_the_condition_sees_the_role_with_its_path(ministack: emulator.Emulator) -> None:
    iam = client(ministack, "iam", TOOLS)
    iam.create_role(RoleName="deep", Path="/teams/", AssumeRolePolicyDocument=policy(
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "codepipeline.amazonaws.com"}}))
    assert ministack._role_arn(f"arn:aws:sts::{TOOLS}:assumed-role/deep/session") == f"arn:aws:iam::{TOOLS}:role/teams/deep"
    assert ministack._role_arn(f"arn:aws:iam::{TOOLS}:user/me") == f"arn:aws:iam::{TOOLS}:user/me"


# Buckets and keys


class Store:
    """A bucket with a customer's key in the tools account; `bucket_policy` and `key_policy` say who may."""

    def __init__(self, ministack: emulator.Emulator, name: str) -> None:
        self.ministack, self.bucket = ministack, name
        self.s3, self.kms = client(ministack, "s3", TOOLS), client(ministack, "kms", TOOLS)
        self.key = self.kms.create_key()["KeyMetadata"]["Arn"]
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [
            {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": self.key}}]})
        self.s3.put_object(Bucket=name, Key="release", Body=b"bundle")

    def open(self, pattern: str, bucket: bool = True, key: bool = True) -> None:
        """Let roles of prod whose ARN is like `pattern` read."""
        condition = {"Condition": {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{PROD}:role/{pattern}"}}}
        own = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{TOOLS}:root"}, "Action": "kms:*", "Resource": "*"}
        if bucket:
            self.s3.put_bucket_policy(Bucket=self.bucket, Policy=policy(
                allow(["s3:GetObject", "s3:GetObjectVersion"], f"arn:aws:s3:::{self.bucket}/*", Principal=PRODS, **condition)))
        self.kms.put_key_policy(KeyId=self.key, PolicyName="default", Policy=policy(
            own, *([allow("kms:Decrypt", "*", Principal=PRODS, **condition)] if key else [])))

    def reader(self, name: str, s3: bool = True, kms: bool = True, style: str = "path") -> Any:
        wanted = [allow(["s3:GetObject", "s3:GetObjectVersion"], f"arn:aws:s3:::{self.bucket}/*")] if s3 else []
        wanted += [allow("kms:Decrypt", self.key)] if kms else []
        return client(self.ministack, "s3", PROD, role(self.ministack, PROD, name, wanted), style)


@pytest.mark.parametrize(("name", "bucket", "key", "s3", "kms", "words"), [
    ("sample-environment-all", True, True, True, True, None),
    ("other-role", True, True, True, True, "s3:GetObject"),
    ("sample-environment-nob", False, True, True, True, "s3:GetObject"),
    ("sample-environment-nok", True, False, True, True, "kms:Decrypt"),
    ("sample-environment-nos", True, True, False, True, "s3:GetObject"),
    ("sample-environment-nod", True, True, True, False, "kms:Decrypt"),
])
def test_an_object_is_read_across_accounts_if_bucket_key_and_role_all_allow_it(
        ministack: emulator.Emulator, name: str, bucket: bool, key: bool, s3: bool, kms: bool, words: str | None) -> None:
    store = Store(ministack, f"store-{name}")
    store.open("sample-environment-*", bucket, key)
    reader = store.reader(name, s3, kms)
    if words is None:
        assert reader.get_object(Bucket=store.bucket, Key="release")["Body"].read() == b"bundle"
        assert reader.head_object(Bucket=store.bucket, Key="release")["SSEKMSKeyId"] == store.key
        assert refused(reader.put_object, Bucket=store.bucket, Key="release", Body=b"mine")
    else:
        assert words in refused(reader.get_object, Bucket=store.bucket, Key="release")
        refused(reader.head_object, Bucket=store.bucket, Key="release")


@pytest.mark.parametrize(("name", "reads"), [("sample-environment-named", True), ("other-named", False)])
def test_a_bucket_that_is_asked_by_its_own_name_judges_the_same_caller(ministack: emulator.Emulator, name: str, reads: bool) -> None:
    """As hosts ask: bucket.s3.us-west-2.amazonaws.com."""
    store = Store(ministack, f"store-{name}")
    store.open("sample-environment-*")
    reader = store.reader(name, style="virtual")
    if reads:
        assert reader.get_object(Bucket=store.bucket, Key="release")["Body"].read() == b"bundle"
    else:
        refused(reader.get_object, Bucket=store.bucket, Key="release")


def test_the_other_accounts_root_gets_nothing_that_the_bucket_does_not_give(ministack: emulator.Emulator) -> None:
    store = Store(ministack, "store-root")
    store.open("sample-environment-*")
    refused(client(ministack, "s3", PROD).get_object, Bucket=store.bucket, Key="release")


def test_a_put_under_the_buckets_default_key_asks_for_the_key(ministack: emulator.Emulator) -> None:
    store = Store(ministack, "store-default")
    put = allow("s3:PutObject", f"arn:aws:s3:::{store.bucket}/*")
    without = client(ministack, "s3", TOOLS, role(ministack, TOOLS, "keyless", [put]))
    assert "kms:GenerateDataKey" in refused(without.put_object, Bucket=store.bucket, Key="new", Body=b"x")
    having = client(ministack, "s3", TOOLS, role(ministack, TOOLS, "keyed", [put, allow("kms:GenerateDataKey", store.key)]))
    having.put_object(Bucket=store.bucket, Key="new", Body=b"x")


def test_a_denial_in_the_bucket_policy_wins(ministack: emulator.Emulator) -> None:
    store = Store(ministack, "store-deny")
    store.open("sample-environment-*")
    given = json.loads(store.s3.get_bucket_policy(Bucket=store.bucket)["Policy"])["Statement"]
    store.s3.put_bucket_policy(Bucket=store.bucket, Policy=policy(*given, {
        "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{store.bucket}/*",
        "Condition": {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{PROD}:role/*-deny"}}}))
    refused(store.reader("sample-environment-deny").get_object, Bucket=store.bucket, Key="release")
    assert store.reader("sample-environment-open").get_object(Bucket=store.bucket, Key="release")


# Images


@pytest.mark.parametrize(("name", "repository", "identity", "pulls"), [
    ("sample-environment-pull", True, True, True), ("other-pull", True, True, False),
    ("sample-environment-closed", False, True, False), ("sample-environment-may-not", True, False, False)])
def test_an_image_is_pulled_across_accounts_if_repository_and_role_both_allow_it(
        ministack: emulator.Emulator, name: str, repository: bool, identity: bool, pulls: bool) -> None:
    ecr = client(ministack, "ecr", TOOLS)
    arn = ecr.create_repository(repositoryName=f"images/{name}")["repository"]["repositoryArn"]
    if repository:
        ecr.set_repository_policy(repositoryName=f"images/{name}", policyText=policy({
            "Effect": "Allow", "Principal": "*", "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            "Condition": {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{PROD}:role/sample-environment-*"}}}))
    session = role(ministack, PROD, name, [allow(["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], arn)] if identity else [])
    ctx = Context(PROD, REGION, "", session["AccessKeyId"])
    if pulls:
        ministack.authorize(ctx, "ecr:BatchGetImage", arn)
        with pytest.raises(ServiceError, match="ecr:PutImage"):
            ministack.authorize(ctx, "ecr:PutImage", arn)
    else:
        with pytest.raises(ServiceError, match="ecr:BatchGetImage"):
            ministack.authorize(ctx, "ecr:BatchGetImage", arn)


def test_a_session_policy_narrows_what_the_role_may(ministack: emulator.Emulator) -> None:
    store = Store(ministack, "store-session")
    role(ministack, TOOLS, "wide", [allow("s3:*", "*"), allow("kms:*", "*")])
    session = ministack.assume(f"arn:aws:iam::{TOOLS}:role/wide", "codepipeline.amazonaws.com", "s", {
        "Version": "2012-10-17", "Statement": [allow("s3:GetObject", f"arn:aws:s3:::{store.bucket}/release"), allow("kms:Decrypt", store.key)]})
    narrowed = client(ministack, "s3", TOOLS, session)
    assert narrowed.get_object(Bucket=store.bucket, Key="release")["Body"].read() == b"bundle"
    refused(narrowed.get_object, Bucket=store.bucket, Key="other")
    refused(narrowed.put_object, Bucket=store.bucket, Key="release", Body=b"x")
