"""Clients that count their calls, and reads that may be refused: one thing that cannot be read does not hide the others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from scripts.core.errors import CommandError, denied_action, error_code, explain
from scripts.core.session import Aws
from scripts.diagnosis.case import Unreadable

T = TypeVar("T")


@dataclass
class _Tally:
    """What the Calls of all accounts share."""

    count: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    answers: dict[tuple[object, ...], Any] = field(default_factory=dict)


class Calls:
    """Clients of one account, safe from several threads. `count` is how many API calls were made (a retry is part of its call).

    Throttling is retried by botocore's standard mode, which the session's clients have; what is throttled still is reported like any refusal.
    """

    def __init__(self, aws: Aws, tally: _Tally | None = None) -> None:
        self._aws, self._tally = aws, tally or _Tally()
        self._counted: set[int] = set()

    def of(self, aws: Aws) -> Calls:
        """The same reckoning, with the clients of another account."""
        return self if aws is self._aws else Calls(aws, self._tally)

    def client(self, service: str, region: str) -> Any:
        """A boto3 client."""
        client = self._aws.client(service, region)
        events = getattr(getattr(client, "meta", None), "events", None)
        with self._tally.lock:
            if events is not None and id(client) not in self._counted:
                self._counted.add(id(client))
                # before-call comes once for a call, however often it is sent; a stand-in without events is not counted.
                events.register("before-call", self._count, unique_id=f"handsoff-calls-{id(self._tally)}")
        return client

    @property
    def count(self) -> int:
        """API calls made so far."""
        return self._tally.count

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """What could not be read so far, each thing once."""
        with self._tally.lock:
            return tuple(dict.fromkeys(self._tally.unreadable))

    def attempt(self, what: str, do: Callable[[], T], otherwise: T) -> T:
        """What `do` gives, or `otherwise` where AWS refuses or does not answer; then `unreadable` says so, with the permission that is missing.

        What is no refusal of AWS's is raised: it is a fault of ours.
        """
        try:
            return do()
        except (ClientError, BotoCoreError, CommandError) as error:
            self.refused(what, error)
            return otherwise

    def once(self, what: tuple[str, ...], do: Callable[[], T]) -> T:
        """What `do` gives, asked only once for the same `what` of this account: several deployments share a group. Raises as `do` does."""
        key = (id(self._aws), *what)
        with self._tally.lock:
            if key in self._tally.answers:
                return self._tally.answers[key]  # type: ignore[no-any-return]
        found = do()
        with self._tally.lock:
            return self._tally.answers.setdefault(key, found)  # type: ignore[no-any-return]

    def refused(self, what: str, error: Exception) -> None:
        """Note that something could not be read, for an error that the caller has caught itself."""
        permission = denied_action(error) if isinstance(error, ClientError) else None
        known = explain(error)
        if permission:
            why = "access denied"
        elif isinstance(error, ClientError):
            why = f"{error_code(error)}: {error.response.get('Error', {}).get('Message', '')}".rstrip(": ")
        else:
            why = f"{known.what}: {known.reason}".rstrip(": ") if known else str(error)
        with self._tally.lock:
            self._tally.unreadable.append(Unreadable(what, why, permission or ""))

    def _count(self, **_: Any) -> None:
        with self._tally.lock:
            self._tally.count += 1
