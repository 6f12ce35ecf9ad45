"""Where the calls go: nothing leaves this machine with --local, and the account is the file's."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts_fakes import FakeAws, refusal

from scripts.core import errors, session
from scripts.core.errors import WrongUse

LOCAL = {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local-secret"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:4566", True),
        ("http://localhost:1", True),
        ("http://[::1]:1", True),
        ("http://127.9.9.9", True),
        ("https://aws.example", False),
        ("http://10.0.0.1", False),
        ("http://localhost.example", False),
        ("", False),
    ],
)
def test_loopback(url: str, expected: bool) -> None:
    assert session.is_loopback(url) is expected


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {**LOCAL, "AWS_ENDPOINT_URL": "https://sts.us-east-1.amazonaws.com"},
        {**LOCAL, "AWS_ENDPOINT_URL_S3": "https://s3.us-east-1.amazonaws.com"},
        {key: value for key, value in LOCAL.items() if key != "AWS_ACCESS_KEY_ID"},
    ],
)
def test_local_is_refused_when_a_call_could_leave(environ: dict[str, str]) -> None:
    with pytest.raises(WrongUse):
        session.open_session(True, environ)


def test_local_reads_nothing_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[profile mine]\nregion = eu-west-1\nendpoint_url = https://elsewhere.example\n[default]\nendpoint_url = https://elsewhere.example\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "FOREIGN")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "foreign")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://elsewhere.example")
    client = session.open_session(True, LOCAL).client("s3", "us-east-1")
    assert client.meta.endpoint_url == "http://127.0.0.1:4566"
    assert client._request_signer._credentials.access_key == "local"
    assert client.meta.config.proxies == {} and client.meta.config.s3["addressing_style"] == "path"


def test_the_partitions_suffix() -> None:
    aws = session.open_session(True, LOCAL)
    assert aws.dns_suffix("us-east-1") == "amazonaws.com"
    assert aws.dns_suffix("cn-north-1") == "amazonaws.com.cn"


def test_the_target_is_named() -> None:
    regions = ("us-east-1", "eu-west-1")
    line = session.identify(FakeAws({}), regions).line
    assert line == "Target: account 123456789012 (the-alias) · us-east-1, eu-west-1 · caller arn:aws:iam::123456789012:user/someone"
    assert session.identify(FakeAws({}, local=True, endpoint="http://127.0.0.1:4566"), regions).line.startswith(
        "Target: local AWS at http://127.0.0.1:4566"
    )
    assert "an endpoint on this machine, not AWS" in session.identify(FakeAws({}, endpoint="http://127.0.0.1:4566"), regions).line


def test_an_alias_that_may_not_be_read_is_left_out() -> None:
    class Denied:
        def list_account_aliases(self) -> None:
            raise refusal("AccessDenied", "no", "ListAccountAliases")

    assert session.identify(FakeAws({"iam": Denied()}), ("us-east-1",)).alias is None


def test_another_account_is_refused_with_exit_code_2() -> None:
    target = session.identify(FakeAws({}), ("us-east-1",))
    session.require_account(target, "123456789012", "parameters/gamma.yaml")
    with pytest.raises(WrongUse, match=r"parameters/gamma\.yaml says account: 210987654321") as caught:
        session.require_account(target, "210987654321", "parameters/gamma.yaml")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        (
            "AccessDenied",
            "User: arn:x is not authorized to perform: cloudformation:CreateChangeSet on resource: y",
            "cloudformation:CreateChangeSet",
        ),
        ("403", "Forbidden", "HeadObject"),
        ("ExpiredToken", "The security token included in the request is expired", "log in again"),
        ("InvalidClientTokenId", "The security token included in the request is invalid", "AWS_ACCESS_KEY_ID"),
        ("Throttling", "Rate exceeded", "in a minute"),
        ("ValidationError", "Template error", "HeadObject was refused (ValidationError)"),
    ],
)
def test_refusals_are_explained(code: str, message: str, said: str) -> None:
    known = errors.explain(refusal(code, message, "HeadObject"))
    assert known is not None and said in str(known) and known.exit_code == 1


def test_other_errors_are_not_explained() -> None:
    assert errors.explain(KeyError("x")) is None
    assert errors.denied_action(refusal("NoSuchKey", "x")) is None
