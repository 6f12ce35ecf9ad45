"""haproxy in Docker: one container per load balancer, its runtime socket, the requests it reports, and health checks.

A balancer changes in two ways. Servers come, go and change state through the runtime socket. Where listeners or target groups change,
a new configuration is written and haproxy's master starts a new process on the same listening sockets, so no connection is refused;
the old process finishes what it has.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import logging
import re
import socket
import tarfile
import threading
import time
from collections.abc import Callable
from typing import Any

from localaws.elbv2 import proxy
from localaws.elbv2.engine import Check, Result
from localaws.elbv2.proxy import Addresses, Plan, Server

log = logging.getLogger("localaws.elbv2")

_FOLDER = "/etc/haproxy"
# The addresses are known only once the container runs; until then it waits for its configuration.
_COMMAND = ["sh", "-c", f"until [ -f {_FOLDER}/ready ]; do sleep 0.05; done; exec haproxy -W -db -f {_FOLDER}/haproxy.cfg"]
_START_SECONDS = 15.0
_SOCKET_SECONDS = 5.0


class BalancerError(Exception):
    """haproxy could not be started or did not take a change; the text says what it answered."""


class Balancer:
    """One running haproxy. All methods may be called from several threads; changes are carried out one after another."""

    def __init__(self, docker: Any, image: str, name: str, network: str, receiver: str, labels: dict[str, str]) -> None:
        """`network` is the Docker network of the hosts, `receiver` the host:port on it that takes the request log."""
        self.docker, self.image, self.name, self.network, self.receiver, self.labels = docker, image, name, network, receiver, labels
        self.addresses: Addresses | None = None
        self._container: Any = None
        self._applied: Plan | None = None
        self._lock = threading.Lock()

    @property
    def inside(self) -> str:
        """The balancer's address on the hosts' network; empty before it runs."""
        return self.addresses.inside if self.addresses else ""

    def start(self, ports: list[int], plan: Plan) -> None:
        """Start the container with `ports` of 127.0.0.1 published to its listeners, in that order, and carry out `plan`.

        Raises BalancerError (port taken, image missing, …).
        """
        import docker.errors

        with self._lock:
            self._remove(self.name)
            bindings = {f"{inner}/tcp": ("127.0.0.1", outer) for inner, outer in zip(proxy.PUBLISHED_PORTS, ports, strict=True)}
            try:
                self._container = self.docker.containers.create(
                    self.image, _COMMAND, name=self.name, labels=self.labels, ports=bindings, network="bridge",
                    log_config={"type": "json-file", "config": {"max-size": "1m", "max-file": "1"}}, mem_limit="256m", init=False)
                self.docker.networks.get(self.network).connect(self._container)
                self._container.start()
                self._container.reload()
                networks = self._container.attrs["NetworkSettings"]["Networks"]
                self.addresses = Addresses(networks["bridge"]["IPAddress"], networks[self.network]["IPAddress"], self.receiver)
                self._write(plan, {"bad-gateway.http": proxy.bad_gateway()})
                self._container.put_archive(_FOLDER, _tar({"ready": ""}))
            except docker.errors.APIError as error:
                self._remove(self.name)
                raise BalancerError(f"container {self.name}: {error.explanation or error}") from error
            self._wait_for_revision()
            self._applied = plan

    def apply(self, plan: Plan) -> None:
        """Make the balancer do `plan`. Raises BalancerError or OSError; then what runs is unknown until the next success."""
        self.apply_latest(lambda: plan)

    def apply_latest(self, plan_now: Callable[[], Plan]) -> None:
        """Like `apply`, with the plan asked for when it is this change's turn: an older plan never overwrites a newer one."""
        with self._lock:
            if self.addresses is None:
                return
            plan = plan_now()
            if plan == self._applied:
                return
            before, self._applied = self._applied, None
            if before is None or plan.topology() != before.topology():
                self._reload(plan)
            else:
                self._change_servers(before.servers(), plan.servers())
            self._applied = plan

    def in_flight(self, backend: str, server: str) -> int:
        """Return how many requests `server` is serving now."""
        for line in self._command("show stat").splitlines():
            fields = line.split(",")
            if fields[:2] == [backend, server]:
                return int(fields[4] or 0)
        return 0

    def cut(self, backend: str, server: str) -> None:
        """End the requests that are still in flight to a server whose deregistration delay is over."""
        self._command(f"shutdown sessions server {backend}/{server}")

    def remove(self) -> None:
        """Remove the container."""
        with self._lock:
            self.addresses = None
            self._remove(self.name)

    def _remove(self, name: str) -> None:
        import docker.errors

        with contextlib.suppress(docker.errors.NotFound):
            self.docker.containers.get(name).remove(force=True, v=True)

    def _write(self, plan: Plan, more: dict[str, str] | None = None) -> None:
        assert self.addresses is not None
        self._container.put_archive(_FOLDER, _tar({"haproxy.cfg": proxy.render(plan, self.addresses), **(more or {})}))

    def _reload(self, plan: Plan) -> None:
        assert self.addresses is not None
        self.addresses = Addresses(self.addresses.bridge, self.addresses.inside, self.addresses.log, self.addresses.revision + 1)
        self._write(plan)
        code, output = self._container.exec_run(["haproxy", "-c", "-f", f"{_FOLDER}/haproxy.cfg"])
        if code != 0:
            raise BalancerError(f"{self.name}: haproxy refuses its configuration: {output.decode(errors='replace')[-600:]}")
        self._container.kill("SIGUSR2")
        self._wait_for_revision()

    def _wait_for_revision(self) -> None:
        assert self.addresses is not None
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            try:
                if f"description: revision-{self.addresses.revision}\n" in self._command("show info"):
                    return
            except OSError:
                pass
            time.sleep(0.03)
        tail = self._container.logs(tail=8).decode(errors="replace") if self._container else ""
        raise BalancerError(f"{self.name}: haproxy did not come up within {_START_SECONDS:.0f} s: {tail}")

    def _change_servers(self, before: dict[str, Server], after: dict[str, Server]) -> None:
        # New ones first, so that a replacement leaves no moment without a server.
        for key, server in after.items():
            old = before.get(key)
            if old is not None and (old.address, old.port) != (server.address, server.port):
                self._state(key, False)
                self._expect(f"set server {key} addr {server.address} port {server.port}", "changed|no need to change|")
                old = Server(old.name, server.address, server.port, False)
            if old is None:
                answer = self._command(f"add server {key} {server.address}:{server.port}")
                if "New server registered" not in answer and "Already exists" not in answer:
                    raise BalancerError(f"{self.name}: add server {key}: {answer}")
                if "Already exists" in answer:  # one that could not be deleted while it still had requests
                    self._command(f"set server {key} addr {server.address} port {server.port}")
            if (old is not None and old.serving) != server.serving:
                self._state(key, server.serving)
        for key in before.keys() - after.keys():
            self._state(key, False)
            self._command(f"del server {key}")  # refused while requests are in flight: it stays in maintenance, unused

    def _state(self, key: str, serving: bool) -> None:
        self._expect(f"set server {key} state {'ready' if serving else 'maint'}", "")

    def _expect(self, command: str, pattern: str) -> None:
        answer = self._command(command)
        if not re.fullmatch(f"(?s).*({pattern}).*", answer) or (not pattern and answer):
            raise BalancerError(f"{self.name}: {command}: {answer}")

    def _command(self, command: str) -> str:
        """Send one command to the runtime socket and return its answer. Raises OSError."""
        if self.addresses is None:
            raise BalancerError(f"{self.name} does not run")
        with socket.create_connection((self.addresses.bridge, proxy.ADMIN_PORT), timeout=_SOCKET_SECONDS) as connection:
            connection.sendall(command.encode() + b"\n")
            chunks = []
            while chunk := connection.recv(65536):
                chunks.append(chunk)
        return b"".join(chunks).decode(errors="replace").strip()


