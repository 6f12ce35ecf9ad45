"""The haproxy side of a load balancer, as plain data and text: what to run, how to say it, what its log lines mean.

Pure: no I/O. `driver.py` carries it out. haproxy does no health checks of its own (`engine.py` decides who serves), so a server is
either `ready` or in `maint`; requests in flight to a server in maintenance are finished.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

PUBLISHED_PORTS = (10001, 10002, 10003, 10004)
"""Ports inside the container that Docker publishes on 127.0.0.1: one per listener, so a load balancer has at most four here."""

ADMIN_PORT = 9999

_LOG_FORMAT = r'{\"b\":\"%b\",\"s\":\"%s\",\"st\":%ST,\"tr\":%Tr,\"ts\":\"%ts\",\"k\":\"%[var(txn.kind)]\"}'


@dataclass(frozen=True)
class Server:
    """One target as haproxy sees it: `name` is unique in its backend, `serving` says whether it gets requests."""

    name: str
    address: str
    port: int
    serving: bool


@dataclass(frozen=True)
class Backend:
    """One target group: `balance` is haproxy's algorithm name."""

    name: str
    servers: tuple[Server, ...]
    balance: str = "roundrobin"


@dataclass(frozen=True)
class Frontend:
    """One listener: its own port, the published port, and what it does.

    `action` is one of {"type": "forward", "weights": [[backend, weight], …]}, {"type": "fixed-response", "status", "content_type",
    "body"}, {"type": "redirect", "code", "config": RedirectConfig}.
    """

    port: int
    published: int
    action: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """All that one balancer is to do. `idle_seconds` is the load balancer's idle timeout."""

    frontends: tuple[Frontend, ...] = ()
    backends: tuple[Backend, ...] = ()
    idle_seconds: int = 60

    def topology(self) -> Plan:
        """The plan without its servers: where two plans differ only in servers, no reload is needed."""
        return Plan(self.frontends, tuple(Backend(each.name, (), each.balance) for each in self.backends), self.idle_seconds)

    def servers(self) -> dict[str, Server]:
        """Servers by "backend/server"."""
        return {f"{backend.name}/{server.name}": server for backend in self.backends for server in backend.servers}


@dataclass(frozen=True)
class Addresses:
    """Where the container stands: `bridge` is reached from this machine, `inside` from hosts; logs go to `log` (host:port)."""

    bridge: str
    inside: str
    log: str
    revision: int = 0
    """Shown by `show info`, so that a reload can be waited for."""


def render(plan: Plan, at: Addresses) -> str:
    """Return the haproxy configuration of `plan`."""
    lines = [
        "global",
        f"  description revision-{at.revision}",
        "  maxconn 4096",
        "  nbthread 1",
        # An old process only finishes the requests it has; a client that holds its connection open cannot keep it for ever.
        f"  hard-stop-after {plan.idle_seconds + 30}s",
        f"  stats socket ipv4@{at.bridge}:{ADMIN_PORT} level admin expose-fd listeners",
        "  stats timeout 1h",
        "  log ring@requests format raw local0 info",
        "ring requests",
        "  format raw",
        "  maxlen 1024",
        "  size 4194304",
        "  timeout connect 5s",
        "  timeout server 10s",
        f"  server receiver {at.log} log-proto octet-count",
        "defaults",
        "  mode http",
        "  log global",
        f'  log-format "{_LOG_FORMAT}"',
        "  option dontlognull",
        "  option forwardfor",
        # One connection per request, on both sides: none is idle that could go stale or be cut at a reload, and haproxy never
        # closes one in silence instead of answering (which it does where a later request on a connection fails).
        "  option httpclose",
        # A connection that fails is an error that the client sees (AWS: 502), never a silent second try.
        "  retries 0",
        "  timeout connect 10s",
        "  timeout queue 10s",
        f"  timeout client {plan.idle_seconds}s",
        f"  timeout http-request {plan.idle_seconds}s",
        f"  timeout server {plan.idle_seconds}s",
        # haproxy says 503 where it could not connect; AWS says 502.
        "  errorfile 503 /etc/haproxy/bad-gateway.http",
    ]
    for frontend in plan.frontends:
        lines += _frontend(frontend, at)
    if any(frontend.action["type"] == "forward" for frontend in plan.frontends):
        lines += ["backend nobody", *_UNAVAILABLE]
    for backend in plan.backends:
        # A process that is being replaced counts no servers as up, though it still uses them.
        lines += [f"backend {backend.name}", f"  balance {backend.balance}",
                  *(f"{line} if {{ nbsrv() eq 0 }} !{{ stopping }}" for line in _UNAVAILABLE)]
        lines += [f"  server {server.name} {server.address}:{server.port}{'' if server.serving else ' disabled'}"
                  for server in backend.servers]
    return "\n".join(lines) + "\n"


_UNAVAILABLE = (
    "  http-request set-var(txn.kind) str(unavailable)",
    "  http-request return status 503 content-type text/html string \"503 Service Temporarily Unavailable\"",
)


def bad_gateway() -> str:
    """Return the raw answer that is sent where no connection to the target could be made."""
    body = "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>\n"
    head = f"HTTP/1.1 502 Bad Gateway\r\nServer: awselb/2.0\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n{body}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'


