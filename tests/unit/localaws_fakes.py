"""A small stand-in for `localaws.service.Aws`: virtual time, work done on the spot, what was asked of it kept in lists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from localaws.clock import VirtualClock
from localaws.service import Context, ServiceError

ACCOUNT, REGION = "000000000000", "us-east-1"
CALLER = Context(ACCOUNT, REGION, f"arn:aws:iam::{ACCOUNT}:user/me", "AKIAME")


class FakeClients:
    """Clients of one role: `clients[service]` is whatever the test put there."""

    account = ACCOUNT

    def __init__(self, clients: dict[str, Any]) -> None:
        self.clients = clients

    def client(self, service: str, region: str) -> Any:
        """The test's own object for a service."""
        return self.clients[service]

    def credentials(self) -> dict[str, Any]:
        """Some credentials."""
        return {"AccessKeyId": "ASIAROLE", "SecretAccessKey": "s", "Token": "t", "Expiration": 2e9}

    def environment(self, region: str) -> dict[str, str]:
        """Nothing a unit test uses."""
        return {}


class FakeAws:
    """Implements what services ask of the local AWS. `denied` holds the actions that `authorize` refuses."""

    def __init__(self, state_dir: Path, clients: dict[str, Any] | None = None) -> None:
        self.clock = VirtualClock()
        self.state_dir = state_dir
        self.services: dict[str, Any] = {}
        self.clients = FakeClients(clients or {})
        self.denied: set[str] = set()
        self.untrusted: set[str] = set()
        self.roles: dict[str, FakeClients] = {}
        self.assumed: list[str] = []
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self.jobs: dict[str, Callable[[], None]] = {}
        self.spawned: list[Callable[[], None]] = []

    def as_role(self, role_arn: str, service_principal: str, session_name: str, policy: dict[str, Any] | None = None) -> FakeClients:
        """The one set of clients, unless the role trusts nobody."""
        if role_arn in self.untrusted:
            raise ServiceError("AccessDenied", f"{service_principal} is not authorized to perform: sts:AssumeRole on resource: {role_arn}")
        return self.clients

    def assume(self, clients: Any, role_arn: str, session_name: str) -> FakeClients:
        """The clients of `roles[role_arn]`, else the one set, unless the role trusts nobody."""
        self.assumed.append(role_arn)
        if role_arn in self.untrusted:
            raise ServiceError("AccessDenied", f"User: pipe is not authorized to perform: sts:AssumeRole on resource: {role_arn}")
        return self.roles.get(role_arn, self.clients)

    def authorize(self, ctx: Context, action: str, resource: str, keys: dict[str, Any] | None = None) -> None:
        """Refuse what the test denies."""
        if action in self.denied:
            raise ServiceError("AccessDenied", f"User: {ctx.principal_arn} is not authorized to perform: {action} on resource: {resource}")

    def check_pass_role(self, ctx: Context, role_arn: str, service_principal: str) -> None:
        """iam:PassRole, by `authorize`."""
        self.authorize(ctx, "iam:PassRole", role_arn)

    def emit(self, account: str, region: str, source: str, detail_type: str, detail: dict[str, Any], resources: list[str]) -> None:
        """Keep the event."""
        self.events.append((source, detail_type, detail))

    def every(self, seconds: float, name: str, work: Callable[[], None]) -> None:
        """Keep the job; the test runs it."""
        self.jobs[name] = work

    def spawn(self, name: str, work: Callable[[], None]) -> None:
        """Keep the work; `run_spawned` does it."""
        self.spawned.append(work)

    def run_spawned(self) -> None:
        """Do what was spawned, and what that spawns."""
        while self.spawned:
            self.spawned.pop(0)()
