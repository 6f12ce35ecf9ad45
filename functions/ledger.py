"""The ledger: what each environment should run, what was found bad, and who did what, in one DynamoDB table.

Each item has a version, and each write is conditional on the version that was read: of two writers one gets Conflict, reads again and decides again.
Items: `environment#<name>`, `release#<commit>` (sort key `-`), `log#<environment>` (sort key: time), and `releases` (sort key: first seen, commit), which
lists the releases in the order in which they came.
"""

from __future__ import annotations

import dataclasses
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, Protocol

from model import Bad, Block, Environment, Location, Override, Release, Rollback

TRIES = 6
JUDGED = 50
GOODS = 20
PAGED = 200
CLAIM_SECONDS = 90
Item = dict[str, Any]


class Conflict(Exception):
    """The item was changed by another writer since it was read."""


class Refused(Exception):
    """The ledger's rules forbid the change; the message says which."""


class Table(Protocol):
    """What the ledger needs of a table with the keys `id` and `at`."""

    def get(self, identity: str, at: str) -> Item | None:
        """Read an item, consistently."""

    def put(self, item: Item, version: int | None) -> None:
        """Write an item if the one there has this version (0: none is there; None: whatever is there). Raises Conflict."""

    def newest(self, identity: str, limit: int) -> list[Item]:
        """The items of one `id` with the greatest `at`, greatest first."""


