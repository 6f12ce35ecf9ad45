"""All that was found about one failure, as plain values. Times are epoch seconds; what AWS did not say is "" or None; lists are in order of time.

Readers of this folder fill it in with a bounded number of calls; the causes of scripts/causes/ look at it and call nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Event:
    """A lifecycle event on an instance. `code` is CodeDeploy's Diagnostics.errorCode (ScriptFailed, ScriptTimedOut, …), `log` its logTail."""

    name: str
    status: str
    started: float | None = None
    ended: float | None = None
    code: str = ""
    script: str = ""
    message: str = ""
    log: str = ""


@dataclass(frozen=True)
class Instance:
    """What EC2, Auto Scaling and Systems Manager say of an instance; "" or None where nobody was asked, or could answer.

    `state` and `tags` are EC2's ("gone": EC2 has forgotten it), `lifecycle` and `health` Auto Scaling's, `ssm_ping` (Online, ConnectionLost, Inactive)
    and `agent_package` (the association that installs the agent: Success, Failed, Pending) Systems Manager's; "none": it knows no such instance, or no such
    association. `ran_before` is an earlier deployment that succeeded on it.
    """

    id: str
    state: str = ""
    lifecycle: str = ""
    health: str = ""
    group: str = ""
    launched: float | None = None
    profile: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    ssm_ping: str = ""
    agent_package: str = ""
    ran_before: str = ""


@dataclass(frozen=True)
class Target:
    """An instance of a deployment, with the events that ran on it."""

    id: str
    status: str
    zone: str = ""
    events: tuple[Event, ...] = ()
    instance: Instance | None = None

    @property
    def failed_event(self) -> Event | None:
        """The first event that failed."""
        return next((event for event in self.events if event.status == "Failed"), None)


@dataclass(frozen=True)
class Bundle:
    """A revision's archive, as far as it could be read. `note` says why it could not. `modes` are Unix permission bits by file name (0: not recorded).

    `missing`: S3 has no such object. `appspec_problem` is why appspec.yml cannot be read. `texts` holds its text and that of the files it names as hooks;
    `hooks` is {lifecycle event: [(location, timeout seconds, runas)]}.
    """

    location: str
    commit: str = ""
    digest: str = ""
    files: tuple[str, ...] = ()
    modes: Mapping[str, int] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    hooks: Mapping[str, tuple[tuple[str, int | None, str], ...]] = field(default_factory=dict)
    size: int = 0
    note: str = ""
    missing: bool = False
    appspec_problem: str = ""


@dataclass(frozen=True)
class TargetHealth:
    """A target of a target group, as ELB describes it."""

    id: str
    state: str
    reason: str = ""
    description: str = ""


@dataclass(frozen=True)
class TargetGroup:
    """A target group behind a deployment group, with its health check. `port` is where requests go, `check_port` where checks go ("traffic-port" too)."""

    name: str
    protocol: str = ""
    port: int = 0
    check_protocol: str = ""
    check_port: str = ""
    check_path: str = ""
    check_matcher: str = ""
    check_interval: int = 0
    healthy_threshold: int = 0
    targets: tuple[TargetHealth, ...] = ()
    deregistration_seconds: int | None = None


@dataclass(frozen=True)
class Activity:
    """A scaling activity that did not succeed."""

    at: float
    status: str
    description: str
    message: str


@dataclass(frozen=True)
class Group:
    """A deployment group as it is now. `missing`: it, or its application, is gone. `role_problem`: why its service role is of no use, where that was seen.

    `hooks` are the lifecycle hooks on its Auto Scaling groups, `leftover_hooks` those of CodeDeploy that no deployment group answers any more,
    `members` counts their instances by lifecycle state, `activities` are launches that failed there lately.
    """

    name: str
    role: str = ""
    role_problem: str = ""
    scaling_groups: tuple[str, ...] = ()
    missing_scaling_groups: tuple[str, ...] = ()
    desired_instances: int | None = None
    members: Mapping[str, int] = field(default_factory=dict)
    hooks: tuple[str, ...] = ()
    leftover_hooks: tuple[str, ...] = ()
    activities: tuple[Activity, ...] = ()
    tag_filters: tuple[str, ...] = ()
    outdated_strategy: str = ""
    alarms: tuple[str, ...] = ()
    alarms_enabled: bool = False
    target_groups: tuple[TargetGroup, ...] = ()
    last_successful: str = ""
    last_attempted: str = ""
    missing: bool = False


