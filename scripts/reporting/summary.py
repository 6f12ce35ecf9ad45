"""The verdict in one line, and what happened to each release, from a report's values. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from scripts.reporting import hosts
from scripts.reporting.values import Environment, Release, Report, Scope, StageRun
from scripts.reporting.words import first_line, plural, short, span

RUNNING = ("InProgress", "Stopping")


@dataclass(frozen=True)
class Verdict:
    """`kind` is one of ok, failed, back (failed and taken back), held, running, unknown; `text` the line; `more` what else is so."""

    kind: str
    text: str
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a release went: `kind` as a bar's, `word` for it, `cause` in a line; seconds from its first alarm until the last of its hosts was back."""

    kind: str
    word: str
    cause: str
    back_after: float | None = None


def verdict(report: Report) -> Verdict:
    """The line at the top: what a person has to do something about comes first."""
    more = [f"{one.name} is blocked: {first_line(one.blocked, 200)}" for one in report.environments if one.blocked]
    firing = _firing(report)
    for environment in report.environments:
        if environment.taking_back:
            return Verdict("running", f"{environment.name} is being taken back to {short(environment.desired)}.", tuple(more))
    if not report.releases and not any(scope.deployments for scope in _scopes(report)):
        if report.unreadable:
            return Verdict("unknown", "What was read shows no release in this period; not all could be read.", tuple(more))
        text = "No release in this period; " + (_firing_text(firing) if firing else "no alarm fires.")
        return Verdict("failed" if firing else "held" if more else "ok", text, tuple(more))
    newest = report.releases[-1] if report.releases else None
    if newest is None:
        return Verdict(
            "failed" if firing else "unknown",
            _firing_text(firing) if firing else "Hosts were deployed to; the pipeline's executions were not read.",
            tuple(more),
        )
    told = outcome(report, newest)
    if firing:
        more.insert(0, _firing_text(firing))
    name = f"Release {short(newest.commit)}" if newest.commit else f"Execution {newest.execution[:8]}"
    if newest.status in RUNNING:
        at = newest.stages[-1].stage if newest.stages else "its first stage"
        return Verdict("running", f"{name} is on its way, in {at}.", tuple(more))
    if newest.status == "Succeeded":
        everywhere = "" if _strays(report, newest.commit) else "; every host runs it"
        return Verdict("failed" if firing else "held" if more else "ok", f"{name} went out to every stage{everywhere}.", tuple(more))
    if newest.status in ("Superseded", "Cancelled"):
        return Verdict("held", f"{name} was {newest.status.lower()}.", tuple(more))
    failed = newest.failed_stage
    where = f" in {failed.stage}" if failed else ""
    word = "was stopped" if newest.status == "Stopped" else "failed"
    left = _hosts_of(report, newest.commit)
    if told.kind == "back" and not left:
        took = f" in {span(told.back_after)}" if told.back_after is not None else ""
        return Verdict("back", f"{name} {word}{where} and was taken back{took}; no host runs it any more.", tuple(more))
    if left:
        return Verdict("failed", f"{name} {word}{where}; {plural(left, 'host')} still run{'s' if left == 1 else ''} it.", tuple(more))
    return Verdict("failed", f"{name} {word}{where}; no host runs it.", tuple(more))


def outcome(report: Report, release: Release) -> Outcome:
    """How one release went. Its rollbacks are those that began in its groups after its own deployment there, before the next one's."""
    failed = release.failed_stage
    why = report.why or {}
    named = str(why.get("title") or "") if why.get("failing") and why.get("cause") and why.get("subject") == release.execution else ""
    cause = named or _cause(failed) or first_line(release.bad)
    if release.status == "Succeeded":
        return Outcome("failed" if release.bad else "ok", "out, bad later" if release.bad else "out", cause)
    if release.status in RUNNING:
        return Outcome("running", "on its way", cause)
    if release.status in ("Superseded", "Cancelled"):
        return Outcome("held", release.status.lower(), cause)
    back = _back(report, release)
    word = ("stopped" if release.status == "Stopped" else "failed") + (f" in {failed.stage}" if failed else "")
    if back is None:
        return Outcome("stopped" if release.status == "Stopped" else "failed", word, cause)
    return Outcome("back", f"{word}, taken back", cause, back)


def _back(report: Report, release: Release) -> float | None:
    """Seconds from the first alarm of the release's time (else from its failed deployment) until its last rollback was over; None without one."""
    began: list[float] = []
    over: list[float] = []
    for place in (place for environment in report.environments for place in environment.places):
        for scope in place.scopes:
            own = [d for d in scope.deployments if d.commit == release.commit and not d.is_rollback and d.created >= release.started - 1]
            if not own:
                continue
            first = own[0].created
            later = [d.created for d in scope.deployments if not d.is_rollback and d.whole and d.commit != release.commit and d.created > first]
            rollbacks = [d for d in scope.deployments if d.is_rollback and d.created > first and d.created < min(later, default=float("inf"))]
            ended = [d.ended for d in rollbacks if d.status == "Succeeded" and d.ended is not None]
            if not ended:
                continue
            over.append(max(ended))
            alarms = [s.begin for alarm in place.alarms for s in alarm.spans if s.begin is not None and first <= s.begin <= max(ended)]
            began.append(min([*alarms, *(d.created for d in rollbacks)]))
    return max(over) - min(began) if over else None


def runs(report: Report) -> dict[str, Counter[str]]:
    """How many hosts of each environment run which commit at the end."""
    return {
        environment.name: sum((Counter(hosts.running(scope, report.since)) for place in environment.places for scope in place.scopes), Counter())
        for environment in report.environments
    }


def bad_commits(report: Report) -> frozenset[str]:
    """Releases that failed or are marked bad: drawn as such wherever they run. One that went out at another time is not among them."""
    out = {release.commit for release in report.releases if release.status == "Succeeded" and not release.bad}
    failed = {release.commit for release in report.releases if release.bad or (release.status in ("Failed", "Stopped") and release.commit)}
    return frozenset(failed - out)


def requests_of(environment: Environment) -> tuple[int, int]:
    """(requests, faults) of an environment's Regions in the period."""
    counted = [place.traffic for place in environment.places if place.traffic]
    return sum(one.total for one in counted), sum(one.faulty for one in counted)


def _cause(failed: StageRun | None) -> str:
    if failed is None:
        return ""
    return first_line(f"{failed.action}: {failed.message}" if failed.message else f"{failed.action} {failed.status.lower()}")


def _scopes(report: Report) -> list[Scope]:
    return [scope for environment in report.environments for place in environment.places for scope in place.scopes]


def _hosts_of(report: Report, commit: str) -> int:
    return sum(counts[commit] for counts in runs(report).values()) if commit else 0


def _strays(report: Report, commit: str) -> int:
    """Hosts that run something else than a commit, or that nothing is known of."""
    return sum(count for counts in runs(report).values() for one, count in counts.items() if one != commit) or int(not any(runs(report).values()))


def _firing(report: Report) -> list[str]:
    return [
        f"{alarm.label} of {'/'.join(part for part in (environment.name, place.region, alarm.scope) if part)}"
        for environment in report.environments
        for place in environment.places
        for alarm in place.alarms
        if alarm.state == "ALARM"
    ]


def _firing_text(firing: list[str]) -> str:
    more = f" and {len(firing) - 2} more" if len(firing) > 2 else ""
    return f"An alarm fires: {', '.join(firing[:2])}{more}." if len(firing) == 1 else f"{len(firing)} alarms fire: {', '.join(firing[:2])}{more}."
