"""`${release-store.ArtifactBucketName}`: a value that another stack of this project gives.

`${<root>.Output}` is a root that this environment needs, in the same Region; `${<root>@us-west-2.Output}` in that Region.
`${<environment>.Output}` is that environment's stack in its first Region, `${<environment>[1].Output}` in its second. Everything
else in a value is literal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_REFERENCE = re.compile(r"\$\{([a-z][a-z0-9-]*)(?:\[(\d+)\]|@([a-z]{2}(?:-[a-z]+)+-\d))?\.([A-Za-z0-9]+)\}")


@dataclass(frozen=True)
class Reference:
    """Whose output, which of its Regions (an index, or `region` by name where one is named), which output."""

    source: str
    region_index: int
    output: str
    text: str
    region: str = ""


def find(value: str) -> tuple[Reference, ...]:
    """The references in a value, in order."""
    return tuple(Reference(m.group(1), int(m.group(2) or 0), m.group(4), m.group(0), m.group(3) or "") for m in _REFERENCE.finditer(value))


def of(*parameters: Mapping[str, str]) -> tuple[Reference, ...]:
    """The references in every value of some mappings."""
    return tuple(reference for values in parameters for value in values.values() for reference in find(value))


def malformed(value: str) -> str | None:
    """The first `${` that is no reference, as written; None when there is none."""
    rest = _REFERENCE.sub("", value)
    start = rest.find("${")
    if start < 0:
        return None
    end = rest.find("}", start)
    return rest[start : end + 1 if end >= 0 else None]


def resolve(value: str, look_up: Callable[[Reference], str]) -> str:
    """The value with each reference replaced by what `look_up` gives for it."""
    for reference in find(value):
        value = value.replace(reference.text, look_up(reference))
    return value
