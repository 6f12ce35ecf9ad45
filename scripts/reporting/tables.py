"""The releases and the deployments as tables. Pure."""

from __future__ import annotations

from scripts.reporting import charts
from scripts.reporting.markup import Markup, element
from scripts.reporting.summary import Outcome
from scripts.reporting.values import Deployment, Release, Scope
from scripts.reporting.view import BY, View, deployment_kind
from scripts.reporting.words import first_line, moment, plural, short, span

_MOST_ROWS = 60
_MOST_DEPLOYMENTS = 150


def releases(view: View) -> Markup | None:
    report = view.report
    if not report.releases:
        return None
    shown = list(reversed(report.releases))[:_MOST_ROWS]
    rows = [_release_row(release, view.outcomes[release.execution]) for release in shown]
    left = len(report.releases) - len(shown) + report.releases_left_out
    return element(
        "section",
        element("h2", "Releases"),
        element(
            "table",
            element("caption", "Releases, newest first; times in UTC", class_="unseen"),
            element("thead", element("tr", [element("th", name, scope="col") for name in ("Release", "Outcome", "Cause", "Began (UTC)", "Took", "Way back")])),
            element("tbody", rows),
            class_="list",
        ),
        element("p", f"{left} older ones are not shown: make report SINCE=…", class_="small") if left > 0 else None,
        class_="panel",
    )


def _release_row(release: Release, told: Outcome) -> Markup:
    return element(
        "tr",
        element("th", element("code", short(release.commit)), element("span", first_line(release.summary, 120), class_="small"), scope="row"),
        _cell("Outcome", charts.mark(told.kind), told.word),
        _cell("Cause", first_line(told.cause, 240) or "–"),
        _cell("Began", moment(release.started), whole=True),
        _cell("Took", span(release.ended - release.started) if release.ended is not None else "–", whole=True),
        _cell("Way back", span(told.back_after) if told.back_after is not None else "–", whole=True),
    )


def _cell(name: str, *content: object, whole: bool = False) -> Markup:
    """A cell that says its name where the table's head is not shown, as on a phone; `whole` keeps it on one line."""
    return element("td", element("span", content), data_name=name, class_="whole" if whole else None)


def deployments(view: View) -> Markup | None:
    report = view.report
    listed = sorted(
        (
            (environment.name, place.region, scope, one)
            for environment in report.environments
            for place in environment.places
            for scope in place.scopes
            for one in scope.deployments
        ),
        key=lambda found: found[3].created,
        reverse=True,
    )
    if not listed:
        return None
    left = sum(scope.left_out for environment in report.environments for place in environment.places for scope in place.scopes) + max(
        0, len(listed) - _MOST_DEPLOYMENTS
    )
    rows = [_deployment_row(name, region, scope, one) for name, region, scope, one in listed[:_MOST_DEPLOYMENTS]]
    return element(
        "section",
        element(
            "details",
            element("summary", element("h2", plural(len(listed), "deployment"))),
            element(
                "table",
                element("caption", "Deployments, newest first; times in UTC", class_="unseen"),
                element(
                    "thead",
                    element(
                        "tr", [element("th", name, scope="col") for name in ("Deployment", "Where", "Release", "How it went", "Made by", "Began (UTC)", "Took")]
                    ),
                ),
                element("tbody", rows),
                class_="list",
            ),
            element("p", f"{left} older ones are not listed", class_="small") if left else None,
        ),
        class_="panel",
    )


def _deployment_row(name: str, region: str, scope: Scope, one: Deployment) -> Markup:
    went = f"{one.status}" + (f", {one.code}: {first_line(one.message, 160)}" if one.code else "")
    return element(
        "tr",
        element("th", element("code", one.id), scope="row"),
        _cell("Where", f"{name}/{region}/{scope.name}", whole=True),
        _cell("Release", element("code", short(one.commit))),
        _cell("How it went", charts.mark(deployment_kind(one)), went),
        _cell("Made by", BY.get(one.by, one.by)),
        _cell("Began", moment(one.created), whole=True),
        _cell("Took", span(one.ended - one.created) if one.ended is not None else "–", whole=True),
    )
