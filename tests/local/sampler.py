"""Watches who serves, five times a second, by asking nobody who deploys: the balancers' own sockets and the engines inside the hosts.

A host is *out* while its balancer sends it no requests, or no container of the service runs on it. Balancers are asked for their servers over haproxy's
runtime socket; a host's engine tells each start and each end of a container as it happens (`docker events`), after a first `docker ps`.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
import socket
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

INTERVAL_SECONDS = 0.2
_ADMIN_PORT = 9999
_LONGEST_SECONDS = 3600


@dataclass(frozen=True)
class Host:
    """A host: its instance id, where it stands, and in which scope."""

    instance: str
    environment: str
    region: str
    zone: str
    scope: str


@dataclass(frozen=True)
class Sample:
    """One look: when (seconds since the epoch), the instances to which a balancer sends requests, and those on which the service's container runs."""

    time: float
    serving: frozenset[str]
    running: frozenset[str]

    def out(self, hosts: Iterable[Host]) -> list[Host]:
        """Those of `hosts` that are out."""
        return [host for host in hosts if host.instance not in self.serving or host.instance not in self.running]


def zones_out_together(samples: Sequence[Sample], hosts: Sequence[Host]) -> list[str]:
    """Each moment at which hosts of two zones of one Region of an environment were out at once, in words."""
    found = []
    for sample in samples:
        zones: dict[tuple[str, str], set[str]] = {}
        for host in sample.out(hosts):
            zones.setdefault((host.environment, host.region), set()).add(host.zone)
        found += [f"{sample.time:.1f}: {environment}/{region} has hosts of {' and '.join(sorted(out))} out"
                  for (environment, region), out in zones.items() if len(out) > 1]
    return found


def too_many_out(samples: Sequence[Sample], hosts: Sequence[Host], minimum_percent: Mapping[tuple[str, str], float]) -> list[str]:
    """Each moment at which more of a group were out than its minimum of healthy hosts allows, in words.

    `minimum_percent`: by (environment, scope), percent of the group's hosts that keep serving (rounded up to hosts).
    """
    groups: dict[tuple[str, str, str], list[Host]] = {}
    for host in hosts:
        groups.setdefault((host.environment, host.region, host.scope), []).append(host)
    found = []
    for sample in samples:
        for (environment, region, scope), members in groups.items():
            most = len(members) - math.ceil(len(members) * minimum_percent[environment, scope] / 100)
            out = sample.out(members)
            if len(out) > most:
                found.append(f"{sample.time:.1f}: {environment}/{region}/{scope} has {len(out)} of {len(members)} out, at most {most} may be")
    return found


def ever_out(samples: Sequence[Sample], hosts: Sequence[Host]) -> set[str]:
    """The instances that were out at any moment: without them a sampler has seen nothing."""
    return {host.instance for sample in samples for host in sample.out(hosts)}


def blind_spots(samples: Sequence[Sample], longest: float) -> list[str]:
    """Each pause between two samples of more than `longest` seconds, in words."""
    return [f"nothing seen from {one.time:.1f} for {two.time - one.time:.1f} s"
            for one, two in itertools.pairwise(samples) if two.time - one.time > longest]


def serving(statistics: str) -> frozenset[str]:
    """The instances that get requests, by haproxy's answer to `show stat` (server names are <instance>_<port>)."""
    rows = csv.DictReader(io.StringIO(statistics.lstrip("# ")))
    return frozenset(str(row["svname"]).rpartition("_")[0] for row in rows
                     if str(row["svname"]).startswith("i-") and not str(row["status"]).startswith("MAINT"))


@dataclass
class _Containers:
    """The running containers of one host, as its engine tells of them."""

    names: set[str] = field(default_factory=set)

    def take(self, line: str) -> None:
        kind, _, name = line.strip().partition(" ")
        if kind in ("start", "there"):
            self.names.add(name)
        elif kind == "die":
            self.names.discard(name)


class Sampler:
    """Samples in the background between `start` and `stop`. `engine` is a client of this machine's Docker, `name` the local AWS's."""

    def __init__(self, engine: Any, name: str, hosts: Sequence[Host], service: str) -> None:
        self.hosts, self._engine, self._service = list(hosts), engine, service
        self._containers = {host.instance: _Containers() for host in hosts}
        self._balancers = [container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
                           for container in engine.containers.list(filters={"label": f"handsoff.local={name}"}, ignore_removed=True)
                           if container.name.startswith("localaws-elb-")]
        self._samples: list[Sample] = []
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Sampler:
        for host in self.hosts:
            threading.Thread(target=self._listen, args=(host.instance,), name=f"events of {host.instance}", daemon=True).start()
        deadline = time.monotonic() + 30
        while not all(one.names for one in self._containers.values()):
            if time.monotonic() > deadline:
                raise AssertionError(f"no container of {self._service} runs on {[i for i, one in self._containers.items() if not one.names]}")
            time.sleep(0.1)
        self._threads = [threading.Thread(target=self._sample, name="sampler", daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout=10)
        for host in self.hosts:
            self._exec(host.instance, "kill $(cat /run/sampler.pid) 2>/dev/null; rm -f /run/sampler.pid", detach=True)

    @property
    def samples(self) -> list[Sample]:
        """What was seen so far, oldest first."""
        return list(self._samples)

    def _exec(self, instance: str, script: str, detach: bool = False) -> Any:
        api = self._engine.api
        made = api.exec_create(f"localaws-{instance}", ["sh", "-c", script])["Id"]
        return api.exec_start(made, detach=True) if detach else api.exec_start(made, stream=True)

    def _listen(self, instance: str) -> None:
        """Follow one host; on a busy machine a connection to its engine may break, and is made anew."""
        while not self._stopped.is_set():
            try:
                self._follow(instance)
            except Exception as error:
                print(f"the sampler lost {instance}: {type(error).__name__}: {error}")
            self._stopped.wait(0.2)

    def _follow(self, instance: str) -> None:
        """First what runs, then every change since before that was asked; the filter's pattern is the container's whole name."""
        filters = f"--filter container={self._service} --filter event=start --filter event=die"
        script = (f"since=$(date +%s); docker ps --filter name=^/{self._service}$ --format 'there {{{{.Names}}}}'; echo $$ > /run/sampler.pid; "
                  f"exec timeout {_LONGEST_SECONDS} docker events --since $since {filters} --format '{{{{.Status}}}} {{{{.Actor.Attributes.name}}}}'")
        rest = ""
        for piece in self._exec(instance, script):
            *lines, rest = (rest + piece.decode(errors="replace")).split("\n")
            for line in lines:
                self._containers[instance].take(line)

    def _sample(self) -> None:
        due = time.monotonic()
        while not self._stopped.is_set():
            began = time.time()
            serves: set[str] = set()
            for address in self._balancers:
                serves |= serving(ask(address, "show stat"))
            runs = frozenset(instance for instance, one in self._containers.items() if one.names)
            self._samples.append(Sample(began, frozenset(serves), runs))
            due = max(due + INTERVAL_SECONDS, time.monotonic())
            self._stopped.wait(max(0.0, due - time.monotonic()))


def ask(address: str, command: str) -> str:
    """A balancer's answer to one command. Raises OSError."""
    with socket.create_connection((address, _ADMIN_PORT), timeout=5) as connection:
        connection.sendall(command.encode() + b"\n")
        pieces = []
        while piece := connection.recv(65536):
            pieces.append(piece)
    return b"".join(pieces).decode(errors="replace")
