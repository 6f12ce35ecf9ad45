"""`make history`: what became of each release and why, who took it back and how long that took; and the four key figures, by hand-made values."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from reading_place import BAD, DAY, GOOD, HOUR, NEW, NOW, OLD, Place, action, declaration, execution, way
from scripts_fakes import Recorder

from scripts import history
from scripts.core import dora, pipelines, releases
from scripts.core.pipelines import Action, Execution, Stage
from scripts.core.releases import Past, Rollback

STAGES = (Stage("Source", ""), Stage("Build", ""), Stage("Gamma", "gamma", ("Deploy1", "Gate")), Stage("OneBox", "prod", ("Enter", "Deploy1", "Gate")),
          Stage("Wave1", "prod", ("Enter", "Deploy1", "Gate")))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def block(text: str, commit: str) -> list[str]:
    """The lines of a release."""
    return next(part for part in text.split("\n\n") if commit[:12] in part.splitlines()[0]).splitlines()


def test_each_release_has_its_outcome_its_stages_its_cause_and_who(place: Place) -> None:
    text = place.run(history)
    assert "prod: 6 releases since 2025-12-02 00:00 UTC, newest first" in text
    assert block(text, NEW) == ["under way   cccccccccccc  Newer answers", "  pushed 2025-12-31 23:50, 10 min ago",
                                "  Source 23:50–23:51  Build 23:52–23:53  Gamma 23:54–…"]
    assert block(text, GOOD)[:2] == ["good        aaaaaaaaaaaa  Better answers", "  pushed 2025-12-31 20:00 by An Author, out after 19 min 50 s"]
    assert "OneBox 20:08–20:13  Wave1 20:14–20:19" in block(text, GOOD)[2]
    bad = block(text, BAD)
    assert bad[0].startswith("bad ") and "OneBox 00:08–00:13 failed" in bad[2]
    assert bad[3:] == ["  cause: OneBox/Gate failed: alarm Faults fires; key AKIA[hidden]", "  rolled back to 000000000000 by handsoff in 3 min 20 s"]
    assert block(text, "e" * 40)[0].startswith("refused") and block(text, "e" * 40)[-1] == "  cause: OneBox/Enter: prod is frozen by hand"
    assert block(text, "f" * 40)[0].startswith("failed") and block(text, "f" * 40)[-1] == "  cause: Build/Build: exit status 1"


def test_it_goes_as_far_back_as_it_is_asked(place: Place) -> None:
    assert "prod: 2 releases since" in place.run(history, "--since", "12h")
    assert "prod: 3 releases since 2025-12-31 00:00 UTC" in place.run(history, "--since", "2025-12-31")
    text = place.run(history, "--limit", "3")
    assert "prod: 3 releases since 2025-12-31 00:00 UTC, newest first; times are UTC; older ones left out (LIMIT)" in text
    assert "over 3 releases in 1 day " in text, "the period is that of what is shown"
    assert "prod: no release since" in place.run(history, "--since", "1m")


@pytest.mark.parametrize("options", [("--since", "tomorrow"), ("--since", "2027-01-01"), ("--since", "0d"), ("--limit", "0"), ("--limit", "5000")])
def test_wrong_bounds_are_refused(place: Place, options: tuple[str, ...]) -> None:
    recorder = Recorder()
    assert history.main(["--env", "prod", *options], place.world(recorder)) == 2 and place.aws.called == []


def test_the_pipeline_is_no_environment(place: Place) -> None:
    recorder = Recorder()
    assert history.main(["--env", "pipeline"], place.world(recorder)) == 2
    assert "is not an environment that releases go to" in recorder.errors


def test_history_is_data_too(place: Place) -> None:
    document = json.loads(place.run(history, "--json"))
    assert (document["schema"], document["environment"], document["more"], document["unreadable"]) == (1, "prod", False, [])
    bad = next(one for one in document["releases"] if one["commit"] == BAD)
    assert (bad["outcome"], bad["caught_in"], bad["rollback"]["by"], bad["rollback"]["seconds"]) == ("bad", "OneBox", "handsoff", 200)
    assert bad["stages"][-1] == {"stage": "OneBox", "status": "Failed", "entered": NOW - DAY + 480, "finished": NOW - DAY + 830}
    assert {one["name"]: one["value"] for one in document["dora"]["figures"]} == {
        "deployment frequency": pytest.approx(2 / 30), "lead time for changes": pytest.approx((4790 + 1190) / 2),
        "change failure rate": pytest.approx(1 / 3), "time to restore": pytest.approx(201)}
    assert document["calls"] == len(place.aws.called) - 2, "all but who is calling"


def test_a_history_of_many_pages_takes_a_bounded_number_of_calls(place: Place) -> None:
    place.executions = [execution(f"e-{number}", f"{number:040x}", NOW - number * HOUR, "Succeeded") for number in range(1, 301)]
    place.actions = [one for number in range(1, 301) for one in way(f"e-{number}", NOW - number * HOUR, "Wave1")]
    document = json.loads(place.run(history, "--limit", "200", "--since", "52w", "--json"))
    assert len(document["releases"]) == 200 and document["more"] and all(len(one["stages"]) == 5 for one in document["releases"])
    called = [operation for _, operation in place.aws.called]
    assert (called.count("ListPipelineExecutions"), called.count("BatchGetItem")) == (3, 2)
    assert called.count("ListActionExecutions") <= 21, "ten actions of an execution, a hundred in a call, and one page to see that it is over"


def test_where_the_structure_may_not_be_read_the_actions_tell_it(place: Place) -> None:
    place.aws.denied = {"codepipeline:GetPipeline"}
    text = place.run(history)
    assert block(text, GOOD)[0].startswith("good") and block(text, "e" * 40)[0].startswith("refused")
    assert "key figures of prod: none, for want of what could not be read" in text and "codepipeline:GetPipeline" in text


def test_for_gamma_the_same_release_is_another_matter(place: Place) -> None:
    text = place.run(history, environment="gamma")
    assert block(text, "e" * 40)[0].startswith("good"), "it went through gamma; prod did not let it in"
    assert block(text, "f" * 40)[0].startswith("failed")


def test_a_pipeline_without_an_execution_has_no_history(place: Place) -> None:
    place.executions, place.actions = [], []
    text = place.run(history)
    assert "prod: no release since" in text
    assert [line.split("  ")[-1].strip() for line in text.splitlines() if "n/a" in line][:2] == ["n/a: no release", "n/a: no release came through"]


# The judgement of an execution


def ways(*given: dict[str, Any]) -> tuple[Execution, ...]:
    class Client:
        def list_pipeline_executions(self, **_: Any) -> dict[str, Any]:
            return {"pipelineExecutionSummaries": timed(given)}

    return pipelines.executions(Client(), "p", 10)[0]


def acts(*given: dict[str, Any]) -> tuple[Action, ...]:
    class Client:
        def list_action_executions(self, **_: Any) -> dict[str, Any]:
            return {"actionExecutionDetails": timed(given)}

    return pipelines.actions(Client(), "p", {one["pipelineExecutionId"] for one in given}, 0)[0]


def timed(given: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """The same with times as boto3 gives them."""
    return [{**one, **{key: datetime.fromtimestamp(one[key], UTC) for key in ("startTime", "lastUpdateTime")}} for one in given]


def rows(executions: list[dict[str, Any]], actions: list[dict[str, Any]], environment: str = "prod", marks: dict[str, Any] | None = None,
         log: list[dict[str, Any]] | None = None) -> tuple[Past, ...]:
    known = [{"commit": commit, "bad": bad} for commit, bad in (marks or {}).items()]
    return releases.pasts(ways(*executions), acts(*actions), STAGES, environment, known, log or [])


def mark(at: float) -> dict[str, Any]:
    return {"reason": "found bad", "where": "prod", "at": at}


def test_a_deployment_that_failed_in_the_environment_is_bad_before_it_is_marked() -> None:
    (row,) = rows([execution("e", NEW, NOW, "Failed")], way("e", NOW, "Wave1", "Deploy1", "too many hosts"))
    assert (row.outcome, row.caught_in, row.cause, row.deployed) == ("bad", "Wave1", "Wave1/Deploy1: too many hosts", True)
    assert row.found_bad == row.stages[-1].finished and row.out is None


def test_a_release_that_was_good_and_is_taken_back_by_hand_is_bad_from_then_on() -> None:
    (row,) = rows([execution("e", NEW, NOW, "Succeeded")], way("e", NOW, "Wave1"), marks={NEW: mark(NOW + DAY)})
    assert (row.outcome, row.out, row.found_bad, row.caught_in) == ("bad", NOW + 10 * 120 + 110 - 120, NOW + DAY, "")


def test_a_mark_is_of_the_way_in_which_it_was_set_not_of_those_before_and_after() -> None:
    first, second, third = execution("e-1", NEW, NOW, "Succeeded"), execution("e-2", NEW, NOW + DAY, "Failed"), execution("e-3", NEW, NOW + 2 * DAY, "Failed")
    found = rows([third, second, first], [*way("e-3", NOW + 2 * DAY, "OneBox", "Enter", "is marked bad"), *way("e-2", NOW + DAY, "OneBox", "Gate", "fires"),
                                          *way("e-1", NOW, "Wave1")], marks={NEW: mark(NOW + DAY + 900)})
    assert [row.outcome for row in found] == ["refused", "bad", "good"]


def test_a_way_back_before_it_began_is_not_its_own() -> None:
    log = [entry("20:00", "done", to=GOOD), entry("05:00", "rollback", bad=NEW, to=GOOD)]
    run = execution("e", NEW, NOW + HOUR, "Failed")
    (row,) = rows([run], way("e", NOW + HOUR, "OneBox", "Gate", "fires"), marks={NEW: mark(NOW + HOUR + 900)}, log=log)
    assert (row.outcome, row.rollback) == ("bad", None)


@pytest.mark.parametrize(("status", "outcome"), [("Superseded", "superseded"), ("Stopped", "stopped"), ("InProgress", "under way"), ("Stopping", "under way")])
def test_what_ended_or_goes_on_between_stages_is_as_codepipeline_says(status: str, outcome: str) -> None:
    (row,) = rows([execution("e", NEW, NOW, status, stopTrigger={"reason": "a mistake"})], way("e", NOW, "Gamma"))
    assert row.outcome == outcome and row.deployed is False and row.stages[-1].status == "Succeeded"
    assert row.cause == {"superseded": "a newer execution took its place", "stopped": "a mistake"}.get(outcome, "")


def test_a_retried_stage_is_as_its_newest_runs() -> None:
    again = [action("e", "Gamma", "Gate", NOW + 5000, 60), action("e", "Gamma", "Gate", NOW + 400, 60, "Failed", "fires")]
    (row,) = rows([execution("e", NEW, NOW, "InProgress")], [*again, *way("e", NOW, "Gamma", "Deploy1")[1:], action("e", "Gamma", "Deploy1", NOW + 240, 60)])
    assert row.stages[-1] == releases.Passage("Gamma", "Succeeded", NOW + 240, NOW + 5060) and row.outcome == "under way"


def test_between_two_actions_a_stage_goes_on() -> None:
    (row,) = rows([execution("e", NEW, NOW, "InProgress")], [action("e", "OneBox", "Enter", NOW + 60, 60)])
    assert row.stages[-1].status == "InProgress" and row.stages[-1].finished is None


def test_an_execution_without_a_revision_has_a_row() -> None:
    (row,) = rows([execution("e", "", NOW, "Failed")], [action("e", "Source", "Source", NOW, 5, "Failed", "No Branch [main] found")])
    assert (row.commit, row.outcome, row.cause) == ("", "failed", "Source/Source: No Branch [main] found")


@pytest.mark.parametrize(
    ("summary", "line"),
    [('{"ProviderType": "GitHub", "CommitMessage": "One\\n\\ntwo"}', "One"), ("One\ntwo", "One"), ("{not json", "{not json"), ("", ""),
     ('{"ProviderType": "GitHub"}', '{"ProviderType": "GitHub"}')],
)
def test_the_first_line_of_a_message(summary: str, line: str) -> None:
    assert pipelines.first_line(summary) == line


def test_who_began_it_is_a_person_or_nobody() -> None:
    details = ["arn:aws:iam::1:user/someone", "arn:aws:codeconnections:us-east-1:1:connection/x", '{"authorDisplayName": "An Author"}', "", "3"]
    assert [pipelines._who(detail) for detail in details] == ["arn:aws:iam::1:user/someone", "", "An Author", "", ""]


def test_stages_know_their_environment_by_their_gate_or_their_name() -> None:
    class Client:
        def get_pipeline(self, name: str) -> dict[str, Any]:
            told = declaration()
            beta = {"name": "Beta", "actions": [{"name": "Deploy1", "actionTypeId": {"category": "Deploy"}}]}
            return {"pipeline": {**told, "stages": [*told["stages"][:2], beta, *told["stages"][2:]]}}

    found = pipelines.structure(Client(), "p")
    assert [(one.name, one.environment) for one in found] == [("Source", ""), ("Build", ""), ("Beta", "beta"), ("Gamma", "gamma"), ("OneBox", "prod"),
                                                              ("Wave1", "prod")]


# The log


def entry(at: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"at": f"2026-01-01T00:{at}.000Z-abcdef", "kind": kind, "text": "x", **more}


def test_an_order_and_its_beginning_are_one_way_back_by_who_ordered_it() -> None:
    order = entry("05:00", "rollback", by="someone", reason="old prices", to=GOOD)
    log = [entry("09:00", "done", to=GOOD), entry("05:02", "rollback", bad=BAD, to=GOOD), order]
    (found,) = releases.rollbacks(log)
    assert found == Rollback(BAD, GOOD, "someone", NOW + 300, NOW + 540, "old prices") and found.seconds == 240


def test_a_way_back_that_nobody_ordered_is_handsoffs_and_a_later_one_another() -> None:
    log = [entry("40:00", "rollback", bad=NEW, to=GOOD), entry("20:00", "page"), entry("09:00", "done", to=GOOD), entry("05:00", "rollback", bad=BAD, to=GOOD)]
    first, second = releases.rollbacks(log)
    assert (first.by, first.bad, first.seconds) == ("handsoff", BAD, 240) and (second.bad, second.ended) == (NEW, None)


def test_an_end_ends_the_ways_that_another_replaced() -> None:
    log = [entry("09:00", "done", to=OLD), entry("06:00", "rollback", bad=GOOD, to=OLD), entry("05:00", "rollback", bad=BAD, to=GOOD)]
    assert [one.ended for one in releases.rollbacks(log)] == [NOW + 540, NOW + 540]


def test_pages_without_a_way_back_and_broken_entries_are_none() -> None:
    assert releases.rollbacks([{"at": "yesterday", "kind": "rollback", "to": GOOD}, entry("01:00", "rollback"), entry("00:30", "done", to=GOOD)]) == ()


# The four figures


def past(outcome: str, **more: Any) -> Past:
    values: dict[str, Any] = {"deployed": True, "out": None, "found_bad": None, "rollback": None, "committed": None, **more}
    return Past("e", GOOD, "", outcome, "", "", "", NOW, values["committed"], (), values["deployed"], values["out"], values["found_bad"], values["rollback"])


OUT = past("good", out=NOW + 1200)
TAKEN = past("bad", found_bad=NOW + 600, rollback=Rollback(GOOD, OLD, "handsoff", NOW + 630, NOW + 900))


def test_nothing_makes_no_figure() -> None:
    period, figures = dora.figures((), NOW - DAY, NOW, "Wave2")
    assert (period.days, period.releases) == (1, 0)
    assert [figure.value for figure in figures] == [None] * 4 and all(figure.note.startswith("no release") for figure in figures)


def test_frequency_counts_what_went_through_the_last_stage_good_or_not() -> None:
    found = dora.deployment_frequency((OUT, replace(TAKEN, out=NOW + 60), TAKEN, past("superseded")), 4, "Wave2")
    assert (found.value, found.over, found.note) == (0.5, 2, "2 releases through Wave2")
    assert dora.deployment_frequency((past("failed", deployed=False),), 4, "Wave2").value == 0


def test_lead_time_is_the_median_since_the_commit_where_that_is_known() -> None:
    found = dora.lead_time((replace(OUT, committed=NOW - 600), OUT, replace(OUT, out=NOW + 6000), past("under way")))
    assert (found.value, found.over, found.note) == (1800, 3, "median of 3, 1 since the commit, 2 since the push")
    assert dora.lead_time((OUT,)).note == "median of 1, since the push"
    assert dora.lead_time((replace(OUT, committed=NOW + 9000),)).value == 0, "a commit of tomorrow"
    assert dora.lead_time((TAKEN,)).value is None


def test_the_failure_rate_is_of_what_was_deployed_and_judged() -> None:
    found = dora.change_failure_rate((OUT, OUT, OUT, TAKEN, past("failed", deployed=False), past("bad", deployed=False), past("under way"), past("stopped")))
    assert (found.value, found.note) == (0.25, "1 of 4 that were deployed")
    assert dora.change_failure_rate((past("refused", deployed=False),)).value is None


def test_time_to_restore_is_from_found_bad_to_all_groups_back_and_open_ends_are_said() -> None:
    found = dora.time_to_restore((TAKEN, replace(TAKEN, found_bad=NOW + 640), past("bad", found_bad=NOW), OUT))
    assert (found.value, found.over, found.note) == (285, 2, "median of 2, 1 with no end on record")
    assert dora.time_to_restore((past("bad", found_bad=NOW),)).note == "1 with no end on record"
    assert dora.time_to_restore((OUT,)).note == "no release failed"
    assert dora.time_to_restore((past("bad", deployed=False),)).value is None, "it never came so far"


@pytest.mark.parametrize(("days", "words"), [(30.0, "30 days"), (1.0, "1 day"), (0.5, "12 hours"), (0.0453, "1.09 hours"), (0.0007, "1.01 minutes")])
def test_a_short_period_is_told_in_its_own_unit(days: float, words: str) -> None:
    assert history._length(days) == words
