"""A ledger's table in memory, version check included, so that the ledger's own rules are the ones under test."""

from __future__ import annotations

import copy

from ledger import Conflict, Item


class MemoryTable:
    """ledger.Table over a dict."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], Item] = {}

    def get(self, identity: str, at: str) -> Item | None:
        """A copy of the item."""
        return copy.deepcopy(self.items.get((identity, at)))

    def put(self, item: Item, version: int | None) -> None:
        """Write if the version is the one expected."""
        key = (item["id"], item["at"])
        if version is not None and (self.items[key]["version"] if key in self.items else 0) != version:
            raise Conflict(f"{key} is not of version {version}")
        self.items[key] = copy.deepcopy(item)

    def newest(self, identity: str, limit: int) -> list[Item]:
        """Greatest sort keys first."""
        found = sorted((key for key in self.items if key[0] == identity), reverse=True)
        return [copy.deepcopy(self.items[key]) for key in found[:limit]]
