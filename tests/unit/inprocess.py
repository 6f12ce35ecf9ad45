"""Real boto3 clients whose requests are answered in this process: no server, no Docker, no network.

`InProcess` is a `scripts.core.session.Aws`. Each client is botocore's own, with its serializers, parsers, paginators and retries; only the
sending is replaced. A request is parsed and checked by `localaws.wire`, served by the service's method of that operation, and answered on the
wire again, so that an answer which is not of AWS's shape fails the test.

    aws = InProcess({"codedeploy": simulation.api})
    aws.client("codedeploy", "us-east-1").list_applications()
    aws.called == [("codedeploy", "ListApplications")]
"""

from __future__ import annotations

import functools
import io
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import botocore.awsrequest
import botocore.config
import botocore.session
from botocore import xform_name

from localaws import wire
from localaws.service import Context, Service, ServiceError

ACCOUNT = "111122223333"
PRINCIPAL = f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/me"
Answer = Mapping[str, Any] | ServiceError | Callable[[dict[str, Any]], Mapping[str, Any]]


class _Raw(io.BytesIO):
    """A body as urllib3 gives it."""

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self.read()


@dataclass
class Buckets:
    """The objects of S3: `objects[bucket, key]`. A bucket that holds nothing is not there."""

    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Put an object."""
        self.objects[bucket, key] = data

    def get(self, bucket: str, key: str) -> bytes:
        """An object's bytes. Raises ServiceError as S3 answers."""
        if not any(name == bucket for name, _ in self.objects):
            raise ServiceError("NoSuchBucket", "The specified bucket does not exist", 404)
        if (bucket, key) not in self.objects:
            raise ServiceError("NoSuchKey", "The specified key does not exist.", 404)
        return self.objects[bucket, key]


