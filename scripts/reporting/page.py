"""The report as one HTML file that needs nothing else: no network, no script, no fonts of its own. Pure.

What comes from outside (commit messages, log lines, names of alarms) is text and is escaped (`markup`); the page's own policy forbids scripts and requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.reporting import charts, summary, tables, timeline, traffic
from scripts.reporting.markup import Markup, element
from scripts.reporting.values import Report
from scripts.reporting.view import View
from scripts.reporting.words import moment, number, percent, plural, short, span

STYLE = Path(__file__).with_name("style.css")
_MOST_LINES = 24
# Nothing may be asked of anywhere and nothing may run, even if a text were to slip through as markup.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(report: Report) -> str:
    """The whole file."""
    view = View(report)
    title = f"{report.service}: {moment(report.since)[:16]} to {moment(report.until)[:16]} UTC"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Markup(STYLE.read_text(encoding="utf-8"))),
    )
    body = element(
        "body",
        charts.definitions(),
        _header(report),
        element(
            "main",
            _verdict(view),
            _figures(view),
            _why(report),
            timeline.section(view),
            [traffic.section(view, one) for one in report.environments],
            tables.releases(view),
            tables.deployments(view),
            _unreadable(report),
        ),
        _footer(report),
    )
    return "<!DOCTYPE html>\n" + element("html", head, body, lang="en") + "\n"


def write(report: Report, target: Path) -> int:
    """Write the page; returns its size in bytes."""
    data = page(report).encode()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return len(data)


def _header(report: Report) -> Markup:
    facts = [
        ("Account", report.account),
        ("Regions", ", ".join(report.regions)),
        (
            "Period",
            f"{moment(report.since)[:16]} to {moment(report.until)[11:16] if _same_day(report) else moment(report.until)[:16]} UTC "
            f"({span(report.until - report.since)})",
        ),
        ("Made", f"{moment(report.made)} UTC"),
    ]
    return element(
        "header",
        element("p", "Deployment report", class_="kind"),
        element("h1", report.service),
        element("dl", [element("div", element("dt", name), element("dd", value)) for name, value in facts], class_="facts"),
    )


def _same_day(report: Report) -> bool:
    return moment(report.since)[:10] == moment(report.until)[:10]


def _verdict(view: View) -> Markup:
    told = summary.verdict(view.report)
    sign = {"unknown": "held"}.get(told.kind, told.kind)
    return element(
        "section",
        element("p", charts.mark(sign), element("strong", told.text)),
        [element("p", line, class_="more") for line in told.more],
        class_=f"verdict {told.kind}",
        aria_label="Verdict",
    )


def _figures(view: View) -> Markup | None:
    report = view.report
    found: list[tuple[str, str, str]] = []
    if report.releases:
        # The execution that creating the pipeline starts brings no commit: it is no release.
        kinds = [view.outcomes[release.execution].kind for release in report.releases if release.commit]
        caught = sum(kind in ("failed", "back", "stopped") for kind in kinds)
        found.append(("Releases", str(len(kinds) + report.releases_left_out), f"{kinds.count('ok')} out, {caught} caught"))
    for environment in report.environments:
        total, faulty = summary.requests_of(environment)
        if any(place.traffic for place in environment.places):
            found.append((f"Requests to {environment.name}", number(total), f"{number(faulty)} failed ({percent(faulty, total)})"))
    backs = [outcome.back_after for outcome in view.outcomes.values() if outcome.back_after is not None]
    if backs:
        found.append(("Alarm to all back", span(max(backs)), "the longest of " + plural(len(backs), "way") + " back" if len(backs) > 1 else "every host"))
    runs = summary.runs(report)
    count = sum(sum(counts.values()) for counts in runs.values())
    good = sum(counts[environment.last_good] for environment in report.environments for counts in [runs[environment.name]] if environment.last_good)
    if count and any(environment.last_good for environment in report.environments):
        found.append(("Hosts on last good", f"{good} of {count}", ", ".join(dict.fromkeys(short(e.last_good) for e in report.environments if e.last_good))))
    if not found:
        return None
    return element(
        "ul",
        [
            element("li", element("span", name, class_="name"), element("span", value, class_="number"), element("span", more, class_="small"))
            for name, value, more in found
        ],
        class_="figures",
    )


def _why(report: Report) -> Markup | None:
    """What `make why` answers, where something fails."""
    return _cause(report.why) if report.why is not None and report.why.get("failing") else None


def _cause(why: Mapping[str, Any]) -> Markup:
    known = why.get("cause") is not None
    certainty = str(why.get("certainty") or "")
    document = why.get("document") or {}
    evidence = [str(line) for line in why.get("evidence") or ()]
    fix = [str(line) for line in why.get("fix") or ()]
    title = str(why.get("title") or "") or "The cause is not known"
    return element(
        "section",
        element("h2", "Why: ", title),
        element(
            "p",
            [element("code", str(why["where"])), " · "] if why.get("where") else None,
            f"{certainty} · " if known and certainty else None,
            f"{why.get('about') or 'failure'} ",
            element("code", str(why.get("subject") or "")),
            class_="small",
        ),
        [element("h3", "Evidence"), element("pre", "\n".join(evidence[:_MOST_LINES] + _rest(evidence)))] if evidence else None,
        [element("h3", "What to do"), element("ol", [element("li", line) for line in fix])] if fix else None,
        _link(document),
        [
            element("h3", "Also"),
            element(
                "ul",
                [
                    element("li", str(one.get("title") or one.get("cause") or ""), f" ({one.get('where') or ''}, {one.get('certainty') or ''})")
                    for one in (why.get("others") or ())[:5]
                ],
            ),
        ]
        if why.get("others")
        else None,
        element(
            "details",
            element("summary", f"Ruled out: {len(why['ruled_out'])}"),
            element("ul", [element("li", element("code", str(one.get("cause") or "")), f": {one.get('why') or ''}") for one in why["ruled_out"]]),
        )
        if why.get("ruled_out")
        else None,
        class_="panel why",
    )


def _rest(lines: Sequence[str]) -> list[str]:
    return [f"… and {len(lines) - _MOST_LINES} more lines: make why"] if len(lines) > _MOST_LINES else []


def _link(document: Mapping[str, Any]) -> Markup | None:
    url, title = str(document.get("url") or ""), str(document.get("title") or "")
    if not title:
        return None
    # Only what is a document's address becomes a link.
    return element("p", "Read: ", element("a", title, href=url, rel="noreferrer") if url.startswith("https://") else title, class_="small")


def _unreadable(report: Report) -> Markup | None:
    if not report.unreadable and not report.notes:
        return None
    missing = [
        element("li", f"{one.what}: ", one.why, [" Missing permission: ", element("code", one.permission), "."] if one.permission else None)
        for one in report.unreadable
    ]
    return element(
        "section", element("h2", "What this report leaves out"), element("ul", missing, [element("li", note) for note in report.notes]), class_="panel gaps"
    )


def _footer(report: Report) -> Markup:
    return element(
        "footer",
        element(
            "p",
            "Read from AWS with ",
            element("code", report.command),
            ". Times are UTC. A host counts for a release from the moment at which its deployment there was over." if report.command else "Times are UTC.",
        ),
    )
