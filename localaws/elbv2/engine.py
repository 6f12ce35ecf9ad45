"""Target health as a state machine over plain dicts and a time that is passed in.

Source: "Health checks for Application Load Balancer target groups", "Edit target group attributes" (deregistration delay) and
TargetHealth in the API reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Target = dict[str, Any]
"""{id, port, zone, address, state, reason, codes, successes, failures, registered, next_check, drain_until}; state is initial, healthy, unhealthy
or draining; times are epoch seconds; `drain_until` is None unless draining."""

FAILED, MISMATCH, TIMEOUT = "Target.FailedHealthChecks", "Target.ResponseCodeMismatch", "Target.Timeout"

_DESCRIPTIONS = {
    "Elb.RegistrationInProgress": "Target registration is in progress",
    "Elb.InitialHealthChecking": "Initial health checks in progress",
    FAILED: "Health checks failed",
    TIMEOUT: "Request timed out",
    "Target.DeregistrationInProgress": "Target deregistration is in progress",
    "Target.NotRegistered": "Target is not registered to the target group",
    "Target.NotInUse": "Target group is not configured to receive traffic from the load balancer",
}


@dataclass(frozen=True)
class Check:
    """A target group's health check: seconds, counts, and the accepted codes as inclusive ranges."""

    interval: float
    timeout: float
    healthy: int
    unhealthy: int
    path: str
    port: str
    codes: tuple[tuple[int, int], ...]
    enabled: bool = True


@dataclass(frozen=True)
class Result:
    """What one check saw: a status code, or a failure without one (`timed_out` tells which)."""

    status: int | None = None
    timed_out: bool = False


def check_of(group: dict[str, Any]) -> Check:
    """Return the check of a target group's description (as DescribeTargetGroups answers it)."""
    return Check(group["HealthCheckIntervalSeconds"], group["HealthCheckTimeoutSeconds"], group["HealthyThresholdCount"],
                 group["UnhealthyThresholdCount"], group["HealthCheckPath"], group["HealthCheckPort"],
                 matcher(group["Matcher"]["HttpCode"]))


def matcher(text: str) -> tuple[tuple[int, int], ...]:
    """Return the inclusive ranges of a Matcher's HttpCode ("200", "200,202", "200-299"). Raises ValueError."""
    ranges = []
    for part in text.split(","):
        low, _, high = part.strip().partition("-")
        first, last = int(low), int(high or low)
        if not 200 <= first <= last <= 499:
            raise ValueError(text)
        ranges.append((first, last))
    return tuple(ranges)


def register(identity: str, port: int, zone: str | None, address: str, now: float) -> Target:
    """Return a target as it is just after RegisterTargets: its first check is due at once."""
    return {"id": identity, "port": port, "zone": zone, "address": address, "state": "initial", "reason": "Elb.InitialHealthChecking",
            "codes": [], "successes": 0, "failures": 0, "registered": now,
            "next_check": now, "drain_until": None}


def deregister(target: Target, delay: float, now: float) -> Target:
    """Return the target as it drains: no new requests; it shows as draining for the whole delay even when nothing is in flight."""
    return {**target, "state": "draining", "reason": "Target.DeregistrationInProgress", "drain_until": now + delay}


def drained(target: Target, now: float) -> bool:
    """Whether the target's deregistration delay is over."""
    return bool(target["state"] == "draining" and now >= target["drain_until"])


def due(target: Target, now: float) -> bool:
    """Whether a health check of the target is due."""
    return bool(target["state"] != "draining" and now >= target["next_check"])


def passes(check: Check, result: Result) -> bool:
    """Return whether a check saw what the matcher asks for."""
    return result.status is not None and any(low <= result.status <= high for low, high in check.codes)


def observe(target: Target, check: Check, result: Result) -> Target:
    """Return the target after one check: the first success makes a new target healthy; else thresholds of consecutive results count."""
    if target["state"] == "draining":
        return target
    if passes(check, result):
        successes = target["successes"] + 1
        if target["state"] == "initial" or (target["state"] == "unhealthy" and successes >= check.healthy):
            return {**target, "state": "healthy", "reason": "", "codes": [], "successes": successes, "failures": 0}
        return {**target, "successes": successes, "failures": 0}
    failures = target["failures"] + 1
    reason = TIMEOUT if result.timed_out else FAILED if result.status is None else MISMATCH
    after = {**target, "successes": 0, "failures": failures}
    if target["state"] == "unhealthy" or failures >= check.unhealthy:
        after |= {"state": "unhealthy", "reason": reason, "codes": [] if result.status is None else [result.status]}
    return after


def serving(targets: dict[str, Target]) -> set[str]:
    """Return the keys of the targets that get requests: the healthy ones; where all are unhealthy, all of those (AWS fails open)."""
    healthy = {key for key, target in targets.items() if target["state"] == "healthy"}
    return healthy or {key for key, target in targets.items() if target["state"] == "unhealthy"}


def health(target: Target, in_use: bool) -> dict[str, str]:
    """Return TargetHealth as DescribeTargetHealth answers it."""
    if target["state"] == "draining":
        return _health("draining", target["reason"])
    if not in_use:
        return _health("unused", "Target.NotInUse")
    if target["state"] == "healthy":
        return {"State": "healthy"}
    if target["reason"] == MISMATCH:
        codes = ", ".join(map(str, target["codes"]))
        return {"State": "unhealthy", "Reason": MISMATCH, "Description": f"Health checks failed with these codes: [{codes}]"}
    return _health(target["state"], target["reason"])


def not_registered() -> dict[str, str]:
    """Return TargetHealth of a target that is asked for by name but is not registered."""
    return _health("unused", "Target.NotRegistered")


def _health(state: str, reason: str) -> dict[str, str]:
    return {"State": state, "Reason": reason, "Description": _DESCRIPTIONS[reason]}
