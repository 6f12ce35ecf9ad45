"""Which hosts run which release, over time, from what deployments did on each of them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scripts.reporting.values import Deployment, Environment, Scope

NONE = ""
"""The release of a host on which a deployment failed: none that can be relied on."""


@dataclass(frozen=True)
class Step:
    """From `at` on so many hosts run each commit."""

    at: float
    counts: Mapping[str, int]


def of_environment(environment: Environment, since: float) -> tuple[Step, ...]:
    """All hosts of an environment."""
    return steps([scope for place in environment.places for scope in place.scopes], since)


def running(scope: Scope, since: float) -> Mapping[str, int]:
    """What a scope's hosts run at the end of the period."""
    found = steps([scope], since)
    return found[-1].counts if found else {}


def steps(scopes: Iterable[Scope], since: float) -> tuple[Step, ...]:
    """The hosts' releases at `since` and after each change; empty where no host was ever deployed to.

    A host counts from the end of its first deployment, and no more once a deployment over the whole group has left it out: CodeDeploy says nothing
    else of a host that is gone.
    """
    changes: list[tuple[float, int, str, str | None]] = []
    for index, scope in enumerate(scopes):
        known: set[str] = set()
        for deployment in ((scope.before,) if scope.before else ()) + scope.deployments:
            changes += [(at, index, host, commit) for at, host, commit in _of(deployment, known, since)]
    runs: dict[tuple[int, str], str] = {}
    found: list[Step] = []
    for at, index, host, commit in sorted(changes, key=lambda change: change[0]):
        if commit is None:
            runs.pop((index, host), None)
        else:
            runs[index, host] = commit
        counts = dict(Counter(runs.values()))
        if found and found[-1].at == max(at, since):
            found[-1] = Step(found[-1].at, counts)
        elif not found or found[-1].counts != counts:
            found.append(Step(max(at, since), counts))
    return tuple(found)


def _of(deployment: Deployment, known: set[str], since: float) -> Iterable[tuple[float, str, str | None]]:
    """What a deployment changed: (when, host, its commit now; None: it is gone). `known` are the group's hosts before, and after."""
    there = {host.id for host in deployment.hosts}
    if deployment.whole and there:
        for gone in known - there:
            yield deployment.created, gone, None
        known &= there
    for host in deployment.hosts:
        if host.at is not None and host.status == "Succeeded":
            known.add(host.id)
            yield host.at, host.id, deployment.commit
        elif host.at is not None and host.status == "Failed":
            known.add(host.id)
            yield host.at, host.id, NONE
