"""The process: Docker's network, TLS, DNS, MiniStack and our services behind one endpoint, state kept over a stop."""

from __future__ import annotations

import asyncio
import functools
import importlib
import json
import logging
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import docker
import docker.errors
from botocore.exceptions import ClientError

from localaws import answers, delivery, dns, emulator, guards, operations, tls
from localaws.clients import SessionClients
from localaws.clock import SystemClock
from localaws.service import Clients, Context, Network, ServiceError

log = logging.getLogger("localaws")

LABEL = "handsoff.local"
"""Docker label of everything that a local AWS makes; its value is the local AWS's name."""
REGIONS = ["us-east-1", "us-east-2", "us-west-2", "eu-west-1", "eu-central-1", "ap-northeast-1"]
"""Regions whose names the certificate covers."""

# botocore's name of each service of ours, MiniStack's name of it (credential scope), and the prefix of X-Amz-Target.
_SERVICES = (
    ("cloudformation", "cloudformation", ""),
    ("cloudwatch", "monitoring", ""),
    ("elbv2", "elasticloadbalancing", ""),
    ("autoscaling", "autoscaling", ""),
    ("codeconnections", "codeconnections", "CodeConnections_20231201"),
    ("codepipeline", "codepipeline", "CodePipeline_20150709"),
    ("codebuild", "codebuild", "CodeBuild_20161006"),
    ("codedeploy", "codedeploy", "CodeDeploy_20141006"),
    ("synthetics", "synthetics", ""),
    ("service_quotas", "servicequotas", "ServiceQuotasV20190624"),
)
_EXTENSIONS = (("ec2", "ec2"), ("ssm", "ssm"), ("ecr", "ecr"))
_CLEARINGS = 20
_LOOPS_SECONDS = 15.0
"""How long a stop waits for background work that is just being done."""
_COMMANDS = ("codedeploy-commands", "CodeDeployCommandService_v20141006")


class StartError(RuntimeError):
    """The local AWS cannot start; the message names the thing, the reason and the next step."""


@dataclass(frozen=True)
class Options:
    """Where the local AWS keeps its files, on which port it answers, and the name of its Docker network and label.

    Several may run side by side on one machine if state_dir, port and name differ.
    """

    state_dir: Path
    port: int = 4566
    name: str = "handsoff-local"
    account: str = "000000000000"
    region: str = "us-east-1"


