"""Whether a release may leave its stage: the decision of the gate, over facts that others have read. Pure: no calls, no clock.

The gate is asked again and again while a release bakes. Each time it answers one of three: *wait*, *pass*, *fail*. It passes only what it has seen to be
true just now: this release is what runs, nothing fired since it was deployed, enough requests came. Whatever it cannot see is never good news: it waits
for it, within bounds, and then fails. See `docs/decisions/0003-a-gate-of-our-own.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from model import Group

SILENCE_SECONDS = 300.0
"""How long a Region may be silent without a break before the gate fails."""

LONGEST_SECONDS = 86_400.0
"""A Lambda action ends after 24 hours (CodePipeline user guide, "Quotas"): a gate that means to wait longer would be failed without a word."""

Outcome = Literal["wait", "pass", "fail"]

@dataclass(frozen=True)
class Order:
    """What the pipeline asks for, from the action's UserParameters. Times in seconds; `requests` is the minimum of each Region and scope."""

    environment: str
    stage: str
    scope: str
    regions: tuple[str, ...]
    commit: str
    execution: str
    bake: float
    settle: float
    limit: float
    requests: int
    final: bool


@dataclass(frozen=True)
class Memory:
    """What one call tells the next, in the continuation token.

    `began` is when the bake began (epoch seconds); `silent` since when each Region has not answered; `since` from when on each place's alarms count.
    """

    began: float
    silent: Mapping[str, float] = field(default_factory=dict)
    since: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Alarm:
    """An alarm as CloudWatch tells of it.

    `fired` is the newest moment since the deployment at which it was in ALARM (epoch seconds), or None. `missing` is its TreatMissingData;
    `few_ignored` whether EvaluateLowSampleCountPercentile is "ignore".
    """

    name: str
    composite: bool
    state: str
    missing: str = "missing"
    few_ignored: bool = False
    fired: float | None = None


@dataclass(frozen=True)
class Watch:
    """The alarms of a place: those that must exist and those that were found."""

    region: str
    scope: str
    expected: tuple[str, ...]
    alarms: tuple[Alarm, ...]


@dataclass(frozen=True)
class Facts:
    """What was seen at one call.

    `bad` is why the release is marked bad, `blocked` why the environment is blocked by a rollback, `frozen` why it is blocked by hand, `going_back` what
    a rollback under way does; each None where that is not so. `groups` are all groups of the Regions that answered, `requests` those of the bake by
    "region/scope". `silent` is the Regions that did not answer, `unread` other things that could not be read, both with the error. `decided` says that an
    earlier call of this very gate has made the release last good and was cut off before it could tell the pipeline: what fires now fires after the bake,
    and to fail for it would mark as bad the one release that there is to go back to.
    """

    now: float
    bad: str | None = None
    blocked: str | None = None
    frozen: str | None = None
    going_back: str | None = None
    groups: tuple[Group, ...] = ()
    watches: tuple[Watch, ...] = ()
    requests: Mapping[str, int] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    decided: bool = False


@dataclass(frozen=True)
class Decision:
    """The answer. `reason` is a word for code and tests, `text` one for people; `memory` goes into the next call; `percent` is of the bake."""

    outcome: Outcome
    reason: str
    text: str
    memory: Memory
    percent: int = 0
    alarm: str | None = None
    region: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it must be."""

    reason: str
    text: str
    alarm: str | None = None
    region: str | None = None


def place(environment: str, region: str, scope: str) -> str:
    """Return a place as people read it: `prod/us-east-1/onebox`."""
    return "/".join(part for part in (environment, region, scope) if part)


def clock(at: float) -> str:
    """Return a time of day: `14:03:20 UTC`."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S UTC")


def span(seconds: float) -> str:
    """Return a length of time in the unit that suits it: `45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 120:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def needed_regions(order: Order, all_regions: Iterable[str]) -> tuple[str, ...]:
    """Return the Regions that must answer: the stage's, and for the last wave every Region of the environment, since it vouches for all of them."""
    return tuple(dict.fromkeys((*order.regions, *(all_regions if order.final else ()))))


def is_of_stage(order: Order, group: Group) -> bool:
    """Whether the stage deployed to this group."""
    return group.region in order.regions and group.scope == order.scope


def vouched(order: Order, groups: Iterable[Group]) -> tuple[Group, ...]:
    """Return the groups that this gate answers for: the stage's, earlier stages' in the same Regions that run the release, and for the last wave all."""
    return tuple(group for group in groups
                 if order.final or is_of_stage(order, group) or (runs(group, order.commit)))


def runs(group: Group, commit: str) -> bool:
    """Whether a group's newest successful deployment is of a release."""
    return group.last_successful is not None and group.last_successful.commit == commit


