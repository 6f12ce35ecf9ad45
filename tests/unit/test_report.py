"""The report: what it says and draws from made-up values."""

from __future__ import annotations

import dataclasses
import re
from typing import Any
from xml.etree import ElementTree

import pytest
import report_values as made_up
from report_page import read
from report_values import BAD, BEGAN, GOOD

from scripts import report as command
from scripts.core.errors import WrongUse
from scripts.diagnosis.case import Unreadable
from scripts.reporting import charts, gather, hosts, measures, summary, words
from scripts.reporting.charts import Axis, Bar, Line
from scripts.reporting.markup import Markup, element
from scripts.reporting.page import page
from scripts.reporting.values import Environment, Hold, Place, Release, Report, Scope, Span, StageRun

EMPTY = Report("sample", "123456789012", ("us-east-1",), BEGAN, BEGAN + 7200, BEGAN + 7200)


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