class Ledger:
    """Records by name. `now` is the clock (epoch seconds); `sleep` waits between tries after a conflict."""

    def __init__(self, table: Table, now: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep) -> None:
        self._table, self._now, self._sleep = table, now, sleep

    # Environments

    def environment(self, name: str) -> Environment:
        """The record of an environment; an empty one of version 0 if there is none."""
        return _environment(name, self._table.get(f"environment#{name}", "-"))

    def save_environment(self, record: Environment) -> Environment:
        """Write a record that was read as `record.version`; returns it with its new version. Raises Conflict if another wrote in between."""
        saved = dataclasses.replace(record, version=record.version + 1, since=record.since if record.since is not None else int(self._now()),
                                    judged=record.judged[:JUDGED], goods=record.goods[:GOODS], paged=_newest(record.paged))
        self._table.put({"id": f"environment#{record.name}", "at": "-", **_plain(saved)}, record.version)
        return saved

    def update_environment(self, name: str, change: Callable[[Environment], Environment | None]) -> Environment:
        """Read, change, write; on a conflict again. `change` gets the record as it is and returns the new one, or None to leave it; what it raises goes up.

        Raises Conflict after TRIES.
        """
        for attempt in range(TRIES):
            record = self.environment(name)
            changed = change(record)
            if changed is None or changed == record:
                return record
            try:
                return self.save_environment(changed)
            except Conflict:
                if attempt + 1 == TRIES:
                    raise
                self._sleep(random.uniform(0.02, 0.1) * (attempt + 1))
        raise AssertionError("unreachable")

    def set_last_good(self, environment: str, commit: str, revisions: Mapping[str, Location], at: float) -> Environment:
        """Note that a release's final wave baked: it is last good, and what the environment should run.

        `revisions` is {"<environment>/<Region>/<scope>": s3Location} of what runs. Raises Refused if the release is marked bad, or if a rollback
        is going on or has blocked the environment (unless the release is the one that the rollback went to).
        """
        if revisions:
            self.learn(commit, revisions)

        def change(record: Environment) -> Environment:
            # Read inside: a release that was marked bad in between must not become last good.
            found = self.release(commit)
            if found.bad:
                raise Refused(f"{commit} is marked bad ({found.bad.reason}); it cannot become last good of {environment}")
            guarded = record.rollback is not None or (record.blocked is not None and record.blocked.rollback is not None)
            if guarded and record.desired != commit:
                raise Refused(f"{environment} is being rolled back to {record.desired}; {commit} cannot become last good")
            goods = (commit, *(good for good in record.goods if good != commit))
            return dataclasses.replace(record, desired=commit, last_good=commit, last_good_at=int(at), goods=goods)

        return self.update_environment(environment, change)

    def claim(self, environment: str, thing: str) -> Literal["mine", "sent", "theirs"]:
        """Who pages this thing: the caller (*mine*; follow it with `sent`), nobody any more (*sent*), or another, who claimed it within CLAIM_SECONDS.

        A thing that begins with the id of the rollback that is going on is kept with it, others with the environment.
        """
        now = int(self._now())
        answer: Literal["mine", "sent", "theirs"] = "theirs"

        def change(record: Environment) -> Environment | None:
            nonlocal answer
            was = _paged(record, thing).get(thing)
            answer = "sent" if was and was["sent"] else "mine" if was is None or was["claimed"] <= now - CLAIM_SECONDS else "theirs"
            return _with_paged(record, thing, {"claimed": now, "sent": False}) if answer == "mine" else None

        self.update_environment(environment, change)
        return answer

    def sent(self, environment: str, thing: str) -> None:
        """Note that a thing was paged."""
        now = int(self._now())
        self.update_environment(environment, lambda record: _with_paged(record, thing, {"claimed": now, "sent": True}))

    # Releases

    def release(self, commit: str) -> Release:
        """The record of a release; an empty one of version 0 if there is none."""
        return _release(commit, self._table.get(f"release#{commit}", "-"))

    def mark_bad(self, commit: str, reason: str, where: str, at: float) -> Release:
        """Mark a release bad for good. The first reason stays."""
        return self._update_release(commit, lambda r: r if r.bad else dataclasses.replace(r, bad=Bad(reason, where, int(at))))

    def passed(self, commit: str, stage: str, at: float) -> Release:
        """Note that a release passed a stage's gate. Raises Refused if it is marked bad."""

        def change(release: Release) -> Release:
            if release.bad:
                raise Refused(f"{commit} is marked bad ({release.bad.reason}); it cannot pass {stage}")
            return dataclasses.replace(release, passed={**release.passed, stage: int(at)})

        return self._update_release(commit, change)

    def learn(self, commit: str, revisions: Mapping[str, Location]) -> Release:
        """Note a release's bundles by `<environment>/<Region>/<scope>`; later ones win."""
        plain = {place: dict(location) for place, location in revisions.items()}
        return self._update_release(commit, lambda r: dataclasses.replace(r, revisions={**r.revisions, **plain}))

    def set_superseded(self, commit: str) -> Release:
        """Note that a release's bundles are tagged superseded: they may expire."""
        return self._update_release(commit, lambda r: dataclasses.replace(r, superseded=True))

    def newest_releases(self, limit: int = 20) -> list[Release]:
        """The releases seen last, newest first."""
        return [self.release(item["commit"]) for item in self._table.newest("releases", limit)]

    # Log

    def log(self, environment: str, kind: str, text: str, at: float | None = None, **details: Any) -> None:
        """Write down what was done (kind: rollback, deployment, stop, block, unblock, override, page, refused, passed, good …), in a sentence."""
        moment = self._now() if at is None else at
        stamp = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        given = {key: value for key, value in details.items() if value is not None}
        self._table.put({"id": f"log#{environment}", "at": f"{stamp}-{uuid.uuid4().hex[:6]}", "kind": kind, "text": text, **_plain(given)}, None)

    def newest_log(self, environment: str, limit: int = 50) -> list[Item]:
        """The newest entries, newest first: {at, kind, text, …}."""
        return [{key: value for key, value in item.items() if key != "id"} for item in self._table.newest(f"log#{environment}", limit)]

    def _update_release(self, commit: str, change: Callable[[Release], Release]) -> Release:
        for attempt in range(TRIES):
            release = self.release(commit)
            changed = change(release)
            if changed == release:
                return release
            first = release.first_seen if release.first_seen is not None else int(self._now())
            saved = dataclasses.replace(changed, first_seen=first, version=release.version + 1)
            if release.version == 0:
                # Before the item, so that no release is ever left out of the list; a pointer to nothing reads as an empty release.
                self._table.put({"id": "releases", "at": f"{first:012d}#{commit}", "commit": commit}, None)
            try:
                self._table.put({"id": f"release#{commit}", "at": "-", **_plain(saved)}, release.version)
                return saved
            except Conflict:
                if attempt + 1 == TRIES:
                    raise
                self._sleep(random.uniform(0.02, 0.1) * (attempt + 1))
        raise AssertionError("unreachable")


def is_marked(release: Release) -> bool:
    """Whether a release is marked bad."""
    return release.bad is not None