class InProcess:
    """Clients over `services` (by botocore's name), the objects of `buckets`, and STS's GetCallerIdentity.

    `denied` are IAM actions that the caller does not have ("s3:GetObject", or "ec2:*"); `throttled` says how many more times an operation
    ("ec2:DescribeInstances") is answered with its throttling error. `called` are (service, operation) in order, each attempt counted.
    """

    local = True
    endpoint: str | None = None

    def __init__(self, services: Mapping[str, Service] | None = None, *, account: str = ACCOUNT, principal: str = PRINCIPAL) -> None:
        self.services: dict[str, Service] = dict(services or {})
        self.buckets = Buckets()
        self.account, self.principal = account, principal
        self.denied: set[str] = set()
        self.throttled: Counter[str] = Counter()
        self.called: list[tuple[str, str]] = []
        self._recorded: dict[tuple[str, str], Answer] = {}
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()
        self._session = botocore.session.Session()
        self._session.register_component("data_loader", _models())
        self._session.set_credentials("AKIAREADER", "secret")

    def record(self, service: str, operation: str, answer: Answer) -> None:
        """Answer `operation` with this, in place of a service: a response, an error, or a function of the parameters that gives either."""
        self._recorded[service, operation] = answer

    def client(self, service: str, region: str) -> Any:
        """A client of `service` in `region`, made once."""
        with self._lock:
            if (service, region) not in self._clients:
                client = self._session.create_client(
                    service, region_name=region, endpoint_url=f"http://{service}.invalid",
                    config=botocore.config.Config(retries={"mode": "standard", "max_attempts": 6}, s3={"addressing_style": "path"}))
                client.meta.events.register_first("before-send", lambda request, **_: self._send(service, region, request))
                self._clients[service, region] = client
            return self._clients[service, region]

    def dns_suffix(self, region: str) -> str:
        """AWS::URLSuffix."""
        return "amazonaws.com"

    def assume(self, role: str, region: str) -> InProcess:
        """Every role is this caller."""
        return self

    def _send(self, service: str, region: str, request: Any) -> botocore.awsrequest.AWSResponse:
        url = urlsplit(request.url)
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else body.read()
        headers = {name.lower(): value.decode() if isinstance(value, bytes) else str(value) for name, value in request.headers.items()}
        headers[":method"] = request.method
        query = parse_qs(url.query, keep_blank_values=True)
        answer = self._object if service == "s3" else self._answer
        status, told, data = answer(service, region, headers, url.path, body, query)
        return botocore.awsrequest.AWSResponse(request.url, status, {"x-amzn-RequestId": "r-1", **told}, _Raw(data))

    def _answer(self, service: str, region: str, headers: dict[str, str], path: str, body: bytes,
                query: dict[str, list[str]]) -> tuple[int, dict[str, str], bytes]:
        ctx = Context(self.account, region, self.principal, "AKIAREADER")
        protocol = wire.protocol_of(service, headers, path)
        try:
            request = wire.parse(service, headers, path, body, query)
            with self._lock:
                self.called.append((service, request.operation.name))
            return wire.respond(request, self._serve(service, request.operation.name, request.params, ctx), ctx.request_id)
        except ServiceError as error:
            return wire.respond_error(protocol, error, ctx.request_id)

    def _serve(self, service: str, operation: str, params: dict[str, Any], ctx: Context) -> dict[str, Any]:
        api = self.services.get(service)
        needed = api.permissions(operation, params, ctx) if api else [(f"{_prefix(service)}:{operation}", "*")]
        for action, resource, *_ in needed:
            self._allow(action, resource, protocol=wire.model(service).metadata["protocol"])
        if self.throttled[f"{service}:{operation}"] > 0:
            self.throttled[f"{service}:{operation}"] -= 1
            raise ServiceError("Throttling" if service != "ec2" else "RequestLimitExceeded", "Rate exceeded")
        if (service, operation) in self._recorded:
            answer = self._recorded[service, operation]
            told = answer(params) if callable(answer) else answer
            if isinstance(told, ServiceError):
                raise told
            return dict(told)
        if (service, operation) == ("sts", "GetCallerIdentity"):
            return {"UserId": "AROAREADER:me", "Account": self.account, "Arn": self.principal}
        method = getattr(api, xform_name(operation), None)
        if method is None:
            raise ServiceError("NotServedInProcess", f"Nothing in this test serves {service}:{operation}.", 501)
        return dict(method(ctx, params) or {})

    def _allow(self, action: str, resource: str, protocol: str) -> None:
        if any(re.fullmatch(one.replace("*", ".*"), action) for one in self.denied):
            code = {"ec2": "UnauthorizedOperation", "query": "AccessDenied", "rest-xml": "AccessDenied"}.get(protocol, "AccessDeniedException")
            raise ServiceError(code, f"User: {self.principal} is not authorized to perform: {action} on resource: {resource} because no "
                               "identity-based policy allows the action", 403)

    def _object(self, service: str, region: str, headers: dict[str, str], path: str, body: bytes,
                query: dict[str, list[str]]) -> tuple[int, dict[str, str], bytes]:
        """GetObject and HeadObject."""
        bucket, _, key = unquote(path).lstrip("/").partition("/")
        operation = {"GET": "GetObject", "HEAD": "HeadObject"}.get(headers[":method"], headers[":method"])
        with self._lock:
            self.called.append(("s3", operation))
        try:
            self._allow("s3:GetObjectVersion" if "versionId" in query else "s3:GetObject", f"arn:aws:s3:::{bucket}/{key}", "rest-xml")
            if operation not in ("GetObject", "HeadObject"):
                raise ServiceError("NotImplemented", f"Nothing in this test serves s3 {operation}.", 501)
            data = self.buckets.get(bucket, key)
        except ServiceError as error:
            text = f"<Error><Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message><RequestId>r</RequestId></Error>"
            return error.status, {"Content-Type": "application/xml"}, b"" if operation == "HeadObject" else text.encode()
        told = {"Content-Length": str(len(data)), "ETag": '"e"', "Content-Type": "application/zip"}
        return 200, told, b"" if operation == "HeadObject" else data


@functools.cache
def _models() -> Any:
    """Botocore's service models, read once for all tests."""
    return botocore.session.Session().get_component("data_loader")


def _prefix(service: str) -> str:
    """The IAM prefix of a service that no Api stands for."""
    return {"elbv2": "elasticloadbalancing", "cloudwatch": "cloudwatch", "codeconnections": "codeconnections"}.get(service, service)
