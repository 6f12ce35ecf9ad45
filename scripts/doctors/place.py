"""Where a check looks: an environment in one Region, its values, clients that count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from threading import RLock
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from scripts.core import references, stacks
from scripts.core.errors import denied_action, error_code
from scripts.core.roots import Roots
from scripts.core.stacks import Stack, Step
from scripts.diagnosis.calls import Calls
from scripts.doctors.finding import Finding, unknown

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """One Region. `calls` acts in the environment's account, `tools` in that of the release stores; `values` are the root's parameters, all of
    them, some of which still refer to other stacks; `caller` is the ARN of who asks."""

    roots: Roots
    region: str
    calls: Calls
    tools: Calls
    values: Mapping[str, str]
    caller: str
    now: datetime
    suffix: str
    local: bool
    _seen: dict[str, Any] = field(default_factory=dict)
    _lock: RLock = field(default_factory=RLock)

    def client(self, service: str) -> Any:
        return self.calls.client(service, self.region)

    def value(self, name: str) -> str:
        """A parameter's value; "" where there is none, or where it refers to another stack."""
        found = self.values.get(name, "")
        return "" if references.find(found) else found

    def once(self, name: str, read: Callable[[], T]) -> T:
        """What `read` gives, read once for all checks."""
        with self._lock:
            if name not in self._seen:
                self._seen[name] = read()
            found: T = self._seen[name]
            return found

    def stack(self) -> Stack | None:
        """The environment's own stack."""
        return self.once("stack", lambda: stacks.find(self.client("cloudformation"), self.roots.environment.stack_name))

    def is_new(self) -> bool:
        """Whether a deploy would create the environment's stack."""
        stack = self.stack()
        return stacks.next_step(stack.status if stack else None) in (Step.CREATE, Step.REMOVE_REVIEW, Step.DELETE_FIRST)

    @contextmanager
    def reading(self, what: str, found: list[Finding], otherwise: str) -> Iterator[None]:
        """Adds a finding of "cannot tell" where AWS refuses what is done inside; `otherwise` is how to look by hand."""
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            found.append(unreadable(what, error, otherwise))


def unreadable(what: str, error: ClientError | BotoCoreError, otherwise: str) -> Finding:
    """ "Cannot tell", with the permission that is missing."""
    action = denied_action(error) if isinstance(error, ClientError) else None
    if isinstance(error, ClientError) and action:
        why = f"access denied: {action}" + (", by a service control policy" if by_organization(error) else "")
        return unknown(what, why, f"allow {action} for this caller, or look: {otherwise}")
    said = f"{error_code(error)}: {error.response['Error'].get('Message', '')}" if isinstance(error, ClientError) else str(error)
    return unknown(what, said.strip(": "), f"look: {otherwise}")


def by_organization(error: ClientError) -> bool:
    """True for a refusal of the organization's: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html"""
    text = error.response.get("Error", {}).get("Message", "")
    return "service control policy" in text or "resource control policy" in text
