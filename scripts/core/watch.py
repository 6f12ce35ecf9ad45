"""Watching an operation on a stack and everything nested in it until CloudFormation has settled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scripts.core import events, stacks
from scripts.core.clock import Clock, duration
from scripts.core.errors import CommandError
from scripts.core.events import Cause, Event, first_cause
from scripts.core.progress import Progress
from scripts.core.stacks import Stack

LONGEST_SECONDS = 3 * 3600.0
# How long a request may take to show in the stack's status: until its first event is there, a settled status is the one before.
_START_SECONDS = 60.0


@dataclass(frozen=True)
class Mark:
    """The moment before an operation, by CloudFormation's own clock: later events belong to the operation."""

    since: datetime | None
    seen: frozenset[str]


@dataclass(frozen=True)
class Watched:
    """How it ended, with every event of it."""

    stack: Stack
    events: tuple[Event, ...]
    seconds: float

    def cause(self) -> Cause | None:
        return first_cause(self.events, self.stack.id)


def mark(cloudformation: Any, stack_id: str) -> Mark:
    """Where the stack's events stand now."""
    newest = [events.from_description(item) for item in cloudformation.describe_stack_events(StackName=stack_id)["StackEvents"]]
    return Mark(newest[0].time if newest else None, frozenset(event.id for event in newest))


def mark_of_running_operation(cloudformation: Any, stack_id: str) -> Mark:
    """The beginning of the operation that is under way, for one that somebody else began."""
    newest = [events.from_description(item) for item in cloudformation.describe_stack_events(StackName=stack_id)["StackEvents"]]
    start = events.operation_start(newest)
    return Mark(start.time if start else None, frozenset())


def until_settled(cloudformation: Any, stack_id: str, begun: Mark, progress: Progress, clock: Clock, poll_seconds: float) -> Watched:
    """Polls until no operation runs. CommandError after LONGEST_SECONDS, saying how to go on; the operation itself is not touched."""
    started = clock.seconds()
    collected: list[Event] = []
    seen = set(begun.seen)
    try:
        while True:
            # The status first: events read after it are at least as new, so nothing of a settled operation is missed.
            stack = stacks.find(cloudformation, stack_id)
            new = _read_tree(cloudformation, stack_id, begun.since, seen, collected)
            collected += new
            progress.note(new, events.paths(collected, stack_id))
            if stack is None:
                raise CommandError(f"the stack {stack_id} is gone", "it was removed while it was watched", "run the same command again")
            has_begun = (
                any(event.is_own and event.stack_id == stack_id for event in collected) or clock.seconds() - started > _START_SECONDS
            )
            if stack.status == "DELETE_COMPLETE" or (has_begun and stacks.is_settled(stack.status)):
                return Watched(stack, tuple(collected), clock.seconds() - started)
            if clock.seconds() - started > LONGEST_SECONDS:
                raise CommandError(
                    f"{stack.name} is still {stack.status} after {duration(LONGEST_SECONDS)}",
                    "CloudFormation goes on by itself",
                    "run the same command again: it goes on watching",
                )
            clock.sleep(poll_seconds)
    finally:
        progress.finish()


def _read_tree(cloudformation: Any, root_id: str, since: datetime | None, seen: set[str], collected: list[Event]) -> list[Event]:
    """New events of the root and of every nested stack that has something under way, in order of time."""
    new: list[Event] = []
    todo, done = [root_id], set()
    while todo:
        stack_id = todo.pop()
        if stack_id in done:
            continue
        done.add(stack_id)
        fresh = events.read(cloudformation, stack_id, since, seen)
        seen.update(event.id for event in fresh)
        new += fresh
        todo += _open_children([*collected, *new], stack_id, fresh)
    return sorted(new, key=lambda event: event.time)


def _open_children(known: list[Event], stack_id: str, fresh: list[Event]) -> list[str]:
    """Nested stacks of `stack_id` that are under way, or that have just ended (their last events are still to be read)."""
    latest: dict[str, str] = {}
    for event in sorted(known, key=lambda event: event.time):
        if event.stack_id == stack_id:
            for child in events.nested_ids([event]):
                latest[child] = event.status
    just_now = set(events.nested_ids(fresh))
    return [child for child, status in latest.items() if status.endswith("_IN_PROGRESS") or child in just_now]
