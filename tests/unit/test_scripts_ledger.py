"""Reading the ledger without the function that writes it: over a small table that holds items as DynamoDB does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer
from scripts_fakes import refusal

from scripts.core.ledger import Ledger, of_stack
from scripts.core.stacks import Stack

FUNCTIONS = Path(__file__).parents[2] / "functions"
ONE, TWO, THREE = "1" * 40, "2" * 40, "3" * 40


class FakeTable:
    """GetItem, PutItem without conditions, Query of one partition backwards, BatchGetItem; `page` items at most in one answer."""

    def __init__(self, page: int = 1000) -> None:
        self.items: dict[tuple[str, str], dict[str, Any]] = {}
        self.page, self.calls, self.leave = page, list[str](), 0

    def add(self, identity: str, at: str = "-", **values: Any) -> None:
        serialize = TypeSerializer().serialize
        self.items[identity, at] = {key: serialize(value) for key, value in {"id": identity, "at": at, **values}.items()}

    def release(self, commit: str, first: int, **values: Any) -> None:
        self.add(f"release#{commit}", commit=commit, first_seen=first, version=1, **values)
        self.add("releases", f"{first:012d}#{commit}", commit=commit)

    def get_item(self, TableName: str, Key: dict[str, Any], ConsistentRead: bool) -> dict[str, Any]:
        self.calls.append("GetItem")
        assert TableName == "the-table" and ConsistentRead
        found = self.items.get((Key["id"]["S"], Key["at"]["S"]))
        return {"Item": found} if found else {}

    def put_item(self, TableName: str, Item: dict[str, Any], **condition: Any) -> None:
        self.items[Item["id"]["S"], Item["at"]["S"]] = Item

    def query(self, Limit: int, ExpressionAttributeValues: dict[str, Any], ScanIndexForward: bool, **more: Any) -> dict[str, Any]:
        self.calls.append("Query")
        assert ScanIndexForward is False
        values, after = ExpressionAttributeValues, more.get("ExclusiveStartKey")
        expected = {":id"} | ({":since"} if "#at >= :since" in more["KeyConditionExpression"] else set())
        assert set(values) == expected, "DynamoDB refuses values that no expression names"
        ordered = sorted((key for key in self.items if key[0] == values[":id"]["S"] and key[1] >= values.get(":since", {"S": ""})["S"]), reverse=True)
        left = [key for key in ordered if after is None or key[1] < after["at"]["S"]]
        shown = left[: min(Limit, self.page)]
        more_of_it = {"LastEvaluatedKey": {"id": {"S": shown[-1][0]}, "at": {"S": shown[-1][1]}}} if len(shown) < len(left) else {}
        return {"Items": [self.items[key] for key in shown], **more_of_it}

    def batch_get_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:
        self.calls.append("BatchGetItem")
        keys = RequestItems["the-table"]["Keys"]
        assert 1 <= len(keys) <= 100 and len({key["id"]["S"] for key in keys}) == len(keys)
        taken, left = keys[self.leave :], keys[: self.leave]
        self.leave = 0
        found = [self.items[key["id"]["S"], "-"] for key in taken if (key["id"]["S"], "-") in self.items]
        unprocessed = {"the-table": {"Keys": left, "ConsistentRead": True}} if left else {}
        return {"Responses": {"the-table": found[::-1]}, "UnprocessedKeys": unprocessed}


def test_an_environment_comes_back_in_plain_values_and_none_before_the_first_release() -> None:
    table = FakeTable()
    table.add("environment#prod", desired=ONE, last_good_at=1767225600, blocked={"reason": "x", "by": "y", "at": 5, "rollback": None}, goods=[ONE])
    found = Ledger(table, "the-table").environment("prod")
    assert found is not None and found["blocked"] == {"reason": "x", "by": "y", "at": 5, "rollback": None}
    assert found["last_good_at"] == 1767225600 and type(found["last_good_at"]) is int and found["goods"] == [ONE]
    assert Ledger(table, "the-table").environment("gamma") is None


def test_releases_come_newest_first_in_two_calls_each_once() -> None:
    table = FakeTable()
    for first, commit in ((100, ONE), (200, TWO), (300, THREE)):
        table.release(commit, first, bad={"reason": "faults", "where": "Gamma", "at": first} if commit == TWO else None)
    table.add("releases", f"{301:012d}#{THREE}", commit=THREE)
    table.add("releases", f"{302:012d}#{'4' * 40}", commit="4" * 40)  # its item was never written
    assert [release["commit"] for release in Ledger(table, "the-table").releases()] == [THREE, TWO, ONE]
    assert table.calls == ["Query", "BatchGetItem"]
    assert Ledger(table, "the-table").releases_of([TWO])[0]["bad"]["where"] == "Gamma"


def test_what_a_batch_leaves_is_asked_for_again_and_more_than_100_go_in_two() -> None:
    table = FakeTable()
    commits = [f"{number:040x}" for number in range(150)]
    for number, commit in enumerate(commits):
        table.release(commit, number)
    table.leave = 30
    assert [release["commit"] for release in Ledger(table, "the-table").releases(150)] == commits[::-1]
    assert table.calls == ["Query", "BatchGetItem", "BatchGetItem", "BatchGetItem"]


def test_no_release_at_all_asks_for_none() -> None:
    table = FakeTable()
    assert Ledger(table, "the-table").releases() == [] and table.calls == ["Query"]


def test_the_log_is_paged_bounded_and_begins_where_it_is_told() -> None:
    table = FakeTable(page=2)
    for second in range(6):
        table.add("log#prod", f"2026-01-01T00:00:0{second}.000Z-abcdef", kind="step", text=f"step {second}")
    ledger = Ledger(table, "the-table")
    assert [entry["text"] for entry in ledger.log("prod", 5)] == [f"step {second}" for second in (5, 4, 3, 2, 1)]
    assert [entry["text"] for entry in ledger.log("prod", since=1767225603.0)] == ["step 5", "step 4", "step 3"]
    assert "id" not in ledger.log("prod", 1)[0] and ledger.log("gamma") == []


def test_it_reads_what_the_functions_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FUNCTIONS))
    import ledger as written
    import model

    table = FakeTable()
    table.exceptions = type("Exceptions", (), {"ConditionalCheckFailedException": refusal("x", "y").__class__})()  # type: ignore[attr-defined]
    theirs = written.Ledger(written.DynamoTable(table, "the-table"), now=lambda: 1767225600.0)
    theirs.passed(ONE, "Gamma", 1767225601)
    theirs.set_last_good("prod", ONE, {"prod/us-east-1/fleet": {"bucket": "b", "key": "k", "bundleType": "zip"}}, 1767225602)
    theirs.mark_bad(TWO, "faults", "OneBox", 1767225603)
    theirs.update_environment("prod", lambda record: model.Environment(**{**record.__dict__, "blocked": model.Block("frozen", "someone", 7)}))
    theirs.log("prod", "block", "someone froze prod", 1767225604.25, by="someone")
    ours = Ledger(table, "the-table")
    record = ours.environment("prod")
    assert record is not None and (record["desired"], record["last_good"], record["last_good_at"]) == (ONE, ONE, 1767225602)
    assert record["blocked"] == {"reason": "frozen", "by": "someone", "at": 7, "rollback": None} and record["rollback"] is None
    assert {release["commit"]: release["bad"] for release in ours.releases()} == {TWO: {"reason": "faults", "where": "OneBox", "at": 1767225603}, ONE: None}
    assert ours.releases_of([ONE])[0]["passed"] == {"Gamma": 1767225601}
    (entry,) = ours.log("prod", since=1767225604.0)
    assert (entry["kind"], entry["by"], entry["at"][:24]) == ("block", "someone", "2026-01-01T00:00:04.250Z")


def test_a_stack_names_its_table() -> None:
    stack = Stack("id", "sample-pipeline", "CREATE_COMPLETE", "", {}, {"LedgerTableName": "the-table"}, {}, None)
    found = of_stack(FakeTable(), stack)
    assert found is not None and found.environment("prod") is None
    assert of_stack(FakeTable(), Stack("id", "s", "CREATE_IN_PROGRESS", "", {}, {}, {}, None)) is None
