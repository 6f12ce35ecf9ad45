"""EventBridge: Rule."""

from __future__ import annotations

import json
from typing import Any

from localaws.cloudformation.resources import Failed, Made, Request, fit, resource, tag_changes, tag_list, unless_gone


@resource("AWS::Events::Rule")
class Rule:
    """A rule with its targets."""

    def create(self, request: Request) -> Made:
        name = request.given("Name", 64)
        if "Name" in request.properties and unless_gone(request.client("events").describe_rule, Name=name, **self._bus(request)):
            raise Failed(f"{name} already exists")
        arn = self._put(request, name)
        request.claim(name)
        self._targets(request, name)
        return Made(name, {"Arn": arn})

    def update(self, request: Request) -> Made:
        events, name = request.client("events"), request.physical_id
        arn = self._put(request, name)
        self._targets(request, name)
        added, removed = tag_changes(request)
        if added:
            events.tag_resource(ResourceARN=arn, Tags=[{"Key": key, "Value": value} for key, value in added.items()])
        if removed:
            events.untag_resource(ResourceARN=arn, TagKeys=removed)
        return Made(name)

    @staticmethod
    def _bus(request: Request) -> dict[str, str]:
        return {"EventBusName": request.properties["EventBusName"]} if "EventBusName" in request.properties else {}

    def _put(self, request: Request, name: str) -> str:
        events, properties = request.client("events"), request.properties
        arguments: dict[str, Any] = {key: properties[key] for key in ("Description", "ScheduleExpression", "State", "RoleArn", "EventBusName")
                     if key in properties}
        if "EventPattern" in properties:
            arguments["EventPattern"] = json.dumps(properties["EventPattern"])
        if not request.before:
            arguments["Tags"] = tag_list(properties)
        return str(events.put_rule(Name=name, **arguments)["RuleArn"])

    def _targets(self, request: Request, name: str) -> None:
        events = request.client("events")
        new = request.properties.get("Targets") or []
        old = [target["Id"] for target in request.before.get("Targets") or [] if target["Id"] not in [item["Id"] for item in new]]
        if old:
            events.remove_targets(Rule=name, Ids=old, **self._bus(request))
        if new:
            answer = events.put_targets(**fit(events, "put_targets", {"Rule": name, "Targets": new, **self._bus(request)}))
            if answer.get("FailedEntryCount"):
                entry = answer["FailedEntries"][0]
                raise Failed(f"{entry.get('ErrorMessage')} (Target: {entry.get('TargetId')}, Error Code: {entry.get('ErrorCode')})")

    def delete(self, request: Request) -> None:
        events, name, bus = request.client("events"), request.physical_id, self._bus(request)
        found = unless_gone(events.list_targets_by_rule, Rule=name, **bus)
        if found and found["Targets"]:
            events.remove_targets(Rule=name, Ids=[target["Id"] for target in found["Targets"]], **bus)
        unless_gone(events.delete_rule, Name=name, **bus)
