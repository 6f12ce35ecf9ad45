"""Small helps for readers: all pages of a listing, batches of ids, times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")
_MOST_PAGES = 20


def all_pages(client: Any, operation: str, member: str, **given: Any) -> list[Any]:
    """All pages of a listing, so far as anyone would read."""
    return [one for page in islice(client.get_paginator(operation).paginate(**given), _MOST_PAGES) for one in page.get(member, [])]


def batches(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def utc(epoch: float) -> datetime:
    return datetime.fromtimestamp(epoch, UTC)
