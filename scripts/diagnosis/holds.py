"""Reads what keeps releases from going on: the ledger's record, the door, a transition that a person shut, the connection.

The doors come with the pipeline's state (executions.py); one call for the ledger's record, one for its log, one for the connection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from scripts.diagnosis.calls import Calls
from scripts.diagnosis.case import Connection, Hold
from scripts.diagnosis.executions import Overview

DOOR_WORD = "Handsoff - "
"""How the reason begins with which the rollback function shuts a door (functions/rollback.py)."""
_KINDS = (
    ("rollback", re.compile(r"A rollback of \S+ is going on")),
    ("block", re.compile(r"\S+ is blocked by a rollback")),
    ("door", re.compile(r"One release at a time")),
    ("freeze", re.compile(r"\S+ is frozen by")),
    ("window", re.compile(r"Outside of the deployment window")),
)
MOST_LOG = 20
_SCHEME = re.compile(r"arn:[^:]+:(codestar-connections|codeconnections):([^:]+):")


def doors(overview: Overview, environment: str) -> list[Hold]:
    """The shut transitions into stages of the environment ("" for every one): by the rollback function, each with its kind, or by a person."""
    found = []
    for stage in overview.stages:
        if stage.enabled or (environment and stage.environment not in ("", environment)):
            continue
        ours = stage.reason.startswith(DOOR_WORD)
        words = stage.reason.removeprefix(DOOR_WORD)
        kind = next((kind for kind, words_of in _KINDS if words_of.match(words)), "door") if ours else "transition"
        found.append(Hold(kind, stage.name, words, stage.since, "handsoff" if ours else stage.by, stage.waiting))
    return found


def of_record(environment: str, record: Mapping[str, Any]) -> list[Hold]:
    """What the ledger's record of an environment says: a rollback that goes on, a block, a freeze."""
    found = []
    rollback, block = record.get("rollback"), record.get("blocked")
    if isinstance(rollback, Mapping):
        to = str(rollback.get("to") or "")[:12] or "nothing"
        found.append(Hold("rollback", environment, f"to {to}: {rollback.get('reason', '')}", _time(rollback.get("began")), str(rollback.get("by", ""))))
    if isinstance(block, Mapping):
        kind = "block" if block.get("rollback") else "freeze"
        found.append(Hold(kind, environment, str(block.get("reason", "")), _time(block.get("at")), str(block.get("by", ""))))
    return found


def together(shut: list[Hold], recorded: list[Hold]) -> tuple[Hold, ...]:
    """Doors and the record in one: the record knows who and since when, the door who waits."""
    found = []
    for hold in recorded:
        behind = [door for door in shut if door.kind == hold.kind]
        found.append(Hold(hold.kind, hold.where, hold.reason, hold.since, hold.by, tuple(each for door in behind for each in door.waiting)))
    kinds = {hold.kind for hold in recorded}
    return (*found, *(door for door in shut if door.kind not in kinds))


def ledger(calls: Calls, region: str, table: str, environment: str) -> tuple[Mapping[str, Any] | None, tuple[Mapping[str, Any], ...]]:
    """The environment's record and the newest entries of its log, newest first."""
    from scripts.core.ledger import Ledger

    book = Ledger(calls.client("dynamodb", region), table)
    record = calls.attempt(f"the ledger's record of {environment}", lambda: book.environment(environment), None)
    log: list[dict[str, Any]] = calls.attempt(f"the ledger's log of {environment}", lambda: book.log(environment, limit=MOST_LOG), [])
    return record, tuple(log)


def release(calls: Calls, region: str, table: str, commit: str) -> Mapping[str, Any] | None:
    """The ledger's record of a release: where it passed, and why it is marked bad."""
    from scripts.core.ledger import Ledger

    return calls.attempt(f"the ledger's record of release {commit[:12]}", lambda: Ledger(calls.client("dynamodb", region), table).release(commit), None)


def connection(calls: Calls, overview: Overview) -> Connection | None:
    """The source's connection as it is now; None where the source has none. A status of "" means that it could not be read, "missing" that it is gone."""
    source = overview.source
    arn = source.get("ConnectionArn", "")
    found = _SCHEME.match(arn)
    if not found:
        return None
    # Connections made under the old name are answered by the new one's API too; their IAM actions may still be the old ones.
    client = calls.client("codeconnections", found[2])

    def read() -> Mapping[str, Any]:
        try:
            return dict(client.get_connection(ConnectionArn=arn)["Connection"])
        except client.exceptions.ResourceNotFoundException:
            return {"ConnectionStatus": "missing"}

    unknown: Mapping[str, Any] = {}
    told = calls.attempt("the connection to the repository", read, unknown)
    return Connection(arn, str(told.get("ConnectionStatus", "")), str(told.get("ProviderType", "")), source.get("FullRepositoryId", ""),
                      source.get("BranchName", ""))


def _time(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
