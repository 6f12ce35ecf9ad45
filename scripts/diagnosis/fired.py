"""Alarms of a case that fired, what of the case speaks of them, and their words: what the causes scripts/causes/alarm_*.py share. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from scripts.diagnosis.case import Alarm, Case, Deployment
from scripts.diagnosis.judge import Match

ALARM_ACTIVE = "ALARM_ACTIVE"
"""CodeDeploy's errorInformation.code of a deployment that an alarm stopped."""
BALANCER, COMPUTE, CANARIES = "AWS/ApplicationELB", "AWS/EC2", "CloudWatchSynthetics"
ARMED = ("Handsoff", "Armed")
_COMPARED = {"GreaterThanThreshold": "above", "GreaterThanOrEqualToThreshold": "at or above", "LessThanThreshold": "below",
             "LessThanOrEqualToThreshold": "at or below"}
_REGION = re.compile(r"\b[a-z]{2}(?:-[a-z]+)+-\d\b")
_SCOPED = re.compile(r"-(Fleet|OneBox)Alarms-")
"""What CloudFormation makes of the nested stacks of a scope's alarms (templates/environment.yaml) in their names."""
_POINTS_SHOWN = 6


@dataclass(frozen=True)
class Firing:
    """A metric alarm (or a composite of which nothing more is known) that fired. `named` says that what failed speaks of it; `at` when it fired."""

    alarm: Alarm
    at: float | None
    where: str
    named: bool
    deployment: Deployment | None


def kind(alarm: Alarm) -> str:
    """What an alarm watches, by the metrics that it is made of: requests, latency, hosts, balancer, traffic, cpu, canary, or other."""
    named = set(alarm.metrics) - {ARMED}
    balancer = {name for namespace, name in named if namespace == BALANCER}
    if named and all(namespace == CANARIES for namespace, _ in named):
        return "canary"
    if named == {(COMPUTE, "CPUUtilization")}:
        return "cpu"
    if len(balancer) < len(named) or not named:
        return "other"
    for metric, found in (("TargetResponseTime", "latency"), ("UnHealthyHostCount", "hosts"), ("HTTPCode_Target_5XX_Count", "requests"),
                          ("TargetConnectionErrorCount", "requests"), ("HTTPCode_ELB_5XX_Count", "balancer")):
        if metric in balancer:
            return found
    return "traffic" if balancer == {"RequestCount"} and alarm.comparison.startswith("LessThan") else "other"


def firings(case: Case) -> list[Firing]:
    """Alarms that fired: first those that something failed names, then by time. A composite only where none of its children is known to have fired."""
    loud = [alarm for alarm in case.alarms if alarm.exists and (alarm.fired or alarm.state == "ALARM")]
    names = {(alarm.region, alarm.name) for alarm in loud}
    plain = [alarm for alarm in loud if not alarm.composite or not any((alarm.region, child) in names for child in alarm.children)]
    found = [_firing(case, alarm) for alarm in plain]
    return sorted(found, key=lambda one: (not one.named, one.at if one.at is not None else float("inf"), one.alarm.name))


def of_kind(case: Case, *kinds: str) -> list[Firing]:
    """The firings of these kinds, in order; one that fired before its deployment began is about what ran then (`was_before`), and left out."""
    return [one for one in firings(case) if kind(one.alarm) in kinds and not was_before(one)]


def was_before(one: Firing) -> bool:
    """Whether an alarm that stopped a deployment was in ALARM when that was created."""
    return one.deployment is not None and one.alarm.state_at(one.deployment.created) == "ALARM"


def _firing(case: Case, alarm: Alarm) -> Firing:
    above = _above(case, alarm)
    deployment = next((each for each in case.deployments if each.region == alarm.region and _stopped(each, above)), None)
    text = next((each for each in _complaints(case) if _speaks_of(each, above, alarm.region)), "")
    end = deployment.ended if deployment is not None and deployment.ended is not None else case.now
    moments = [at for at in alarm.fired if at <= end] or list(alarm.fired[:1])
    at = moments[-1] if moments else alarm.since if alarm.state == "ALARM" else None
    where = deployment.where if deployment is not None else place(case, alarm, above, text)
    return Firing(alarm, at, where, deployment is not None or bool(text), deployment)