class LocalAws:
    """Implements `localaws.service.Aws` over MiniStack, our services and Docker."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.record = Path(os.environ[answers.RECORD]) if os.environ.get(answers.RECORD) else None
        if self.record and not self.record.is_dir():
            raise StartError(f"{answers.RECORD}={self.record} is not a folder. Next: make it, or unset {answers.RECORD}")
        self.clock = SystemClock()
        self.endpoint = f"http://127.0.0.1:{options.port}"
        self.state_dir = options.state_dir
        self.labels = {LABEL: options.name}
        self.services: dict[str, Any] = {}
        self._stopping = threading.Event()
        self._loops: list[threading.Thread] = []
        self._clients: dict[tuple[str, ...], SessionClients] = {}
        self._clients_lock = threading.Lock()
        self.docker = engine()
        self.network = _network(self.docker, options.name)
        self.ca_file, self._cert_file, self._key_file = tls.ensure(options.state_dir / "tls", options.account, REGIONS)
        self._calls = (options.state_dir / "calls.jsonl").open("a", buffering=1)
        os.environ.update(emulator.environment(options.state_dir, options.port, options.account, options.region))
        self.emulator = emulator.Emulator()
        self.answers = answers.Answers((self.record or options.state_dir) / "invalid.jsonl")
        self._spawn("answers", self.answers.work)
        self._add_services()

    def _add_services(self) -> None:
        for folder, key, prefix in _SERVICES:
            service = importlib.import_module(f"localaws.{folder}.api").Api(self)
            self.services[folder] = service
            self.emulator.register(key, service, prefix)
        for folder, key in _EXTENSIONS:
            service = importlib.import_module(f"localaws.{folder}.api").Api(self)
            self.services[folder] = service
            self.emulator.extend(key, service)
        self.emulator.guard_registry(self.services["ecr"].refusal)
        self.emulator.guard("lambda", functools.partial(guards.function, self))
        self.emulator.guard("events", functools.partial(guards.target, self))
        self.delivery = delivery.Delivery(self.emulator, self.state_dir / "functions", self.services["cloudwatch"].record)
        self.services["hosts"] = importlib.import_module("localaws.hosts.api").Hosts(self)
        self.emulator.register_commands(*_COMMANDS, handle=self.services["codedeploy"].handle_command)

    # -- localaws.service.Aws ----------------------------------------------------------------------------------------------

    def as_role(self, role_arn: str, service_principal: str, session_name: str, policy: dict[str, Any] | None = None) -> Clients:
        """See `localaws.service.Aws.as_role`."""
        def renew() -> dict[str, Any]:
            return self.emulator.assume(role_arn, service_principal, session_name, policy)

        if policy:  # seldom the same twice: not kept
            return SessionClients(role_arn.split(":")[4], self.endpoint, renew, self.clock.now)
        clients = self._clients_of(("role", role_arn, service_principal, session_name), role_arn.split(":")[4], renew)
        clients.credentials()  # refuse now, not at the first call
        return clients

    def assume(self, clients: Clients, role_arn: str, session_name: str) -> Clients:
        """See `localaws.service.Aws.assume`."""
        def renew() -> dict[str, Any]:
            try:
                found = clients.client("sts", self.options.region).assume_role(RoleArn=role_arn, RoleSessionName=session_name)["Credentials"]
            except ClientError as error:
                raise ServiceError(error.response["Error"]["Code"], error.response["Error"]["Message"], 403) from error
            return {"AccessKeyId": found["AccessKeyId"], "SecretAccessKey": found["SecretAccessKey"], "Token": found["SessionToken"],
                    "Expiration": found["Expiration"].timestamp()}

        assumed = self._clients_of(("assumed", str(id(clients)), role_arn, session_name), role_arn.split(":")[4], renew)
        assumed.credentials()
        return assumed

    def as_caller(self, ctx: Context) -> Clients:
        """See `localaws.service.Aws.as_caller`."""
        if ctx.via:
            return self._clients_of(("via", ctx.access_key_id, ctx.account, *ctx.via), ctx.account, lambda: self.emulator.forward(ctx))
        credentials = self.emulator.credentials_of(ctx)
        return self._clients_of(("caller", ctx.access_key_id, ctx.account), ctx.account, lambda: credentials)

    def as_service(self, account: str) -> Clients:
        """See `localaws.service.Aws.as_service`."""
        return self._clients_of(("service", account), account, lambda: self.emulator.root_credentials(account))

    def _clients_of(self, key: tuple[str, ...], account: str, renew: Callable[[], dict[str, Any]]) -> SessionClients:
        with self._clients_lock:
            if key not in self._clients:
                self._clients[key] = SessionClients(account, self.endpoint, renew, self.clock.now)
            return self._clients[key]

    def authorize(self, ctx: Context, action: str, resource: str, keys: dict[str, Any] | None = None) -> None:
        """See `localaws.service.Aws.authorize`."""
        self.emulator.authorize(ctx, action, resource, keys)

    def check_pass_role(self, ctx: Context, role_arn: str, service_principal: str) -> None:
        """See `localaws.service.Aws.check_pass_role`."""
        self.emulator.authorize(ctx, "iam:PassRole", role_arn, {"iam:PassedToService": service_principal})
        self.emulator.role(role_arn)

    def topic_refusal(self, topic_arn: str, service_principal: str, source_arn: str) -> str:
        """See `localaws.service.Aws.topic_refusal`."""
        return self.delivery.topic_refusal(topic_arn, service_principal, source_arn)

    def emit(self, account: str, region: str, source: str, detail_type: str, detail: dict[str, Any],
             resources: list[str]) -> None:
        """See `localaws.service.Aws.emit`."""
        self.emulator.put_event(account, region, {"Source": source, "DetailType": detail_type, "Detail": json.dumps(detail),
                                                  "Resources": resources})

    def every(self, seconds: float, name: str, work: Callable[[], None]) -> None:
        """See `localaws.service.Aws.every`."""
        def loop() -> None:
            while not self._stopping.wait(seconds):
                _logged(name, work)

        self._loops.append(self._spawn(name, loop))

    def spawn(self, name: str, work: Callable[[], None]) -> None:
        """See `localaws.service.Aws.spawn`."""
        self._spawn(name, lambda: _logged(name, work))

    def _spawn(self, name: str, target: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        return thread

    # -- the wire ----------------------------------------------------------------------------------------------------------

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """ASGI: our own routes below /_localaws/ for this machine, everything else is AWS."""
        if scope["type"] == "http" and scope["path"].startswith("/_localaws/"):
            await self._admin(scope, send)
            return
        if scope["type"] != "http":
            await self.emulator.application(scope, receive, send)
            return
        if scope.get("scheme") == "http":
            # Only loopback is served without TLS; for policies (aws:SecureTransport) it stands for AWS's TLS endpoint.
            scope = {**scope, "headers": [*scope["headers"], (b"x-forwarded-proto", b"https")]}
        seen = _Seen(receive, send)
        began = time.time()
        try:
            await self.emulator.application(scope, seen.receive, seen.send)
        except Exception:
            seen.status = seen.status or 500  # what hypercorn answers then
            self._note(scope, seen, time.time() - began)
            raise
        self._note(scope, seen, time.time() - began)

    def _note(self, scope: dict[str, Any], seen: _Seen, seconds: float) -> None:
        """Append one line per call (what was asked of which service by which key, and how it was answered), and have the answer looked at."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        key, service = operations.scope_of(headers, query)
        self._calls.write(json.dumps({
            "time": round(time.time(), 3), "service": service, "key": key, "target": headers.get("x-amz-target", ""), "method": scope["method"],
            "path": scope["path"][:200], "host": headers.get("host", ""), "status": seen.status, "ms": round(seconds * 1000)}) + "\n")
        if service:
            self.answers.put(service, scope["method"], scope["path"], headers, bytes(seen.asked), query, seen.status, seen.headers,
                             None if seen.long else bytes(seen.answered))

    async def _admin(self, scope: dict[str, Any], send: Any) -> None:
        client = (scope.get("client") or ("",))[0]
        if client != "127.0.0.1":  # hosts must not reach the controls of the machine they stand on
            await _reply(send, 403, {"error": "only from this machine"})
            return
        path, method = scope["path"].removeprefix("/_localaws/"), scope["method"]
        try:
            result = await asyncio.get_running_loop().run_in_executor(None, self._control, method, path)
            await _reply(send, 200 if result is not None else 404, result if result is not None else {"error": f"no {path}"})
        except Exception as error:
            log.exception("/_localaws/%s", path)
            await _reply(send, 500, {"error": repr(error)})

    def _control(self, method: str, path: str) -> Any:
        if path == "health":
            return {"status": "up", "pid": os.getpid(), "services": sorted(self.services)}
        if path == "endpoints":
            return self.services["elbv2"].endpoints()
        if path == "answers":
            return self.answers.report()
        if path == "questions":
            return self.emulator.questions.report()
        if path.startswith("codedeploy/absent-after/"):
            seconds = float(path.rpartition("/")[2])
            self.services["codedeploy"].absent_after(seconds)
            return {"seconds": seconds}
        if path == "connections":
            return {"pending": [one["ConnectionArn"] for one in self.services["codeconnections"].pending()]}
        if path.startswith("connections/") and path.endswith("/complete") and method in ("POST", "GET"):
            arn = path.removeprefix("connections/").removesuffix("/complete")
            self.services["codeconnections"].complete(arn)
            return {"completed": arn}
        return None

    # -- life --------------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; then stop the services and keep their state."""
        state = self.options.state_dir / "services.json"
        if state.exists():
            for name, dumped in json.loads(state.read_text()).items():
                if name in self.services:
                    self.services[name].load(dumped)
        name_server = dns.DnsServer(self.network.gateway, lookup=self._balancer)
        try:
            asyncio.run(self._serve())
        finally:
            name_server.close()
            _logged("record", self._leave_record)
            state.write_text(json.dumps({name: service.dump() for name, service in self.services.items()}))
            self.delivery.close()
            self.emulator.close()

    def _leave_record(self) -> None:
        """Work off what was served and not looked at yet, and write down what was called and asked."""
        self.answers.finish()
        if self.record:
            seen = {"name": self.options.name, "calls": self.answers.report()["calls"], "questions": self.emulator.questions.report()}
            with (self.record / "served.jsonl").open("a") as file:
                file.write(json.dumps(seen) + "\n")

    def _balancer(self, name: str) -> str:
        """Return the address of the load balancer with this DNS name, '' if there is none."""
        return str({dns_name.lower(): address for dns_name, address in self.services["elbv2"].addresses().items()}.get(name, ""))

    async def _serve(self) -> None:
        import hypercorn.asyncio
        import hypercorn.config

        config = hypercorn.config.Config()
        config.insecure_bind = [f"127.0.0.1:{self.options.port}"]
        config.bind = [f"{self.network.gateway}:443"]
        config.certfile, config.keyfile = str(self._cert_file), str(self._key_file)
        config.alpn_protocols = ["http/1.1"]
        config.keep_alive_timeout = 75
        config.graceful_timeout = 3
        config.h11_max_incomplete_size = 1 << 20
        config.loglevel = "WARNING"
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def shut_down() -> None:
            self._stop_services()
            loop.call_soon_threadsafe(done.set)

        def on_signal() -> None:
            if not self._stopping.is_set():
                # On a thread: services still call the endpoint while they stop.
                threading.Thread(target=shut_down, name="shutdown", daemon=True).start()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        self._spawn("start", self._start_services)
        await hypercorn.asyncio.serve(self, config, shutdown_trigger=done.wait)  # type: ignore[arg-type]

    def _in_order(self) -> list[Any]:
        """The services in the order in which they start; they stop the other way round.

        Hosts come before balancers, and both before whoever calls them (canaries) or works on them (builds, deployments): nobody is to
        take a stop of the local AWS for a fault of the hosts, nor a build for failed whose container the stop took away.
        """
        first = ("hosts", "elbv2")
        return [*(self.services[name] for name in first), *(service for name, service in self.services.items() if name not in first)]

    def _stop_services(self) -> None:
        self._stopping.set()
        # What is at work now ends first: a service that has stopped would not take what it hands on, and it would be lost.
        deadline = time.monotonic() + _LOOPS_SECONDS
        for at_work in self._loops:
            at_work.join(max(0.0, deadline - time.monotonic()))
        for service in reversed(self._in_order()):
            _logged(f"stop {service.name}", service.stop)

    def _start_services(self) -> None:
        deadline = time.time() + 30
        while time.time() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.options.port)) == 0:
                    break
            time.sleep(0.05)
        for service in self._in_order():
            _logged(f"start {service.name}", service.start)
        (self.options.state_dir / "ready").write_text(str(os.getpid()))


