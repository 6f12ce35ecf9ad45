"""What goes on behind elbv2's records: balancers that follow them, health checks, drains, and the metrics of the requests."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from localaws.elbv2 import driver, engine, proxy
from localaws.elbv2.driver import Balancer, BalancerError
from localaws.elbv2.records import Records, backend_dimension, backend_name, dimension, server_name, weights

log = logging.getLogger("localaws.elbv2")

NAMESPACE = "AWS/ApplicationELB"
HOST_COUNT_SECONDS = 10.0
COME_BACK_SECONDS = 60.0
"""How long a start waits for targets that were healthy when the local AWS stopped."""
FIRST_PORT = 8800
"""Listeners are published on 127.0.0.1 from this port on; a load balancer keeps its ports for life."""

Lock = Any
"""The service's re-entrant lock, which guards the records."""


class Balancing:
    """Runs an haproxy for each load balancer of `records`. Methods that change it are called without the lock held."""

    def __init__(self, aws: Any, records: Records, lock: Lock) -> None:
        self.aws, self.records, self.lock = aws, records, lock
        self.balancers: dict[str, Balancer] = {}
        self.tallies: dict[str, tuple[str, proxy.Tally]] = {}
        """(load balancer ARN, samples since the last flush) by the balancer's address on the hosts' network."""
        self._tally_lock = threading.Lock()
        self._receiver: driver.Receiver | None = None
        self._probes = ThreadPoolExecutor(max_workers=16, thread_name_prefix="elbv2 check")
        self._probing: set[tuple[str, str]] = set()
        self._stale: set[str] = set()

    def start(self) -> None:
        """Listen for requests' logs, start a balancer for each load balancer of the kept state, and begin to check targets.

        No balancer before its targets answer again: that they were stopped with the local AWS is no fault that an alarm may see.
        """
        self._receiver = driver.Receiver(self.aws.network.gateway, self.take)
        with self.lock:
            arns = [arn for arn, _ in self.records.all("load_balancers")]
            were_healthy = [(dict(target), engine.check_of(record["description"])) for group, record in self.records.all("target_groups")
                            if self.records.balancers_of(group) for target in record["targets"].values() if target["state"] == "healthy"]
        until = time.monotonic() + COME_BACK_SECONDS
        list(self._probes.map(lambda one: self._come_back(one[0], one[1], until), were_healthy))
        list(self._probes.map(self._begin, arns))
        self.aws.every(0.5, "elbv2 health checks", self.tick)
        self.aws.every(2.0, "elbv2 measurements", self.flush)
        self.aws.every(HOST_COUNT_SECONDS, "elbv2 host counts", self.count_hosts)

    def _come_back(self, target: engine.Target, check: engine.Check, until: float) -> None:
        while not (target["address"] and engine.passes(check, driver.probe(target["address"], target["port"], check))):
            if time.monotonic() >= until:
                log.warning("target %s does not answer any more", target["id"])
                return
            time.sleep(0.5)

    def stop(self) -> None:
        """Remove the balancers; the next start makes them again on the same ports."""
        self.flush()
        self._probes.shutdown(wait=False, cancel_futures=True)
        for balancer in list(self.balancers.values()):
            balancer.remove()
        if self._receiver:
            self._receiver.close()

    # -- the balancers -----------------------------------------------------------------------------------------------------

    def new_ports(self) -> list[int]:
        """Return free ports of 127.0.0.1 that no load balancer has. Called with the lock held."""
        taken = {port for _, record in self.records.all("load_balancers") for port in record["ports"]}
        return driver.free_ports(len(proxy.PUBLISHED_PORTS), FIRST_PORT, taken)

    def begin(self, arn: str) -> None:
        """Start the load balancer's haproxy on a thread of its own; its State tells how that went."""
        self.aws.spawn(f"start {arn}", lambda: self._begin(arn))

    def _begin(self, arn: str) -> None:
        with self.lock:
            record = self.records.of(arn)["load_balancers"].get(arn)
            if record is None or self._receiver is None:
                return
            ports = list(record["ports"])
        try:
            balancer = Balancer(self.aws.docker, self.aws.services["hosts"].image(), f"localaws-elb-{arn.rsplit('/', 1)[1]}",
                                self.aws.network.name, f"{self.aws.network.gateway}:{self._receiver.port}", self.aws.labels)
            try:
                balancer.start(ports, self.plan(arn))
            except BalancerError as error:
                if "port is already allocated" not in str(error) and "address already in use" not in str(error):
                    raise
                log.warning("load balancer %s: its ports %s are taken by somebody else, it gets new ones", arn, ports)
                with self.lock:
                    record["ports"] = ports = self.new_ports()
                balancer.start(ports, self.plan(arn))
        except Exception as error:
            log.exception("load balancer %s does not start", arn)
            with self.lock:
                record["description"]["State"] = {"Code": "failed", "Reason": str(error)}
            return
        with self.lock:
            gone = arn not in self.records.of(arn)["load_balancers"]
            if not gone:
                self.balancers[arn] = balancer
                record["description"]["State"] = {"Code": "active"}
                with self._tally_lock:
                    self.tallies[balancer.inside] = (arn, proxy.Tally())
        if gone:
            balancer.remove()
        else:
            self.sync(arn)  # what changed while it started

    def end(self, arn: str) -> None:
        """Remove the balancer of a load balancer that was deleted."""
        balancer = self.balancers.pop(arn, None)
        if balancer is not None:
            self.flush()
            with self._tally_lock:
                self.tallies.pop(balancer.inside, None)
            balancer.remove()

    def plan(self, arn: str) -> proxy.Plan:
        """Return what the load balancer's haproxy is to do now."""
        with self.lock:
            tables = self.records.of(arn)
            record = tables["load_balancers"].get(arn)
            if record is None:
                return proxy.Plan()
            frontends, groups = [], {}
            for listener in self.records.listeners_of(arn):
                description = listener["description"]
                frontends.append(proxy.Frontend(description["Port"], proxy.PUBLISHED_PORTS[listener["slot"]],
                                                _action(description["DefaultActions"][0])))
                for group, _ in weights(description["DefaultActions"]):
                    groups[group] = tables["target_groups"][group]
            backends = []
            for group, held in sorted(groups.items()):
                serving = engine.serving(held["targets"])
                servers = tuple(proxy.Server(server_name(target), target["address"], target["port"], key in serving)
                                for key, target in sorted(held["targets"].items()) if target["address"])
                least = held["attributes"]["load_balancing.algorithm.type"] == "least_outstanding_requests"
                backends.append(proxy.Backend(backend_name(group), servers, "leastconn" if least else "roundrobin"))
            return proxy.Plan(tuple(frontends), tuple(backends), int(record["attributes"]["idle_timeout.timeout_seconds"]))

    def sync(self, arn: str) -> None:
        """Make the balancer do what the records say; what fails is tried again at the next tick."""
        balancer = self.balancers.get(arn)
        if balancer is None:
            return
        try:
            balancer.apply_latest(lambda: self.plan(arn))
            self._stale.discard(arn)
        except (BalancerError, OSError) as error:
            log.warning("load balancer %s: %s (trying again)", arn, error)
            self._stale.add(arn)

    def sync_group(self, group: str) -> None:
        """`sync` of every load balancer that forwards to the target group."""
        with self.lock:
            balancers = self.records.balancers_of(group)
        for arn in balancers:
            self.sync(arn)

    # -- health ------------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Begin the checks that are due, end the drains that are over, carry out what failed before."""
        now = self.aws.clock.now()
        for arn in list(self._stale):
            self.sync(arn)
        over = []
        with self.lock:
            for group, record in self.records.all("target_groups"):
                in_use = bool(self.records.balancers_of(group))
                check = engine.check_of(record["description"])
                for key, target in record["targets"].items():
                    if engine.drained(target, now):
                        over.append((group, key, target))
                    elif in_use and engine.due(target, now) and (group, key) not in self._probing and target["address"]:
                        target["next_check"] = now + check.interval
                        self._probing.add((group, key))
                        self._probes.submit(self._probe, group, key, dict(target), check)
        for group, key, target in over:
            self._end_drain(group, key, target)

    def _probe(self, group: str, key: str, target: engine.Target, check: engine.Check) -> None:
        try:
            result = driver.probe(target["address"], target["port"], check)
            changed = False
            with self.lock:
                targets = self.records.targets(group)
                # Only the registration that was checked: it may have been deregistered, or registered anew, meanwhile.
                if key in targets and targets[key]["registered"] == target["registered"] and targets[key]["address"] == target["address"]:
                    before = engine.serving(targets)
                    after = engine.observe(targets[key], check, result)
                    if after["state"] != targets[key]["state"]:
                        log.info("target %s of %s: %s -> %s %s", key, group.split("/")[1], targets[key]["state"], after["state"],
                                 after["reason"])
                    targets[key] = after
                    changed = engine.serving(targets) != before
            if changed:
                self.sync_group(group)
        except Exception:
            log.exception("health check of %s", key)
        finally:
            self._probing.discard((group, key))

    def _end_drain(self, group: str, key: str, target: engine.Target) -> None:
        """End what is still in flight to a target whose deregistration delay is over, and forget it."""
        def same() -> bool:
            return bool(self.records.targets(group).get(key, {}).get("drain_until") == target["drain_until"])

        with self.lock:
            if not same():
                return
            balancers = self.records.balancers_of(group)
        for balancer in [self.balancers[arn] for arn in balancers if arn in self.balancers]:
            try:
                balancer.cut(backend_name(group), server_name(target))
            except (BalancerError, OSError) as error:
                log.warning("target %s: %s", key, error)
        with self.lock:
            if same():
                del self.records.targets(group)[key]
        self.sync_group(group)

    # -- measurements ------------------------------------------------------------------------------------------------------

    def take(self, sender: str, line: bytes) -> None:
        """Count one line of a balancer's request log."""
        entry = proxy.parse_line(line)
        if entry is None:
            return
        measured = proxy.measure(entry)
        with self._tally_lock:
            if sender in self.tallies:
                self.tallies[sender][1].add(measured)

    def flush(self) -> None:
        """Hand the samples since the last flush to CloudWatch; without requests there are none."""
        with self._tally_lock:
            taken = [(arn, tally) for arn, tally in self.tallies.values() if tally.samples]
            self.tallies = {sender: (arn, proxy.Tally()) for sender, (arn, _) in self.tallies.items()}
        now = self.aws.clock.now()
        for arn, tally in taken:
            together: dict[tuple[str, str], list[float]] = {}
            for (metric, unit, backend), values in tally.samples.items():
                together.setdefault((metric, unit), []).extend(values)
                if backend:
                    self._record(arn, metric, {"LoadBalancer": dimension(arn), "TargetGroup": backend_dimension(backend)}, now, values, unit)
            for (metric, unit), values in together.items():
                self._record(arn, metric, {"LoadBalancer": dimension(arn)}, now, values, unit)

    def count_hosts(self) -> None:
        """HealthyHostCount and UnHealthyHostCount of each target group that is in use."""
        now = self.aws.clock.now()
        with self.lock:
            counts = [(arn, group, [target["state"] for target in record["targets"].values()])
                      for group, record in self.records.all("target_groups") for arn in self.records.balancers_of(group)]
        for arn, group, states in counts:
            dimensions = {"LoadBalancer": dimension(arn), "TargetGroup": dimension(group)}
            self._record(arn, "HealthyHostCount", dimensions, now, [float(states.count("healthy"))], "Count")
            self._record(arn, "UnHealthyHostCount", dimensions, now, [float(states.count("unhealthy"))], "Count")

    def _record(self, arn: str, metric: str, dimensions: dict[str, str], now: float, values: list[float], unit: str) -> None:
        self.aws.services["cloudwatch"].record(arn.split(":")[4], arn.split(":")[3], NAMESPACE, metric, dimensions, now, values, unit)


def _action(action: dict[str, Any]) -> dict[str, Any]:
    """A listener's action as `proxy.Frontend` takes it."""
    if action["Type"] == "fixed-response":
        config = action["FixedResponseConfig"]
        return {"type": "fixed-response", "status": config["StatusCode"], "content_type": config.get("ContentType", "text/plain"),
                "body": config.get("MessageBody", "")}
    if action["Type"] == "redirect":
        return {"type": "redirect", "config": action["RedirectConfig"], "code": action["RedirectConfig"]["StatusCode"].split("_")[1]}
    return {"type": "forward", "weights": [[backend_name(group), weight] for group, weight in weights([action])]}
