"""The ledger's own rules, over a table in memory. DynamoDB's conditions are tried where the local AWS runs."""

from __future__ import annotations

import dataclasses

import pytest
from memory_table import MemoryTable

from ledger import TRIES, Conflict, Ledger, Refused
from model import Block, Environment, Rollback


class Clock:
    """Epoch seconds that a test sets."""

    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Ledger:
    return Ledger(MemoryTable(), clock, lambda _: None)


def test_a_record_reads_back_as_it_was_written(ledger: Ledger) -> None:
    written = ledger.save_environment(Environment(
        "prod", desired="a", last_good="a", last_good_at=5, goods=("a", "b"), blocked=Block("why", "me", 3, "1-x"),
        rollback=Rollback("1-x", "c", "a", "why", "me", 3, "alarm", {"1-x/began": {"claimed": 3, "sent": True}}), judged=("e/a",)))
    assert ledger.environment("prod") == written and written.version == 1 and written.since == 1_700_000_000
    assert ledger.environment("gamma") == Environment("gamma")


def test_of_two_writers_one_gets_a_conflict(ledger: Ledger) -> None:
    seen = ledger.save_environment(Environment("prod"))
    ledger.save_environment(seen)
    with pytest.raises(Conflict):
        ledger.save_environment(seen)
    with pytest.raises(Conflict):
        ledger.save_environment(Environment("prod"))


def test_a_change_is_decided_again_after_a_conflict(ledger: Ledger) -> None:
    seen: list[int] = []

    def change(record: Environment) -> Environment:
        if not seen:
            ledger.update_environment("prod", lambda other: dataclasses.replace(other, desired="theirs"))
        seen.append(record.version)
        return dataclasses.replace(record, last_good="mine")

    assert ledger.update_environment("prod", change).desired == "theirs"
    assert seen == [0, 1]


def test_a_change_that_always_conflicts_gives_up(ledger: Ledger) -> None:
    tries = 0

    def change(record: Environment) -> Environment:
        nonlocal tries
        tries += 1
        ledger.save_environment(ledger.environment("prod"))
        return dataclasses.replace(record, desired="x")

    with pytest.raises(Conflict):
        ledger.update_environment("prod", change)
    assert tries == TRIES


def test_last_good_is_what_runs_and_what_was_before_is_remembered(ledger: Ledger) -> None:
    ledger.set_last_good("prod", "a", {"prod/us-east-1/fleet": {"bucket": "b", "key": "k"}}, 10)
    record = ledger.set_last_good("prod", "b", {}, 20)
    assert (record.desired, record.last_good, record.last_good_at, record.goods) == ("b", "b", 20, ("b", "a"))
    assert ledger.release("a").revisions == {"prod/us-east-1/fleet": {"bucket": "b", "key": "k"}}
    assert ledger.set_last_good("prod", "a", {}, 30).goods == ("a", "b")


def test_a_bad_release_passes_nothing_and_is_never_last_good(ledger: Ledger) -> None:
    ledger.passed("a", "Gamma", 5)
    ledger.mark_bad("a", "faults", "prod", 10)
    assert ledger.mark_bad("a", "another reason", "gamma", 20).bad == ledger.release("a").bad
    assert ledger.release("a").bad and ledger.release("a").passed == {"Gamma": 5}
    with pytest.raises(Refused, match="faults"):
        ledger.set_last_good("prod", "a", {}, 30)
    with pytest.raises(Refused, match="faults"):
        ledger.passed("a", "Wave2", 30)
    assert ledger.environment("prod").last_good is None


def test_nothing_becomes_last_good_while_going_back(ledger: Ledger) -> None:
    ledger.save_environment(Environment("prod", desired="a", last_good="a", blocked=Block("why", "handsoff", 1, "1-x")))
    with pytest.raises(Refused, match="rolled back to a"):
        ledger.set_last_good("prod", "b", {}, 10)
    assert ledger.set_last_good("prod", "a", {}, 10).last_good == "a"
    ledger.update_environment("prod", lambda r: dataclasses.replace(r, blocked=Block("freeze", "me", 1)))
    assert ledger.set_last_good("prod", "b", {}, 20).last_good == "b"  # a freeze keeps out, it does not take back


def test_a_page_is_claimed_once_and_again_only_if_it_was_never_sent(ledger: Ledger, clock: Clock) -> None:
    assert ledger.claim("prod", "thing") == "mine"
    assert ledger.claim("prod", "thing") == "theirs"
    clock.now += 100
    assert ledger.claim("prod", "thing") == "mine"
    ledger.sent("prod", "thing")
    clock.now += 1000
    assert ledger.claim("prod", "thing") == "sent"
    assert ledger.claim("prod", "other") == "mine"


def test_pages_of_a_rollback_go_with_it(ledger: Ledger) -> None:
    ledger.save_environment(Environment("prod", rollback=Rollback("1-x", "b", "a", "why", "me", 1)))
    ledger.claim("prod", "1-x/began")
    ledger.sent("prod", "1-x/began")
    record = ledger.environment("prod")
    assert record.rollback is not None and record.rollback.paged["1-x/began"]["sent"] and record.paged == {}


def test_releases_and_log_come_newest_first(ledger: Ledger, clock: Clock) -> None:
    for commit in ("a", "b", "c"):
        clock.now += 10
        ledger.passed(commit, "Gamma", clock.now)
        ledger.log("prod", "passed", f"{commit} passed", commit=commit, nothing=None)
    clock.now += 10
    ledger.mark_bad("a", "faults", "prod", clock.now)
    assert [release.commit for release in ledger.newest_releases(2)] == ["c", "b"]
    newest = ledger.newest_log("prod", 2)
    assert [entry["text"] for entry in newest] == ["c passed", "b passed"]
    assert newest[0]["at"].startswith("2023-11-14T22:13:50.000Z-") and set(newest[0]) == {"at", "kind", "text", "commit"}
    assert ledger.newest_log("gamma") == []


def test_lists_stay_short(ledger: Ledger) -> None:
    record = ledger.save_environment(Environment("prod", judged=tuple(map(str, range(90))), goods=tuple(map(str, range(90))),
                                                 paged={str(n): {"claimed": n, "sent": True} for n in range(900)}))
    assert len(record.judged) == 50 and record.judged[0] == "0" and len(record.goods) == 20
    assert len(record.paged) == 200 and "899" in record.paged and "0" not in record.paged
