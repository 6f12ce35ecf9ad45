"""EventBridge: Rule, EventBusPolicy."""

from __future__ import annotations

import json
from typing import Any

from localaws.cloudformation.resources import Failed, Made, Request, fit, resource, served, tag_changes, tag_list, unless_gone

_RULE = {"Name", "Description", "EventBusName", "EventPattern", "ScheduleExpression", "State", "RoleArn", "Targets", "Tags"}


@resource("AWS::Events::Rule")
class Rule:
    """A rule with its targets."""

    def create(self, request: Request) -> Made:
        served(request.properties, _RULE)
        name = request.given("Name", 64)
        if "Name" in request.properties and unless_gone(request.client("events").describe_rule, Name=name, **self._bus(request)):
            raise Failed(f"{name} already exists")
        arn = self._put(request, name)
        request.claim(name)
        self._targets(request, name)
        return Made(name, {"Arn": arn})

    def update(self, request: Request) -> Made:
        served(request.properties, _RULE)
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


@resource("AWS::Events::EventBusPolicy")
class EventBusPolicy:
    """One statement of an event bus's policy; its physical id is the bus's name and the statement's id."""

    def create(self, request: Request) -> Made:
        self._put(request)
        return Made(f"{self._bus(request)}|{request.properties['StatementId']}")

    def update(self, request: Request) -> Made:
        self._put(request)
        return Made(request.physical_id)

    @staticmethod
    def _bus(request: Request) -> str:
        return str(request.properties.get("EventBusName", "default"))

    def _put(self, request: Request) -> None:
        """Lay the statement into the policy that the bus has."""
        served(request.properties, {"EventBusName", "StatementId", "Statement"})
        events, bus, identity = request.client("events"), self._bus(request), request.properties["StatementId"]
        statement = {**request.properties.get("Statement", {}), "Sid": identity}
        statements = [*(each for each in self._statements(events, bus) if each.get("Sid") != identity), statement]
        events.put_permission(EventBusName=bus, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))

    @staticmethod
    def _statements(events: Any, bus: str) -> list[dict[str, Any]]:
        policy = json.loads(events.describe_event_bus(Name=bus).get("Policy") or "{}")
        return list(policy.get("Statement", []))

    def delete(self, request: Request) -> None:
        bus, identity = request.physical_id.split("|", 1)
        events = request.client("events")
        found = unless_gone(events.describe_event_bus, Name=bus)
        if found and any(each.get("Sid") == identity for each in json.loads(found.get("Policy") or "{}").get("Statement", [])):
            events.remove_permission(EventBusName=bus, StatementId=identity)