class Receiver:
    """Takes the request logs of all balancers (TCP, octet-counted lines) and hands each line with its sender's address to `take`."""

    def __init__(self, address: str, take: Callable[[str, bytes], None]) -> None:
        self._take = take
        self._listener = socket.create_server((address, 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._closed = False
        threading.Thread(target=self._accept, name="elbv2 receiver", daemon=True).start()

    def close(self) -> None:
        """Stop listening; balancers keep what they have to say in their ring until somebody listens again."""
        self._closed = True
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, (sender, _) = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._read, args=(connection, sender), name="elbv2 requests", daemon=True).start()

    def _read(self, connection: socket.socket, sender: str) -> None:
        with connection, connection.makefile("rb") as stream:
            try:
                while not self._closed:
                    size = b""
                    while (byte := stream.read(1)) not in (b" ", b""):
                        size += byte
                    if not byte:
                        return
                    self._take(sender, stream.read(int(size)))
            except (OSError, ValueError) as error:
                log.debug("the request log of %s ended: %r", sender, error)


def probe(address: str, port: int, check: Check) -> Result:
    """Make one health check of a target: GET the path, look at the status; each check has its own connection."""
    connection = http.client.HTTPConnection(address, int(check.port) if check.port != "traffic-port" else port, timeout=check.timeout)
    try:
        connection.request("GET", check.path, headers={"User-Agent": "ELB-HealthChecker/2.0", "Connection": "close"})
        return Result(status=connection.getresponse().status)
    except TimeoutError:
        return Result(timed_out=True)
    except (OSError, http.client.HTTPException):
        return Result()
    finally:
        connection.close()


def free_ports(count: int, start: int, taken: set[int]) -> list[int]:
    """Return `count` ports of 127.0.0.1 from `start` on that nobody listens on and that are not in `taken`."""
    found: list[int] = []
    for port in range(start, 65000):
        if port not in taken and _free(port):
            found.append(port)
            if len(found) == count:
                return found
    raise BalancerError(f"no {count} free ports on 127.0.0.1 from {start} on")


def _free(port: int) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _tar(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data := text.encode())
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()