def _logged(name: str, work: Callable[[], None]) -> None:
    try:
        work()
    except Exception:
        log.exception("%s failed", name)


class _Seen:
    """One request's body and answer as they pass, up to a size at which nothing but objects and images comes."""

    _MOST = 4 << 20

    def __init__(self, receive: Any, send: Any) -> None:
        self._receive, self._send = receive, send
        self.asked, self.answered = bytearray(), bytearray()
        self.status, self.long = 0, False
        self.headers: dict[str, str] = {}

    async def receive(self) -> Any:
        message = await self._receive()
        if message["type"] == "http.request" and len(self.asked) < self._MOST:
            self.asked += message.get("body", b"")
        return message

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in message.get("headers", ())}
        elif message["type"] == "http.response.body" and not self.long:
            self.answered += message.get("body", b"")
            self.long = len(self.answered) > self._MOST
        await self._send(message)


async def _reply(send: Any, status: int, body: Any) -> None:
    text = json.dumps(body).encode()
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": text})


def _network(client: docker.DockerClient, name: str) -> Network:
    found = client.networks.list(names=[f"^{name}$"])
    network = found[0] if found else client.networks.create(name, driver="bridge", internal=True, labels={LABEL: name},
                                                            check_duplicate=True)
    network.reload()
    return Network(name, network.attrs["IPAM"]["Config"][0]["Gateway"])


