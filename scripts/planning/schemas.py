"""What the registry says about resource types, as cfn-lint carries it: which properties cannot change without a new resource.

Only data of the cfn-lint package is read, one file a type; its code is not loaded.
Source: https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html (createOnlyProperties,
conditionalCreateOnlyProperties).
"""

from __future__ import annotations

import importlib.util
import json
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from scripts.core.errors import CommandError

Path_ = tuple[str, ...]
"""A property by its steps; `*` is every item of a list."""


class Schemas:
    """The schemas of one Region's resource types."""

    def __init__(self, region: str) -> None:
        found = importlib.util.find_spec("cfnlint")
        if found is None or not found.submodule_search_locations:
            raise CommandError("cfn-lint is not installed", "what a change replaces is worked out from its copy of the registry's schemas", "make setup")
        self._folder = Path(next(iter(found.submodule_search_locations))) / "data" / "schemas"
        index = self._folder / "providers" / f"{region}.json"
        if not index.is_file():
            raise CommandError(f"cfn-lint knows no Region {region}", "it has no schemas of resource types there", "take a newer cfn-lint")
        self._index: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))

    @cache  # noqa: B019  (one instance a Region, for as long as the command runs)
    def _of(self, kind: str) -> dict[str, Any]:
        if kind not in self._index:
            return {}
        found: dict[str, Any] = json.loads((self._folder / "resources" / f"{self._index[kind]}.json").read_text(encoding="utf-8"))
        return found

    def known(self, kind: str) -> bool:
        """False for a custom or a third party's type, of which nothing is known here."""
        return kind in self._index

    def create_only(self, kind: str) -> tuple[Path_, ...]:
        """Properties whose change makes a new resource."""
        return _paths(self._of(kind).get("createOnlyProperties"))

    def perhaps_create_only(self, kind: str) -> tuple[Path_, ...]:
        """Properties whose change makes a new resource under conditions that the schema does not tell."""
        return _paths(self._of(kind).get("conditionalCreateOnlyProperties"))

    def identifier(self, kind: str) -> frozenset[str]:
        """Properties and attributes that name the resource: they stay as long as it does."""
        return frozenset(".".join(path) for path in _paths(self._of(kind).get("primaryIdentifier")))


def _paths(pointers: list[str] | None) -> tuple[Path_, ...]:
    return tuple(tuple(pointer.split("/")[2:]) for pointer in pointers or [])


@lru_cache(maxsize=8)
def schemas(region: str) -> Schemas:
    """The schemas of a Region, read once."""
    return Schemas(region)
