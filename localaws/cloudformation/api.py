"""CloudFormation's API: what our scripts, templates, hooks, README and taskcat call. Everything else is refused by name."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError

from localaws.cloudformation import changesets, engine, stacks, template, views
from localaws.cloudformation.book import Book
from localaws.cloudformation.engine import STACK
from localaws.cloudformation.exports import Exports
from localaws.cloudformation.planning import Planner, refused
from localaws.cloudformation.resources import handlers
from localaws.cloudformation.runner import Job, Runner
from localaws.cloudformation.schema import schemas
from localaws.cloudformation.template import TemplateError
from localaws.cloudformation.triggers import triggered
from localaws.service import Aws, Context, Service, ServiceError, Stores

_PAGE = 100
_BY_STACK = ("CreateStack", "UpdateStack", "DeleteStack", "DescribeStacks", "DescribeStackEvents", "DescribeStackResources",
             "DescribeStackResource", "ListStackResources", "GetTemplate", "GetTemplateSummary", "ContinueUpdateRollback",
             "CancelUpdateStack", "SignalResource", "CreateChangeSet", "DescribeChangeSet", "ExecuteChangeSet", "DeleteChangeSet",
             "ListChangeSets", "UpdateTerminationProtection")


class Api(Service):
    """Stacks and change sets."""

    name = "cloudformation"
    iam = "cloudformation"

    def __init__(self, aws: Aws) -> None:
        super().__init__(aws)
        self.stores = Stores()
        self.book = Book(self.lock, self._tables_of, aws.clock)
        self.exports = Exports(self._tables_of)
        self.runner = Runner(self.book, handlers(), schemas, self.exports.lookup, self._authorize, getattr(aws, "endpoint", ""))
        self.runner.authorize_exports = self.exports.problem
        self.runner.watch = triggered
        self.planner = Planner(self.book, self.runner, self.exports)
        self._jobs: dict[str, Job] = {}

    # --- state --------------------------------------------------------------------------------------------------------

    def _tables_of(self, arn: str) -> Any:
        return self.stores.at(arn.split(":")[4], arn.split(":")[3])

    def dump(self) -> Any:
        """See Service.dump: a copy, because operations may go on writing."""
        for _ in range(20):
            try:
                with self.lock:
                    return copy.deepcopy(self.stores.dump())
            except RuntimeError:  # an operation added a key in the middle of the copy
                time.sleep(0.05)
        raise RuntimeError("the state of cloudformation does not hold still")

    def load(self, state: Any) -> None:
        """Take up the state; operations that were cut off end in a status from which AWS's operations lead on."""
        self.stores.load(state)
        for account, region in self.stores.scopes():
            tables = self.stores.at(account, region)
            statuses = {stack_id: record["status"] for stack_id, record in tables["stacks"].items()}
            for record in tables["stacks"].values():
                after = engine.recover(record["status"], statuses.get(record["ParentId"] or ""))
                if after == record["status"]:
                    continue
                for name, resource in record["resources"].items():
                    if resource["status"].endswith("_IN_PROGRESS"):
                        self.book.resource(record, name, engine.recover_resource(resource["status"]), engine.INTERRUPTED)
                record["status"], record["reason"] = after, engine.INTERRUPTED
                self.book.event(record, record["StackName"], STACK, record["StackId"], after, engine.INTERRUPTED)
            for change_set in tables["change_sets"].values():
                if change_set["status"] in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
                    change_set.update(status="FAILED", reason=engine.INTERRUPTED)

    # --- who may ------------------------------------------------------------------------------------------------------

    def permissions(self, operation: str, params: dict[str, Any], ctx: Context) -> Iterable[tuple[str, str]]:
        """See Service.permissions: the stack that is meant, by its ARN where it exists."""
        if operation not in _BY_STACK:
            return [(f"cloudformation:{operation}", "*")]
        name = params.get("StackName")
        if not name and str(params.get("ChangeSetName", "")).startswith("arn:"):
            change_set = self.stores[ctx]["change_sets"].get(params["ChangeSetName"])
            name = change_set["stack_id"] if change_set else None
        if not name:
            return [(f"cloudformation:{operation}", "*")]
        found = self._find(ctx, name)
        if found:
            return [(f"cloudformation:{operation}", found["StackId"])]
        arn = name if name.startswith("arn:") else f"arn:aws:cloudformation:{ctx.region}:{ctx.account}:stack/{name}/*"
        return [(f"cloudformation:{operation}", arn)]

    def _authorize(self, job: Job, action: str, resource: str) -> None:
        self.aws.authorize(job.ctx, action, resource)

    def _job(self, ctx: Context, role_arn: str | None) -> Job:
        """Return a job with the caller's credentials, or the service role's."""
        if not role_arn:
            forwarded = replace(ctx, via=(*ctx.via, "cloudformation.amazonaws.com"))
            return Job(forwarded, self.aws.as_caller(forwarded))
        clients = self.aws.as_role(role_arn, "cloudformation.amazonaws.com", "AWSCloudFormation")
        session = f"arn:aws:sts::{ctx.account}:assumed-role/{role_arn.rsplit('/', 1)[-1]}/AWSCloudFormation"
        return Job(Context(ctx.account, ctx.region, session, clients.credentials()["AccessKeyId"]), clients)

    def _role(self, ctx: Context, params: Mapping[str, Any], record: Mapping[str, Any] | None) -> str | None:
        """Return the service role of an operation: given (then the caller must be allowed to pass it), or the stack's."""
        given = params.get("RoleARN")
        if given:
            self.aws.check_pass_role(ctx, given, "cloudformation.amazonaws.com")
        return given or (record["role_arn"] if record else None)

    # --- finding ------------------------------------------------------------------------------------------------------

    def _find(self, ctx: Context, name: str) -> dict[str, Any] | None:
        """Return a stack by ARN, or by name among those that are not deleted."""
        table: dict[str, dict[str, Any]] = self.stores[ctx]["stacks"]
        if name.startswith("arn:"):
            return table.get(name)
        with self.lock:
            return next((record for record in table.values() if record["StackName"] == name and record["status"] != "DELETE_COMPLETE"), None)

    def _stack(self, ctx: Context, name: str, wording: str = "Stack with id {} does not exist") -> dict[str, Any]:
        found = self._find(ctx, name)
        if found is None:
            raise refused(wording.format(name))
        return found

    def _change_set(self, ctx: Context, params: Mapping[str, Any]) -> dict[str, Any]:
        name = params["ChangeSetName"]
        table: dict[str, dict[str, Any]] = self.stores[ctx]["change_sets"]
        if name.startswith("arn:"):
            found = table.get(name)
        else:
            if "StackName" not in params:
                raise refused("StackName must be specified if ChangeSetName is not specified as an ARN.")
            stack = self._stack(ctx, params["StackName"], "Stack [{}] does not exist")
            found = next((item for item in table.values() if item["stack_id"] == stack["StackId"] and item["name"] == name), None)
        if found is None:
            raise ServiceError("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)
        return found

    # --- operations on stacks -----------------------------------------------------------------------------------------

    def _run(self, record: dict[str, Any], job: Job, work: Callable[[], Any]) -> None:
        """Carry out an operation on a thread of its own."""
        def whole() -> None:
            try:
                work()
            finally:
                with self.lock:
                    if self._jobs.get(record["StackId"]) is job:
                        del self._jobs[record["StackId"]]

        with self.lock:
            self._jobs[record["StackId"]] = job
        self.aws.spawn(f"cloudformation {record['StackName']}", whole)

    def create_stack(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """CreateStack."""
        name = params["StackName"]
        with self.lock:
            if found := self._find(ctx, name):
                raise ServiceError("AlreadyExistsException", f"Stack [{name}] already exists"
                                   if found["status"] != "REVIEW_IN_PROGRESS" else
                                   f"Stack [{name}] already exists and cannot be created again with the changeSet [REVIEW_IN_PROGRESS].")
        role = self._role(ctx, params, None)
        job = self._job(ctx, role)
        stack_id = stacks.stack_arn(ctx.account, ctx.region, name)
        settings, _ = self.planner.settings(params, job, stack_id, None)
        on_failure = params.get("OnFailure") or ("DO_NOTHING" if params.get("DisableRollback") else "ROLLBACK")
        record = stacks.new_record(stack_id, self.aws.clock.now())
        record.update(settings, role_arn=role, disable_rollback=on_failure == "DO_NOTHING")
        with self.lock:
            if self._find(ctx, name):
                raise ServiceError("AlreadyExistsException", f"Stack [{name}] already exists")
            self.book.add(record)
        self._run(record, job, lambda: self.runner.create(record, job, on_failure))
        return {"StackId": stack_id}

    def _updatable(self, record: Mapping[str, Any]) -> None:
        if record["status"] not in engine.UPDATABLE:
            raise refused(f"Stack:{record['StackId']} is in {record['status']} state and can not be updated.")

    def update_stack(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """UpdateStack."""
        record = self._stack(ctx, params["StackName"], "Stack [{}] does not exist")
        self._updatable(record)
        role = self._role(ctx, params, record)
        job = self._job(ctx, role)
        settings, prepared = self.planner.settings(params, job, record["StackId"], record)
        try:
            empty = self.planner.plan(record, settings, prepared, job, False).empty
        except TemplateError as error:
            raise refused(error.message) from error
        if empty and record["status"] != "UPDATE_FAILED" and settings["rollback"] == record["rollback"]:
            raise refused("No updates are to be performed.")
        self._begin_update(record, settings, role, job, not params.get("DisableRollback"))
        return {"StackId": record["StackId"]}

    def _begin_update(self, record: dict[str, Any], settings: dict[str, Any], role: str | None, job: Job, rollback: bool) -> None:
        with self.lock:
            self._updatable(record)
            record["role_arn"] = role
            self.runner.begin_update(record, settings)
        self._run(record, job, lambda: self.runner.update(record, job, rollback))

    def delete_stack(self, ctx: Context, params: dict[str, Any]) -> None:
        """DeleteStack."""
        record = self._find(ctx, params["StackName"])
        if record is None or record["status"] == "DELETE_COMPLETE":
            return
        if self._is_protected(record):  # the words as aws-nuke matches them: github.com/ekristen/aws-nuke/issues/821
            raise refused(f"Stack [{record['StackName']}] cannot be deleted while TerminationProtection is enabled")
        if params.get("DeletionMode", "STANDARD") != "STANDARD":
            raise refused("DeletionMode is not served by the local AWS")
        retain = params.get("RetainResources") or []
        if retain and record["status"] != "DELETE_FAILED":
            raise refused(f"Invalid operation on stack [{record['StackId']}]. RetainResources can only be specified for stacks in "
                          "DELETE_FAILED state")
        exports = {output["export"] for output in record["outputs"].values() if output["export"]}
        for export, user in self.exports.importers(record, exports):
            if user != record["StackName"]:
                raise refused(f"Export {export} cannot be deleted as it is in use by {user}")
        role = self._role(ctx, params, record)
        job = self._job(ctx, role)
        with self.lock:
            if record["status"] == "REVIEW_IN_PROGRESS":
                self._drop_change_sets(record)
                self.book.status(record, "DELETE_COMPLETE")
                return
            if record["status"] == "DELETE_IN_PROGRESS":
                return
            if record["status"] == "CREATE_IN_PROGRESS":
                running = self._jobs.get(record["StackId"])
                if running:
                    running.abandon, running.cancelled = True, "Resource creation cancelled"
            elif record["status"] not in engine.DELETABLE:
                raise refused(f"Stack [{record['StackName']}] cannot be deleted while in status {record['status']}")
            self._drop_change_sets(record)

        def work() -> None:
            while record["status"] == "CREATE_IN_PROGRESS":
                threading.Event().wait(0.2)
            if record["status"] in engine.DELETABLE:
                self.runner.delete(record, job, retain=retain)

        self._run(record, job, work)

    def _is_protected(self, record: Mapping[str, Any]) -> bool:
        """Return whether DeleteStack is refused: a nested stack is as protected as its root."""
        root = self.book.stack(record["RootId"]) if record["RootId"] else record
        return bool(root and root.get("protected"))

    def update_termination_protection(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """UpdateTerminationProtection: of a root stack, "with any status except DELETE_IN_PROGRESS or DELETE_COMPLETE".

        AWS refuses a nested stack too; no document has the sentence, these are the API page's words. Source:
        https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-protect-stacks.html
        """
        record = self._stack(ctx, params["StackName"], "Stack [{}] does not exist")
        if record["RootId"]:
            raise refused("For nested stacks, termination protection is set on the root stack and can't be changed directly on the nested "
                          f"stack [{record['StackName']}]")
        with self.lock:
            if record["status"].startswith("DELETE_") and record["status"] != "DELETE_FAILED":
                raise refused(f"Stack [{record['StackName']}] cannot be updated while in status {record['status']}")
            record["protected"] = params["EnableTerminationProtection"]
        return {"StackId": record["StackId"]}

    def continue_update_rollback(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """ContinueUpdateRollback."""
        record = self._stack(ctx, params["StackName"], "Stack [{}] does not exist")
        if record["ParentId"]:
            raise refused(f"RollbackUpdatedStack cannot be initiated on nested stack [{record['StackId']}]; use its root stack")
        role = self._role(ctx, params, record)
        job = self._job(ctx, role)
        skip = params.get("ResourcesToSkip") or []
        with self.lock:
            if record["status"] != "UPDATE_ROLLBACK_FAILED" or not record["operation"]:
                raise refused(f"Stack:{record['StackId']} is in {record['status']} state and can not continue update rollback.")
            for name in skip:
                if name not in record["resources"]:
                    raise refused(f"Stack [{record['StackName']}] does not contain resource [{name}]")
            if record["StackId"] in self._jobs:
                raise refused(f"Stack:{record['StackId']} is in UPDATE_ROLLBACK_IN_PROGRESS state and can not continue update rollback.")
        self._run(record, job, lambda: self.runner.roll_back(record, job, "User Initiated", skip))
        end = time.time() + 5
        while record["status"] == "UPDATE_ROLLBACK_FAILED" and record["StackId"] in self._jobs and time.time() < end:
            threading.Event().wait(0.05)
        return {}

    def cancel_update_stack(self, ctx: Context, params: dict[str, Any]) -> None:
        """CancelUpdateStack."""
        record = self._stack(ctx, params["StackName"], "Stack [{}] does not exist")
        job = self._jobs.get(record["StackId"])
        if record["status"] != "UPDATE_IN_PROGRESS" or job is None:
            raise refused("CancelUpdateStack cannot be called from current stack status")
        job.cancelled = "User Initiated"

    def signal_resource(self, ctx: Context, params: dict[str, Any]) -> None:
        """SignalResource: a resource that is in progress receives a signal, each unique id once."""
        record = self._stack(ctx, params["StackName"], "Stack '{}' does not exist")
        name, unique = params["LogicalResourceId"], params["UniqueId"]
        if record["status"] not in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"):
            raise refused(f"Stack {record['StackId']} is in {record['status']} state and cannot be signaled")
        with self.lock:
            resource = record["resources"].get(name)
            if resource is None:
                raise refused(f"Resource {name} does not exist for stack {record['StackName']}")
            if resource["status"] not in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"):
                raise refused(f"Resource {name} is in {resource['status']} state and cannot be signaled")
            table = self.stores[ctx]["signals"].setdefault(f"{record['StackId']}|{name}", {})
            if unique in table:
                raise refused(f"Signal with ID {unique} for resource {name} already exists. Signals may only be updated with a "
                              "FAILURE status." if params["Status"] == "SUCCESS" else
                              f"Signal with ID {unique} for resource {name} already exists.")
            table[unique] = {"status": params["Status"], "time": self.aws.clock.now()}
            self.book.event(record, name, resource["type"], resource["physical_id"], resource["status"],
                            f"Received {params['Status']} signal with UniqueId {unique}")

    # --- change sets --------------------------------------------------------------------------------------------------

    def create_change_set(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """CreateChangeSet: of type CREATE (a stack in REVIEW_IN_PROGRESS holds it) or UPDATE."""
        name, kind = params["StackName"], params.get("ChangeSetType", "UPDATE")
        if kind not in ("CREATE", "UPDATE"):
            raise refused(f"ChangeSetType {kind} is not served by the local AWS")
        record = self._find(ctx, name)
        if kind == "UPDATE":
            if record is None:
                raise refused(f"Stack [{name}] does not exist")
            if record["status"] == "REVIEW_IN_PROGRESS":
                raise refused(f"Stack [{name}] is in REVIEW_IN_PROGRESS state and can not be updated.")
            self._updatable(record)
        elif record is not None and record["status"] != "REVIEW_IN_PROGRESS":
            raise refused(f"Stack [{name}] already exists and cannot be created again with the changeSet [{params['ChangeSetName']}].")
        if record is not None and any(item["stack_id"] == record["StackId"] and item["name"] == params["ChangeSetName"]
                                      for item in list(self.stores[ctx]["change_sets"].values())):
            raise ServiceError("AlreadyExistsException", f"ChangeSet {params['ChangeSetName']} cannot be created due to a mismatch with "
                                                         "existing attribute ChangeSetName")
        role = self._role(ctx, params, record)
        job = self._job(ctx, role)
        stack_id = record["StackId"] if record else stacks.stack_arn(ctx.account, ctx.region, name)
        settings, prepared = self.planner.settings(params, job, stack_id, record if kind == "UPDATE" else None)
        with self.lock:
            if record is None:
                record = stacks.new_record(stack_id, self.aws.clock.now())
                record["description"] = settings["description"]
                self.book.add(record)
                self.book.status(record, "REVIEW_IN_PROGRESS", "User Initiated")
            change_set = changesets.new_record(record, params["ChangeSetName"], kind, self.aws.clock.now(), role_arn=role, settings=settings,
                                               description=params.get("Description", ""), nested=bool(params.get("IncludeNestedStacks")),
                                               on_failure=params.get("OnStackFailure"))
            self.stores[ctx]["change_sets"][change_set["id"]] = change_set
            if kind == "CREATE":
                record["parameters"], record["tags"] = settings["parameters"], settings["tags"]

        def work() -> None:
            change_set["status"] = "CREATE_IN_PROGRESS"
            try:
                found = self.planner.plan(record if kind == "UPDATE" else None, settings, prepared, job, change_set["nested"])
                if settings["rollback"] != record["rollback"] and kind == "UPDATE":
                    found.outputs_changed = True
                with self.lock:
                    for child in changesets.fill(change_set, found, self.aws.clock.now()):
                        self.stores[ctx]["change_sets"][child["id"]] = child
            except TemplateError as error:
                change_set.update(status="FAILED", reason=error.message)
            except ClientError as error:
                change_set.update(status="FAILED", reason=error.response["Error"]["Message"])
            except Exception as error:
                change_set.update(status="FAILED", reason=f"Internal Failure ({type(error).__name__}: {error})")
                raise

        self.aws.spawn(f"cloudformation {change_set['name']}", work)
        return {"Id": change_set["id"], "StackId": record["StackId"]}

    def describe_change_set(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeChangeSet."""
        with self.lock:
            return copy.deepcopy(changesets.describe(self._change_set(ctx, params)))

    def list_change_sets(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """ListChangeSets."""
        record = self._stack(ctx, params["StackName"], "Stack [{}] does not exist")
        with self.lock:
            found = [item for item in self.stores[ctx]["change_sets"].values() if item["stack_id"] == record["StackId"]]
        return {"Summaries": [changesets.summary(item) for item in sorted(found, key=lambda item: item["created"])]}

    def delete_change_set(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """DeleteChangeSet, with its nested ones."""
        try:
            found = self._change_set(ctx, params)
        except ServiceError as error:
            if error.code == "ChangeSetNotFound":
                return {}
            raise
        if found["parent"]:
            raise ServiceError("InvalidChangeSetStatus", f"ChangeSet [{found['id']}] is nested: delete its root change set")
        if found["status"] in ("CREATE_PENDING", "CREATE_IN_PROGRESS") or found["execution"] == "EXECUTE_IN_PROGRESS":
            raise ServiceError("InvalidChangeSetStatus", f"ChangeSet [{found['id']}] cannot be deleted in its current status of "
                                                         f"[{found['status']}]")
        with self.lock:
            self._drop(found)
        return {}

    def _drop(self, change_set: Mapping[str, Any]) -> None:
        table = self._tables_of(change_set["id"])["change_sets"]
        for child in change_set["children"]:
            if child in table:
                self._drop(table[child])
        table.pop(change_set["id"], None)

    def _drop_change_sets(self, record: Mapping[str, Any]) -> None:
        for item in [item for item in self._tables_of(record["StackId"])["change_sets"].values() if item["stack_id"] == record["StackId"]]:
            self._drop(item)

    def execute_change_set(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """ExecuteChangeSet: creates or updates the stack as the change set holds it, nested stacks included."""
        found = self._change_set(ctx, params)
        if found["parent"]:
            raise ServiceError("InvalidChangeSetStatus", f"ChangeSet [{found['id']}] is nested: execute its root change set")
        if found["execution"] != "AVAILABLE":
            raise ServiceError("InvalidChangeSetStatus", f"ChangeSet [{found['id']}] cannot be executed in its current status of "
                                                         f"[{found['status'] if found['status'] == 'FAILED' else found['execution']}]")
        record = self.book.stack(found["stack_id"])
        if record is None or record["status"] == "DELETE_COMPLETE":
            raise refused(f"Stack [{found['stack_name']}] does not exist")
        job = self._job(ctx, found["role_arn"])
        with self.lock:
            if found["type"] == "UPDATE":
                self._updatable(record)
            elif record["status"] != "REVIEW_IN_PROGRESS":
                raise refused(f"Stack:{record['StackId']} is in {record['status']} state and can not be created.")
            found["execution"] = "EXECUTE_IN_PROGRESS"
            for item in [item for item in self.stores[ctx]["change_sets"].values()
                         if item["stack_id"] == record["StackId"] and item["id"] != found["id"]]:
                self._drop(item)
        rollback = not params.get("DisableRollback")
        settings = copy.deepcopy(found["settings"])
        record["role_arn"] = found["role_arn"]
        if found["type"] == "CREATE":
            record.update(settings)
            on_failure = found["on_failure"] or ("ROLLBACK" if rollback else "DO_NOTHING")
            record["disable_rollback"] = on_failure == "DO_NOTHING"
        else:
            self.runner.begin_update(record, settings)

        def work() -> None:
            succeeded = self.runner.create(record, job, on_failure) if found["type"] == "CREATE" else not self.runner.update(record, job, rollback)
            with self.lock:
                table = self.stores[ctx]["change_sets"]
                for item in [found, *(table[child] for child in found["children"] if child in table)]:
                    item["execution"] = "EXECUTE_COMPLETE" if succeeded else "EXECUTE_FAILED"

        self._run(record, job, work)
        if found["type"] == "CREATE":  # AWS answers once the stack has left REVIEW_IN_PROGRESS
            end = time.time() + 5
            while record["status"] == "REVIEW_IN_PROGRESS" and time.time() < end:
                threading.Event().wait(0.02)
        return {}

    # --- descriptions -------------------------------------------------------------------------------------------------

    def _described(self, record: Mapping[str, Any]) -> dict[str, Any]:
        return views.stack(record, self._is_protected(record))

    def describe_stacks(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeStacks."""
        if params.get("StackName"):
            return {"Stacks": [self._described(self._stack(ctx, params["StackName"]))]}
        with self.lock:
            found = [record for record in self.stores[ctx]["stacks"].values() if record["status"] != "DELETE_COMPLETE"]
        return {"Stacks": [self._described(record) for record in sorted(found, key=lambda record: -record["created"])]}

    def list_stacks(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """ListStacks, those deleted included."""
        wanted = params.get("StackStatusFilter")
        with self.lock:
            records = sorted(self.stores[ctx]["stacks"].values(), key=lambda record: -record["created"])
        return {"StackSummaries": [views.summary(record) for record in records if not wanted or record["status"] in wanted]}

    def describe_stack_events(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeStackEvents, newest first."""
        if not params.get("StackName"):
            raise refused("1 validation error detected: Value at 'stackName' failed to satisfy constraint: Member must not be null")
        record = self._stack(ctx, params["StackName"], "Stack [{}] does not exist")
        with self.lock:
            events = list(self.stores[ctx]["events"].get(record["StackId"]) or [])
        # A page ends at a count from the oldest event, so that events written meanwhile shift nothing.
        end = int(params["NextToken"]) if params.get("NextToken") else len(events)
        begin = max(0, end - _PAGE)
        return {"StackEvents": [views.event(record, event) for event in reversed(events[begin:end])],
                **({"NextToken": str(begin)} if begin else {})}

    def describe_stack_resources(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeStackResources, by stack or by physical id."""
        if params.get("StackName"):
            records = [self._stack(ctx, params["StackName"])]
        elif params.get("PhysicalResourceId"):
            physical = params["PhysicalResourceId"]
            records = [record for record in list(self.stores[ctx]["stacks"].values()) if record["status"] != "DELETE_COMPLETE"
                       and any(item["physical_id"] == physical for item in record["resources"].values())]
            if not records:
                raise refused(f"Stack for {physical} does not exist")
        else:
            raise refused("Either stackName or physicalResourceId must be specified")
        wanted = params.get("LogicalResourceId")
        found = [{"StackName": record["StackName"], "StackId": record["StackId"], "Timestamp": resource["time"],
                  **views.resource(name, resource)} for record in records for name, resource in record["resources"].items()
                 if resource["status"] and (not wanted or name == wanted)]
        if wanted and not found:
            raise refused(f"Resource {wanted} does not exist for stack {records[0]['StackName']}")
        return {"StackResources": found}

    def describe_stack_resource(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeStackResource."""
        record = self._stack(ctx, params["StackName"], "Stack '{}' does not exist")
        name = params["LogicalResourceId"]
        resource = record["resources"].get(name)
        if resource is None:
            raise refused(f"Resource {name} does not exist for stack {record['StackName']}")
        return {"StackResourceDetail": {"StackName": record["StackName"], "StackId": record["StackId"], "LastUpdatedTimestamp": resource["time"],
                                        "Metadata": stacks.json_text(resource["metadata"]), **views.resource(name, resource)}}

    def list_stack_resources(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """ListStackResources."""
        record = self._stack(ctx, params["StackName"], "Stack with id {} does not exist")
        with self.lock:
            return {"StackResourceSummaries": [{"LastUpdatedTimestamp": resource["time"], **views.resource(name, resource)}
                                               for name, resource in record["resources"].items() if resource["status"]]}

    def get_template(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """GetTemplate, of a stack or of a change set."""
        if params.get("ChangeSetName"):
            body = self._change_set(ctx, params)["settings"].get("template", "")
        else:
            body = self._stack(ctx, params.get("StackName", ""))["template"]
        return {"TemplateBody": body, "StagesAvailable": ["Original", "Processed"]}

    def validate_template(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """ValidateTemplate."""
        return views.validated(self._read(ctx, params))

    def get_template_summary(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """GetTemplateSummary."""
        return views.template_summary(self._read(ctx, params))

    def _read(self, ctx: Context, params: Mapping[str, Any]) -> dict[str, Any]:
        try:
            record = self._stack(ctx, params["StackName"]) if params.get("StackName") else None
            body = record["template"] if record else self.planner.body(params, self._job(ctx, None), None)
            return template.parse(body)
        except TemplateError as error:
            raise refused(error.message) from error