def engine() -> docker.DockerClient:
    """Return a client of this machine's Docker engine; raises StartError where none answers."""
    try:
        client = docker.from_env(timeout=120, max_pool_size=32)
        client.ping()
        return client
    except docker.errors.DockerException as error:
        raise StartError(f"No Docker engine answers ({error}). Next: make setup") from error


def clear(client: docker.DockerClient, name: str) -> list[str]:
    """Remove every container, volume and network that carries the label of the local AWS `name`; return what was removed.

    A command that was killed may have had the engine begin a container: it comes once the others are gone, and holds the network.
    """
    query = {"label": f"{LABEL}={name}"}
    removed = []
    for left in reversed(range(_CLEARINGS)):
        try:
            for container in client.containers.list(all=True, filters=query, ignore_removed=True):
                container.remove(force=True, v=True)
                removed.append(f"container {container.name}")
            for volume in client.volumes.list(filters=query):
                volume.remove(force=True)
                removed.append(f"volume {volume.name}")
            for network in client.networks.list(filters=query):
                network.remove()
                removed.append(f"network {network.name}")
            return removed
        except docker.errors.APIError as error:
            if not left:
                raise StartError(f"what carries the label {LABEL}={name} cannot be removed ({error.explanation}). "
                                 "Next: the same command again; if it stays so, the engine has lost count, and restarting it helps") from error
            time.sleep(1)
    return removed


def wipe(state_dir: Path) -> None:
    """Remove the files of a local AWS whose state cannot be trusted any more; logs stay."""
    for entry in state_dir.iterdir() if state_dir.exists() else ():
        if entry.suffix not in (".log", ".jsonl"):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
