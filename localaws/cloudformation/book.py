"""Where statuses, events and signals of stacks are written down."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from localaws.clock import Clock
from localaws.cloudformation import engine, stacks
from localaws.cloudformation.engine import STACK


class Book:
    """Where the runner writes: statuses and events of stacks, under one lock. `tables` as Stores gives them."""

    def __init__(self, lock: Any, tables: Callable[[str], Any], clock: Clock) -> None:
        self.lock, self._tables, self.clock = lock, tables, clock

    def stack(self, stack_id: str) -> dict[str, Any] | None:
        """Return a stack's record by its ARN."""
        found: dict[str, Any] | None = self._tables(stack_id)["stacks"].get(stack_id)
        return found

    def add(self, record: dict[str, Any]) -> None:
        """Take a new stack's record in."""
        with self.lock:
            self._tables(record["StackId"])["stacks"][record["StackId"]] = record

    def status(self, record: dict[str, Any], status: str, reason: str = "") -> None:
        """Move a stack to its next status and write the event. Raises RuntimeError for a step that AWS does not know."""
        with self.lock:
            if status not in engine.FOLLOWS[record["status"]]:
                raise RuntimeError(f"{record['StackName']}: {status} cannot follow {record['status'] or 'nothing'}")
            record["status"], record["reason"] = status, reason
            if status.startswith("UPDATE_IN"):
                record["updated"] = self.clock.now()
            if status == "DELETE_COMPLETE":
                record["deleted"] = self.clock.now()
            self.event(record, record["StackName"], STACK, record["StackId"], status, reason)

    def event(self, record: Mapping[str, Any], logical: str, kind: str, physical: str, status: str, reason: str = "",
              properties: Any = None) -> None:
        """Write one event."""
        with self.lock:
            self._tables(record["StackId"])["events"].setdefault(record["StackId"], []).append({
                "EventId": f"{logical}-{status}-{uuid.uuid4().hex[:12]}", "time": self.clock.now(), "LogicalResourceId": logical,
                "ResourceType": kind, "PhysicalResourceId": physical or "", "ResourceStatus": status,
                "ResourceStatusReason": reason, "ResourceProperties": stacks.json_text(properties) if properties else ""})

    def resource(self, record: dict[str, Any], name: str, status: str, reason: str = "", event: bool = True) -> None:
        """Move a resource to a status."""
        with self.lock:
            resource = record["resources"][name]
            resource.update(status=status, reason=reason, time=self.clock.now())
            if event:
                self.event(record, name, resource["type"], resource["physical_id"], status, reason, resource["properties"])

    def signals(self, stack_id: str, name: str) -> dict[str, dict[str, Any]]:
        """Return the signals of a resource: unique id → {status, time}."""
        with self.lock:
            return dict(self._tables(stack_id)["signals"].get(f"{stack_id}|{name}") or {})

    def clear_signals(self, stack_id: str, name: str) -> None:
        """Forget the signals of a resource before it begins to wait for new ones."""
        with self.lock:
            self._tables(stack_id)["signals"].pop(f"{stack_id}|{name}", None)