class DynamoTable:
    """The table itself. `client` is boto3's DynamoDB client."""

    def __init__(self, client: Any, name: str) -> None:
        from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

        self._client, self._name = client, name
        self._serialize, self._deserialize = TypeSerializer().serialize, TypeDeserializer().deserialize

    def get(self, identity: str, at: str) -> Item | None:
        """GetItem, consistent."""
        answer = self._client.get_item(TableName=self._name, Key={"id": {"S": identity}, "at": {"S": at}}, ConsistentRead=True)
        return self._read(answer["Item"]) if answer.get("Item") else None

    def put(self, item: Item, version: int | None) -> None:
        """PutItem, conditional on the version."""
        condition: dict[str, Any] = {}
        if version == 0:
            condition = {"ConditionExpression": "attribute_not_exists(#id)", "ExpressionAttributeNames": {"#id": "id"}}
        elif version is not None:
            condition = {"ConditionExpression": "#version = :version", "ExpressionAttributeNames": {"#version": "version"},
                         "ExpressionAttributeValues": {":version": {"N": str(version)}}}
        written = {key: self._serialize(_decimal(value)) for key, value in item.items()}
        try:
            self._client.put_item(TableName=self._name, Item=written, **condition)
        except self._client.exceptions.ConditionalCheckFailedException as error:
            raise Conflict(f"{item['id']} was changed by another since version {version}") from error

    def newest(self, identity: str, limit: int) -> list[Item]:
        """Query one partition backwards."""
        answer = self._client.query(TableName=self._name, KeyConditionExpression="#id = :id", ExpressionAttributeNames={"#id": "id"},
                                    ExpressionAttributeValues={":id": {"S": identity}}, ScanIndexForward=False, Limit=limit)
        return [self._read(item) for item in answer.get("Items", [])]

    def _read(self, item: Mapping[str, Any]) -> Item:
        return {key: _number(self._deserialize(value)) for key, value in item.items()}


def _plain(value: Any) -> Any:
    """Dataclasses, tuples and mappings as what a table or JSON holds."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    return value


plain = _plain


def _decimal(value: Any) -> Any:
    """Floats as DynamoDB's numbers."""
    if isinstance(value, float):
        return Decimal(str(value))
    if isinstance(value, dict):
        return {key: _decimal(inner) for key, inner in value.items()}
    return [_decimal(inner) for inner in value] if isinstance(value, list) else value


def _number(value: Any) -> Any:
    """DynamoDB's numbers as int or float."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {key: _number(inner) for key, inner in value.items()}
    return [_number(inner) for inner in value] if isinstance(value, list) else value


def _environment(name: str, item: Item | None) -> Environment:
    if item is None:
        return Environment(name)
    return Environment(
        name=name, desired=item.get("desired"), last_good=item.get("last_good"), last_good_at=item.get("last_good_at"),
        goods=tuple(item.get("goods", ())), blocked=_known(Block, item.get("blocked")), rollback=_known(Rollback, item.get("rollback")),
        override=_known(Override, item.get("override")), judged=tuple(item.get("judged", ())), paged=item.get("paged", {}),
        silent=item.get("silent", {}), since=item.get("since"), version=item["version"])


def _release(commit: str, item: Item | None) -> Release:
    if item is None:
        return Release(commit)
    return Release(commit=commit, bad=_known(Bad, item.get("bad")), passed=item.get("passed", {}), revisions=item.get("revisions", {}),
                   first_seen=item.get("first_seen"), superseded=bool(item.get("superseded")), version=item["version"])


def _known(kind: type[Any], item: Item | None) -> Any:
    """A dataclass from an item, without fields that a later version may have written."""
    if item is None:
        return None
    names = {field.name for field in dataclasses.fields(kind)}
    return kind(**{key: value for key, value in item.items() if key in names})


def _of_rollback(record: Environment, thing: str) -> bool:
    return record.rollback is not None and thing.startswith(record.rollback.id + "/")


def _paged(record: Environment, thing: str) -> Mapping[str, Mapping[str, Any]]:
    return record.rollback.paged if record.rollback is not None and _of_rollback(record, thing) else record.paged


def _with_paged(record: Environment, thing: str, entry: Mapping[str, Any]) -> Environment:
    if record.rollback is not None and _of_rollback(record, thing):
        return dataclasses.replace(record, rollback=dataclasses.replace(record.rollback, paged={**record.rollback.paged, thing: dict(entry)}))
    return dataclasses.replace(record, paged={**record.paged, thing: dict(entry)})


def _newest(paged: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return dict(sorted(paged.items(), key=lambda entry: -int(entry[1]["claimed"]))[:PAGED])
