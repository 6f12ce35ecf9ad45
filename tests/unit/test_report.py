"""The report: what it says and draws from made-up values, and what it reads from the services in this process."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import report_values as made_up
from inprocess import InProcess
from localaws_fakes import REGION
from report_values import BAD, BEGAN, GOOD
from scripts_fakes import FakeClock, Recorder
from test_why_alarms import BALANCER, OF_TARGETS, TARGETS
from test_why_alarms import Place as Simulated
from why_world import deployed_stack

from localaws.service import ServiceError
from scripts import report as command
from scripts.core.clock import RealClock
from scripts.core.errors import WrongUse
from scripts.core.world import World
from scripts.diagnosis.calls import Calls
from scripts.diagnosis.case import Unreadable
from scripts.diagnosis.collect import Place as Where
from scripts.diagnosis.collect import Scene
from scripts.reporting import charts, gather, hosts, measures, summary, words
from scripts.reporting.charts import Axis, Bar, Line
from scripts.reporting.markup import Markup, element
from scripts.reporting.page import page
from scripts.reporting.values import Environment, Hold, Place, Release, Report, Scope, Span, StageRun

ROOT = Path(__file__).resolve().parents[2]
EMPTY = Report("sample", "123456789012", ("us-east-1",), BEGAN, BEGAN + 7200, BEGAN + 7200)


class Reader(HTMLParser):
    """A page as a browser reads it: balanced, its text, its drawings, and what it refers to."""

    VOID = frozenset({"meta", "br", "hr", "col", "link", "img", "input"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())
        # The inner ones are parsed with those that hold them.
        self.drawings = [ElementTree.fromstring(found) for found in outermost(text)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> where {self.open[-3:]} is open"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [given for name, given in self.tags if name == tag and all(given.get(key) == value for key, value in attributes.items())]


def outermost(text: str) -> list[str]:
    """The drawings of a page that are in no other."""
    found, depth, begin = [], 0, 0
    for match in re.finditer(r"<svg\b|</svg>", text):
        if match[0] == "</svg>":
            depth -= 1
            if depth == 0:
                found.append(text[begin : match.end()])
        else:
            begin = begin if depth else match.start()
            depth += 1
    return found


def read(report: Report) -> Reader:
    """The page of a report, checked for what holds of every page: well-formed, self-contained, drawings with a name."""
    text = page(report)
    reader = Reader(text)
    for tag, given in reader.tags:
        assert tag not in {"script", "link", "img", "iframe", "object", "embed", "base"}, tag
        assert not any(name.startswith("on") or name in {"src", "srcset", "xlink:href"} for name in given), given
        if "href" in given:
            assert tag == "a" and str(given["href"]).startswith("https://"), given
        for value in (value for name, value in given.items() if name not in {"href", "content"}):
            assert all(place == "#" for place in re.findall(r"url\((.)", value or "")), value
    assert "@import" not in text and not re.search(r"url\([^#)]", text)
    for drawing in reader.drawings:
        assert drawing.get("aria-hidden") == "true" or (drawing.get("role") == "img" and drawing.get("aria-label")), ElementTree.tostring(drawing)[:200]
    return reader


# -- the page ------------------------------------------------------------------------------------------------------------------


def test_the_page_says_what_happened() -> None:
    reader = read(made_up.story())
    assert "Release 77d0a6ee12c9 failed in OneBox and was taken back in 3 min 46 s; no host runs it any more." in reader.text
    assert "prod is blocked: Release 77d0a6ee12c9 was taken back" in reader.text
    assert "Why: Requests to prod's one-box failed while 77d0a6ee12c9 ran there" in reader.text and "21.4 at 08:51" in reader.text
    assert "2026-11-24 08:00 to 09:10 UTC (1 h 10 min)" in reader.text
    assert "15 of 15" in reader.text and "1 out, 2 caught" in reader.text
    story = made_up.story()
    first = dataclasses.replace(story.releases[-1], execution="e-0", commit="", status="Failed")
    assert "1 out, 2 caught" in read(dataclasses.replace(story, releases=(*story.releases, first))).text, "what creating the pipeline starts is no release"
    assert "requests, 110 failed (0.07 %)" in reader.text
    assert "make report SINCE=70m LOCAL=1" in reader.text
    labels = [drawing.get("aria-label") or "" for drawing in reader.drawings]
    assert "Stage Gamma: 2 succeeded, 1 failed" in labels
    assert "Deployments to fleet in us-east-1: 2 succeeded, 1 stopped, 2 rollback" in labels
    assert "Alarms in us-east-1: Faults (fleet) 1 time, first 08:35:20 to 08:38:50 UTC (3 min 30 s)" in labels
    assert "Hosts of gamma by release; at the end 4 on 428b743d98cd" in labels
    assert any(label.startswith("Faults of prod in us-east-1: at most 22.6 %, alarm above 1 %; 2 times marked") for label in labels)


def test_what_is_told_by_colour_is_told_by_shape_and_word_too() -> None:
    text = page(made_up.story())
    for kind in ("ok", "failed", "stopped", "back", "held"):
        assert f'class="mark {kind}"' in text and f'class="bar {kind}' in text, kind
    # Each row of the timeline has a name, and each table headings.
    reader = read(made_up.story())
    rows = len(reader.all("th", scope="row"))
    assert rows >= 6 + 2 * 3 + 6 and len(reader.all("caption")) == 3 and len(reader.all("th", scope="col")) == 1 + 6 + 7


@pytest.mark.parametrize("regions", [1, 2, 5])
def test_regions_share_a_scale_and_each_has_its_rows(regions: int) -> None:
    reader = read(made_up.story(regions))
    charted = [drawing for drawing in reader.drawings if drawing.get("class") == "chart" and "Requests a minute of prod" in str(drawing.get("aria-label"))]
    assert len(charted) == regions
    scales = {tuple(text.text for text in drawing.findall("text[@class='value']")) for drawing in charted}
    assert len(scales) == 1


HOSTILE = "</title></style></script><script>alert(1)</script><img src=x onerror=alert(1)>\"' onload='x' &lt; \x1b[31m\x00 ]]> <!-- ‮"


def test_what_comes_from_outside_is_text() -> None:
    story = made_up.story()
    run = StageRun("Gamma", HOSTILE, HOSTILE, "Failed", BEGAN + 60, BEGAN + 90, HOSTILE, HOSTILE)
    release = Release(HOSTILE, HOSTILE, HOSTILE, "Failed", BEGAN + 10, BEGAN + 90, (run,), HOSTILE)
    alarm = dataclasses.replace(made_up.alarm("Faults", spans=(Span(BEGAN + 30, None),)), name=HOSTILE, label=HOSTILE, scope=HOSTILE, state="ALARM")
    deployment = made_up.deployment(1, HOSTILE, BEGAN + 60, 30, "Failed", HOSTILE, code=HOSTILE, message=HOSTILE)
    place = dataclasses.replace(story.environments[0].places[0], region=HOSTILE, alarms=(alarm,), scopes=(Scope(HOSTILE, (deployment,)),))
    hold = Hold("block", Span(BEGAN, None), HOSTILE)
    why = dict.fromkeys(("about", "subject", "cause", "title", "certainty", "where"), HOSTILE) | {
        "failing": True,
        "evidence": [HOSTILE],
        "fix": [HOSTILE],
        "document": {"title": HOSTILE, "url": "javascript:alert(1)"},
        "others": [{"title": HOSTILE, "where": HOSTILE, "certainty": HOSTILE}],
        "ruled_out": [{"cause": HOSTILE, "why": HOSTILE}],
    }
    hostile = dataclasses.replace(
        story,
        service=HOSTILE,
        account=HOSTILE,
        stages=("Gamma", HOSTILE),
        releases=(release,),
        command=HOSTILE,
        notes=(HOSTILE,),
        why=why,
        unreadable=(Unreadable(HOSTILE, HOSTILE, HOSTILE),),
        environments=(Environment(HOSTILE, (place,), HOSTILE, HOSTILE, HOSTILE, "", (hold,)),),
    )
    reader = read(hostile)
    assert "<script>alert(1)</script><img src=x onerror=alert(1)>" in reader.text
    assert not reader.all("a") and "\x1b" not in page(hostile)


def test_a_document_becomes_a_link_and_nothing_else_does() -> None:
    assert [given["href"] for given in read(made_up.story()).all("a")] == [made_up.WHY["document"]["url"]]


def test_an_empty_account_is_a_page_too() -> None:
    reader = read(dataclasses.replace(EMPTY, environments=(Environment("gamma", (Place("us-east-1", (Scope("fleet"),)),)),)))
    assert "No release in this period; no alarm fires." in reader.text
    assert "Deployments to fleet in us-east-1: none in this period" in [drawing.get("aria-label") for drawing in reader.drawings]
    assert "Releases" not in reader.text and "Traffic" not in reader.text
    assert "No release in this period" in read(EMPTY).text


def test_what_could_not_be_read_is_named_with_its_permission() -> None:
    reader = read(dataclasses.replace(EMPTY, unreadable=(Unreadable("alarms of prod in us-east-1", "access denied", "cloudwatch:DescribeAlarms"),)))
    assert "What was read shows no release in this period; not all could be read." in reader.text
    assert "alarms of prod in us-east-1: access denied Missing permission: cloudwatch:DescribeAlarms ." in reader.text


def test_long_names_and_hundreds_of_deployments_stay_small() -> None:
    long = "n" * 300
    story = made_up.story(5)
    many = tuple(
        made_up.deployment(index, f"{index:040x}", BEGAN + 8 * index, 7, by="user" if index % 9 else "codeDeployRollback", hosts=6) for index in range(150)
    )
    points = tuple((BEGAN + 60.0 * index, float(index * 37 % 900)) for index in range(20_000))
    alarms = tuple(dataclasses.replace(made_up.alarm("A" + long, spans=tuple(Span(BEGAN + i * 9, BEGAN + i * 9 + 4) for i in range(100)))) for _ in range(12))

    def filled(place: Place) -> Place:
        busy = dataclasses.replace(place.traffic, requests=points, p99=points, p50=points, faults=dict.fromkeys(place.traffic.faults, points))
        return dataclasses.replace(place, scopes=tuple(dataclasses.replace(scope, deployments=many) for scope in place.scopes), alarms=alarms, traffic=busy)

    environments = tuple(dataclasses.replace(one, places=tuple(filled(place) for place in one.places)) for one in story.environments)
    releases = tuple(
        dataclasses.replace(story.releases[0], execution=f"e{index}", commit=f"{index:040x}", summary=long, started=BEGAN + index) for index in range(200)
    )
    crowded = dataclasses.replace(story, service=long[:64], until=BEGAN + 1_200_000, environments=environments, releases=releases)
    size = len(page(crowded).encode())
    assert size < 2_500_000, size
    reader = read(crowded)
    assert "140 older ones are not shown" in reader.text and "alarms (6 of 12)" in reader.text


# -- words and verdicts -----------------------------------------------------------------------------------------------------


def one(status: str, *stages: StageRun, bad: str = "", commit: str = GOOD, **more: Any) -> Report:
    return dataclasses.replace(EMPTY, releases=(Release("11112222-0000", commit, "m", status, BEGAN, BEGAN + 60, stages, bad),), **more)


def with_hosts(*deployments: Any, **more: Any) -> tuple[Environment, ...]:
    return (Environment("prod", (Place("us-east-1", (Scope("fleet", deployments),)),), **more),)


@pytest.mark.parametrize(
    ("report", "kind", "text"),
    [
        (
            one("Succeeded", environments=with_hosts(made_up.deployment(1, GOOD, BEGAN, 60))),
            "ok",
            "Release 428b743d98cd went out to every stage; every host runs it.",
        ),
        (one("Succeeded", environments=with_hosts(made_up.deployment(1, BAD, BEGAN, 60))), "ok", "Release 428b743d98cd went out to every stage."),
        (
            one("Failed", StageRun("Build", "e", GOOD, "Failed", BEGAN, BEGAN + 9, "Build", "exit 1")),
            "failed",
            "Release 428b743d98cd failed in Build; no host runs it.",
        ),
        (
            one("Failed", StageRun("Wave1", "e", GOOD, "Failed", BEGAN, BEGAN + 9), environments=with_hosts(made_up.deployment(1, GOOD, BEGAN, 60))),
            "failed",
            "Release 428b743d98cd failed in Wave1; 2 hosts still run it.",
        ),
        (one("InProgress", StageRun("Gamma", "e", GOOD, "InProgress", BEGAN, None)), "running", "Release 428b743d98cd is on its way, in Gamma."),
        (one("Stopped", StageRun("OneBox", "e", GOOD, "Stopped", BEGAN, BEGAN + 9)), "failed", "Release 428b743d98cd was stopped in OneBox; no host runs it."),
        (one("Superseded"), "held", "Release 428b743d98cd was superseded."),
        (one("Succeeded", environments=with_hosts(desired=GOOD, taking_back="alarm")), "running", "prod is being taken back to 428b743d98cd."),
        (
            dataclasses.replace(EMPTY, environments=(Environment("prod", (Place("us-east-1", alarms=(made_up.alarm("Canary", "", state="ALARM"),)),)),)),
            "failed",
            "No release in this period; An alarm fires: Canary of prod/us-east-1.",
        ),
    ],
)
def test_the_verdict_in_one_line(report: Report, kind: str, text: str) -> None:
    told = summary.verdict(report)
    assert (told.kind, told.text) == (kind, text)


def test_a_release_that_failed_and_went_out_later_is_not_drawn_as_bad() -> None:
    failed, out = (Release(f"e{index}", GOOD, "", status, BEGAN + index, BEGAN + 60) for index, status in enumerate(("Failed", "Succeeded")))
    assert summary.bad_commits(dataclasses.replace(EMPTY, releases=(failed,))) == {GOOD}
    assert summary.bad_commits(dataclasses.replace(EMPTY, releases=(failed, out))) == frozenset()
    assert summary.bad_commits(dataclasses.replace(EMPTY, releases=(dataclasses.replace(out, bad="gamma: alarm"),))) == {GOOD}


def test_the_way_back_counts_from_the_first_alarm_to_the_last_host() -> None:
    story = made_up.story()
    told = {release.commit: summary.outcome(story, release) for release in story.releases}
    assert told[GOOD].kind == "ok" and told[GOOD].back_after is None
    # First alarm at 2120 s, the other Region's rollback over at 2149 + 74 s.
    assert told[BAD].kind == "back" and told[BAD].back_after == pytest.approx(2149 + 74 - 2120)
    assert told[BAD].word == "failed in Gamma, taken back" and told[BAD].cause.startswith("Gate: One or more alarms have been activated")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (words.span(45), "45 s"),
        (words.span(73), "1 min 13 s"),
        (words.span(120), "2 min"),
        (words.span(3900), "1 h 05 min"),
        (words.span(97_200), "1 d 3 h"),
        (words.number(0), "0"),
        (words.number(0.412), "0.41"),
        (words.number(12.34), "12.3"),
        (words.number(11_772), "11\u202f772"),
        (words.percent(48, 11_772), "0.41 %"),
        (words.percent(0, 0), "0 %"),
        (words.percent(1, 100_000), "under 0.01 %"),
        (words.moment(BEGAN), "2026-11-24 08:00:00"),
        (words.moment(None), "–"),
        (words.first_line("a\n  b" + "c" * 400, 10), "a bcccccc…"),
    ],
)
def test_numbers_have_units_and_times_are_utc(said: str, expected: str) -> None:
    assert said == expected


def test_markup_is_escaped_by_default() -> None:
    assert element("p", "<b>", Markup("<i/>"), ["&", None], class_='"x"', hidden=True, gone=None) == '<p class="&quot;x&quot;" hidden="">&lt;b&gt;<i/>&amp;</p>'
    assert element("rect", x=1, aria_label="a") == '<rect x="1" aria-label="a"/>' and element("td") == "<td></td>"


# -- drawings ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hours", "first", "most"), [(0.5, "08:00", 7), (1, "08:00", 7), (24, "08:00", 7), (72, "12:00", 7), (720, "26 Nov", 7)])
def test_times_along_an_axis_are_round_and_few(hours: float, first: str, most: int) -> None:
    ticks = Axis(BEGAN, BEGAN + 3600 * hours).ticks(most)
    assert 2 <= len(ticks) <= most + 1 and ticks[0][1] == first
    assert all(0 <= at <= 100 for at, _ in ticks)


def test_bars_stay_inside_and_can_be_seen() -> None:
    axis = Axis(BEGAN, BEGAN + 3600)
    drawn = ElementTree.fromstring(
        charts.lane(
            axis,
            [
                Bar(None, BEGAN + 60, "ok", "aaaaaaa", "from before"),
                Bar(BEGAN + 3599, BEGAN + 3600, "failed", "b", "short"),
                Bar(BEGAN + 1000, None, "running", "ccccccc", "open"),
            ],
            "three",
        )
    )
    bars = {str(bar.findtext("title")): bar for bar in drawn.findall("svg")}
    assert (bars["from before"].get("x"), bars["from before"].get("width")) == ("0.00%", "1.67%")
    assert (bars["short"].get("x"), bars["short"].get("width")) == ("99.65%", "0.35%")
    assert bars["open"].get("width") == "72.22%" and bars["open"].findtext("text") == "ccccccc" and bars["from before"].find("text") is None


def test_a_line_has_gaps_where_there_is_no_data_and_keeps_its_peaks() -> None:
    axis = Axis(0, 36_000)
    points = (*((60.0 * index, 1.0) for index in range(5)), (1200.0, 2.0), (1260.0, 2.0))
    drawn = charts.chart(axis, [Line("main", "a", points)], 2.0, "", [], "a", 60)
    assert drawn.count("M") == 2
    many = tuple((6.0 * index, 99.0 if index == 4321 else 1.0) for index in range(6000))
    path = re.search(r'd="(M[^"]*)"', charts.chart(axis, [Line("main", "a", many)], 100.0, "", [], "a", 6))
    assert path and path[1].count("L") < 300 and " 6L" in path[1]


@pytest.mark.parametrize(("value", "top"), [(0, 0), (0.7, 0.8), (1, 1), (1.01, 1.5), (16.2, 20), (945, 1000), (1001, 1500)])
def test_a_scale_ends_at_a_round_number(value: float, top: float) -> None:
    assert charts.ceiling(value) == pytest.approx(top)


def test_hosts_by_release_follow_each_host() -> None:
    first = made_up.deployment(1, GOOD, BEGAN - 500, 100, hosts=3)
    bad = made_up.deployment(2, BAD, BEGAN + 100, 90, "Stopped", hosts=3)
    smaller = made_up.deployment(3, GOOD, BEGAN + 300, 90, by="reconciler", hosts=2)
    launched = dataclasses.replace(made_up.deployment(4, GOOD, BEGAN + 500, 60, by="autoscaling", hosts=1, place=5))
    failed = dataclasses.replace(
        bad,
        id="d-f",
        created=BEGAN + 700,
        hosts=(made_up.Host("i-0000", "Failed", BEGAN + 720), made_up.Host("i-0001", "Skipped", None), made_up.Host("i-5000", "Skipped", None)),
    )
    steps = hosts.steps([Scope("fleet", (bad, smaller, launched, failed), before=first)], BEGAN)
    assert [dict(step.counts) for step in steps] == [{GOOD: 3}, {GOOD: 2, BAD: 1}, {GOOD: 1, BAD: 1}, {GOOD: 2}, {GOOD: 3}, {GOOD: 2, "": 1}]
    assert steps[0].at == BEGAN and steps[2].at == BEGAN + 300
    assert hosts.steps([Scope("fleet")], BEGAN) == ()


# -- reading: pure parts ----------------------------------------------------------------------------------------------------


def test_when_an_alarm_was_in_alarm() -> None:
    changes = [(10.0, "OK", "ALARM"), (20.0, "ALARM", "OK"), (30.0, "OK", "INSUFFICIENT_DATA"), (40.0, "INSUFFICIENT_DATA", "ALARM")]
    assert measures.spans_of(changes) == (Span(10, 20), Span(40, None))
    assert measures.spans_of([(5.0, "ALARM", "OK"), *changes[:2]]) == (Span(None, 5), Span(10, 20))
    assert measures.spans_of([]) == ()


@pytest.mark.parametrize(
    ("name", "label"),
    [("sample-environment-gamma-FleetAlarms-Z0SM65MR9S56-Faults-WHB0CJRK5RNM", "Faults"), ("my-own-alarm", "my-own-alarm"), ("plain", "plain")],
)
def test_what_an_alarm_is_called(name: str, label: str) -> None:
    assert measures.label_of(name) == label


def test_no_requests_are_zero_requests_and_no_percentage() -> None:
    values: dict[str, dict[float, float]] = {name: {} for name in ("requests", "refused", "p50", "p99", "requests0", "failed0", "lost0")}
    values["requests"] = values["requests0"] = {60.0: 100.0, 240.0: 50.0}
    values["failed0"], values["lost0"] = {60.0: 10.0}, {240.0: 5.0}
    values["refused"] = {120.0: 4.0, 240.0: 5.0}
    found = measures.measured(values, ("fleet",), 0, 300, 60)
    assert found.requests == ((60, 100), (120, 0), (180, 0), (240, 50))
    assert found.faults == {"fleet": ((60, 10), (240, 10))}
    assert dict(found.refused) == {60: 0, 120: 100, 240: pytest.approx(100 * 5 / 55)}
    # The balancer's own 502 for a host that was not reached is the same request.
    assert (found.total, found.faulty) == (154, 19)
    assert measures.measured({name: {} for name in values}, ("fleet",), 0, 300, 60).requests == ()
    assert [gather.period_of(seconds) for seconds in (7200, 86_400, 3 * 86_400, 20 * 86_400)] == [60, 60, 300, 3600]


def test_when_an_environment_was_blocked_or_taken_back() -> None:
    log = [
        {"at": f"2026-11-24T08:{minute:02d}:00.000Z-abc123", "kind": kind, "text": kind, **more}
        for minute, kind, more in (
            (1, "passed", {}),
            (2, "rollback", {"to": GOOD}),
            (3, "rollback", {"to": GOOD}),
            (4, "done", {"to": GOOD}),
            (9, "unblock", {}),
            (20, "block", {}),
            (30, "unblock", {}),
            (40, "rollback", {"to": GOOD}),
            (44, "done", {}),
        )
    ]
    record = {"blocked": {"at": BEGAN + 2390, "reason": "alarm", "by": "handsoff"}}
    minute = 60.0
    found = [(hold.kind, hold.span.begin, hold.span.end) for hold in gather.holds(record, log)]
    assert found == [
        ("rollback", BEGAN + 2 * minute, BEGAN + 4 * minute),
        ("block", BEGAN + 4 * minute, BEGAN + 9 * minute),
        ("block", BEGAN + 20 * minute, BEGAN + 30 * minute),
        ("rollback", BEGAN + 40 * minute, BEGAN + 44 * minute),
        ("block", BEGAN + 44 * minute, None),
    ]
    assert gather.holds({}, []) == () and gather.holds({"rollback": {"began": 5, "reason": "r"}}, [{"at": "?"}])[0].span == Span(5.0, None)


@pytest.mark.parametrize(("text", "seconds"), [("90m", 5400), ("2h", 7200), (" 3 d ", 259_200)])
def test_how_far_back(text: str, seconds: float) -> None:
    assert command.seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["2", "0h", "h", "-2h", "31d", "2h30m", "2 weeks"])
def test_how_far_back_it_cannot_be(text: str) -> None:
    with pytest.raises(WrongUse, match="SINCE="):
        command.seconds_of(text)


def test_the_empty_time_at_the_beginning_is_cut_off() -> None:
    story = dataclasses.replace(made_up.story(), since=BEGAN - 80_000)
    assert BEGAN - 180 < gather.cropped(story).since < BEGAN + 60
    assert gather.cropped(EMPTY) == EMPTY


# -- reading: the services in this process ----------------------------------------------------------------------------------


class Account:
    """Gamma in one Region: CodeDeploy over simulated hosts, the templates' alarms and the metrics in CloudWatch; a good release, then one that alarms."""

    def __init__(self) -> None:
        self.gamma = Simulated()
        self.aws, self.calls = self.gamma.aws, self.gamma.calls
        self.gamma.measure("TargetResponseTime ", [0.01] * 5, {"LoadBalancer": BALANCER})
        self.gamma.simulation.run(60)
        self.began = self.gamma.clock.now()
        self.good = self.gamma.simulation.deploy("one")
        self.gamma.simulation.finish(self.good)
        self.gamma.simulation.run(120)
        self.bad = self.gamma.ship(60, "HTTPCode_Target_5XX_Count", [1.0] * 2).id
        self.gamma.good()
        self.gamma.simulation.run(900)
        self.now = self.gamma.clock.now()
        for key, commit in (("one", GOOD), ("two", BAD)):
            self.aws.buckets.put("bucket", key, bundle(commit))
        names = self.gamma.names
        of_fleet = [names[name] for name in ("Faults", "LatencyP50", "LatencyP99", "Cpu", "UnhealthyHosts")]
        document = {"alarms": [names["BalancerFaults"]], "scopes": {"fleet": {"alarms": of_fleet, "loadBalancer": BALANCER, "targetGroup": TARGETS}}}
        self.aws.record("ssm", "GetParameter", lambda params: {"Parameter": {"Name": params["Name"], "Value": json.dumps(document)}})
        self.aws.record(
            "codepipeline", "GetPipelineState", {"pipelineName": "sample", "stageStates": [{"stageName": name} for name in ("Source", "Gamma", "OneBox")]}
        )
        self.aws.record(
            "codepipeline",
            "ListPipelineExecutions",
            {
                "pipelineExecutionSummaries": [
                    self.execution("e-2", BAD, "Failed", self.info(self.bad)),
                    self.execution("e-1", GOOD, "Succeeded", self.info(self.good)),
                ]
            },
        )
        self.aws.record(
            "codepipeline",
            "ListActionExecutions",
            {
                "actionExecutionDetails": [
                    self.action("e-2", self.bad, "Failed", "Deployment stopped, password=hunter2hunter2"),
                    self.action("e-1", self.good, "Succeeded"),
                ]
            },
        )
        self.aws.record("dynamodb", "GetItem", {"Item": {"id": {"S": "environment#gamma"}, "last_good": {"S": GOOD}, "desired": {"S": GOOD}}})
        self.aws.record("dynamodb", "Query", {"Items": []})
        self.aws.record(
            "dynamodb", "BatchGetItem", {"Responses": {"ledger": [{"commit": {"S": BAD}, "bad": {"M": {"where": {"S": "gamma"}, "reason": {"S": "alarm"}}}}]}}
        )

    def info(self, identity: str) -> dict[str, Any]:
        return self.gamma.simulation.info(identity)

    def execution(self, identity: str, commit: str, status: str, info: dict[str, Any]) -> dict[str, Any]:
        return {
            "pipelineExecutionId": identity,
            "status": status,
            "startTime": info["createTime"] - 60,
            "lastUpdateTime": info["completeTime"],
            "sourceRevisions": [
                {"actionName": "Source", "revisionId": commit, "revisionSummary": json.dumps({"ProviderType": "GitHub", "CommitMessage": f"m {identity}"})}
            ],
        }

    def action(self, execution: str, deployment: str, status: str, message: str = "") -> dict[str, Any]:
        info = self.info(deployment)
        result = {"externalExecutionId": deployment, **({"errorDetails": {"code": "JobFailed", "message": message}} if message else {})}
        return {
            "pipelineExecutionId": execution,
            "actionExecutionId": f"a-{execution}",
            "stageName": "Gamma",
            "actionName": "Deploy1",
            "status": status,
            "startTime": info["createTime"],
            "lastUpdateTime": info["completeTime"],
            "output": {"executionResult": result},
            "input": {"actionTypeId": {"category": "Deploy", "owner": "AWS", "provider": "CodeDeploy", "version": "1"}},
        }

    def scene(self) -> Scene:
        stack = deployed_stack("sample-environment-gamma", {"ApplicationName": "app", "FleetDeploymentGroupName": "fleet"})
        home = deployed_stack("sample-pipeline", {"PipelineName": "sample", "LedgerTableName": "ledger"})
        return Scene(
            "gamma", "sample", ("gamma",), (Where("gamma", REGION, self.calls, stack.name, stack),), Where("pipeline", REGION, self.calls, home.name, home)
        )

    def report(self, since: float | None = None, crop: bool = False) -> Report:
        return gather.report(self.scene(), "test", self.began - 60 if since is None else since, self.now, RealClock(), crop, "make report")


