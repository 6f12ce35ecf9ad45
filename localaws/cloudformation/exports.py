"""Exports of an account and Region: who has them, who imports them, and what a change of outputs may not do to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from localaws.cloudformation.template import TemplateError


class Exports:
    """The exports of all stacks; `tables` gives the tables of the account and Region that an ARN is of."""

    def __init__(self, tables: Callable[[str], Any]) -> None:
        self._tables = tables

    def lookup(self, stack_id: str) -> Callable[[str], str]:
        """Return what looks an export up, for the templates of a stack."""
        def value(name: str) -> str:
            for record in list(self._tables(stack_id)["stacks"].values()):
                for output in record["outputs"].values():
                    if output["export"] == name and record["status"] != "DELETE_COMPLETE":
                        return str(output["value"])
            raise TemplateError(f"No export named {name} found.")
        return value

    def importers(self, record: Mapping[str, Any], names: set[str]) -> list[tuple[str, str]]:
        """Return (export, stack name) of the stacks that import exports of `record`."""
        return [(name, other["StackName"]) for other in self._tables(record["StackId"])["stacks"].values()
                if other["status"] != "DELETE_COMPLETE" for name in other["imports"] if name in names]

    def problem(self, record: dict[str, Any], outputs: dict[str, Any]) -> str:
        """Return why a stack cannot have the exports of its new outputs, or ''."""
        wanted = {output["export"]: output["value"] for output in outputs.values() if output["export"]}
        for other in list(self._tables(record["StackId"])["stacks"].values()):
            if other is record or other["status"] == "DELETE_COMPLETE":
                continue
            for output in other["outputs"].values():
                if output["export"] in wanted:
                    return f"Export with name {output['export']} is already exported by stack {other['StackName']}"
        held = {output["export"]: output["value"] for output in record["outputs"].values() if output["export"]}
        for name, user in self.importers(record, set(held)):
            if name not in wanted:
                return f"Export {name} cannot be deleted as it is in use by {user}"
            if wanted[name] != held[name]:
                return f"Export {name} cannot be updated as it is in use by {user}"
        return ""
