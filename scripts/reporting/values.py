"""What a report is made of, as plain values. Times are epoch seconds, UTC; None is "not yet" or "not known"; lists are in order of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scripts.diagnosis.case import Unreadable

Points = tuple[tuple[float, float], ...]
"""(beginning of the period, value), in order of time."""


@dataclass(frozen=True)
class Host:
    """An instance that a deployment went to; `at` is when it was over there, `status` CodeDeploy's word."""

    id: str
    status: str
    at: float | None


@dataclass(frozen=True)
class Deployment:
    """A CodeDeploy deployment. `by` is CodeDeploy's creator, or `reconciler` for those of the rollback function."""

    id: str
    status: str
    by: str
    commit: str
    created: float
    ended: float | None = None
    code: str = ""
    message: str = ""
    hosts: tuple[Host, ...] = ()

    @property
    def is_rollback(self) -> bool:
        """Whether it takes a release back."""
        return self.by in ("codeDeployRollback", "reconciler")

    @property
    def whole(self) -> bool:
        """Whether it goes over the whole group, and not over hosts that Auto Scaling has just made."""
        return self.by not in ("autoscaling", "autoscalingTermination", "CodeDeployAutoUpdate")


@dataclass(frozen=True)
class Scope:
    """A deployment group. `before` is what last succeeded before the period; `left_out` counts older deployments of the period that are not shown."""

    name: str
    deployments: tuple[Deployment, ...] = ()
    before: Deployment | None = None
    left_out: int = 0


@dataclass(frozen=True)
class Span:
    """From when to when; None where it was so already, or is still."""

    begin: float | None
    end: float | None


@dataclass(frozen=True)
class Alarm:
    """A metric alarm: `label` says shortly which, `scope` whose ("" for the environment's own); `spans` are when it was in ALARM."""

    name: str
    label: str
    scope: str
    state: str
    threshold: float | None = None
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True)
class Traffic:
    """What the load balancer counted. `requests` a minute (all, and of each scope), `faults` in percent of requests, latency in seconds.

    `total` and `faulty` are the sums over the period; `refused` is the balancer's own share of faults, in percent.
    """

    requests: Points = ()
    by_scope: Mapping[str, Points] = field(default_factory=dict)
    faults: Mapping[str, Points] = field(default_factory=dict)
    refused: Points = ()
    p50: Points = ()
    p99: Points = ()
    total: int = 0
    faulty: int = 0


@dataclass(frozen=True)
class Place:
    """An environment in a Region."""

    region: str
    scopes: tuple[Scope, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    traffic: Traffic | None = None


@dataclass(frozen=True)
class Hold:
    """A time in which an environment was blocked, or taken back. `kind`: block, rollback."""

    kind: str
    span: Span
    text: str


@dataclass(frozen=True)
class Environment:
    """`last_good` and `desired` are commits, "" before the first; `blocked` is why nothing may enter now, `taking_back` why it is going back now."""

    name: str
    places: tuple[Place, ...] = ()
    last_good: str = ""
    desired: str = ""
    blocked: str = ""
    taking_back: str = ""
    holds: tuple[Hold, ...] = ()


@dataclass(frozen=True)
class StageRun:
    """An execution in a stage. `status`: Succeeded, Failed, Stopped, InProgress; `message` is that of its first failed action."""

    stage: str
    execution: str
    commit: str
    status: str
    began: float
    ended: float | None
    action: str = ""
    message: str = ""


@dataclass(frozen=True)
class Release:
    """An execution of the pipeline, with the commit that it brings; `bad` is why the ledger has the release as bad."""

    execution: str
    commit: str
    summary: str
    status: str
    started: float
    ended: float | None
    stages: tuple[StageRun, ...] = ()
    bad: str = ""

    @property
    def failed_stage(self) -> StageRun | None:
        """Where it failed or was stopped."""
        return next((run for run in reversed(self.stages) if run.status in ("Failed", "Stopped")), None)


@dataclass(frozen=True)
class Report:
    """All of it. `account` is its alias or id, "local AWS" on the local AWS. `stages` are the pipeline's, in its order; `period` the seconds of a point.

    `why` is the answer of `make why` as data, None where it was not asked.
    """

    service: str
    account: str
    regions: tuple[str, ...]
    since: float
    until: float
    made: float
    command: str = ""
    stages: tuple[str, ...] = ()
    releases: tuple[Release, ...] = ()
    releases_left_out: int = 0
    environments: tuple[Environment, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    notes: tuple[str, ...] = ()
    why: Mapping[str, Any] | None = None
    period: int = 60
