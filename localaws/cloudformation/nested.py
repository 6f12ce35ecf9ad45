"""AWS::CloudFormation::Stack: a stack made by the runner on the thread of its parent's resource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from localaws.cloudformation import engine, stacks, template
from localaws.cloudformation.resources import Cancelled, Failed, Made, Request

if TYPE_CHECKING:  # the runner makes nested stacks by this, and this by the runner
    from localaws.cloudformation.runner import Runner


class NestedStack:
    """Its handler."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def _settings(self, request: Request) -> dict[str, Any]:
        """Return the child's settings from the resource's properties."""
        properties, parent = request.properties, request.record
        if properties.get("NotificationARNs"):
            raise Failed("NotificationARNs are not served by the local AWS")
        body = stacks.read_url(properties["TemplateURL"], request.clients, request.region, self._runner.endpoint)
        data = template.parse(body)
        self._runner.schemas(parent).check(data)
        stacks.check_capabilities(data, parent["capabilities"])
        given = {name: ",".join(template.text_of(item) for item in value) if isinstance(value, list) else template.text_of(value)
                 for name, value in (properties.get("Parameters") or {}).items()}
        parameters = template.bind(data, given)
        return {"template": body, "parameters": parameters, "capabilities": parent["capabilities"],
                "tags": {tag["Key"]: template.text_of(tag["Value"]) for tag in properties.get("Tags") or []}}

    def create(self, request: Request) -> Made:
        """Create the child; raises Failed with AWS's sentence if it does not come up."""
        runner, book = self._runner, self._runner.book
        settings = self._settings(request)
        account = request.stack_id.split(":")[4]
        child_id = stacks.stack_arn(account, request.region, request.name(128))
        runner.authorize(request.job, "cloudformation:CreateStack", child_id)
        child = stacks.new_record(child_id, book.clock.now(), request.record)
        child.update(settings)
        book.add(child)
        request.claim(child_id)
        if not runner.create(child, request.job.child()):
            if request.job.stop:
                raise Cancelled()
            raise Failed(f"Embedded stack {child_id} was not successfully created: {child['reason']}")
        return self._made(child)

    def update(self, request: Request) -> Made:
        """Update the child, or take it back where the parent's update is being undone."""
        runner, book = self._runner, self._runner.book
        child = book.stack(request.physical_id)
        if child is None or child["status"] == "DELETE_COMPLETE":
            raise Failed(f"Stack [{request.physical_id}] does not exist")
        if request.undoing:
            waits = child["status"] in ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED") and child["operation"]
            if waits and not runner.roll_back(child, request.job.child(), ""):
                raise Failed(f"Embedded stack {child['StackId']} was not successfully updated. Currently in "
                             f"{child['status']} with reason: {child['reason']}")
            return self._made(child)
        runner.authorize(request.job, "cloudformation:UpdateStack", child["StackId"])
        settings = self._settings(request)
        if child["status"] not in engine.UPDATABLE:
            raise Failed(f"Stack:{child['StackId']} is in {child['status']} state and can not be updated.")
        runner.begin_update(child, settings)
        if reason := runner.update(child, request.job.child()):
            if request.job.stop:
                raise Cancelled()
            raise Failed(f"Embedded stack {child['StackId']} was not successfully updated. Currently in "
                         f"UPDATE_ROLLBACK_IN_PROGRESS with reason: {reason}")
        return self._made(child)

    def delete(self, request: Request) -> None:
        """Delete the child; one that is gone already is no failure."""
        runner = self._runner
        child = runner.book.stack(request.physical_id)
        if child is None or child["status"] == "DELETE_COMPLETE":
            return
        if child["status"] not in engine.DELETABLE and not child["status"].endswith("CLEANUP_IN_PROGRESS"):
            raise Failed(f"Stack [{child['StackName']}] cannot be deleted while in status {child['status']}")
        runner.authorize(request.job, "cloudformation:DeleteStack", child["StackId"])
        if not runner.delete(child, request.job.child(), undoing=request.undoing):
            raise Failed(f"Embedded stack {child['StackId']} was not successfully deleted: {child['reason']}")

    @staticmethod
    def _made(child: Mapping[str, Any]) -> Made:
        return Made(child["StackId"], {"StackId": child["StackId"], **{f"Outputs.{name}": output["value"]
                                                                      for name, output in child["outputs"].items()}})
