"""Registry logins: whose they are, how long, and what each request of docker asks IAM for."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from localaws_fakes import ACCOUNT, CALLER, REGION, FakeAws

from localaws.ecr import engine
from localaws.ecr.api import Api

HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"


class Aws(FakeAws):
    """Whoever calls has the one secret key of `FakeClients`."""

    def as_caller(self, ctx: object) -> object:
        """The caller's own clients."""
        return self.clients


@pytest.fixture
def api(tmp_path: Path) -> Api:
    """ECR over fakes."""
    return Api(Aws(tmp_path))


def headers(api: Api) -> dict[str, str]:
    """What docker sends after a login."""
    (token,) = api.get_authorization_token(CALLER, {})["authorizationData"]
    return {"Host": HOST, "Authorization": f"Basic {token['authorizationToken']}"}


@pytest.mark.parametrize(("method", "path", "action"), [
    ("HEAD", "blobs/sha256:1", "BatchCheckLayerAvailability"), ("GET", "blobs/sha256:1", "GetDownloadUrlForLayer"),
    ("POST", "blobs/uploads/", "InitiateLayerUpload"), ("PATCH", "blobs/uploads/u", "UploadLayerPart"),
    ("PUT", "blobs/uploads/u", "CompleteLayerUpload"), ("PUT", "manifests/t", "PutImage"), ("GET", "manifests/t", "BatchGetImage"),
    ("HEAD", "manifests/sha256:1", "BatchGetImage"), ("DELETE", "manifests/t", "BatchDeleteImage"), ("GET", "tags/list", "ListImages")])
def test_each_request_asks_for_its_action(api: Api, method: str, path: str, action: str) -> None:
    known = headers(api)
    assert api.refusal(method, f"/v2/team/images/{path}", known) is None
    api.aws.denied.add(f"ecr:{action}")  # type: ignore[attr-defined]
    refused = api.refusal(method, f"/v2/team/images/{path}", known)
    assert refused is not None
    status, _, body = refused
    (error,) = json.loads(body)["errors"]
    assert (status, error["code"]) == (403, "DENIED")
    assert f"ecr:{action} on resource: arn:aws:ecr:{REGION}:{ACCOUNT}:repository/team/images" in error["message"]


def test_without_a_login_docker_is_asked_for_one(api: Api) -> None:
    refused = api.refusal("GET", "/v2/", {"host": HOST})
    assert refused is not None
    assert (refused[0], refused[1]["WWW-Authenticate"]) == (401, f'Basic realm="https://{HOST}/",service="ecr.amazonaws.com"')
    assert api.refusal("GET", "/v2/", headers(api)) is None


def test_a_login_ends_after_twelve_hours(api: Api) -> None:
    known = headers(api)
    api.aws.clock.advance(12 * 3600 - 1)  # type: ignore[attr-defined]
    assert api.refusal("GET", "/v2/", known) is None
    api.aws.clock.advance(2)  # type: ignore[attr-defined]
    refused = api.refusal("GET", "/v2/", known)
    assert refused is not None
    assert b"Your authorization token has expired" in refused[2]


@pytest.mark.parametrize("password", ["x", engine.password(ACCOUNT, "AKIAME", "another secret", 2**33)])
def test_a_password_that_nobody_was_given_is_refused(api: Api, password: str) -> None:
    sent = base64.b64encode(f"AWS:{password}".encode()).decode()
    refused = api.refusal("GET", "/v2/", {"host": HOST, "authorization": f"Basic {sent}"})
    assert refused is not None
    assert refused[0] in (400, 403)
