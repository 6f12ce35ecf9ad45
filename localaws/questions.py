"""Every distinct question that the local AWS asked of IAM: which role wanted which action on which resource under which keys, and the answer.

What a role was never seen to use, and what a call was refused without, are read from these. Only the first few resources of each (role, action,
names of keys) are kept: a run asks about thousands of objects and log streams that differ in nothing but a number.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

_EACH = 12
"""Questions kept of one role, action and set of keys."""

# Keys that say when and by whom a request was signed: no two requests agree, and no policy here speaks of them.
_LEFT_OUT = ("aws:tokenissuetime", "aws:userid", "aws:username", "aws:multifactorauth")


class Questions:
    """Questions as they were asked; `report()` gives [{"principal", "region", "action", "resource", "keys", "allowed"}]."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[tuple[Any, ...], dict[tuple[Any, ...], dict[str, Any]]] = {}

    def note(self, context: Any, allowed: bool) -> None:
        """Note one evaluation; `context` is MiniStack's EvalContext."""
        through = {name: value for name, value in context.principal_keys.items() if name.startswith(("aws:calledvia", "aws:viaaws"))}
        keys = _keys({**through, **context.service_context})
        kind = (context.principal_arn.rpartition("/")[0], context.action, context.region, tuple(sorted(keys)))
        one = (context.resource_arn, *(str(keys[name]) for name in sorted(keys)))
        with self._lock:
            found = self._found.setdefault(kind, {})
            if one in found:
                # A resource's policy is put together with the caller's by the same evaluator: what any of them allows was allowed.
                found[one]["allowed"] |= allowed
            elif len(found) < _EACH:
                found[one] = {"principal": context.principal_arn, "region": context.region, "action": context.action,
                              "resource": context.resource_arn, "keys": keys, "allowed": allowed}

    def report(self) -> list[dict[str, Any]]:
        """Return every question that was kept."""
        with self._lock:
            return [dict(one) for found in self._found.values() for one in found.values()]


def _keys(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a request as JSON takes them, without those that nobody gave."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or name.startswith(_LEFT_OUT):
            continue
        found[name] = [str(each) for each in value] if isinstance(value, (list, tuple, set)) else value if isinstance(value, bool) else str(value)
    return found
