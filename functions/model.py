"""What the functions talk about, as plain values: deployments and groups, executions and actions, the ledger's records. Times are epoch seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Location = Mapping[str, str]
"""CodeDeploy's s3Location: bucket, key, bundleType, and version and eTag where they are known."""

IN_FLIGHT = ("Created", "Queued", "InProgress", "Baking", "Ready")
SINGLE_HOST_CREATORS = ("autoscaling", "autoscalingTermination", "CodeDeployAutoUpdate")
"""Deployments by these do not go over a whole group, so they do not say what the group runs."""


@dataclass(frozen=True)
class Deployment:
    """A deployment as CodeDeploy answers it, with the commit that its revision's release.json names (None: the bundle names none).

    `hosts` is over how many it goes, 0 where CodeDeploy does not say.
    """

    id: str
    status: str
    commit: str | None
    location: Location | None = None
    configuration: str = ""
    description: str = ""
    creator: str = "user"
    error: str | None = None
    message: str = ""
    created: float = 0.0
    ended: float | None = None
    failed_targets: tuple[str, ...] = ()
    hosts: int = 0

    @property
    def in_flight(self) -> bool:
        """Whether it is not at its end."""
        return self.status in IN_FLIGHT

    @property
    def whole(self) -> bool:
        """Whether it goes over the group, and not over hosts that Auto Scaling just made."""
        return self.creator not in SINGLE_HOST_CREATORS


@dataclass(frozen=True)
class Group:
    """A deployment group: what is in flight, what was last attempted over the whole group (at its end), and what last succeeded."""

    environment: str
    region: str
    scope: str
    application: str
    name: str
    in_flight: tuple[Deployment, ...] = ()
    last_attempted: Deployment | None = None
    last_successful: Deployment | None = None
    attempts: tuple[Deployment, ...] = ()
    """The rollback's own deployments that are at their end, newest first; filled while one is going on."""
    configurations: tuple[str, str, str] = ("", "", "")
    """Names of the deployment configurations of a way back: a third, a half, all at once."""

    @property
    def place(self) -> str:
        """`<environment>/<Region>/<scope>`, as the ledger names revisions."""
        return f"{self.environment}/{self.region}/{self.scope}"


@dataclass(frozen=True)
class Silent:
    """A Region of an environment that did not answer, and why."""

    environment: str
    region: str
    reason: str


@dataclass(frozen=True)
class Firing:
    """An alarm in ALARM, and since when."""

    name: str
    composite: bool
    since: float


@dataclass(frozen=True)
class Execution:
    """A pipeline execution: CodePipeline's status and the commit it carries."""

    id: str
    status: str
    commit: str | None
    started: float = 0.0
    updated: float = 0.0
    stop_reason: str = ""


@dataclass(frozen=True)
class Action:
    """An action execution. `external` is the deployment, build or job that it began, if it got so far."""

    id: str
    stage: str
    name: str
    status: str
    provider: str
    category: str = ""
    external: str | None = None
    message: str = ""
    started: float = 0.0
    updated: float = 0.0


@dataclass(frozen=True)
class Transition:
    """A stage's inbound transition."""

    enabled: bool
    reason: str = ""
    by: str = ""


@dataclass(frozen=True)
class Block:
    """Why an environment takes no releases. `rollback` is the id of the rollback that set it; None: by hand, a freeze."""

    reason: str
    by: str
    at: int
    rollback: str | None = None


@dataclass(frozen=True)
class Rollback:
    """A rollback that is going on. `paged` is {thing: {"claimed": time, "sent": bool}}."""

    id: str
    bad: str | None
    to: str | None
    reason: str
    by: str
    began: int
    alarm: str | None = None
    paged: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Override:
    """A release that may enter in spite of window and alarms (not of a block)."""

    reason: str
    by: str
    at: int
    commit: str | None = None
    execution: str | None = None


@dataclass(frozen=True)
class Environment:
    """The ledger's record of an environment. Version 0: not yet written."""

    name: str
    desired: str | None = None
    last_good: str | None = None
    last_good_at: int | None = None
    goods: tuple[str, ...] = ()
    """Releases that were last good, newest first: what to fall back to when the last one proves bad."""
    blocked: Block | None = None
    rollback: Rollback | None = None
    override: Override | None = None
    judged: tuple[str, ...] = ()
    """`<execution id>/<action execution id, or status>` of failures that were dealt with, newest first."""
    paged: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Like a rollback's, for things outside of one."""
    silent: Mapping[str, int] = field(default_factory=dict)
    """Since when a Region has not answered."""
    since: int | None = None
    """When the record was made: executions that failed before are history."""
    version: int = 0


@dataclass(frozen=True)
class Bad:
    """Why and where a release was found bad."""

    reason: str
    where: str
    at: int


@dataclass(frozen=True)
class Release:
    """The ledger's record of a release: stages whose gate it passed (and when), and its bundle per `<environment>/<Region>/<scope>`."""

    commit: str
    bad: Bad | None = None
    passed: Mapping[str, int] = field(default_factory=dict)
    revisions: Mapping[str, Location] = field(default_factory=dict)
    first_seen: int | None = None
    superseded: bool = False
    version: int = 0
