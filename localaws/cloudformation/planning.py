"""What a request gives a stack (template, parameters, tags, rollback triggers), and what that would do to it and to the stacks below it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from localaws.cloudformation import engine, intrinsics, stacks, template
from localaws.cloudformation.book import Book
from localaws.cloudformation.engine import Plan
from localaws.cloudformation.exports import Exports
from localaws.cloudformation.runner import Job, Runner
from localaws.cloudformation.schema import schemas
from localaws.cloudformation.stacks import MissingCapability, Prepared
from localaws.cloudformation.template import TemplateError
from localaws.service import ServiceError


def refused(message: str) -> ServiceError:
    """Return the error by which CloudFormation refuses most of what it refuses."""
    return ServiceError("ValidationError", message)


class Planner:
    """Reads requests and plans; changes nothing."""

    def __init__(self, book: Book, runner: Runner, exports: Exports) -> None:
        self._book, self._runner, self._exports = book, runner, exports

    def body(self, params: Mapping[str, Any], job: Job, record: Mapping[str, Any] | None) -> str:
        """Return the text of the template that a request gives, or means by UsePreviousTemplate."""
        if params.get("TemplateBody"):
            if len(params["TemplateBody"].encode()) > 51200:
                raise refused("1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have "
                              "length less than or equal to 51200")
            return str(params["TemplateBody"])
        if params.get("TemplateURL"):
            return stacks.read_url(params["TemplateURL"], job.clients, job.ctx.region, self._runner.endpoint)
        if params.get("UsePreviousTemplate") and record:
            return str(record["template"])
        raise refused("Either Template URL or Template Body must be specified.")

    def settings(self, params: Mapping[str, Any], job: Job, stack_id: str, record: Mapping[str, Any] | None
                 ) -> tuple[dict[str, Any], Prepared]:
        """Return what a create or an update puts into the stack's record, and the template bound to it."""
        for name in ("NotificationARNs", "ResourcesToImport", "StackPolicyBody", "StackPolicyURL", "ResourceTypes", "EnableTerminationProtection",
                     "TimeoutInMinutes"):
            if params.get(name):
                raise refused(f"{name} is not served by the local AWS")
        previous = record["parameters"] if record else {}
        given: dict[str, str] = {}
        for item in params.get("Parameters") or []:
            key = item["ParameterKey"]
            if item.get("UsePreviousValue"):
                if key not in previous:
                    raise refused(f"Invalid input for parameter key {key}. Cannot specify usePreviousValue as true for a parameter key "
                                  "not in the previous template")
                given[key] = previous[key]
            else:
                given[key] = item.get("ParameterValue", "")
        try:
            body = self.body(params, job, record)
            prepared = stacks.prepare(body, given, stack_id, job.clients, schemas(job.ctx.region), self._exports.lookup(stack_id))
            stacks.check_capabilities(prepared.data, params.get("Capabilities") or [])
        except MissingCapability as error:
            raise ServiceError("InsufficientCapabilitiesException", error.message) from error
        except TemplateError as error:
            raise refused(error.message) from error
        except ClientError as error:
            raise refused(error.response["Error"]["Message"]) from error
        if record and record["resources"]:
            changed = [name for name, resource in prepared.effective.resources.items()
                       if name in record["resources"] and record["resources"][name]["type"] != resource["Type"]]
            if changed:
                raise refused("Update of resource type is not permitted. The new template modifies resource type of the following "
                              f"resources: [{', '.join(changed)}]")
        tags = params.get("Tags")
        rollback = params.get("RollbackConfiguration")
        for trigger in (rollback or {}).get("RollbackTriggers") or []:
            if trigger["Type"] not in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"):
                raise refused(f"Unsupported rollback trigger type {trigger['Type']}")
        return {"template": body, "parameters": prepared.parameters, "capabilities": params.get("Capabilities") or [],
                "tags": {tag["Key"]: tag["Value"] for tag in tags} if tags is not None else dict(record["tags"]) if record else {},
                "rollback": rollback if rollback is not None else record["rollback"] if record else {},
                "description": prepared.data.get("Description", "") or ""}, prepared

    def plan(self, record: Mapping[str, Any] | None, settings: Mapping[str, Any], prepared: Prepared, job: Job, nested: bool) -> Plan:
        """Plan what the settings would do to a stack (None: one that does not exist)."""
        old_raw: dict[str, Any] = {}
        if record and record["resources"]:
            try:
                old_raw = self._runner.prepare(record, job).effective.resources
            except TemplateError:
                old_raw = {}  # an export is gone, say: then every changed value counts as changed directly
        outputs = {name: output["value"] for name, output in record["outputs"].items()} if record else {}

        def expand(name: str, properties: Mapping[str, Any], old: Mapping[str, Any] | None) -> Plan | None:
            return self._child_plan(name, properties, old, prepared, settings, job) if nested else None

        found = engine.plan(record["resources"] if record else {}, old_raw, prepared.effective, prepared.scope, settings["tags"],
                            schemas(job.ctx.region), outputs, expand)
        found.parameters = prepared.parameters
        return found

    def _child_plan(self, name: str, properties: Mapping[str, Any], old: Mapping[str, Any] | None, parent: Prepared,
                    settings: Mapping[str, Any], job: Job) -> Plan:
        child = self._book.stack(old["physical_id"]) if old else None
        parent_name = parent.scope.pseudo["AWS::StackName"]
        stack_id = child["StackId"] if child else stacks.stack_arn(job.ctx.account, job.ctx.region, f"{parent_name}-{name}"[:115])
        body = ""
        try:
            if intrinsics.contains_unknown(properties["TemplateURL"]):
                raise TemplateError("The TemplateURL of a nested stack must be known before the change")
            body = stacks.read_url(properties["TemplateURL"], job.clients, job.ctx.region, self._runner.endpoint)
            given: dict[str, Any] = {}
            for key, value in (properties.get("Parameters") or {}).items():
                unknown = intrinsics.contains_unknown(value)
                given[key] = template.UNKNOWN if unknown else ",".join(template.text_of(item) for item in value) \
                    if isinstance(value, list) else template.text_of(value)
            prepared = stacks.prepare(body, given, stack_id, job.clients, schemas(job.ctx.region), self._exports.lookup(stack_id))
            stacks.check_capabilities(prepared.data, settings["capabilities"])
            tags = {tag["Key"]: template.text_of(tag["Value"]) for tag in properties.get("Tags") or []}
            found = self.plan(child, {"tags": tags, "capabilities": settings["capabilities"]}, prepared, job, True)
            found.label = {"stack_id": stack_id, "template": body}
        except TemplateError as error:
            found = Plan(label={"stack_id": stack_id, "template": body, "failed": error.message})
        return found