@dataclass(frozen=True)
class Beside:
    """Another deployment of the group that was under way meanwhile, or came after. `revision` is s3://bucket/key."""

    id: str
    creator: str
    status: str = ""
    created: float = 0.0
    revision: str = ""
    code: str = ""
    message: str = ""

    def __str__(self) -> str:
        return f"{self.id}: {self.creator}"


@dataclass(frozen=True)
class Function:
    """The Lambda alias of a deployment. `routing` is {version: weight} as the alias is now, the main version with what is left."""

    name: str
    alias: str
    current: str = ""
    target: str = ""
    routing: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Deployment:
    """A CodeDeploy deployment. `minimum` is its configuration's minimum of healthy hosts: (HOST_COUNT|FLEET_PERCENT, value).

    `overview` counts instances by status. `targets` are the ones read (failed ones first where there are many); `targets_total` is how many there are.
    `previous` is the revision whose hooks ApplicationStop and the block events run. `platform` is Server or Lambda. `beside` are deployments of the same
    group that were under way meanwhile or came right after. `revision` is s3://bucket/key.
    """

    id: str
    region: str
    application: str
    group: str
    scope: str
    status: str
    creator: str = "user"
    created: float = 0.0
    started: float | None = None
    ended: float | None = None
    code: str = ""
    message: str = ""
    description: str = ""
    configuration: str = ""
    minimum: tuple[str, int] | None = None
    zonal: bool = False
    platform: str = "Server"
    overview: Mapping[str, int] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()
    targets_total: int = 0
    bundle: Bundle | None = None
    previous: Bundle | None = None
    rollback_of: str = ""
    rollback_message: str = ""
    settings: Group | None = None
    beside: tuple[Beside, ...] = ()
    commit: str = ""
    revision: str = ""
    function: Function | None = None

    @property
    def where(self) -> str:
        """`<Region>/<scope>`."""
        return f"{self.region}/{self.scope or self.group}"


@dataclass(frozen=True)
class Phase:
    """A phase of a build; `code` and `message` are of its first context (COMMAND_EXECUTION_ERROR, …)."""

    name: str
    status: str
    seconds: float = 0.0
    code: str = ""
    message: str = ""


@dataclass(frozen=True)
class Build:
    """A CodeBuild build. `log` is the end of its log, line by line, oldest first; `log_note` says why there is none.

    `buildspec` is the file's path ("" where it is part of the project), `key` what its artifacts are encrypted with; *_minutes are its limits.
    """

    id: str
    project: str
    region: str
    status: str
    started: float | None = None
    ended: float | None = None
    phases: tuple[Phase, ...] = ()
    log: tuple[str, ...] = ()
    log_note: str = ""
    log_link: str = ""
    image: str = ""
    role: str = ""
    timeout_minutes: int = 0
    queued_minutes: int = 0
    privileged: bool = False
    buildspec: str = ""
    key: str = ""

    @property
    def failed_phase(self) -> Phase | None:
        """The first phase that did not succeed."""
        return next((phase for phase in self.phases if phase.status not in ("SUCCEEDED", "", "IN_PROGRESS")), None)


@dataclass(frozen=True)
class Alarm:
    """An alarm. `exists` is False for one that something names and that is not there. `fired` are the moments at which it went to ALARM, oldest first.

    `points` are (time, value) of its metric or expression around that; `children` the alarms under a composite that are or were in ALARM.
    `states` are (time, state that it went to), oldest first; the first, at 0, is the one before. `proof` are the data points by which CloudWatch itself
    says that it fired. `metrics` are (namespace, name) of what it is made of, `dimensions` theirs together, and `parts` their data points by name.
    `judged` is what must hold: (data points that breach, of how many); `period` is seconds. `notes` is what else could be read of what it watches.
    """

    name: str
    region: str
    exists: bool = True
    composite: bool = False
    state: str = ""
    reason: str = ""
    since: float | None = None
    fired: tuple[float, ...] = ()
    description: str = ""
    comparison: str = ""
    threshold: float | None = None
    label: str = ""
    points: tuple[tuple[float, float], ...] = ()
    children: tuple[str, ...] = ()
    states: tuple[tuple[float, str], ...] = ()
    proof: tuple[tuple[float, float], ...] = ()
    metrics: tuple[tuple[str, str], ...] = ()
    dimensions: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    judged: tuple[int, int] = (0, 0)
    period: int = 60
    treats_missing: str = ""
    notes: tuple[str, ...] = ()

    def state_at(self, moment: float) -> str:
        """The state that it was in at a moment; "" where that is not known."""
        known = self.states or (((self.since, self.state),) if self.since is not None else ())
        return next((state for at, state in reversed(known) if at <= moment), "")