def _above(case: Case, alarm: Alarm) -> tuple[str, ...]:
    """The alarm's name, and those of the composites over it."""
    found = [alarm.name]
    for name in found:
        found += [each.name for each in case.alarms if each.region == alarm.region and name in each.children and each.name not in found]
    return tuple(found)


def _stopped(deployment: Deployment, names: Iterable[str]) -> bool:
    """Whether a deployment was stopped by one of these alarms: it names them, or it names none and its group watches one."""
    if deployment.code != ALARM_ACTIVE:
        return False
    watched = deployment.settings.alarms if deployment.settings else ()
    named = [name for name in watched if speaks(deployment.message, name)]
    return any(speaks(deployment.message, name) or (not named and name in watched) for name in names)


def complaints(case: Case) -> tuple[str, ...]:
    """What failed says of itself, and why the environment goes back, or went."""
    return tuple(_complaints(case))


def _complaints(case: Case) -> Iterator[str]:
    yield from (action.message for action in case.actions if action.message)
    yield from (text for deployment in case.deployments for text in (deployment.message, deployment.rollback_message) if text)
    bad = (case.release or {}).get("bad")
    if isinstance(bad, Mapping) and bad.get("reason"):
        yield str(bad["reason"])
    record = case.ledger or {}
    for what in ("rollback", "blocked"):
        told = record.get(what)
        if isinstance(told, Mapping) and (what == "rollback" or told.get("rollback")) and taken_back(case, told):
            yield from (str(told[key]) for key in ("alarm", "reason") if told.get(key))


def taken_back(case: Case, told: Mapping[str, object]) -> bool:
    """Whether a rollback, or the block of one, in the ledger's record is of the case's release: it may be of a later one. A block has its rollback's id."""
    commit = case.execution.commit if case.execution is not None else ""
    bad = str(told.get("bad") or "") or str(told.get("rollback") or "").partition("-")[2]
    return not commit or len(bad) < 7 or commit.startswith(bad[:7])


def speaks(text: str, name: str) -> bool:
    """Whether a text has an alarm's name in it, and not only as part of another."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


def _speaks_of(text: str, names: Iterable[str], region: str) -> bool:
    """Composites have the same name in each Region: a text that names Regions must name this one."""
    regions = set(_REGION.findall(text))
    return any(speaks(text, name) for name in names) and (not regions or region in regions)


def place(case: Case, alarm: Alarm, names: Iterable[str], text: str) -> str:
    """`<Region>/<scope>` of an alarm, or of the composites over it (`names`): as the gate says it (`text`), else by its stack, else by its group.

    An alarm of no scope is the Region's.
    """
    for name in names:
        told = re.search(rf"{re.escape(name)} of [\w-]+/{re.escape(alarm.region)}/([\w-]+)", text)
        if told:
            return f"{alarm.region}/{told[1]}"
    nested = _SCOPED.search(alarm.name)
    if nested:
        return f"{alarm.region}/{nested[1].lower()}"
    watching = [each for each in case.deployments if each.region == alarm.region and each.settings and alarm.name in each.settings.alarms]
    return watching[0].where if len({each.scope for each in watching}) == 1 else alarm.region


# Words


def stamp(at: float | None) -> str:
    """`2026-01-01 12:03:20 UTC`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at is not None else "a time that is not known"


def number(value: float) -> str:
    """As few digits as say it: 30, 31.2, 0.0021."""
    return f"{value:.0f}" if abs(value - round(value)) < 1e-9 else f"{value:.3g}" if abs(value) < 100 else f"{value:.1f}"


