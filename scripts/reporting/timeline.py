"""The timeline: stages, deployments, alarms, holds and hosts on one axis. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from scripts.reporting import charts, hosts
from scripts.reporting.charts import Bar
from scripts.reporting.markup import Markup, element
from scripts.reporting.values import Alarm, Deployment, Environment, Place, StageRun
from scripts.reporting.view import BY, WORDS, View, alarm_name, deployment_kind, from_to, kind_of
from scripts.reporting.words import first_line, plural, short

_MOST_ALARMS = 6


def section(view: View) -> Markup:
    report, axis = view.report, view.axis
    rows: list[Markup] = []
    if report.stages:
        rows.append(_group_row("Pipeline", "stage by stage"))
        for stage in report.stages:
            runs = [run for release in report.releases for run in release.stages if run.stage == stage]
            rows.append(_row(stage, "", charts.lane(axis, [_stage_bar(run) for run in runs], _said(f"Stage {stage}", [kind_of(run.status) for run in runs]))))
    for environment in report.environments:
        rows += _environment_rows(view, environment)
    used = ["ok", "failed", "stopped", "back", "running", "alarm", "held"]
    legend = element("ul", [element("li", charts.mark(kind), WORDS[kind]) for kind in used], class_="legend")
    table = element(
        "table",
        element("caption", "Stages, deployments, alarms and hosts over time; times in UTC", class_="unseen"),
        element("thead", element("tr", element("th", element("span", "Where", class_="unseen"), scope="col"), element("td", charts.scale(axis)))),
        rows,
        class_="lanes",
    )
    return element("section", element("div", element("h2", "Timeline"), legend, class_="title"), table, class_="panel")


def _group_row(name: str, more: str) -> Markup:
    return element("tbody", element("tr", element("th", name, element("span", more, class_="small"), scope="rowgroup", colspan=2)), class_="group")


def _row(name: str, more: str, drawing: Markup, kind: str = "") -> Markup:
    return element(
        "tbody",
        element("tr", element("th", name, element("span", more, class_="small") if more else None, scope="row"), element("td", drawing)),
        class_=kind or None,
    )


def _environment_rows(view: View, environment: Environment) -> list[Markup]:
    axis = view.axis
    steps = hosts.of_environment(environment, view.report.since)
    said = [plural(sum(steps[-1].counts.values()), "host")] if steps else []
    said += [f"last good {short(environment.last_good)}"] if environment.last_good else []
    said += ["going back"] if environment.taking_back else ["blocked"] if environment.blocked else []
    rows = [_group_row(environment.name, " · ".join(said))]
    for place in environment.places:
        for scope in place.scopes:
            bars = [_deployment_bar(one) for one in scope.deployments]
            kinds = [deployment_kind(one) for one in scope.deployments]
            rows.append(_row(place.region, scope.name, charts.lane(axis, bars, _said(f"Deployments to {scope.name} in {place.region}", kinds))))
        fired = [alarm for alarm in place.alarms if alarm.spans]
        if fired:
            shown = sorted(fired, key=lambda alarm: alarm.spans[0].begin or 0.0)[:_MOST_ALARMS]
            named = [
                (
                    alarm_name(alarm),
                    [
                        Bar(one.begin, one.end, "alarm", "", f"{alarm_name(alarm)}: {from_to(one.begin, one.end)}\n{first_line(alarm.name, 120)}")
                        for one in alarm.spans
                    ],
                )
                for alarm in shown
            ]
            more = f"alarms ({len(shown)} of {len(fired)})" if len(shown) < len(fired) else "alarms"
            rows.append(_row(place.region, more, charts.alarms(axis, named, _said_alarms(place, shown)), "alarms"))
    if environment.holds:
        bars = [
            Bar(
                one.span.begin,
                one.span.end,
                "back" if one.kind == "rollback" else "held",
                "taken back" if one.kind == "rollback" else "blocked",
                f"{from_to(one.span.begin, one.span.end)}\n{first_line(one.text)}",
            )
            for one in environment.holds
        ]
        rows.append(_row("held", "way back, block", charts.lane(axis, bars, f"{environment.name}: {plural(len(bars), 'time')} taken back or blocked")))
    if steps:
        now = steps[-1].counts
        names = {commit: short(commit) if commit else "no release" for commit in view.colours}
        words = f"Hosts of {environment.name} by release; at the end " + ", ".join(f"{count} on {names[commit]}" for commit, count in now.items())
        rows.append(_row("hosts", "by release", charts.hosts(axis, steps, view.colours, names, words), "tall"))
    return rows


def _stage_bar(run: StageRun) -> Bar:
    text = f"{run.stage} {run.status}: {short(run.commit)}\n{from_to(run.began, run.ended)}"
    return Bar(run.began, run.ended, kind_of(run.status), run.commit[:7], text + (f"\n{run.action}: {first_line(run.message, 160)}" if run.message else ""))


def _deployment_bar(one: Deployment) -> Bar:
    text = f"{one.id} {one.status}: {short(one.commit)}, by {BY.get(one.by, one.by)}\n{from_to(one.created, one.ended)}"
    more = f"\n{one.code}: {first_line(one.message, 160)}" if one.code else ""
    return Bar(one.created, one.ended, deployment_kind(one), one.commit[:7], text + more, slim=not one.whole)


def _said(what: str, kinds: Sequence[str]) -> str:
    """A drawing in words."""
    counted = [f"{kinds.count(kind)} {WORDS[kind]}" for kind in dict.fromkeys(kinds)]
    return f"{what}: {', '.join(counted) or 'none in this period'}"


def _said_alarms(place: Place, shown: Sequence[Alarm]) -> str:
    return f"Alarms in {place.region}: " + "; ".join(
        f"{alarm_name(alarm)} {plural(len(alarm.spans), 'time')}, first {from_to(alarm.spans[0].begin, alarm.spans[0].end)}" for alarm in shown
    )