@dataclass(frozen=True)
class StackEvent:
    """An event of a resource. `path` names the stack and its nested ones, outermost first."""

    at: float
    path: tuple[str, ...]
    logical_id: str
    type: str
    physical_id: str
    status: str
    reason: str = ""


@dataclass(frozen=True)
class Stack:
    """A stack with a failed operation: create, update, delete, import, or "change set" where one could not be made.

    `failures` are its FAILED events and its nested stacks', oldest first, without those that only followed from another: the first is the cause. A rollback
    that no resource caused is one of them, as an event of the stack itself. `triggers` are names of the alarms that may roll it back, `role` its service role.
    """

    name: str
    region: str
    status: str
    reason: str = ""
    began: float | None = None
    ended: float | None = None
    operation: str = ""
    failures: tuple[StackEvent, ...] = ()
    triggers: tuple[str, ...] = ()
    role: str = ""


@dataclass(frozen=True)
class Action:
    """An action execution of the pipeline. `provider` is CodeDeploy, CodeBuild, Lambda, CodeStarSourceConnection, …; `external` what it began.

    `environment` is which one it acts on ("" for source and build); `seconds` how long it took.
    """

    stage: str
    name: str
    status: str
    provider: str
    region: str = ""
    environment: str = ""
    external: str = ""
    code: str = ""
    message: str = ""
    started: float = 0.0
    ended: float | None = None
    configuration: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Execution:
    """A pipeline execution. `superseded_by` names the one that took its place; `stop_reason` is who stopped it and why; `by` what triggered it."""

    id: str
    status: str
    commit: str = ""
    summary: str = ""
    started: float | None = None
    ended: float | None = None
    superseded_by: str = ""
    stop_reason: str = ""
    by: str = ""


@dataclass(frozen=True)
class Hold:
    """Something that keeps releases from going on and is no failure. `kind`: block, freeze, window, door, rollback, transition, condition, connection.

    `waiting` are the executions that wait for it.
    """

    kind: str
    where: str
    reason: str
    since: float | None = None
    by: str = ""
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True)
class Connection:
    """The source's connection and repository. `problem` is what the source action or the service said about it."""

    arn: str = ""
    status: str = ""
    provider: str = ""
    repository: str = ""
    branch: str = ""


@dataclass(frozen=True)
class Unreadable:
    """What could not be read, and why; `permission` is the IAM action that is missing, where it is one."""

    what: str
    why: str
    permission: str = ""


@dataclass(frozen=True)
class Case:
    """What `why` knows. `about` says what was asked: execution, deployment, stack, or nothing (nothing is failing).

    `execution` is the failed one (or the newest, where nothing fails), with its failed actions; `deployments`, `builds`, `alarms` and `stacks` are what
    they lead to. `ledger` is the environment's record as the functions keep it, `release` that of the execution's release, `log` the newest entries of
    the environment's log (newest first).
    `running` says what is under way now: not failing, not over; of an execution that did not fail, `actions` are then those under way.
    `environment` is the one in which it is, for commands; `asked` the one that was asked about, where that is another.
    `also` names further things that failed, at another time or one too many, and are not looked into here.
    """

    environment: str
    service: str
    about: str
    now: float
    subject: str = ""
    region: str = ""
    execution: Execution | None = None
    actions: tuple[Action, ...] = ()
    builds: tuple[Build, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    stacks: tuple[Stack, ...] = ()
    holds: tuple[Hold, ...] = ()
    connection: Connection | None = None
    ledger: Mapping[str, object] | None = None
    release: Mapping[str, object] | None = None
    log: tuple[Mapping[str, object], ...] = ()
    running: str = ""
    also: tuple[str, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    asked: str = ""

    def alarm(self, name: str) -> Alarm | None:
        """An alarm by its name."""
        return next((alarm for alarm in self.alarms if alarm.name == name), None)