def facts(one: Firing) -> tuple[str, ...]:
    """What fired, by which data points, where and when."""
    alarm, needed = one.alarm, one.alarm.judged
    lines = [f"alarm {alarm.name} ({alarm.region}) went to ALARM at {stamp(one.at)}"]
    if alarm.threshold is not None:
        bound = f"{_COMPARED.get(alarm.comparison, alarm.comparison)} {number(alarm.threshold)}"
        often = f" in {needed[0]} of {needed[1]} periods of {alarm.period} s" if needed[1] else ""
        lines.append(f"it fires when {alarm.label or 'its metric'} is {bound}{often}")
    shown = alarm.proof or alarm.points
    if shown:
        listed = ", ".join(f"{datetime.fromtimestamp(at, UTC):%H:%M:%S} {number(value)}" for at, value in shown[-_POINTS_SHOWN:])
        lines.append(f"its data points {'that fired it' if alarm.proof else 'around that'} (UTC): {listed}")
    elif alarm.reason:
        lines.append(alarm.reason)
    if one.deployment is not None:
        lines.append(f"it stopped deployment {one.deployment.id} to {one.deployment.where}")
    elif one.named:
        lines.append("it is named by what failed")
    return (*lines, *alarm.notes)


def total(one: Firing, metric: str) -> float | None:
    """The sum of a metric over the periods that fired the alarm; None where its data points are not known.

    Data points are of minutes of the clock, and so may begin before a period that fired.
    """
    alarm = one.alarm
    if metric not in alarm.parts:
        return None
    span = alarm.proof or alarm.points
    start, end = (span[0][0] - alarm.period, span[-1][0] + alarm.period) if span else (0.0, float("inf"))
    return sum(value for at, value in alarm.parts[metric] if start < at < end)


def match(one: Firing, title: str, fix: tuple[str, ...], more: tuple[str, ...] = ()) -> Match:
    """A match for an alarm: certain where what failed names it, a sign only where it fired beside."""
    return Match("certain" if one.named else "likely", one.where, (*facts(one), *more), fix, one.at, title)


def quiet(case: Case, *kinds: str) -> str | None:
    """Why a case rules alarms of these kinds out: they were read, and did not fire."""
    read = [alarm for alarm in case.alarms if alarm.exists and not alarm.composite and kind(alarm) in kinds]
    began = min([*(each.created for each in case.deployments), *(action.started for action in case.actions)], default=case.now)
    if not read or any(alarm.fired or alarm.state != "OK" or _unknown(alarm, began) for alarm in read):
        return None
    return f"{len(read)} alarms on it read, all OK" if len(read) > 1 else f"alarm {read[0].name} is OK"


def _unknown(alarm: Alarm, began: float) -> bool:
    """Whether an alarm came to its state meanwhile, and from which could not be read."""
    return alarm.since is not None and alarm.since > began and (not alarm.states or alarm.states[0][0] > 0)


# Commands, names filled in


def logs(case: Case, one: Firing) -> str:
    """What prints the app's own words of that time: its log group's name is CloudFormation's."""
    nested = "OneBox" if one.where.endswith("/onebox") else "Fleet"
    region = f"--region {one.alarm.region}"
    group = (f"aws logs describe-log-groups {region} --log-group-name-prefix {case.service}-environment-{case.environment}-{nested} "
             "--query 'logGroups[0].logGroupName' --output text")
    minutes = max(10, round((case.now - (one.at or case.now)) / 60) + 10)
    return f'aws logs tail "$({group})" {region} --since {minutes}m'


def targets(one: Firing) -> str:
    """What says how the load balancer sees the hosts, and why."""
    region, name = f"--region {one.alarm.region}", one.alarm.dimensions.get("TargetGroup", "").split("/")
    if len(name) < 2:
        return f"aws elbv2 describe-target-groups {region}, then aws elbv2 describe-target-health {region} --target-group-arn <its ARN>"
    arn = f"aws elbv2 describe-target-groups {region} --names {name[1]} --query 'TargetGroups[0].TargetGroupArn' --output text"
    return f'aws elbv2 describe-target-health {region} --target-group-arn "$({arn})"'


def back(case: Case) -> str:
    """The step for the release that runs."""
    return f'If what runs now is what does it: make rollback ENV={case.environment} REASON="…"'
