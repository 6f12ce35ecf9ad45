"""Stacks, their resources and events, and templates as the API describes them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localaws.cloudformation import stacks, template
from localaws.cloudformation.stacks import MissingCapability
from localaws.cloudformation.template import TemplateError


def stack(record: Mapping[str, Any], protected: bool) -> dict[str, Any]:
    """Stack of DescribeStacks; `protected` is whether a delete is refused."""
    try:
        declared = template.parse(record["template"]).get("Parameters") or {} if record["template"] else {}
    except TemplateError:
        declared = {}
    found: dict[str, Any] = {
        "StackId": record["StackId"], "StackName": record["StackName"], "CreationTime": record["created"], "StackStatus": record["status"],
        "DisableRollback": record["disable_rollback"], "NotificationARNs": [], "Capabilities": record["capabilities"],
        "RollbackConfiguration": record["rollback"] or {}, "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
        "EnableTerminationProtection": protected,
        "Parameters": [{"ParameterKey": key, "ParameterValue": "****" if template.text_of((declared.get(key) or {}).get(
            "NoEcho", False)) == "true" else value} for key, value in record["parameters"].items()],
        "Outputs": [{"OutputKey": key, "OutputValue": output["value"],
                     **({"Description": output["description"]} if output["description"] else {}),
                     **({"ExportName": output["export"]} if output["export"] else {})} for key, output in record["outputs"].items()],
        "Tags": [{"Key": key, "Value": value} for key, value in record["tags"].items()]}
    for key, source in (("Description", "description"), ("StackStatusReason", "reason"), ("RoleARN", "role_arn"), ("ParentId", "ParentId"),
                        ("RootId", "RootId"), ("LastUpdatedTime", "updated"), ("DeletionTime", "deleted")):
        if record[source]:
            found[key] = record[source]
    return found


def summary(record: Mapping[str, Any]) -> dict[str, Any]:
    """StackSummary of ListStacks."""
    whole = {"StackId": record["StackId"], "StackName": record["StackName"], "TemplateDescription": record["description"],
             "CreationTime": record["created"], "LastUpdatedTime": record["updated"], "DeletionTime": record["deleted"],
             "StackStatus": record["status"], "StackStatusReason": record["reason"], "ParentId": record["ParentId"],
             "RootId": record["RootId"], "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"}}
    return {key: value for key, value in whole.items() if value}


def event(record: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
    """StackEvent of DescribeStackEvents."""
    found = {"StackId": record["StackId"], "StackName": record["StackName"], "EventId": written["EventId"], "Timestamp": written["time"],
            **{key: written[key] for key in ("LogicalResourceId", "PhysicalResourceId", "ResourceType", "ResourceStatus")}}
    for key in ("ResourceStatusReason", "ResourceProperties"):
        if written[key]:
            found[key] = written[key]
    return found


def resource(name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """What all descriptions of a resource have in common."""
    found = {"LogicalResourceId": name, "PhysicalResourceId": record["physical_id"], "ResourceType": record["type"],
             "ResourceStatus": record["status"], "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"}}
    if record["reason"]:
        found["ResourceStatusReason"] = record["reason"]
    return found


def validated(data: Mapping[str, Any]) -> dict[str, Any]:
    """ValidateTemplate's answer about a template."""
    found: dict[str, Any] = {"Parameters": [
        {"ParameterKey": name, "NoEcho": template.text_of(parameter.get("NoEcho", False)) == "true",
         **({"DefaultValue": template.text_of(parameter["Default"])} if "Default" in parameter else {}),
         **({"Description": parameter["Description"]} if "Description" in parameter else {})}
        for name, parameter in (data.get("Parameters") or {}).items()], **capabilities(data)}
    return {**found, **({"Description": data["Description"]} if data.get("Description") else {})}


def template_summary(data: Mapping[str, Any]) -> dict[str, Any]:
    """GetTemplateSummary's answer about a template."""
    found: dict[str, Any] = {"Parameters": [
        {"ParameterKey": name, "ParameterType": parameter["Type"], "NoEcho": template.text_of(parameter.get("NoEcho", False)) == "true",
         "ParameterConstraints": {"AllowedValues": [template.text_of(value) for value in parameter.get("AllowedValues") or []]},
         **({"DefaultValue": template.text_of(parameter["Default"])} if "Default" in parameter else {}),
         **({"Description": parameter["Description"]} if "Description" in parameter else {})}
        for name, parameter in (data.get("Parameters") or {}).items()],
        "ResourceTypes": sorted({resource["Type"] for resource in data["Resources"].values()}), "Version": "2010-09-09",
        **capabilities(data)}
    if "Metadata" in data:
        found["Metadata"] = stacks.json_text(data["Metadata"])
    return {**found, **({"Description": data["Description"]} if data.get("Description") else {})}


def capabilities(data: Mapping[str, Any]) -> dict[str, Any]:
    """Capabilities that a template needs, and why; nothing where it needs none."""
    try:
        stacks.check_capabilities(data, [])
    except MissingCapability as error:
        needed = error.message.split("[")[1].rstrip("]")
        made = sorted({resource["Type"] for resource in data["Resources"].values() if resource["Type"] in stacks.IAM_TYPES})
        return {"Capabilities": [needed], "CapabilitiesReason": f"The following resource(s) require capabilities: [{', '.join(made)}]"}
    return {}
