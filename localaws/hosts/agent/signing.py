"""Requests to AWS: credentials from the instance metadata service, Signature Version 4, one HTTPS connection kept open.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import http.client
import json
import os
import ssl
import time
import urllib.parse
from dataclasses import dataclass
from typing import IO

METADATA = "169.254.169.254"
SECONDS = 60
RENEW_BEFORE_SECONDS = 60


@dataclass(frozen=True)
class Credentials:
    """One set of temporary credentials; `expires` in seconds since the epoch."""

    key: str
    secret: str
    token: str
    expires: float


class AwsError(Exception):
    """AWS refused or did not answer; `status` is the HTTP status, 0 without an answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Metadata:
    """The instance metadata service, version 2."""

    def __init__(self, address: str = METADATA, port: int = 80) -> None:
        self._address, self._port = address, port

    def get(self, path: str) -> str:
        """Return the text at /latest/<path>. Raises AwsError."""
        connection = http.client.HTTPConnection(self._address, self._port, timeout=10)
        try:
            connection.request("PUT", "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "300"})
            token = connection.getresponse().read().decode()
            connection.request("GET", "/latest/" + path, headers={"X-aws-ec2-metadata-token": token})
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise AwsError(f"the instance metadata service does not answer: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise AwsError(f"the instance metadata service has no {path}", answer.status)
        return text

    def credentials(self) -> Credentials:
        """Return the credentials of the instance's role. Raises AwsError where it has none."""
        role = self.get("meta-data/iam/security-credentials/").split()[0]
        found = json.loads(self.get(f"meta-data/iam/security-credentials/{role}"))
        expires = calendar.timegm(time.strptime(found["Expiration"], "%Y-%m-%dT%H:%M:%SZ"))
        return Credentials(found["AccessKeyId"], found["SecretAccessKey"], found["Token"], expires)


def sign(method: str, url: str, headers: dict[str, str], payload_hash: str, service: str, region: str, credentials: Credentials,
         now: float) -> dict[str, str]:
    """Return `headers` with those of Signature Version 4 added. `url` is absolute, its path and query already encoded."""
    parts = urllib.parse.urlsplit(url)
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    signed = {**{name.lower(): value.strip() for name, value in headers.items()}, "host": parts.netloc, "x-amz-date": moment,
              "x-amz-content-sha256": payload_hash, "x-amz-security-token": credentials.token}
    names = ";".join(sorted(signed))
    query = "&".join(sorted(part if "=" in part else part + "=" for part in parts.query.split("&") if part))
    canonical = "\n".join([method, parts.path or "/", query, *[f"{name}:{signed[name]}" for name in sorted(signed)], "", names, payload_hash])
    text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + credentials.secret).encode()
    for part in (moment[:8], region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    result = {name: value for name, value in signed.items() if name != "host"}
    result["Authorization"] = f"AWS4-HMAC-SHA256 Credential={credentials.key}/{scope}, SignedHeaders={names}, Signature={signature}"
    return result


class Caller:
    """Signs and sends requests with the instance's credentials; not for several threads."""

    def __init__(self, region: str, metadata: Metadata) -> None:
        self.region, self._metadata = region, metadata
        self._credentials: Credentials | None = None
        self._connections: dict[str, http.client.HTTPSConnection] = {}
        self._context = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE") or None)

    def json(self, service: str, target: str, body: dict[str, object]) -> dict[str, object]:
        """Call an AWS JSON 1.1 operation and return its answer. Raises AwsError."""
        data = json.dumps(body).encode()
        url = f"https://{service}.{self.region}.amazonaws.com/"
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target}
        answer = self._send("POST", url, headers, data, service)
        return dict(json.loads(answer.read() or b"{}"))

    def download(self, bucket: str, key: str, version: str | None, target: IO[bytes]) -> str:
        """Write an S3 object into `target` and return its ETag without quotes. Raises AwsError."""
        query = f"?versionId={urllib.parse.quote(version, safe='')}" if version else ""
        url = f"https://{bucket}.s3.{self.region}.amazonaws.com/{urllib.parse.quote(key, safe='/~')}{query}"
        answer = self._send("GET", url, {}, b"", "s3")
        while chunk := answer.read(1 << 20):
            target.write(chunk)
        return (answer.getheader("ETag") or "").strip('"')

    def _send(self, method: str, url: str, headers: dict[str, str], body: bytes, service: str) -> http.client.HTTPResponse:
        if self._credentials is None or self._credentials.expires - time.time() < RENEW_BEFORE_SECONDS:
            self._credentials = self._metadata.credentials()
        signed = sign(method, url, headers, hashlib.sha256(body).hexdigest(), service, self.region, self._credentials, time.time())
        parts = urllib.parse.urlsplit(url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        kept = self._connections.pop(parts.netloc, None)
        connection = kept or self._connect(parts.netloc)
        try:
            answer = self._request(connection, method, target, body, signed)
        except AwsError:
            if kept is None:
                raise
            # A connection that was kept open may have been closed at the other end.
            connection = self._connect(parts.netloc)
            answer = self._request(connection, method, target, body, signed)
        if answer.status >= 300:
            text = answer.read().decode(errors="replace")
            self._credentials = None if answer.status in (400, 401, 403) else self._credentials
            connection.close()
            raise AwsError(f"{method} {parts.netloc}{parts.path}: {answer.status} {text[:500]}", answer.status)
        self._connections[parts.netloc] = connection
        return answer

    def _connect(self, host: str) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(host, timeout=SECONDS, context=self._context)

    def _request(self, connection: http.client.HTTPSConnection, method: str, target: str, body: bytes,
                 headers: dict[str, str]) -> http.client.HTTPResponse:
        try:
            connection.request(method, target, body, headers)
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise AwsError(f"{connection.host} does not answer: {error}") from error
