"""The pipeline's ledger, read directly: what each environment should run, what was found bad, who did what. Reads only.

It is the DynamoDB table of templates/pipeline/ledger.yaml, whose name is the output `LedgerTableName` of the pipeline's stack; functions/ledger.py writes it
and says what is in it. Commands read it themselves instead of asking the function, so that read-only credentials suffice: dynamodb:GetItem, dynamodb:Query
and dynamodb:BatchGetItem on the table.

Items come back with the keys under which the functions wrote them, in plain Python values: numbers are int or float, times epoch seconds.
Errors are botocore's: ResourceNotFoundException where the table is gone, AccessDeniedException where one of the three actions is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from scripts.core.stacks import Stack

Item = dict[str, Any]
TABLE_OUTPUT = "LedgerTableName"
# "A single BatchGetItem operation can retrieve … as many as 100 items": API reference of BatchGetItem.
_MOST_KEYS = 100
# What BatchGetItem leaves unprocessed is asked for again; botocore has then waited for throttling already.
_BATCH_TRIES = 4
_deserialize = TypeDeserializer().deserialize


class Ledger:
    """One pipeline's ledger. `client` is boto3's DynamoDB client in the pipeline's Region, `table` the table's name."""

    def __init__(self, client: Any, table: str) -> None:
        self._client, self._table = client, table

    def environment(self, name: str) -> Item | None:
        """The record of an environment (desired, last_good, last_good_at, goods, blocked, rollback, override, …), or None before the first release."""
        return self._get(f"environment#{name}")

    def release(self, commit: str) -> Item | None:
        """The record of a release (commit, bad, passed, revisions, first_seen, superseded), or None where the gate has never seen it."""
        return self._get(f"release#{commit}")

    def releases(self, limit: int = 20) -> list[Item]:
        """The releases seen last, newest first, as `release` gives them."""
        listed = self._newest("releases", limit)
        # Of two writers at once each may have listed a release: it is one all the same.
        return self.releases_of([str(item["commit"]) for item in listed])

    def releases_of(self, commits: Sequence[str]) -> list[Item]:
        """The records of these commits, in their order; those that the ledger does not know are left out. 100 in a call."""
        wanted = list(dict.fromkeys(commits))
        found: dict[str, Item] = {}
        for start in range(0, len(wanted), _MOST_KEYS):
            found.update(self._batch(wanted[start : start + _MOST_KEYS]))
        return [found[commit] for commit in wanted if commit in found]

    def log(self, environment: str, limit: int = 50, since: float | None = None) -> list[Item]:
        """The newest entries of an environment's log, newest first: at (ISO 8601, UTC, and a tail that makes it unique), kind, text and what belongs to the
        kind (by, reason, to, bad …). `since` (epoch seconds) leaves out older ones.
        """
        return [{key: value for key, value in item.items() if key != "id"} for item in self._newest(f"log#{environment}", limit, since)]

    def _get(self, identity: str) -> Item | None:
        # Consistent: a block that was just set is what a person looks for.
        answer = self._client.get_item(TableName=self._table, Key=_key(identity), ConsistentRead=True)
        return _item(answer["Item"]) if answer.get("Item") else None

    def _newest(self, identity: str, limit: int, since: float | None = None) -> list[Item]:
        """The items of one partition with the greatest sort keys, greatest first: a call for each megabyte."""
        condition, names, values = "#id = :id", {"#id": "id"}, {":id": {"S": identity}}
        if since is not None:
            condition, names = f"{condition} AND #at >= :since", {**names, "#at": "at"}
            values[":since"] = {"S": datetime.fromtimestamp(since, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")}
        found: list[Item] = []
        start: dict[str, Any] = {}
        while len(found) < limit:
            page = self._client.query(
                TableName=self._table,
                KeyConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
                ScanIndexForward=False,
                Limit=limit - len(found),
                **start,
            )
            found += [_item(item) for item in page.get("Items", [])]
            if not page.get("LastEvaluatedKey"):
                break
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
        return found

    def _batch(self, commits: Sequence[str]) -> dict[str, Item]:
        wanted: Mapping[str, Any] = {self._table: {"Keys": [_key(f"release#{commit}") for commit in commits], "ConsistentRead": True}}
        found: dict[str, Item] = {}
        for _ in range(_BATCH_TRIES):
            answer = self._client.batch_get_item(RequestItems=wanted)
            items = [_item(item) for item in answer.get("Responses", {}).get(self._table, [])]
            found.update({str(item["commit"]): item for item in items})
            wanted = answer.get("UnprocessedKeys") or {}
            if not wanted:
                break
        return found


def of_stack(client: Any, pipeline: Stack) -> Ledger | None:
    """The ledger of a deployed pipeline, or None before its stack says where it is."""
    table = pipeline.outputs.get(TABLE_OUTPUT)
    return Ledger(client, table) if table else None


def _key(identity: str) -> dict[str, Any]:
    return {"id": {"S": identity}, "at": {"S": "-"}}


def _item(item: Mapping[str, Any]) -> Item:
    return {key: _number(_deserialize(value)) for key, value in item.items()}


def _number(value: Any) -> Any:
    """DynamoDB's numbers as int or float, at every depth."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {key: _number(inner) for key, inner in value.items()}
    return [_number(inner) for inner in value] if isinstance(value, list) else value