def lookback(order: Order, memory: Memory, groups: Iterable[Group]) -> dict[str, float]:
    """Return from when on the alarms of each place count (epoch seconds): since its deployment ended, at the latest since the bake began.

    Keys are "region/scope", and "region/" for the environment's own alarms there. What an earlier call found stays: the deployment of a host that Auto Scaling
    launches meanwhile is a newer successful one, and must not hide what fired before it.
    """
    since = dict(memory.since)
    for group in vouched(order, groups):
        start = memory.began
        if runs(group, order.commit) and group.last_successful is not None and group.last_successful.ended is not None:
            start = min(start, group.last_successful.ended)
        for key in (f"{group.region}/{group.scope}", f"{group.region}/"):
            since[key] = min(since.get(key, start), start)
    return since


def requests_from(memory: Memory) -> float:
    """Return from when on requests count: the first whole minute of the bake, since metrics are of minutes and the one before was not this release's alone."""
    return -(-memory.began // 60) * 60


def decide(order: Order, memory: Memory, facts: Facts) -> Decision:
    """Return what the gate answers now. `facts` are of `needed_regions`; see the module for what holds in any case."""
    silent = {region: memory.silent.get(region, facts.now) for region in facts.silent}
    memory = Memory(memory.began, silent, lookback(order, memory, facts.groups))
    elapsed, whole = facts.now - memory.began, order.bake + order.settle
    percent = 99 if whole <= 0 else max(0, min(99, int(100 * elapsed / whole)))
    warnings = tuple(_warnings(order, facts))

    def answer(outcome: Outcome, finding: Finding) -> Decision:
        return Decision(outcome, finding.reason, finding.text, memory, 100 if outcome == "pass" else percent, finding.alarm, finding.region, warnings)

    if facts.decided and facts.bad is None and facts.blocked is None:
        return answer("pass", Finding("decided", "The bake was passed already and the release is last good; the pipeline is told again."))
    if fatal := next(_fatal(order, facts), None):
        return answer("fail", fatal)
    if order.limit > LONGEST_SECONDS or whole >= order.limit:
        return answer("fail", Finding("misconfigured", f"The bake and what alarms need after it ({span(whole)}) do not fit into the gate's limit of "
                                                       f"{span(order.limit)}, or that is over 24 hours. Correct the pipeline's parameters."))
    pending = [*_silences(order, memory, facts), *_unproven(order, facts)]
    if gone := next((each for each in pending if each.reason == "silent-too-long"), None):
        return answer("fail", gone)
    if elapsed >= whole:
        pending += _too_few(order, facts)
    if elapsed >= order.limit and pending:
        first = pending[0]
        return answer("fail", replace(first, text=f"Not proven within {span(order.limit)}: " + " ".join(each.text for each in pending)))
    if elapsed < order.bake:
        pending.append(Finding("baking", f"Baking: {span(elapsed)} of {span(order.bake)}."))
    elif elapsed < whole:
        pending.append(Finding("settling", f"Baked {span(order.bake)}; until {clock(memory.began + whole)} alarms judge its last minutes."))
    if pending:
        return answer("wait", replace(pending[0], text=" ".join([*(each.text for each in pending), *_counts(order, facts)])))
    return answer("pass", Finding("passed", " ".join([f"Baked {span(order.bake)}; no alarm fired.", *_counts(order, facts), *warnings])))


def _fatal(order: Order, facts: Facts) -> Iterator[Finding]:
    """What no waiting makes good, worst first."""
    if facts.bad is not None:
        yield Finding("bad", f"Release {order.commit[:12]} is marked bad ({facts.bad}) and is never deployed again. Push a new commit.")
    if facts.blocked is not None:
        yield Finding("blocked", f"{order.environment} is blocked by a rollback ({facts.blocked}). Lift the block with a reason, then push a new commit.")
    groups = vouched(order, facts.groups)
    answered = [region for region in order.regions if region not in facts.silent]
    places = {(group.region, scope) for group in groups for scope in (group.scope, "") if group.region not in facts.silent}
    for region in answered:
        if not any(group.region == region and group.scope == order.scope for group in groups):
            yield Finding("no-group", f"{place(order.environment, region, order.scope)} has no deployment group. Deploy {order.environment}, then push again.",
                          region=region)
    for group in groups:
        yield from _not_this_release(order, group)
    watches = [watch for watch in facts.watches if (watch.region, watch.scope) in places]
    for watch in watches:
        here = place(order.environment, watch.region, watch.scope)
        for alarm in watch.alarms:
            if alarm.state == "ALARM":
                yield Finding("firing", f"Alarm {alarm.name} of {here} is firing.", alarm.name, watch.region)
            elif alarm.fired is not None:
                yield Finding("fired", f"Alarm {alarm.name} of {here} was in ALARM at {clock(alarm.fired)}, since this release was deployed.",
                              alarm.name, watch.region)
    for watch in watches:
        here = place(order.environment, watch.region, watch.scope)
        for name in sorted(set(watch.expected) - {alarm.name for alarm in watch.alarms}):
            yield Finding("missing-alarm", f"Alarm {name} of {here} does not exist: nobody watches. Deploy {order.environment} and push again.",
                          name, watch.region)
    for region, scope in sorted(places - {(watch.region, watch.scope) for watch in watches if watch.expected}):
        yield Finding("missing-alarm", f"{place(order.environment, region, scope)} names no alarm: nobody watches. Deploy {order.environment} and push again.",
                      region=region)


def _not_this_release(order: Order, group: Group) -> Iterable[Finding]:
    """What says that something else than this release runs, or is about to run, in a group."""
    here, last, attempted = place(order.environment, group.region, group.scope), group.last_successful, group.last_attempted
    if last is None:
        yield Finding("not-deployed", f"{here} has no successful deployment: release {order.commit[:12]} does not run there.", region=group.region)
        return
    if last.commit is not None and last.commit != order.commit:
        yield Finding("other-release", f"{here} runs release {last.commit[:12]} (deployment {last.id}), not {order.commit[:12]}: there is nothing here to "
                                       "vouch for. It was taken back, or deployed over. Push a new commit.", region=group.region)
    for deployment in group.in_flight:
        if deployment.whole and deployment.commit is not None and deployment.commit != order.commit:
            yield Finding("replaced", f"{here} is being given release {deployment.commit[:12]} (deployment {deployment.id}).", region=group.region)
    if attempted is not None and attempted.id != last.id and attempted.status in ("Failed", "Stopped") and attempted.created >= last.created:
        yield Finding("failed-deployment", f"The newest deployment of {here}, {attempted.id}, ended {attempted.status.lower()}: its hosts may not all run "
                                           f"release {order.commit[:12]}.", region=group.region)


def _silences(order: Order, memory: Memory, facts: Facts) -> list[Finding]:
    bound = min(order.limit, SILENCE_SECONDS)
    found = []
    for region, error in facts.silent.items():
        quiet = facts.now - memory.silent[region]
        reason = "silent-too-long" if quiet >= bound else "silent"
        found.append(Finding(reason, f"{region} has not answered for {span(quiet)} (bound {span(bound)}): {error[:300]}.", region=region))
    return found


def _unproven(order: Order, facts: Facts) -> list[Finding]:
    """What may still turn out well: deployments whose end or release is unknown, alarms that have not judged anything."""
    found = []
    if facts.going_back is not None:
        found.append(Finding("going-back", f"A rollback of {order.environment} is under way ({facts.going_back})."))
    found += [Finding("unread", f"{what} could not be read: {error[:300]}.") for what, error in facts.unread.items()]
    groups = vouched(order, facts.groups)
    for group in groups:
        here, last = place(order.environment, group.region, group.scope), group.last_successful
        if last is not None and last.commit is None:
            found.append(Finding("unknown-release", f"Which release deployment {last.id} brought to {here} could not be told.", region=group.region))
        found += [Finding("in-flight", f"Deployment {each.id} of {here} (by {each.creator}) is in progress.", region=group.region) for each in group.in_flight]
    watched = {(group.region, group.scope) for group in groups} | {(group.region, "") for group in groups}
    for watch in facts.watches:
        if (watch.region, watch.scope) in watched:
            found += without_data(order.environment, watch)
    return found


def without_data(environment: str, watch: Watch) -> list[Finding]:
    """Return the alarms of a place that have judged nothing, where that is not as it should be.

    A composite knows INSUFFICIENT_DATA only until it is first evaluated, and so does a metric alarm that treats missing data as breaching or not: they will
    soon know. One that treats it as `missing` says that its metric is not there. One that keeps its state on missing data (`ignore`), or on too few samples
    for a percentile, may rightly never have judged; but when *no* metric alarm of a place has, nobody watches it.
    """
    here = place(environment, watch.region, watch.scope)
    found = [Finding("no-data", f"Alarm {alarm.name} of {here} has no data: it has judged nothing.", alarm.name, watch.region)
             for alarm in watch.alarms if alarm.state != "OK" and alarm.state != "ALARM"
             and (alarm.composite or not (alarm.missing == "ignore" or alarm.few_ignored))]
    metrics = [alarm for alarm in watch.alarms if not alarm.composite]
    if metrics and not found and all(alarm.state not in ("OK", "ALARM") for alarm in metrics):
        found.append(Finding("no-data", f"No metric alarm of {here} has data: nobody watches.", metrics[0].name, watch.region))
    return found


def _too_few(order: Order, facts: Facts) -> list[Finding]:
    return [Finding("requests", f"{place(order.environment, group.region, group.scope)} had {count} of the {order.requests} requests that prove anything.",
                    region=group.region) for group, count in _counted(order, facts) if count < order.requests]


def _counts(order: Order, facts: Facts) -> list[str]:
    counted = [f"{group.region} {count}" for group, count in _counted(order, facts)]
    return [f"Requests: {', '.join(counted)} (minimum {order.requests})."] if counted else []


def _counted(order: Order, facts: Facts) -> list[tuple[Group, int]]:
    return [(group, facts.requests.get(f"{group.region}/{group.scope}", 0)) for group in facts.groups if is_of_stage(order, group)]


def _warnings(order: Order, facts: Facts) -> Iterable[str]:
    if order.requests <= 0:
        yield "Warning: no minimum of requests is set, so a release that nobody called passes too."
    if facts.frozen is not None:
        yield f"{order.environment} is frozen by hand ({facts.frozen}): the next stage will not be entered."
