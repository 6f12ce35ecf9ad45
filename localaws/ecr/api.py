"""GetAuthorizationToken, and the permissions of `docker push` and `docker pull`.

MiniStack's registry lets anyone in. Here it asks for a login as ECR does, and each of its requests for the ECR action that it stands
for, in the name of whoever got the login's token.
Source: Amazon ECR User Guide, "IAM permissions for pushing an image to an Amazon ECR private repository"; denials as users report them.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from localaws.ecr import engine
from localaws.service import Context, Service, ServiceError

_HOST = re.compile(r"^(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.")
Answer = tuple[int, dict[str, str], bytes]


class Api(Service):
    """What is ours of ECR; the other operations stay MiniStack's."""

    name = "ecr"
    iam = "ecr"

    def get_authorization_token(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Give out a registry login that carries the caller's own permissions for twelve hours."""
        expires = int(self.aws.clock.now()) + engine.LIFE_SECONDS
        secret = str(self.aws.as_caller(ctx).credentials()["SecretAccessKey"])
        word = engine.password(ctx.account, ctx.access_key_id, secret, expires)
        registry = (params.get("registryIds") or [ctx.account])[0]
        return {"authorizationData": [{
            "authorizationToken": base64.b64encode(f"AWS:{word}".encode()).decode(), "expiresAt": expires,
            "proxyEndpoint": f"https://{registry}.dkr.ecr.{ctx.region}.amazonaws.com"}]}

    def refusal(self, method: str, path: str, headers: Mapping[str, str]) -> Answer | None:
        """Return the registry's answer to a request that is not allowed, None where it is."""
        sent = {name.lower(): value for name, value in headers.items()}
        host = _HOST.match(sent.get("host", ""))
        try:
            who = engine.login(sent.get("authorization", ""))
        except engine.BadPassword:
            return _answer(400, "DENIED", "The authorization token is not valid.")
        if who is None:
            realm = f'Basic realm="https://{sent.get("host", "")}/",service="ecr.amazonaws.com"'
            return _answer(401, "UNAUTHORIZED", "Not Authorized", {"WWW-Authenticate": realm})
        region = host["region"] if host else "us-east-1"
        ctx = Context(who.account, region, "", who.access_key_id)
        try:
            if self.aws.clock.now() > who.expires or not who.signed_by(str(self.aws.as_caller(ctx).credentials()["SecretAccessKey"])):
                raise ServiceError("ExpiredTokenException", "")
        except ServiceError:  # the session behind the token has ended, too
            return _answer(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
        needed = engine.wanted(method.upper(), path)
        if needed is None:
            return None
        action, repository = needed
        registry = host["account"] if host else who.account
        try:
            self.aws.authorize(ctx, f"ecr:{action}", f"arn:aws:ecr:{region}:{registry}:repository/{repository}")
            return None
        except ServiceError as error:
            return _answer(403, "DENIED", error.message)


def _answer(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Answer:
    body = {"errors": [{"code": code, "message": message}]}
    return (status, {"Content-Type": "application/json", "Docker-Distribution-Api-Version": "registry/2.0", **(headers or {})},
            json.dumps(body).encode())