def _frontend(frontend: Frontend, at: Addresses) -> list[str]:
    lines = [f"frontend listener-{frontend.port}", f"  bind {at.bridge}:{frontend.published}", f"  bind {at.inside}:{frontend.port}",
             "  http-request set-header X-Forwarded-Proto http",
             f"  http-request set-header X-Forwarded-Port {frontend.port}"]
    action = frontend.action
    if action["type"] == "fixed-response":
        content = f" content-type {_quoted(action['content_type'])} string {_quoted(action['body'])}" if action["body"] else ""
        return [*lines, "  http-request set-var(txn.kind) str(fixed)", f"  http-request return status {action['status']}{content}"]
    if action["type"] == "redirect":
        with_query, without = (location(action["config"], frontend.port, query) for query in (True, False))
        with_query, without = (location(action["config"], frontend.port, query) for query in (True, False))
        return [*lines, "  http-request set-var(txn.kind) str(redirect)",
                f"  http-request redirect location {with_query} code {action['code']} if {{ query -m found }}",
                f"  http-request redirect location {without} code {action['code']}"]
    shares = [(name, weight) for name, weight in action["weights"] if weight > 0]
    total = sum(weight for _, weight in shares)
    if not shares:
        return [*lines, "  default_backend nobody"]
    if len(shares) > 1:
        lines.append(f"  http-request set-var(txn.share) rand({total})")
    upto = 0
    for name, weight in shares[:-1]:
        upto += weight
        lines.append(f"  use_backend {name} if {{ var(txn.share) -m int lt {upto} }}")
    return [*lines, f"  default_backend {shares[-1][0]}"]


def location(config: dict[str, str], port: int, query: bool = True) -> str:
    """Return haproxy's expression for a RedirectConfig of the listener on `port`, for requests with or without a query.

    `#{protocol}`, `#{host}`, `#{port}`, `#{path}`, `#{query}` are AWS's own; the port is always written, as AWS writes it.
    Source: RedirectActionConfig in the API reference.
    """
    scheme = config.get("Protocol", "#{protocol}").lower().replace("#{protocol}", "http")
    asked = config.get("Query", "#{query}")
    if not query:
        asked = asked.replace("#{query}", "")
    text = f"{scheme}://{config.get('Host', '#{host}')}:{config.get('Port', '#{port}')}{config.get('Path', '/#{path}')}"
    literal = (text + (f"?{asked}" if asked else "")).replace("%", "%%")
    for name, expression in {"#{host}": "%[req.hdr(host),field(1,:)]", "#{port}": str(port), "/#{path}": "%[path]",
                             "#{path}": "%[path,regsub(^/,)]", "#{query}": "%[query]"}.items():
        literal = literal.replace(name, expression)
    return literal


# -- what a request meant ------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Measurement:
    """One sample of AWS/ApplicationELB; `backend` is the target group's backend where the metric has that dimension too."""

    metric: str
    value: float
    unit: str
    backend: str = ""


@dataclass
class Tally:
    """Samples of one balancer since the last flush, by (metric, unit, backend)."""

    samples: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)

    def add(self, measurements: Iterable[Measurement]) -> None:
        """Note the samples."""
        for each in measurements:
            self.samples.setdefault((each.metric, each.unit, each.backend), []).append(each.value)


def parse_line(line: bytes) -> dict[str, Any] | None:
    """Return one log line's fields, or None if it is not one of ours (start and stop notices)."""
    start = line.find(b"{")
    if start < 0:
        return None
    try:
        return dict(json.loads(line[start:]))
    except ValueError:
        return None


def measure(entry: dict[str, Any]) -> list[Measurement]:
    """Return the samples that one request (its log fields) gives.

    Source: "CloudWatch metrics for your Application Load Balancer". Counts are samples of 1 each, so their Average, Minimum and
    Maximum are 1, as AWS's are. `ts` is haproxy's termination state: who ended it, and in which phase.
    """
    backend, server, status, ended, kind = entry["b"], entry["s"], int(entry["st"]), entry["ts"], entry["k"]

    def count(metric: str, of: str = "") -> Measurement:
        return Measurement(metric, 1.0, "Count", of)

    def refused(code: int) -> list[Measurement]:
        return [count(f"HTTPCode_ELB_{code // 100}XX_Count"), *([count(f"HTTPCode_ELB_{code}_Count")] if code >= 500 else [])]

    if kind == "unavailable":
        return refused(503)
    if kind == "fixed":
        return [count("HTTP_Fixed_Response_Count")]
    if kind == "redirect":
        return [count("HTTP_Redirect_Count"), count("HTTPCode_ELB_3XX_Count")]
    if server.startswith("<") and ended[:2] == "SC":
        return refused(503)
    if server.startswith("<"):  # ended before a target was chosen
        return refused(status if status >= 400 else 400)
    request = count("RequestCount", backend)
    who, phase = ended[0], ended[1]
    if phase == "C" and who in "Ss":
        return [request, count("TargetConnectionErrorCount", backend), *refused(502)]
    if int(entry["tr"]) >= 0 and status > 0 and not (phase == "H" and who in "SsP"):
        return [request, count(f"HTTPCode_Target_{status // 100}XX_Count", backend),
                Measurement("TargetResponseTime", int(entry["tr"]) / 1000, "Seconds", backend)]
    if who in "Cc":  # the client went away first: AWS counts a 460
        return [request, *refused(460)]
    return [request, *refused(status if status >= 500 else 502)]
