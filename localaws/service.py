"""What a service of the local AWS is, and what it is given to work with.

A service is a class whose methods are the operations it serves: `create_deployment(self, ctx, params)` serves
`CreateDeployment`. `params` is the request as botocore's model shapes it (CamelCase or camelCase keys as in the model, timestamps
as float seconds since the epoch, blobs as bytes); the return value is the response in the same form (`{}` or None where the
operation answers nothing). An operation without a method is refused by name, never stubbed.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from localaws.clock import Clock

log = logging.getLogger("localaws")


class ServiceError(Exception):
    """An error as AWS answers it.

    `code` is the code on the wire (for Query services the model's error code, for JSON services the shape's name), `message`
    AWS's own wording where it is known, `status` the HTTP status.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


@dataclass(frozen=True)
class Context:
    """Who calls, where: one request's account, Region, principal ARN and access key id.

    `via` are the services that work in the caller's name here, in order: policies can ask for them (aws:CalledVia).
    """

    account: str
    region: str
    principal_arn: str
    access_key_id: str
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    via: tuple[str, ...] = ()


class Clients(Protocol):
    """boto3 clients of this local AWS that sign with one set of credentials."""

    account: str

    def client(self, service: str, region: str) -> Any:
        """Return a (cached) boto3 client of `service` in `region`."""
        ...

    def environment(self, region: str) -> dict[str, str]:
        """Return AWS_* environment variables of these credentials for a subprocess or container."""
        ...

    def credentials(self) -> dict[str, Any]:
        """Return {AccessKeyId, SecretAccessKey, Token, Expiration (epoch seconds)}."""
        ...


@dataclass(frozen=True)
class Network:
    """The one Docker network on which hosts and balancers live: its name and the address of this machine on it.

    It is internal (nothing leaves). On `gateway` the local AWS answers DNS (:53, every amazonaws.com name is the gateway itself)
    and TLS (:443, certificate by our own CA).
    """

    name: str
    gateway: str


class Aws(Protocol):
    """What the local AWS offers a service: the other services, IAM, time, events, Docker."""

    clock: Clock
    services: dict[str, Any]
    """Every service of ours by folder name; Any, since a service may call what another offers beside its operations."""
    endpoint: str
    """http://127.0.0.1:PORT, for clients on this machine."""
    network: Network
    docker: Any
    """docker.DockerClient of this machine's engine."""
    labels: dict[str, str]
    """Labels that every container, network and volume of the local AWS carries; only those are ever removed."""
    ca_file: Path
    """The certificate (PEM) of the CA that signs this AWS's TLS names."""
    state_dir: Path
    """The folder of this local AWS's files (state, logs, git repositories), created by the server."""

    def as_role(self, role_arn: str, service_principal: str, session_name: str, policy: dict[str, Any] | None = None) -> Clients:
        """Assume `role_arn` as `service_principal` (codebuild.amazonaws.com, …): the role's trust policy is checked.

        `policy` is a session policy. Raises ServiceError("AccessDenied", …) naming role and service where AWS would refuse.
        """
        ...

    def assume(self, clients: Clients, role_arn: str, session_name: str) -> Clients:
        """Clients of `role_arn` (of any account), assumed by who signs with `clients`: both roles' policies are checked.

        Raises ServiceError with STS's code and message where it refuses.
        """
        ...

    def as_caller(self, ctx: Context) -> Clients:
        """Clients with the caller's own credentials, through the services of `ctx.via` (CloudFormation without a service role works so)."""
        ...

    def as_service(self, account: str) -> Clients:
        """Clients of the account's service-linked roles: for what AWS does without a role of the customer's. Use sparingly."""
        ...

    def authorize(self, ctx: Context, action: str, resource: str, keys: dict[str, Any] | None = None) -> None:
        """Raise ServiceError AccessDenied unless the caller's policies allow `action` on `resource`."""
        ...

    def check_pass_role(self, ctx: Context, role_arn: str, service_principal: str) -> None:
        """Raise unless the caller may iam:PassRole `role_arn` to `service_principal`, and the role exists."""
        ...

    def topic_refusal(self, topic_arn: str, service_principal: str, source_arn: str) -> str:
        """Return why a topic's policy or key would not take a message of an AWS service for `source_arn`; '' if they would."""
        ...

    def emit(self, account: str, region: str, source: str, detail_type: str, detail: dict[str, Any],
             resources: list[str]) -> None:
        """Put an AWS event (source aws.codepipeline, …) on the account's default event bus of the Region."""
        ...

    def every(self, seconds: float, name: str, work: Callable[[], None]) -> None:
        """Run `work` on a thread of its own every `seconds` until the local AWS stops; exceptions are logged."""
        ...

    def spawn(self, name: str, work: Callable[[], None]) -> None:
        """Run `work` once on a daemon thread; exceptions are logged."""
        ...


class Service:
    """Base of every service of our own.

    Class attributes: `name` (botocore's service name, also the folder's), `iam` (the IAM prefix). Subclasses guard their store
    with `self.lock` and never hold it while they call another service.
    """

    name: str = ""
    iam: str = ""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.lock = threading.RLock()

    def permissions(self, operation: str, params: dict[str, Any], ctx: Context) -> Iterable[tuple[str, str] | tuple[str, str, dict[str, Any]]]:
        """Return the (action, resource ARN[, condition keys]) that the caller needs for `operation`.

        The default asks for the action of the operation's name on `*`; a service overrides it with the resource types of
        the Service Authorization Reference.
        """
        return [(f"{self.iam}:{operation}", "*")]

    def start(self) -> None:
        """Begin background work (`self.aws.every(…)`); called once, after the state was loaded."""

    def stop(self) -> None:
        """End what `start` began, and leave what runs in a state that `start` takes up again."""

    def dump(self) -> Any:
        """Return the state as JSON-able data (str keys, lists, numbers), to be loaded by the next start."""
        return None

    def load(self, state: Any) -> None:
        """Take up the state that `dump` returned."""


class Stores:
    """State by (account, Region): `stores[ctx]` or `stores.at(account, region)` is a plain nested dict of tables.

    Tables are created on first use: `stores[ctx]["deployments"][deployment_id] = {...}`. Records are plain JSON-able dicts with
    times as epoch seconds, so that `dump`/`load` need no code of their own.
    """

    def __init__(self) -> None:
        self._data: dict[str, dict[str, dict[str, Any]]] = {}

    def at(self, account: str, region: str) -> Tables:
        """The tables of one account and Region."""
        return Tables(self._data.setdefault(f"{account}/{region}", {}))

    def __getitem__(self, ctx: Context) -> Tables:
        return self.at(ctx.account, ctx.region)

    def scopes(self) -> list[tuple[str, str]]:
        """Every (account, region) that holds state."""
        return [(scope.split("/")[0], scope.split("/")[1]) for scope in list(self._data)]

    def dump(self) -> Any:
        """JSON-able state."""
        return self._data

    def load(self, state: Any) -> None:
        """Take up dumped state."""
        if state:
            self._data.update(state)


class Tables:
    """The tables of one scope, each a dict by id."""

    def __init__(self, tables: dict[str, dict[str, Any]]) -> None:
        self._tables = tables

    def __getitem__(self, table: str) -> dict[str, Any]:
        return self._tables.setdefault(table, {})