def bundle(commit: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("release.json", json.dumps({"commit": commit, "digest": "sha256:1"}))
    return held.getvalue()


@pytest.fixture(scope="module")
def account() -> Account:
    return Account()


@pytest.fixture
def open_account(account: Account) -> Account:
    """The same, with nothing denied and nothing counted."""
    account.aws.denied, account.calls = set(), Calls(account.aws)
    account.aws.called.clear()
    return account


def test_deployments_alarms_traffic_and_hosts_are_read_from_the_services(open_account: Account) -> None:
    found = open_account.report()
    (gamma,) = found.environments
    (place,) = gamma.places
    (fleet,) = place.scopes
    assert [(one.status, one.by, one.commit) for one in fleet.deployments] == [
        ("Succeeded", "user", GOOD),
        ("Stopped", "user", BAD),
        ("Succeeded", "codeDeployRollback", GOOD),
    ]
    assert fleet.deployments[1].code == "ALARM_ACTIVE" and fleet.before is None
    faults = next(alarm for alarm in place.alarms if alarm.label == "Faults")
    (span,) = faults.spans
    assert (
        faults.scope == "fleet" and faults.threshold == 5 and span.begin is not None and fleet.deployments[1].created < span.begin < fleet.deployments[1].ended
    )
    assert span.end is not None and span.end > span.begin
    assert [alarm.scope for alarm in place.alarms if alarm.label == "BalancerFaults"] == [""]
    traffic = place.traffic
    assert traffic is not None and 5 < max(value for _, value in traffic.faults["fleet"]) <= 40 and traffic.p99[0][1] == pytest.approx(0.01)
    assert all(value == pytest.approx(300) for _, value in traffic.requests[1:-1]) and traffic.total > 5000 and traffic.faulty > 10
    steps = hosts.of_environment(gamma, found.since)
    assert dict(steps[-1].counts) == {GOOD: 3} and any(BAD in step.counts for step in steps) and dict(steps[0].counts) == {GOOD: 1}
    assert [(release.commit, release.summary, release.status, release.bad) for release in found.releases] == [
        (GOOD, "m e-1", "Succeeded", ""),
        (BAD, "m e-2", "Failed", "gamma: alarm"),
    ]
    assert found.releases[1].failed_stage is not None and "hunter2" not in found.releases[1].failed_stage.message
    assert found.unreadable == () and gamma.last_good == GOOD and found.stages == ("Source", "Gamma", "OneBox")
    assert summary.verdict(found).text.startswith("Release f4370d9bd541 failed in Gamma and was taken back in ")
    # The commits of the pipeline's own deployments are known from it: no bundle is read, not even for the rollback, which had the same.
    assert not [call for call in open_account.aws.called if call[0] == "s3"] and open_account.calls.count <= 25
    read(found)


def test_a_period_that_begins_later_knows_what_ran_before(open_account: Account) -> None:
    (gamma,) = open_account.report(since=open_account.now - 30).environments
    (fleet,) = gamma.places[0].scopes
    assert fleet.deployments == () and fleet.before is not None and fleet.before.by == "codeDeployRollback"
    assert dict(hosts.of_environment(gamma, open_account.now - 30)[0].counts) == {GOOD: 3}


def test_an_environment_that_is_not_used_is_left_out(open_account: Account) -> None:
    scene = open_account.scene()
    beta, elsewhere = Where("beta", REGION, open_account.calls, "b", None), Where("gamma", "us-west-2", open_account.calls, "g", None)
    scene = dataclasses.replace(scene, places=(beta, *scene.places, elsewhere))
    found = gather.report(scene, "test", open_account.began, open_account.now, RealClock(), False, "")
    assert [one.name for one in found.environments] == ["gamma"] and found.notes == ("gamma is not deployed in us-west-2, or could not be found.",)


def test_without_the_pipeline_the_bundles_say_which_release_it_is(open_account: Account) -> None:
    open_account.aws.denied = {"codepipeline:*"}
    found = open_account.report()
    assert [one.commit for one in found.environments[0].places[0].scopes[0].deployments] == [GOOD, BAD, GOOD]
    assert {one.permission for one in found.unreadable} == {"codepipeline:GetPipelineState", "codepipeline:ListPipelineExecutions"}


@pytest.mark.parametrize(
    ("denied", "what"),
    [
        ("ssm:GetParameter", "the document of gamma in us-east-1"),
        ("cloudwatch:DescribeAlarms", "alarms of gamma in us-east-1"),
        ("cloudwatch:DescribeAlarmHistory", "history of the alarm"),
        ("cloudwatch:GetMetricData", "metrics of gamma in us-east-1"),
        ("codedeploy:ListDeployments", "deployments to fleet of gamma in us-east-1"),
        ("dynamodb:GetItem", "gamma in the ledger"),
        ("codepipeline:ListActionExecutions", "actions of the pipeline sample"),
    ],
)
def test_what_may_not_be_read_is_named_and_the_rest_is_shown(open_account: Account, denied: str, what: str) -> None:
    open_account.aws.denied = {denied}
    found = open_account.report()
    assert {one.permission for one in found.unreadable} == {denied} and all(one.what.startswith(what) for one in found.unreadable)
    assert f"Missing permission: {denied} ." in read(found).text


# -- the command ------------------------------------------------------------------------------------------------------------


class Nothing:
    """An account with nothing in it, in the place of the project's local one."""

    def __init__(self, *denied: str) -> None:
        self.aws = InProcess(account="000000000000")
        self.aws.endpoint = "http://127.0.0.1:1"
        self.aws.denied = set(denied)
        self.aws.record(
            "cloudformation", "DescribeStacks", lambda params: ServiceError("ValidationError", f"Stack with id {params.get('StackName')} does not exist")
        )
        self.recorder = Recorder()
        self.world = World(ROOT, {}, self.recorder.console, FakeClock(), lambda local, environ: self.aws)


def test_an_empty_account_makes_a_report(tmp_path: Path) -> None:
    nothing = Nothing()
    target = tmp_path / "new" / "report.html"
    assert command.main(["--local", "--since", "2h", "--out", str(target)], nothing.world) == 0, nothing.recorder.errors
    assert nothing.recorder.text.splitlines()[0].startswith("Target: local AWS")
    reader = Reader(target.read_text(encoding="utf-8"))
    assert "No release in this period; no alarm fires." in reader.text and "make report SINCE=2h LOCAL=1" in reader.text
    assert "The pipeline is not deployed" in reader.text and "prod is not deployed in eu-west-1" in reader.text


def test_without_any_permission_it_says_so(tmp_path: Path) -> None:
    nothing = Nothing("cloudformation:*")
    assert command.main(["--env", "prod", "--local", "--out", str(tmp_path / "r.html")], nothing.world) == 0, nothing.recorder.errors
    assert "cloudformation:DescribeStacks" in nothing.recorder.text
    assert "Missing permission: cloudformation:DescribeStacks ." in Reader((tmp_path / "r.html").read_text(encoding="utf-8")).text


def test_the_report_has_the_cause_that_why_names(open_account: Account, tmp_path: Path) -> None:
    outputs = {
        "sample-environment-gamma": {"ApplicationName": "app", "FleetDeploymentGroupName": "fleet"},
        "sample-pipeline": {"PipelineName": "sample", "LedgerTableName": "ledger"},
    }

    def stacks(params: dict[str, Any]) -> dict[str, Any] | ServiceError:
        name = params.get("StackName", "")
        if name not in outputs:
            return ServiceError("ValidationError", f"Stack with id {name} does not exist")
        told = [{"OutputKey": key, "OutputValue": value} for key, value in outputs[name].items()]
        return {"Stacks": [{"StackId": name, "StackName": name, "StackStatus": "UPDATE_COMPLETE", "CreationTime": 1.6e9, "Outputs": told}]}

    aws, recorder, clock = open_account.aws, Recorder(), FakeClock()
    clock.sleep(open_account.now - clock.now().timestamp())
    aws.record("cloudformation", "DescribeStacks", stacks)
    aws.record(
        "codepipeline",
        "GetPipeline",
        {
            "pipeline": {
                "name": "sample",
                "roleArn": "r",
                "stages": [
                    {
                        "name": "Gamma",
                        "actions": [
                            {
                                "name": "Deploy1",
                                "actionTypeId": {"category": "Deploy", "owner": "AWS", "provider": "CodeDeploy", "version": "1"},
                                "configuration": {"ApplicationName": "app", "DeploymentGroupName": "fleet"},
                            }
                        ],
                    }
                ],
            }
        },
    )
    world = World(ROOT, {}, recorder.console, clock, lambda local, environ: aws)
    assert command.main(["--env", "gamma", "--since", "1h", "--out", str(tmp_path / "r.html")], world) == 0, recorder.errors
    reader = Reader((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "Release f4370d9bd541 failed in Gamma and was taken back in " in recorder.text
    assert "Why: " in reader.text and "Evidence" in reader.text and "hunter2" not in reader.text, recorder.text


def test_wrong_use() -> None:
    assert command.main(["--help"]) == 0 and command.main(["--nonsense"]) == 2
    nothing = Nothing()
    assert command.main(["--local", "--since", "soon"], nothing.world) == 2 and "SINCE=90m" in nothing.recorder.errors
    assert command.main(["--local", "--env", "nowhere"], nothing.world) == 2


def test_traffic_is_asked_for_by_the_environments_own_dimensions(open_account: Account) -> None:
    assert OF_TARGETS == {"LoadBalancer": BALANCER, "TargetGroup": TARGETS}
    open_account.report()
    assert open_account.aws.called.count(("cloudwatch", "GetMetricData")) == 1
