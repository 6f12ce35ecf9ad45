"""Change sets as they are kept and described.

A *change set record* is plain data: id, name, stack_id, stack_name, type (CREATE, UPDATE), status, reason, execution, created,
description, changes (ResourceChange as the API describes it), nested, root, parent, children (ids), and what executing it will do:
settings (template, parameters, tags, capabilities, rollback), role_arn, on_failure.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from localaws.cloudformation import template
from localaws.cloudformation.engine import Change, Plan

NOTHING = "The submitted information didn't contain changes. Submit different information to create a change set."


def new_record(stack: Mapping[str, Any], name: str, kind: str, now: float, **more: Any) -> dict[str, Any]:
    """Return the record of a change set that is still to be planned."""
    region, account = stack["StackId"].split(":")[3:5]
    return {"id": f"arn:aws:cloudformation:{region}:{account}:changeSet/{name}/{uuid.uuid4()}", "name": name,
            "stack_id": stack["StackId"], "stack_name": stack["StackName"], "type": kind, "status": "CREATE_PENDING", "reason": "",
            "execution": "UNAVAILABLE", "created": now, "description": "", "changes": [], "nested": False, "root": None,
            "parent": None, "children": [], "settings": {}, "role_arn": None, "on_failure": None, **more}


def fill(record: dict[str, Any], plan: Plan, now: float) -> list[dict[str, Any]]:
    """Put a plan into its change set's record; return the records of the nested change sets that belong to it, all depths."""
    below: list[dict[str, Any]] = []
    failed: list[str] = []
    for change in plan.changes:
        described = _described(change)
        if change.child is not None:
            label = change.child.label
            child = new_record({"StackId": label["stack_id"], "StackName": label["stack_id"].split("/")[1]},
                               f"{record['name']}-{change.logical_id}-{uuid.uuid4().hex[:12]}", "CREATE" if change.action == "Add" else "UPDATE",
                               now, parent=record["id"], root=record["root"] or record["id"], nested=True)
            child["settings"] = {"template": label.get("template", ""), "tags": {}, "capabilities": record["settings"].get("capabilities", []),
                                 "parameters": {name: str(value) if value is template.UNKNOWN else value
                                                for name, value in change.child.parameters.items()}}
            deeper = fill(child, change.child, now)
            if label.get("failed"):
                child.update(status="FAILED", reason=label["failed"], execution="UNAVAILABLE")
            if child["status"] == "FAILED":
                failed.append(child["id"])
            described["ChangeSetId"] = child["id"]
            record["children"].append(child["id"])
            below += [child, *deeper]
        record["changes"].append({"Type": "Resource", "ResourceChange": described})
    if failed:
        record.update(status="FAILED", execution="UNAVAILABLE",
                      reason=f"Nested change set {failed[0]} was not successfully created: Currently in FAILED.")
    elif plan.empty and not record["parent"] and record["type"] == "UPDATE":
        record.update(status="FAILED", execution="UNAVAILABLE", reason=NOTHING)
    else:
        record.update(status="CREATE_COMPLETE", execution="AVAILABLE")
    return below


def _described(change: Change) -> dict[str, Any]:
    """Return a change as the API's ResourceChange."""
    found: dict[str, Any] = {"Action": change.action, "LogicalResourceId": change.logical_id, "ResourceType": change.kind,
                             "Scope": list(change.scope), "Details": list(change.details)}
    if change.physical_id:
        found["PhysicalResourceId"] = change.physical_id
    if change.replacement:
        found["Replacement"] = change.replacement
    if change.policy_action:
        found["PolicyAction"] = change.policy_action
    return found


def describe(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return DescribeChangeSet's answer, all changes on one page."""
    settings = record["settings"]
    found = {"ChangeSetName": record["name"], "ChangeSetId": record["id"], "StackId": record["stack_id"],
             "StackName": record["stack_name"], "CreationTime": record["created"], "ExecutionStatus": record["execution"],
             "Status": record["status"], "Changes": record["changes"], "IncludeNestedStacks": record["nested"],
             "Capabilities": settings.get("capabilities", []), "NotificationARNs": [],
             "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in (settings.get("parameters") or {}).items()],
             "Tags": [{"Key": key, "Value": value} for key, value in (settings.get("tags") or {}).items()],
             "RollbackConfiguration": settings.get("rollback") or {}}
    for key, source in (("StatusReason", "reason"), ("Description", "description"), ("ParentChangeSetId", "parent"),
                        ("RootChangeSetId", "root"), ("OnStackFailure", "on_failure")):
        if record[source]:
            found[key] = record[source]
    return found


def summary(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return ListChangeSets' entry."""
    whole = describe(record)
    return {key: whole[key] for key in ("StackId", "StackName", "ChangeSetId", "ChangeSetName", "ExecutionStatus", "Status", "StatusReason",
                                        "CreationTime", "Description", "IncludeNestedStacks", "ParentChangeSetId", "RootChangeSetId")
            if key in whole}
